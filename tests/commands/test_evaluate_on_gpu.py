"""On a GPU `evaluate` and its corruptions load with several pinned workers, though there is no trainer to ask."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gender_lightning.audit import judging
from gender_lightning.commands import evaluate
from gender_lightning.config import EvaluateConfig
from gender_lightning.config.data import SyntheticData
from gender_lightning.data import datamodule
from gender_lightning.data.framing import Framing
from gender_lightning.inference.stream import local
from gender_lightning.machine.hardware import Hardware

GPU = Hardware(accelerator="gpu", devices=1, precision="bf16-mixed", compile=False, channels_last=True)


class StubNetwork:
    """Goes wherever it is told to."""

    spec = SimpleNamespace(framing=Framing(16))

    def to(self, *arguments: Any, **options: Any) -> StubNetwork:
        return self


def test_several_pinned_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(evaluate.CheckpointSet, "network", lambda checkpoints: StubNetwork())
    monkeypatch.setattr(evaluate, "hardware_as_trained", lambda config, run: GPU)
    monkeypatch.setattr(evaluate, "finder_of", lambda spec, search: None)
    monkeypatch.setattr(evaluate, "search_of", lambda config, run: None)
    monkeypatch.setattr(evaluate, "_framed_as", lambda data, spec, split: data)
    monkeypatch.setattr(datamodule, "available_cores", lambda: 8)
    monkeypatch.setattr(datamodule, "memory_for_batches", lambda ranks: None)
    loading = dict.fromkeys(("eval_batch_size", "workers", "prefetch", "pin_memory", "persistent_workers"), "auto")
    data = SyntheticData.model_validate({
        "name": "synthetic", "root": str(tmp_path / "faces"), "image_size": 16, "batch_size": 2, **loading,
        "crop": "square", "zoom": 1.0, "interpolation": "bilinear", "fraction": 1.0, "limit": None, "seed": 0,
        "sizes": {"train": 0, "valid": 0, "test": 12},
    })  # fmt: skip
    config = EvaluateConfig.model_construct(
        checkpoint=str(tmp_path / "best.ckpt"), output=str(tmp_path / "out"), split="test", data=data, faces="none"
    )
    setting = evaluate.prepare(config)
    for loader in (setting.data.loader("test"), setting.data.loader("test", rows=np.arange(1, 12, 2))):
        assert (loader.num_workers, loader.pin_memory) == (7, True)
    setting.data.device_type = "mps"
    assert (setting.data.loader("test").num_workers, setting.data.loader("test").pin_memory) == (2, False)


def test_audit_loads_into_pinned_memory_too(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}
    answers = SimpleNamespace(logits=np.zeros(1), measured=np.zeros(1))
    monkeypatch.setattr(judging, "FaceDataset", lambda *_: None)
    monkeypatch.setattr(judging, "DataLoader", lambda dataset, **options: told.update(options))
    monkeypatch.setattr(judging, "predict_split", lambda *_, **__: answers)
    monkeypatch.setattr(judging, "available_cores", lambda: 8)
    network: Any = SimpleNamespace(spec=StubNetwork.spec, eval=lambda: None)
    images: Any = range(10_000)
    store: Any = None
    assert judging._seen(network, images, store, None, GPU) is answers
    assert (told["num_workers"], told["pin_memory"]) == (8, True)


def test_predict_loads_into_pinned_memory_too(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}
    monkeypatch.setattr(local, "DataLoader", lambda dataset, **options: told.update(options) or [])
    cropper: Any = SimpleNamespace(detects=False, framing=Framing(16))
    classifier: Any = SimpleNamespace(hardware=GPU)
    assert list(local.predict_stream([], cropper, classifier, workers=7, chunk=4)) == []
    assert (told["num_workers"], told["pin_memory"]) == (7, True)
