"""`train -m` with a search: the study is met exactly, whatever happens in between."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.trial import TrialState
from process_state import left_as_it_was

import gender_lightning
from gender_lightning.errors import UserError
from gender_lightning.overrides.of_run import hydra_value
from gender_lightning.sweeps.search.storage import open_storage
from gender_lightning.sweeps.search.trials import CONTINUED, RUN

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
LIMIT = 600  # seconds; each process of a search loads torch, which takes long on a busy machine
two_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
EPOCHS = 15  # enough to be interrupted in
SPACE = ("optimizer.lr=tag(log,interval(1e-4,1e-1))", "model.dropout=choice(0.0,0.3)")
Command = Callable[..., list[str]]


@pytest.fixture
def search(celeba_of: Command, tmp_path: Path) -> Command:
    """The command line of a search in `tmp_path / "sweep"`."""

    def typed(*more: str) -> list[str]:
        fixed = celeba_of("model=timm", "model.name=timm/test_resnet", f"hydra.sweep.dir={tmp_path / 'sweep'}")
        return [sys.executable, "-m", "gender_lightning", "train", "-m", *fixed, *SPACE, *more]

    return typed


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Marks every process of the test, so that none is left behind unseen."""
    mark = f"GENDER_LIGHTNING_TEST={tmp_path}"
    yield {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "GENDER_LIGHTNING_TEST": str(tmp_path)}
    deadline = time.monotonic() + 15
    while left := marked(mark):
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.2)


def marked(mark: str) -> list[int]:
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (directory / "environ").read_bytes().split(b"\0"):
                state = (directory / "stat").read_text().rpartition(")")[2].split()[0]
                found += [int(directory.name)] if state not in "ZX" and int(directory.name) != os.getpid() else []
        except OSError:
            continue
    return found


def run(command: list[str], environment: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=LIMIT)


