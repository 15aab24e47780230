"""`train -m`: a run directory for every combination, each with its own configuration."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml


@pytest.mark.slow
def test_two_seeds_are_two_runs(celeba_of: Callable[..., list[str]], tmp_path: Path) -> None:
    typed = celeba_of("model=resnet18", "seed=1,2", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    result = subprocess.run(
        [sys.executable, "-m", "gender_lightning", "train", "-m", *typed],
        cwd=tmp_path,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    runs = sorted(path.parent for path in tmp_path.rglob("run.json"))
    assert len(runs) == 2 and all(run.is_relative_to(tmp_path / "sweep") for run in runs)
    configs = [yaml.safe_load((run / "config.yaml").read_text()) for run in runs]
    assert sorted(config["seed"] for config in configs) == [1, 2]
    assert all(config["model"]["name"] == "resnet18" and config["data"]["image_size"] == 32 for config in configs)
    weights = [(run / "checkpoints" / "best.ckpt").read_bytes() for run in runs]
    assert weights[0] != weights[1]
