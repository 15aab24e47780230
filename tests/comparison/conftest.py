"""Simulated runs below the test's own directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from comparison.simulated_runs import MakeRun, make_run_at


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """`make_run_at` for a name."""
    return lambda name, *overrides, **more: make_run_at(tmp_path / "runs" / name, *overrides, **more)
