"""Where `conf/` lies."""

from __future__ import annotations

from pathlib import Path


def conf_dir() -> Path:
    """Where `conf/` lies: packed into the wheel, or beside the package in a source tree."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"
