"""Where results come from: package versions, hardware, and the state of the source tree."""

from __future__ import annotations

import logging
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gender_lightning.machine.hardware import available_cores

_PACKAGES = (
    "gender-lightning", "torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core", "timm", "wandb",
)  # fmt: skip
log = logging.getLogger(__name__)


def package_versions() -> dict[str, str | None]:
    """Versions of the packages that results depend on; None for a package that is not installed."""
    return {name: _version(name) for name in _PACKAGES}


def hardware() -> dict[str, Any]:
    """CPU model, number of cores this process may use, GPUs, and operating system."""
    cpu = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        cpu = names[0] if names else cpu
    return {"cpu": cpu, "cores": available_cores(), "gpus": _gpus(), "system": platform.platform()}


def _gpus() -> list[str]:
    """Names of the GPUs, without importing torch: a caller that uses them has already done so."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]


def git_state() -> dict[str, Any]:
    """Revision of the source tree and whether it has local changes; empty for an installed wheel."""
    source = Path(__file__).parents[2]
    if not (source / ".git").exists():
        return {}
    try:
        revision, changes = (
            subprocess.run(["git", *words], cwd=source, capture_output=True, text=True, check=True).stdout.strip()
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.CalledProcessError) as error:
        log.debug("no git state: %s", error)
        return {}
    return {"git_revision": revision, "git_dirty": bool(changes)}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
