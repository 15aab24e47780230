from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wandb
from wandb_helpers import config, fail, fit, history, make_run, records, wandb_config

from gender_lightning.config import CsvLogger, TensorBoardLogger
from gender_lightning.errors import UserError
from gender_lightning.job import JOB_VARIABLE, JobInfo, job_environment
from gender_lightning.runs import Pruned, Run
from gender_lightning.training.logs.loggers import finish_loggers, finishing, flatten, make_loggers
from gender_lightning.training.logs.wandb_place import place_of, project_of, run_id_of, under_agent
from gender_lightning.training.logs.wandb_session import GuardedWandbLogger
from gender_lightning.wandb_account import choose_mode, logged_in

pytestmark = pytest.mark.usefixtures("isolated_wandb")


def test_offline_run_reads_back(run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run.update(data_set={"fingerprint": "f00d", "train": 7})
    loggers = make_loggers(wandb_config(), run)
    run_id = run.info()["wandb_id"]
    (run.path / "log.txt").write_text("hello")
    fit(run, loggers)
    finish_loggers(loggers, 3)
    read = records(run)
    opened = next(record["run"] for record in read if record["type"] == "run")
    assert (opened["run_id"], opened["project"], opened["run_group"]) == (run_id, "p", "g")
    assert (opened["tags"], opened["display_name"]) == (["a", "b"], "tiny resnet18")
    assert opened["job_type"] == "train"
    charts = {
        chart.get("name") or chart["glob_name"]: chart for chart in (r["metric"] for r in read if r["type"] == "metric")
    }
    for name in ("val/accuracy", "val/loss", "train/loss", "val/group_gap", "val/accuracy_*"):
        assert charts[name]["step_metric"] == "epoch"
    best = {name: [*charts[name]["summary"]] for name in ("val/accuracy", "val/auroc", "val/loss", "val/group_gap")}
    assert best == {"val/accuracy": ["max"], "val/auroc": ["max"], "val/loss": ["min"], "val/group_gap": ["min"]}
    assert config(read)["model.name"] == "resnet18"
    assert config(read)["seed"] == 1
    assert (config(read)["data_set.fingerprint"], config(read)["data_set.train"]) == ("f00d", 7)
    columns = history(read)
    assert columns["trainer/global_step"] == [0, 1]
    assert columns["train/loss"][0] == pytest.approx(0.25)
    assert next(record["exit"]["exit_code"] for record in read if record["type"] == "exit") == 3
    paths = [file["path"] for record in read if record["type"] == "files" for file in record["files"]["files"]]
    assert "log.txt" in paths
    hints = [record.getMessage() for record in caplog.records if "wandb sync" in record.getMessage()]
    assert len(hints) == 1
    assert Path(hints[0].rpartition(" ")[2]).is_dir()
    assert not (tmp_path / "home" / ".local").exists()
    assert "WANDB_DATA_DIR" not in os.environ


def test_nothing_is_printed_or_asked(
    run: Run, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", fail)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    loggers = make_loggers(wandb_config(mode="online"), run)  # nobody is logged in
    finish_loggers(loggers, 0)
    assert "".join(capfd.readouterr()) == ""
    assert list(run.path.glob("wandb/offline-run-*"))


def test_a_resume_goes_on_in_the_same_wandb_run(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    ids = []
    for _ in range(2):
        loggers = make_loggers(wandb_config(), Run.open(run.path))
        ids.append(loggers[0].version)
        finish_loggers(loggers, 0)
    assert ids[0] == ids[1] == run.info()["wandb_id"]
    assert wandb.run is None


def test_two_runs_of_a_process_stay_apart(tmp_path: Path) -> None:
    first = make_loggers(wandb_config(), make_run(tmp_path / "one"))
    second = make_loggers(wandb_config(), make_run(tmp_path / "two"))  # the first was never finished
    assert first[0].version != second[0].version
    assert second[0].experiment.id == second[0].version
    finish_loggers([*first, *second], 0)
    finish_loggers([*first, *second], 0)


@pytest.mark.parametrize("environment", [False, True])
def test_disabled_is_nothing(run: Run, environment: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wandb, "init", fail)
    if environment:
        monkeypatch.setenv("WANDB_MODE", "disabled")
    assert make_loggers(wandb_config(mode="auto" if environment else "disabled"), run) == []
    assert not (run.path / "wandb").exists()
    assert "wandb_id" not in run.info()


def test_csv_and_fast_dev_run_have_no_logger(run: Run, tmp_path: Path) -> None:
    assert make_loggers(CsvLogger(name="csv"), run) == []
    debug = make_run(tmp_path / "debug", trainer={"fast_dev_run": True})
    assert make_loggers(wandb_config(), debug) == []


def test_tensorboard_writes_into_the_run_directory(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    loggers = make_loggers(TensorBoardLogger(name="tensorboard"), run)
    fit(run, loggers)
    finish_loggers(loggers, 0)
    assert [path.name[:20] for path in (run.path / "tensorboard").iterdir()] == ["events.out.tfevents."]

    def missing(*args: Any, **kwargs: Any) -> None:
        raise ModuleNotFoundError("tensorboard")

    monkeypatch.setattr("gender_lightning.training.logs.loggers.RunTensorBoard", missing)
    with pytest.raises(UserError, match=r"not installed.*logger=csv"):
        make_loggers(TensorBoardLogger(name="tensorboard"), run)


def test_a_resumed_curve_begins_where_its_checkpoint_was(run: Run) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for steps, resumed in ((range(4), False), (range(2, 6), True)):  # killed after step 3, its checkpoint before step 2
        run.resumed = resumed
        (logger,) = make_loggers(TensorBoardLogger(name="tensorboard"), run)
        for step in steps:
            logger.log_metrics({"x": float(step + 10 * resumed)}, step)
        finish_loggers([logger], 0)
        time.sleep(1.1)  # files are read in the order of their names, which hold whole seconds
    events = EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("x")] == [
        (0, 0.0), (1, 1.0), (2, 12.0), (3, 13.0), (4, 14.0), (5, 15.0),
    ]  # fmt: skip


def test_a_run_of_a_wandb_agent_is_recorded_under_the_agents_id(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SWEEP_ID", "sweep1"), ("RUN_ID", "agent123"), ("PROJECT", "theirs"), ("ENTITY", "team")):
        monkeypatch.setenv(f"WANDB_{name}", value)
    finish_loggers(make_loggers(wandb_config(), run), 0)
    opened = next(record["run"] for record in records(run) if record["type"] == "run")
    assert (opened["run_id"], opened["project"], opened["sweep_id"]) == ("agent123", "theirs", "sweep1")
    info = run.info()
    assert (info["wandb_id"], info["wandb_project"], info["wandb_entity"]) == ("agent123", "theirs", "team")


def test_the_id_that_wandb_chose_is_recorded(run: Run) -> None:
    (logger,) = make_loggers(wandb_config(), run)
    assert isinstance(logger, GuardedWandbLogger)
    chosen = SimpleNamespace(id="chosen", project="q", entity="")
    logger._opener = lambda: chosen  # type: ignore[assignment, return-value]
    logger.wait()
    assert (logger.version, run.info()["wandb_id"], run.info()["wandb_project"]) == ("chosen", "chosen", "q")
    logger._run = None


@pytest.mark.parametrize("project", [None, "typed"])
def test_wandbs_own_variables_are_followed_where_nothing_is_typed(
    run: Run, project: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PROJECT", "NAME", "RUN_GROUP", "RUN_ID", "NOTES", "TAGS"):
        monkeypatch.setenv(f"WANDB_{name}", f"my-{name.lower()}")
    finish_loggers(make_loggers(wandb_config(project=project, group=None, tags=[]), run), 0)
    opened = next(record["run"] for record in records(run) if record["type"] == "run")
    assert opened["project"] == (project or "my-project")
    assert [opened[key] for key in ("display_name", "run_group", "run_id", "notes", "tags")] == [
        "my-name", "my-run_group", "my-run_id", "my-notes", ["my-tags"],
    ]  # fmt: skip
    monkeypatch.setenv("WANDB_PROJECT", "another")  # later parts of a run stay where it began
    assert project_of(wandb_config(project=None), run.info()) == opened["project"]


def test_jobs_of_our_own_sweep_do_not_share_a_wandb_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "shared")
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    assert not {"WANDB_RUN_ID", "WANDB_SWEEP_ID"} & job_environment().keys()
    monkeypatch.setenv(JOB_VARIABLE, JobInfo(sweep="s", number=7, directory=str(tmp_path)).to_json())
    monkeypatch.setenv("WANDB_NAME", "mine")
    assert run_id_of({}) != "shared" and not under_agent()
    assert place_of(wandb_config(group=None), {"name": "n"}, {})["name"] == "mine 7"
    job = JobInfo(sweep="s", number=7, directory=str(tmp_path), varied=["model=vgg19", "optimizer.lr=0.0142785692"])
    monkeypatch.setenv(JOB_VARIABLE, job.to_json())
    monkeypatch.delenv("WANDB_NAME")
    said = place_of(wandb_config(group=None), {"name": "n"}, {})
    assert (said["name"], said["job_type"]) == ("s 7 model=vgg19 optimizer.lr=0.0143", "train")


def test_a_run_has_a_name_that_a_dashboard_can_be_read_by() -> None:
    resolved = {
        "name": "train",
        "model": {"name": "timm/test_resnet"},
        "data": {"name": "celeba"},
        "run_dir": "/runs/train/2026-01-31_12-00-00",
    }
    said = place_of(wandb_config(), resolved, {})
    assert said["name"] == "timm/test_resnet celeba 2026-01-31_12-00-00" and "notes" not in said
    mine = place_of(wandb_config(run_name="my first", notes="with hats"), resolved, {})
    assert (mine["name"], mine["notes"]) == ("my first", "with hats")
    assert place_of(wandb_config(), {**resolved, "name": "x" * 500}, {})["name"] == "x" * 128


def test_other_ranks_never_touch_wandb(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wandb, "init", fail)
    monkeypatch.setenv("LOCAL_RANK", "1")
    loggers = make_loggers(wandb_config(mode="offline"), run)
    assert isinstance(loggers[0], GuardedWandbLogger)
    assert not loggers[0].alive
    loggers[0].log_metrics({"x": 1.0}, 0)
    finish_loggers(loggers, 0)
    assert not (run.path / "wandb").exists()


def test_logged_in_by_key_or_netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not logged_in()
    assert choose_mode("auto") == choose_mode("online") == "offline"
    file = tmp_path / "home" / ".netrc"
    file.write_text(f"machine example.org\n  login user\n  password {'b' * 40}\n")
    file.chmod(0o600)
    assert not logged_in()
    file.write_text(f"machine api.wandb.ai\n  login user\n  password {'b' * 40}\n")
    assert logged_in()
    assert choose_mode("auto") == "online"
    assert choose_mode("offline") == "offline"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert choose_mode("auto") == "offline"
    assert choose_mode("online") == "online"  # what was typed wins
    file.write_text("garbage")
    monkeypatch.delenv("WANDB_MODE")
    assert not logged_in()
    monkeypatch.setenv("WANDB_API_KEY", "c" * 40)
    assert logged_in()


@pytest.mark.parametrize(
    ("error", "code"),
    [(None, 0), (UserError("no"), 2), (RuntimeError("no"), 1), (KeyboardInterrupt(), 130), (SystemExit(4), 4)],
)
def test_the_exit_code_is_that_of_the_process(error: BaseException | None, code: int) -> None:
    class Recorder(GuardedWandbLogger):
        def finish(self, exit_code: int) -> None:
            codes.append(exit_code)

    codes: list[int] = []

    def body() -> None:
        with finishing([Recorder(None, project="p", run_id=None, directory=Path())]):
            if error is not None:
                raise error

    if error is None:
        body()
    else:
        with pytest.raises(type(error)):
            body()
    assert codes == [code]


def test_a_pruned_trial_is_found_in_its_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = JobInfo(sweep="train_resnet50", number=7, directory=str(tmp_path / "7"), kind="trial")
    monkeypatch.setenv(JOB_VARIABLE, job.to_json())
    run = make_run(tmp_path / "7")
    loggers = make_loggers(wandb_config(group=None, tags=["a"]), run)
    with pytest.raises(Pruned), finishing(loggers):
        raise Pruned
    read = records(run)
    opened = [record["run"] for record in read if record["type"] == "run"]
    assert (opened[0]["run_group"], opened[0]["display_name"]) == ("train_resnet50", "train_resnet50 7")
    assert opened[0]["job_type"] == "trial" and opened[-1]["tags"] == ["a", "pruned"]
    said = {key: value for record in read if record["type"] == "summary"
            for key, value in record["summary"].get("update", {}).items()}  # fmt: skip
    assert said["state"] == "pruned"
    assert next(record["exit"] for record in read if record["type"] == "exit").get("exit_code", 0) == 0


def test_config_is_flat() -> None:
    nested = {"a": {"b": {"c": 1}, "d": [1, {"e": 2}]}, "f": {}, "g": None}
    assert flatten(nested) == {"a.b.c": 1, "a.d": [1, {"e": 2}], "f": {}, "g": None}
