"""A quota of CPU time is found in both versions of control groups, in containers and in nested groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from gender_lightning.machine.control_groups import cpu_quota


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


@pytest.mark.parametrize(("limit", "quota"), [("800000 100000", 8), ("150000 100000", 1.5), ("max 100000", None)])
def test_version_2_in_a_container(tmp_path: Path, limit: str, quota: float | None) -> None:
    write(tmp_path / "member", "0::/")
    write(tmp_path / "sys/cpu.max", limit)
    assert cpu_quota(tmp_path / "sys", tmp_path / "member") == quota


def test_version_2_the_smallest_limit_on_the_way_up_counts(tmp_path: Path) -> None:
    write(tmp_path / "member", "0::/kubepods/pod1/container")
    write(tmp_path / "sys/kubepods/cpu.max", "1600000 100000")
    write(tmp_path / "sys/kubepods/pod1/cpu.max", "400000 100000")
    write(tmp_path / "sys/kubepods/pod1/container/cpu.max", "max 100000")
    write(tmp_path / "sys/kubepods/pod2/cpu.max", "100000 100000")  # another pod's
    assert cpu_quota(tmp_path / "sys", tmp_path / "member") == 4


@pytest.mark.parametrize("mounted", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize("group", ["", "docker/abc"])  # a container sees its group as the root, or not
def test_version_1(tmp_path: Path, mounted: str, group: str) -> None:
    write(tmp_path / "member", "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc")
    write(tmp_path / "sys" / mounted / group / "cpu.cfs_quota_us", "300000")
    write(tmp_path / "sys" / mounted / group / "cpu.cfs_period_us", "100000")
    write(tmp_path / "sys/memory/cpu.cfs_quota_us", "1")
    assert cpu_quota(tmp_path / "sys", tmp_path / "member") == 3


def test_version_1_without_a_limit(tmp_path: Path) -> None:
    write(tmp_path / "member", "4:cpu:/")
    write(tmp_path / "sys/cpu/cpu.cfs_quota_us", "-1")
    write(tmp_path / "sys/cpu/cpu.cfs_period_us", "100000")
    assert cpu_quota(tmp_path / "sys", tmp_path / "member") is None


@pytest.mark.parametrize("text", ["", "1 2 3", "many 100000", "100000 0"])
def test_what_cannot_be_read_limits_nothing(tmp_path: Path, text: str) -> None:
    write(tmp_path / "sys/cpu.max", text)
    assert cpu_quota(tmp_path / "sys", tmp_path / "absent") is None
