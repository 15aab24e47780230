"""A run directory is allocated once, tells the truth about its end, and is shared by the ranks of its job."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from gender_lightning import run_record, runs
from gender_lightning.errors import UserError
from gender_lightning.runs import Run

CONFIG = {"seed": 1, "name": "ä", "data": {"root": "x"}}


@pytest.fixture(autouse=True)
def _typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gender-lightning", "train"])


def create(path: Path) -> Run:
    return Run.create(str(path), CONFIG, ["seed=1"])


def test_a_new_run_holds_what_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gender-lightning", "train", "name=a b"])
    run = create(tmp_path / "runs" / "train" / "now")
    assert yaml.safe_load((run.path / "config.yaml").read_text()) == CONFIG == run.config()
    assert yaml.safe_load((run.path / "overrides.yaml").read_text()) == ["seed=1"]
    info = run.info()
    assert info["status"] == "running"
    assert info["command"] == "gender-lightning train 'name=a b'"
    assert info["python"].count(".") == 2 and info["packages"]["torch"] and info["hardware"]["cores"] >= 1
    assert sorted(path.name for path in run.path.iterdir()) == [
        "checkpoints", "config.yaml", "overrides.yaml", "predictions", "run.json",
    ]  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owner here")
def test_somebody_elses_run_is_known_by_the_owner_of_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = create(tmp_path / "run")
    assert run.is_own
    owner = os.getuid()
    monkeypatch.setattr("os.getuid", lambda: owner + 1)
    assert not run.is_own


def test_of_many_with_one_name_one_wins(tmp_path: Path) -> None:
    start = threading.Barrier(8)

    def attempt(_: int) -> bool:
        start.wait()
        try:
            create(tmp_path / "runs" / "same")
        except UserError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1


def test_an_existing_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError, match=r"exists already. Choose another with run_dir=..., or continue that run with"):
        create(tmp_path / "run")
    assert not list((tmp_path / "run").iterdir())


def test_a_place_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be created \((Not a directory|File exists)\). Choose another with"):
        create(tmp_path / "file" / "run")


class _OurError(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "done"),
        (_OurError("why"), "failed"),
        (UserError("why"), "failed"),
        (KeyboardInterrupt(), "interrupted"),
        (SystemExit(1), "interrupted"),
    ],
)
def test_the_status_is_true_on_every_way_out(tmp_path: Path, error: BaseException | None, status: str) -> None:
    run = create(tmp_path / "run")
    if error is None:
        with run.recording():
            assert run.info()["status"] == "running"
    else:
        with pytest.raises(type(error)), run.recording():
            raise error
    info = run.info()
    assert info["status"] == status and info["seconds"] >= 0 and info["finished"] >= info["created"]
    assert info["error"] == (f"{type(error).__name__}: why" if status == "failed" else None)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1"])
def test_a_terminated_run_says_so(tmp_path: Path, name: str) -> None:
    run, number = create(tmp_path / "run"), signal.Signals[name]
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as stop, run.recording(("SIGINT", "SIGTERM", "SIGUSR1")):  # noqa: PT012
        os.kill(os.getpid(), number)
        threading.Event().wait(10)
    assert stop.value.code == 128 + number and run.info()["status"] == "interrupted"
    assert signal.getsignal(number) is before


def test_a_full_disk_does_not_hide_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = create(tmp_path / "run")

    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(_OurError), run.recording():  # noqa: PT012
        monkeypatch.setattr(runs, "write_text", full)
        raise _OurError


def test_a_run_can_be_recorded_outside_the_main_thread(tmp_path: Path) -> None:
    run = create(tmp_path / "run")

    def record() -> None:
        with run.recording():
            pass

    thread = threading.Thread(target=record)
    thread.start()
    thread.join()
    assert run.info()["status"] == "done"


def test_a_directory_that_vanished_does_not_hide_the_error(tmp_path: Path) -> None:
    run = create(tmp_path / "run")
    with pytest.raises(_OurError), run.recording():  # noqa: PT012
        run.path.rename(tmp_path / "elsewhere")
        raise _OurError
    assert not run.path.exists()


def test_going_on_adds_up(tmp_path: Path) -> None:
    run = create(tmp_path / "run")
    with pytest.raises(_OurError), run.recording():
        raise _OurError
    run.update(seconds=100.0)
    run.last.touch()
    again = Run.resume(str(run.path))
    assert again.resume_from == run.last and run.info()["status"] == "failed", "nothing runs yet"
    with again.recording():
        assert run.info()["status"] == "running" and run.info()["error"] is None
    assert run.info()["status"] == "done" and run.info()["seconds"] >= 100 and len(run.info()["resumed"]) == 1


def test_two_do_not_train_in_one_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_PATIENCE", 0.0)
    run = create(tmp_path / "run")
    with run.alone():
        with pytest.raises(UserError, match="Another process is training in"), Run.resume(str(run.path)).alone():
            pytest.fail("a second one got in")
        with monkeypatch.context() as further:  # the ranks of the one are not the other
            further.setenv("LOCAL_RANK", "1")
            with run.alone():
                pass
    with run.alone():
        child = os.fork()  # a loader process, which goes on for a moment
        if child == 0:
            signal.pause()
            os._exit(1)
    with Run.resume(str(run.path)).alone():
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_what_cannot_go_on_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run directory: it has no run.json"):
        Run.resume(str(tmp_path))
    run = create(tmp_path / "run")
    with pytest.raises(UserError, match=r"lost.ckpt does not exist. Give the run directory"):
        Run.resume(str(run.checkpoints / "lost.ckpt"))
    run.update(status="done")
    with pytest.raises(UserError, match="is finished already"):
        Run.resume(str(run.path))


def test_what_a_resume_goes_on_from(tmp_path: Path) -> None:
    run = create(tmp_path / "run")
    assert Run.resume(str(run.path)).resume_from is None, "killed before its first checkpoint: from its start"
    run.previous.touch()  # of a file system without hard links, killed between two renames
    assert Run.resume(str(run.path)).resume_from == run.previous
    run.last.touch()
    assert Run.resume(str(run.path)).resume_from == run.last
    again = Run.resume(str(run.previous))
    assert again.resume_from == run.previous and again.path == run.path


def test_damaged_files_are_told(tmp_path: Path) -> None:
    run = create(tmp_path / "run")
    (run.path / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run.json is damaged"):
        run.info()
    for content, message in (("a: [", "is damaged"), ("- 1", "holds no configuration")):
        (run.path / "config.yaml").write_text(content)
        with pytest.raises(UserError, match=message):
            run.config()


def test_a_further_rank_attaches_to_the_run_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = create(tmp_path / "run")
    monkeypatch.setenv("LOCAL_RANK", "1")
    # ${now:...} gives the second process another name
    second = create(tmp_path / "another")
    assert second.path == first.path and not (tmp_path / "another").exists()
    before = (first.path / "run.json").read_text()
    with pytest.raises(_OurError), second.recording(), second.log_file():  # noqa: PT012
        second.write_metrics({"val/accuracy": 1.0})
        raise _OurError
    assert (first.path / "run.json").read_text() == before, "only the first process writes"
    assert not (first.path / "metrics.json").exists() and not (first.path / "log.txt").exists()
    first.last.touch()
    assert Run.resume("anything").resume_from == first.last


@pytest.mark.parametrize("rank", ["0", "1"])
def test_torchrun_needs_a_directory_to_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: str) -> None:
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, rank)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"torchrun or srun need one directory to share. Give run_dir="):
        create(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(sys, "argv", ["gender-lightning", "train", f"run_dir={tmp_path / 'run'}"])
    assert create(tmp_path / "run").path == tmp_path / "run"
    assert (tmp_path / "run").exists() == (rank == "0")


def test_everything_logged_is_in_the_log(tmp_path: Path) -> None:
    run = create(tmp_path / "run")
    with run.log_file():
        runs.log.warning("ä happened")
    runs.log.warning("not this")
    text = (run.path / "log.txt").read_text()
    assert text.endswith("WARNING gender_lightning.runs: ä happened\n") and text.count("\n") == 1


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = create(tmp_path / "run")
    run.write_metrics({"val/accuracy": 0.5})

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            run.write_metrics({"val/accuracy": 0.75})
    assert json.loads((run.path / "metrics.json").read_text()) == {"val/accuracy": 0.5}
    assert not [path for path in run.path.iterdir() if path.name.startswith(".")]


def test_its_configuration_is_read_once_and_again_when_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(run_record, "read_yaml", lambda file: read.append(file) or yaml.safe_load(file.read_text()))
    run = Run.create(str(tmp_path / "run"), {"data": {"name": "celeba"}}, [])
    for other in (run, Run.open(run.path), Run.of(run.path / "checkpoints" / "best.ckpt")):
        assert other is not None
        other.config()["data"]["name"] = "changed by one reader alone"
    assert run.config() == {"data": {"name": "celeba"}} and len(read) == 1
    runs.write_text(run.path / "config.yaml", "{data: {name: folder}}")
    assert run.config() == {"data": {"name": "folder"}} and len(read) == 2


def test_a_default_name_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    place = str(tmp_path / "2026-01-01_00-00-00")
    runs = [Run.create(place, {}, [], default_name=True) for _ in range(3)]
    assert [run.path.name[19:] for run in runs] == ["", "_2", "_3"]
    assert runs[1].config()["run_dir"] == str(runs[1].path)


def test_a_finished_run_goes_on_only_for_more_epochs(tmp_path: Path) -> None:
    run = Run.create(str(tmp_path / "run"), {}, [])
    run.update(status="done")
    with pytest.raises(UserError, match="max_epochs"):
        Run.resume(str(run.path))
    assert Run.resume(str(run.path), extended=True).resumed
