"""A training ends when its time is up, wherever in an epoch that is, and a resumed one has what is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from toy_training import Toy, fit

from gender_lightning.commands.train import make_callbacks
from gender_lightning.config import TrainConfig, parse_config
from gender_lightning.overrides import compose
from gender_lightning.runs import Run
from gender_lightning.training.callbacks.time_limit import TimeLimit


@pytest.mark.parametrize("steps", [5, 7])  # the last of an epoch, and one within
def test_it_ends_after_the_step_in_which_the_time_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    module = Toy()
    monkeypatch.setattr(TimeLimit, "time_elapsed", lambda *_: 60.0 / steps * len(module.rates))
    done = fit(tmp_path, module=module, extra=[TimeLimit("00:00:01:00")])
    assert len(module.rates) == steps
    last = torch.load(done.checkpoints.last_path, weights_only=True)
    assert last["global_step"] == steps
    assert last["callbacks"]["Timer"]["time_elapsed"]["train"] == pytest.approx(60)


def test_a_resumed_training_has_the_rest_of_its_time() -> None:
    """Also where Lightning's own timer has written the checkpoint, under its own name."""
    before, after = pl.callbacks.Timer("00:00:01:00"), TimeLimit("00:00:01:00")
    assert before.state_key == after.state_key
    state = before.state_dict()
    state["time_elapsed"]["train"] = 45.0
    after.load_state_dict(state)
    assert after.time_remaining() == 15.0


@pytest.mark.parametrize(
    ("typed", "kinds"),
    [
        ((), []),
        (("trainer.max_time=00:01:00:00",), [TimeLimit]),
        (
            ("trainer.max_time=00:01:00:00", "+callbacks.extra.own._target_=pytorch_lightning.callbacks.Timer"),
            [pl.callbacks.Timer],
        ),
    ],
    ids=["none", "ours", "the user's own"],
)
def test_a_training_has_one_timer_at_most(tmp_path: Path, typed: tuple[str, ...], kinds: list[Any]) -> None:
    config = parse_config(TrainConfig, compose("train", typed))
    callbacks = make_callbacks(config, Run(tmp_path), [], has_valid=True)
    assert [type(one) for one in callbacks if isinstance(one, pl.callbacks.Timer)] == kinds
