"""On what a figure was made."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from gender_lightning.machine import provenance


def test_versions_and_hardware_are_this_machines() -> None:
    assert provenance.package_versions()["torch"] == version("torch")
    machine = provenance.hardware()
    assert machine["cores"] >= 1 and machine["cpu"] and isinstance(machine["gpus"], list)


def test_a_package_that_is_absent_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "_PACKAGES", ("no-such-package",))
    assert provenance.package_versions() == {"no-such-package": None}


def test_git_state_tells_revision_and_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> str:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        return subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    package = tmp_path / "package" / "room"
    package.mkdir(parents=True)
    (package / "file.py").write_text("")
    monkeypatch.setattr(provenance, "__file__", str(package / "file.py"))
    assert provenance.git_state() == {}
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    assert provenance.git_state() == {"git_revision": git("rev-parse", "HEAD").strip(), "git_dirty": False}
    (package / "file.py").write_text("changed")
    assert provenance.git_state()["git_dirty"] is True
