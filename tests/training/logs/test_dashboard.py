"""The saved view: what the library makes of it without a network, and whether its keys are those that runs log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb_helpers import isolate

from gender_lightning.evaluation.metrics import training_metrics
from gender_lightning.overrides import compose
from gender_lightning.training.logs import dashboard
from gender_lightning.training.logs.loggers import flatten

pytest.importorskip("wandb_workspaces", reason="needs the extra `dashboards`")


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What would be sent."""
    isolate(monkeypatch, tmp_path / "home")
    monkeypatch.setattr(wandb, "Api", lambda *_, **__: pytest.fail("it asked the network"))
    made = dashboard.view("team", "faces")
    spec: dict[str, Any] = json.loads(made._to_model().spec.model_dump_json(by_alias=True, exclude_none=True))
    return spec


def test_the_view_is_built_without_a_network(spec: dict[str, Any]) -> None:
    bank = spec["section"]["panelBankConfig"]["sections"]
    panels = {section["name"]: [panel["viewType"] for panel in section["panels"]] for section in bank}
    assert panels["Learning"] == ["Run History Line Plot"] * 4 and len(panels["Optimisation"]) == 4
    assert panels["Searches"] == ["Parallel Coordinates Plot", "Parameter Importance"]
    assert panels["Test"] == ["Bar Chart"] and panels["Pictures"][0] == "Media Browser"
    first = bank[0]["panels"][0]["config"]
    assert (first["xAxis"], first["metrics"]) == ("epoch", ["val/accuracy"])


def test_every_key_is_one_that_runs_log() -> None:
    logged = {f"{split}/{name}" for split in ("val", "test") for name in training_metrics()}
    logged |= {"train/loss", "train/loss_step", "train/gradient_norm", "lr", "images_per_second"}
    charts = (*dashboard.LEARNING, *dashboard.STEPS, dashboard.SPEED)
    assert {key for _, keys in charts for key in keys} | {*dashboard.TESTED} <= logged
    fields = {*flatten(compose("train")), "data_set.train"}
    assert {*dashboard.SEARCHED} <= fields
    for column in dashboard.COLUMNS:
        kind, _, name = column.partition(":")
        assert name in (fields if kind == "config" else logged)


def test_nothing_is_sent_by_somebody_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    isolate(monkeypatch, tmp_path / "home")
    with pytest.raises(SystemExit) as stop:
        dashboard.main(["team"])
    assert stop.value.code == 2 and "wandb login" in capsys.readouterr().err
