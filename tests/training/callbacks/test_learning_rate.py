"""Dashboards get the learning rate of the step, as one number."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gender_lightning.training.callbacks.learning_rate import LearningRate


@pytest.mark.parametrize(("accumulated", "expected"), [(1, [1, 3, 5, 7]), (2, [1, 3])])
def test_the_rate_is_logged_at_every_second_step(accumulated: int, expected: list[int]) -> None:
    logged: list[tuple[int, dict[str, float]]] = []
    logger = SimpleNamespace(log_metrics=lambda metrics, step: logged.append((step, metrics)))
    groups = [{"lr": 0.0}, {"lr": 0.0}]
    trainer: Any = SimpleNamespace(
        global_step=0,
        accumulate_grad_batches=accumulated,
        loggers=[logger],
        optimizers=[SimpleNamespace(param_groups=groups)],
    )
    for batch in range(8):
        trainer.global_step = batch // accumulated
        groups[0]["lr"], groups[1]["lr"] = 0.1 * trainer.global_step, 0.05
        LearningRate(2).on_train_batch_start(trainer, trainer, None, batch)
    assert [step for step, _ in logged] == expected
    assert [metrics for _, metrics in logged] == [{"lr": max(0.1 * step, 0.05)} for step in expected]
