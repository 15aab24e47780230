"""What a training says of its use of the device."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gender_lightning.data.resident import ResidentLoader
from gender_lightning.training.callbacks.throughput import Throughput
from gender_lightning.training.measured import measured


def ended(device: str, loader: Any, rate: float) -> Any:
    throughput = Throughput()
    throughput._validated, throughput._validation = 10, (1.0, 1.0 + 10 / rate)
    strategy = SimpleNamespace(root_device=torch.device(device))
    return SimpleNamespace(callbacks=[object(), throughput], strategy=strategy, train_dataloader=loader)


@pytest.mark.parametrize("complete", [True, False])
def test_on_a_gpu_its_memory_and_what_stayed_there(monkeypatch: pytest.MonkeyPatch, complete: bool) -> None:
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 1000 + device.index)
    loader = ResidentLoader.__new__(ResidentLoader)
    loader._loader = None if complete else object()  # type: ignore[assignment]
    found = measured(ended("cuda:1", loader, 50.0))
    assert found == {"validation_images_per_second": 50.0, "peak_gpu_bytes": 1001, "resident": complete}


def test_elsewhere_and_without_a_validation_there_is_nothing_to_say() -> None:
    assert measured(ended("cpu", object(), float("nan"))) == {}
