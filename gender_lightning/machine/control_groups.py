"""The CPU time that a container or a batch system allows this process: Linux control groups, versions 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_SYSTEM = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
_VERSION_1 = ("cpu", "cpu,cpuacct", "cpuacct,cpu")  # folders under which distributions mount the controller


def cpu_quota(system: Path = _SYSTEM, membership: Path = _MEMBERSHIP) -> float | None:
    """The number of CPUs whose time this process may use, as a fraction; None where nothing limits it.

    The kernel enforces the limit of every group on the way up, so the smallest one counts. Kubernetes and Docker
    (`--cpus=8`) set a quota and leave the affinity mask at all cores of the host.

    Args:
        system: Where control groups are mounted.
        membership: The kernel's list of the groups that this process belongs to.
    """
    quotas = [quota for group in _groups(system, membership) if (quota := _quota(group)) is not None]
    return min(quotas, default=None)


def _groups(system: Path, membership: Path) -> Iterator[Path]:
    """Every folder that may hold a limit: each group of this process, and all groups above it.

    Inside a container the kernel may name a group by its path on the host, which does not exist there, though the root
    does.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        lines = []
    named = [line.split(":", 2) for line in lines if line.count(":") >= 2] or [["0", "", "/"]]
    for _, controllers, path in named:
        if controllers and "cpu" not in controllers.split(","):
            continue
        roots = [system / name for name in _VERSION_1] if controllers else [system, system / "unified"]
        inside = PurePosixPath(path.lstrip("/"))
        for root in roots:
            yield from (root / group for group in (inside, *inside.parents) if ".." not in group.parts)


def _quota(group: Path) -> float | None:
    try:
        if (group / "cpu.max").is_file():  # version 2: "800000 100000", or "max 100000"
            limit, period = (group / "cpu.max").read_text().split()
        else:
            limit = (group / "cpu.cfs_quota_us").read_text().strip()  # version 1: -1 means no limit
            period = (group / "cpu.cfs_period_us").read_text().strip()
        return int(limit) / int(period) if limit != "max" and int(limit) > 0 and int(period) > 0 else None
    except (OSError, ValueError):  # absent, hidden by a sandbox, or in a newer format
        return None