def check(n_trials: int, *directories: Path, storage: str | None = None) -> optuna.Study:
    """Exactly so many have ended, none runs, and each is what its run directory says, in one of the directories."""
    study = optuna.load_study(study_name="search", storage=open_storage(storage or str(directories[0] / "journal.log")))
    trials = study.get_trials()
    ended = [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    assert len(ended) == n_trials and not [trial for trial in trials if trial.state == TrialState.RUNNING]
    assert len({trial.user_attrs[RUN] for trial in ended}) == n_trials
    for trial in ended:
        name = str(trial.user_attrs[RUN])
        (place,) = (sweep / name for sweep in directories if (sweep / name).exists())
        expected = "done" if trial.state == TrialState.COMPLETE else "pruned"
        assert json.loads((place / "run.json").read_text())["status"] == expected
        config = yaml.safe_load((place / "config.yaml").read_text())
        assert config["optimizer"]["lr"] == trial.params["optimizer.lr"] and config["test"] is False
        if expected == "done":
            assert json.loads((place / "metrics.json").read_text())["val/accuracy"] == trial.value
    return study


def test_a_search_from_end_to_end(
    celeba_of: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From Python, with each trial in a process of its own; the tests below type the same command."""
    monkeypatch.chdir(tmp_path)
    directory = tmp_path / "runs" / "tried" / "search"
    asked = (*celeba_of("model=timm", "model.name=timm/test_resnet"), *SPACE)
    with left_as_it_was():
        found = gender_lightning.search(*asked, name="tried", search={"n_trials": 2})
    printed = capsys.readouterr().out
    study = check(2, directory)
    assert study.trials[0].params["optimizer.lr"] == 0.001  # the recipe itself
    summary = json.loads((directory / "summary.json").read_text())
    assert summary["best"][0]["values"] == {"val/accuracy": study.best_value} and "test/accuracy" in summary["test"]
    assert not list(directory.glob("[0-9]*/predictions/test.parquet"))
    rows = list(csv.DictReader((directory / "trials.csv").open()))
    assert [row["state"] for row in rows] == ["complete", "complete"]
    assert f"optimizer.lr={study.best_params['optimizer.lr']!r}" in printed
    told = re.findall(r"^\d+: done  ([\d.]+).* best ([\d.]+) \(", printed, flags=re.MULTILINE)
    assert [float(best) for _, best in told] == list(accumulate((float(value) for value, _ in told), max))
    assert len(told) == 2
    (best,) = found.best
    assert found.path == directory and found.trials()["val/accuracy"].max() == pytest.approx(study.best_value)
    assert best.metrics()["val/accuracy"] == study.best_value and "test/accuracy" not in best.metrics()
    assert found.test == summary["test"]
    before = (directory / "0" / "run.json").read_bytes()
    gender_lightning.search(*asked, name="tried", search={"n_trials": 3})  # the total, not more
    check(3, directory)
    assert (directory / "0" / "run.json").read_bytes() == before
    with pytest.raises(UserError, match="searched something else"):
        gender_lightning.search(*asked, "loss.label_smoothing=0.1", name="tried", search={"n_trials": 3})


def test_no_trial_decodes_what_is_in_the_cache(
    search: Command, environment: dict[str, str], faces: Path, tmp_path: Path
) -> None:
    """After the first trial, no picture of train and valid can be decoded any more."""
    root, cache = tmp_path / "faces", tmp_path / "decoded"
    shutil.copytree(faces, root)
    typed = search(f"data.root={root}", f"data.cache={cache}")
    first = run([*typed, "search.n_trials=1"], environment, tmp_path)
    assert first.returncode == 0, first.stdout + first.stderr
    before = {file: file.stat().st_mtime_ns for file in cache.glob("*.npy")}
    assert len(before) == 2, "train and valid; a trial does not test"
    partition = (root / "list_eval_partition.txt").read_text().split()
    learned = [name for name, split in zip(partition[::2], partition[1::2], strict=True) if split != "2"]
    assert len(learned) == 33 + 15
    for name in learned:
        picture = root / "img_align_celeba" / name
        known = picture.stat()  # a picture of another size or date would be another one to the cache
        picture.write_bytes(bytes(known.st_size))
        os.utime(picture, ns=(known.st_atime_ns, known.st_mtime_ns))
    second = run([*typed, "search.n_trials=2"], environment, tmp_path)
    assert second.returncode == 0, second.stdout + second.stderr
    check(2, tmp_path / "sweep")
    assert {file: file.stat().st_mtime_ns for file in cache.glob("*.npy")} == before


@pytest.mark.parametrize("devices", [pytest.param(1, marks=pytest.mark.nightly), pytest.param(2, marks=two_cores)])
def test_ctrl_c_and_the_same_command_goes_on(
    search: Command, environment: dict[str, str], tmp_path: Path, devices: int
) -> None:
    directory = tmp_path / "sweep"
    command = search("search.n_trials=1", f"trainer.max_epochs={EPOCHS}", f"trainer.devices={devices}")
    sweep = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    until(lambda: (directory / "0" / "checkpoints" / "last.ckpt").exists())
    sweep.send_signal(signal.SIGINT)
    output, _ = sweep.communicate(timeout=120)  # 21 s at worst on the slowest machine seen
    assert sweep.returncode == 130, output
    assert json.loads((directory / "0" / "run.json").read_text())["status"] == "interrupted"
    result = run(command, environment, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    study = check(1, directory)
    assert [CONTINUED in trial.user_attrs for trial in study.trials] == [True, False]
    epochs = [row["epoch"] for row in csv.DictReader((directory / "0" / "metrics.csv").open())]
    assert epochs == [str(number) for number in range(1, EPOCHS + 1)]
    assert "resumed" in json.loads((directory / "0" / "run.json").read_text())


# journals: tests/sweeps/search/test_trials.py, with two sweeps in one process
@pytest.mark.parametrize("kind", [pytest.param("journal", marks=pytest.mark.nightly), "postgresql"])
def test_two_sweeps_share_a_study(
    search: Command, environment: dict[str, str], tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    """On one machine with one directory; and as two machines, each with its own, with a database between them."""
    commands = [search("search.n_trials=4", "search.enqueue=[]")] * 2
    directories, storage = [tmp_path / "sweep"], None
    if kind == "postgresql":
        storage = request.getfixturevalue("postgres_url")
        directories.append(tmp_path / "elsewhere")
        commands = [
            [*command, f"search.storage={hydra_value(storage)}", f"hydra.sweep.dir={directory}"]
            for command, directory in zip(commands, directories, strict=True)
        ]
    sweeps = [
        subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for command in commands
    ]
    outputs = [sweep.communicate(timeout=LIMIT)[0] for sweep in sweeps]
    assert [sweep.returncode for sweep in sweeps] == [0, 0], outputs
    study = check(4, *directories, storage=storage)
    ended = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert len({trial.user_attrs["owner"] for trial in ended}) == 2
    assert len({trial.params["optimizer.lr"] for trial in ended}) == 4
    assert len(list(tmp_path.glob("*/evaluation/test"))) == 0 and len(list(tmp_path.glob("*/*/evaluation/test"))) == 1


@two_cores
def test_pruning_with_two_ranks(search: Command, environment: dict[str, str], tmp_path: Path) -> None:
    directory = tmp_path / "sweep"
    command = search("search.n_trials=1", "trainer.devices=2", "trainer.max_epochs=4", "search/pruner=none")
    command += ["search.pruner._target_=optuna.pruners.ThresholdPruner", "+search.pruner.lower=1.1"]
    command += ["+search.pruner.n_warmup_steps=2"]
    result = run(command, environment, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    (trial,) = check(1, directory).trials
    assert trial.state == TrialState.PRUNED and set(trial.intermediate_values) == {1, 2}
    assert (directory / "0" / "checkpoints" / "last.ckpt").exists()
    assert "No trial has finished" in result.stdout


@pytest.mark.parametrize("seed", range(int(os.environ.get("CHAOS_ROUNDS", "1"))))
def test_chaos(
    search: Command, environment: dict[str, str], tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL of the sweep, a trial or one of its processes at random times; the same command ends well."""
    draw, directory = random.Random(seed), tmp_path / "sweep"
    cores = len(os.sched_getaffinity(0))
    shape = [f"hydra.sweeper.workers={min(2, cores)}"] if seed % 2 == 0 or cores < 2 else ["trainer.devices=2"]
    pruning = ["search.pruner.n_startup_trials=1", "search.max_failures=20"]
    command = search("search.n_trials=3", "trainer.max_epochs=3", *shape, *pruning)
    story = [*shape]

    def begin() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL)

    sweep = begin()
    for _ in range(2):
        time.sleep(draw.uniform(3, 12))
        if sweep.poll() is not None:
            break
        trials = children_of(sweep.pid)
        kinds = {"sweep": [sweep.pid], "trial": trials, "process of a trial": [pid for t in trials for pid in below(t)]}
        kind = draw.choice([kind for kind, pids in kinds.items() if pids])
        with suppress(ProcessLookupError):  # it may have ended by itself
            os.kill(draw.choice(kinds[kind]), signal.SIGKILL)
            story.append(kind)
        if kind == "sweep":
            sweep.wait()
            sweep = begin()
    sweep.wait(timeout=LIMIT)
    result = run(command, environment, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    study = check(3, directory)
    reproduced(directory, study, environment)
    states = ", ".join(trial.state.name.lower() for trial in study.trials)
    with capsys.disabled():
        print(f"\nchaos {seed}: killed {', '.join(story[1:]) or 'nothing'} ({story[0]}); trials: {states}")  # noqa: T201


def reproduced(directory: Path, study: optuna.Study, environment: dict[str, str]) -> None:
    """The best value comes out again of the checkpoint in the run directory."""
    run_directory, output = directory / str(study.best_trial.user_attrs[RUN]), directory / "again"
    command = [sys.executable, "-m", "gender_lightning", "evaluate", f"checkpoint={run_directory}", "split=valid"]
    result = run([*command, "accelerator=cpu", f"output={output}"], environment, directory)
    assert result.returncode == 0, result.stdout + result.stderr
    assert json.loads((output / "metrics.json").read_text())["val/accuracy"] == study.best_value


def children_of(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for file in tasks for word in file.read_text().split()]


def below(pid: int) -> list[int]:
    """All processes that a process has started, and those that they have."""
    try:
        return [found for child in children_of(pid) for found in (child, *below(child))]
    except FileNotFoundError:  # it has ended meanwhile
        return []


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
