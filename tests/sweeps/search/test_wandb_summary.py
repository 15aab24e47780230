"""A search in W&B, offline, read back with W&B's own reader."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
import wandb
from optuna.trial import TrialState
from wandb_helpers import history, isolate, records, wandb_config

from gender_lightning.runs import Run
from gender_lightning.sweeps.search.report import trials_csv
from gender_lightning.sweeps.search.wandb_summary import _link, log_search


@pytest.fixture(autouse=True)
def _isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    isolate(monkeypatch, tmp_path / "home")
    wandb.teardown()  # W&B keeps the settings of the environment it met first
    yield
    wandb.teardown()


def test_one_run_sums_the_search_up(tmp_path: Path) -> None:
    study = optuna.create_study(study_name="faces", direction="maximize")
    for value in (0.5, 0.75, None):
        trial = study.ask()
        trial.suggest_float("optimizer.lr", 0.1, 0.2)
        trial.report(0.5, 1)
        study.tell(trial, value, TrialState.PRUNED if value is None else TrialState.COMPLETE)
    directory = tmp_path / "faces"
    directory.mkdir()
    (directory / "1").mkdir()
    (directory / "1" / "run.json").write_text('{"wandb_id": "trial1id"}')
    (directory / "trials.csv").write_text(trials_csv(study, ["val/accuracy"]))
    summary = {"best": [{"run": 1, "values": {"val/accuracy": 0.75}}], "test": {"test/accuracy": 0.625}}
    for _ in range(2):  # it goes on in the same run
        log_search(wandb_config(group=None), study, directory, "train_faces", summary)
        read = records(Run(directory))
        opened = next(record["run"] for record in read if record["type"] == "run")
        assert opened["run_id"] == study.user_attrs["wandb_id"]
        assert (opened["run_group"], opened["job_type"], opened["display_name"]) == (
            "train_faces", "sweep", "train_faces summary",
        )  # fmt: skip
        logged = history(read)
        assert (logged["trials._type"], logged["trials.nrows"]) == (["table-file"], [3])
        media = next(directory.glob("wandb/offline-run-*")) / "files" / logged["trials.path"][0]
        table = json.loads(media.read_text())
        assert table["columns"][-1] == "wandb" and [row[-1] for row in table["data"]] == ["", "trial1id", ""]
        for title in ("History", "Slices", "Intermediate values", "Timeline"):
            assert logged[f"search/{title}._type"] == ["plotly-file"]
        said = {key: value for record in read if record["type"] == "summary"
                for key, value in record["summary"].get("update", {}).items()}  # fmt: skip
        assert said["test/accuracy"] == 0.625 and said["best.0.values.val/accuracy"] == 0.75


def test_a_trial_is_linked_where_there_is_an_address(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"wandb_id": "abcd1234"}')
    online = SimpleNamespace(url="https://wandb.example/team/faces/runs/summary1")
    assert _link(online, tmp_path) == "https://wandb.example/team/faces/runs/abcd1234"  # type: ignore[arg-type]
    assert _link(online, tmp_path / "none") == ""  # type: ignore[arg-type]
