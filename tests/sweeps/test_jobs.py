"""A job is an ordinary training in a process of its own; how it ended is known whatever it did."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from gender_lightning.job import job_environment
from gender_lightning.runs import Run
from gender_lightning.sweeps.jobs import Job, JobResult, plain_overrides
from gender_lightning.sweeps.jobs import run_job as run_on
from gender_lightning.sweeps.processes import Children
from gender_lightning.sweeps.slots import Slot

RANKS = (
    "LOCAL_RANK", "NODE_RANK", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "PL_GLOBAL_SEED",
    "GENDER_LIGHTNING_RUN_DIR",
)  # fmt: skip


def script(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let every job run this program, which finds its overrides in sys.argv[1:-1] and its directory at the end."""
    monkeypatch.setattr(
        Job, "command", property(lambda self: [sys.executable, "-c", code, *self.overrides, str(self.directory)])
    )


def run_job(job: Job) -> JobResult:
    return run_on(job, Slot(0), Children())


def job(directory: Path, *overrides: str) -> Job:
    return Job(0, overrides, directory)


def test_the_command_is_what_a_person_would_type(tmp_path: Path) -> None:
    directory = tmp_path / "a=b, (c)"
    command = job(directory, "seed=1", "model=vgg19").command
    assert command[:6] == [sys.executable, "-m", "gender_lightning", "train", "seed=1", "model=vgg19"]
    override = OverridesParser.create().parse_override(command[6])
    assert (override.key_or_group, override.value()) == ("run_dir", str(directory))


def test_no_rank_of_another_job_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in RANKS:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("SLURM_NTASKS", "1")  # else Lightning believes that SLURM has started its ranks
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    environment = job_environment()
    assert not environment.keys() & {*RANKS, "SLURM_NTASKS"}
    assert environment["WANDB_PROJECT"] == "mine" and os.environ["RANK"] == "1"


def test_overrides_for_hydra_and_the_search_stay_with_the_sweep() -> None:
    overrides = [
        "seed=1", "hydra.sweep.dir=x", "+hydra.job.name=y", "hydra/sweeper=processes", "~experiment", "+a.b=1",
        "search=vgg19", "search.n_trials=3", "search/sampler=random",
    ]  # fmt: skip
    assert plain_overrides(overrides) == ("seed=1", "~experiment", "+a.b=1")


def test_a_job_that_ends_well_brings_its_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    code = (
        "import json, os, pathlib, sys; assert 'RANK' not in os.environ; place = pathlib.Path(sys.argv[-1]);"
        "(place / 'metrics.json').write_text(json.dumps({'val/accuracy': 0.5}))"
    )
    script(monkeypatch, code)
    result = run_job(job(tmp_path / "0", "seed=1"))
    assert (result.status, result.metrics) == ("done", {"val/accuracy": 0.5})


@pytest.mark.parametrize(
    ("status", "exit_code", "expected"),
    [
        (None, 2, "failed"),
        ("running", 137, "failed"),
        ("done", 1, "failed"),
        ("running", -9, "killed"),
        ("pruned", 0, "pruned"),
        ("failed", 1, "failed"),
        ("interrupted", 130, "interrupted"),
        ("pruned", 1, "pruned"),
    ],
)
def test_how_a_job_ended_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str | None, exit_code: int, expected: str
) -> None:
    if status is not None:
        (tmp_path / "run.json").write_text(json.dumps({"status": status}))
    end = f"raise SystemExit({exit_code})" if exit_code >= 0 else f"import os; os.kill(os.getpid(), {-exit_code})"
    script(monkeypatch, f"print('the reason', flush=True); {end}")
    result = run_job(job(tmp_path))
    assert (result.status, result.metrics) == (expected, {})
    assert ("the reason" in result.error) == (expected in ("failed", "killed"))
    if expected == "failed":
        assert Run.open(tmp_path).info()["status"] == "failed" and "the reason" in Run.open(tmp_path).info()["error"]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this system")
def test_a_job_keeps_to_the_cores_of_its_slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = max(os.sched_getaffinity(0))
    code = (
        "import json, os, pathlib, sys; from gender_lightning.job import settle; settle();"
        "place = pathlib.Path(sys.argv[-1]); cores = list(os.sched_getaffinity(0));"
        "(place / 'metrics.json').write_text(json.dumps({'cores': cores, 'threads': os.environ['OMP_NUM_THREADS']}))"
    )
    script(monkeypatch, code)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    result = run_on(job(tmp_path / "0"), Slot(1, cores=(mine,)), Children())
    assert result.metrics == {"cores": [mine], "threads": "1"}


def test_start_up_is_the_time_to_the_first_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import datetime, json, pathlib, sys, time; time.sleep(0.5);"
        "said = {'status': 'done', 'first_batch': datetime.datetime.now(datetime.UTC).isoformat()};"
        "(pathlib.Path(sys.argv[-1]) / 'run.json').write_text(json.dumps(said)); time.sleep(0.5)"
    )
    script(monkeypatch, code)
    began = time.monotonic()
    seconds = run_job(job(tmp_path / "0")).start_seconds
    assert seconds is not None and 0.5 <= seconds <= time.monotonic() - began - 0.4


def test_what_a_dead_job_said_earlier_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"status": "interrupted"}))
    script(monkeypatch, "raise SystemExit(1)")
    assert run_job(Job(0, (), tmp_path, resume=True)).status == "failed"
