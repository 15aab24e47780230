"""On a GPU `evaluate` and its corruptions load with several pinned workers, though there is no trainer to ask."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gender_lightning.audit import judging
from gender_lightning.commands import evaluate, predict
from gender_lightning.config import EvaluateConfig, PredictConfig, parse_config
from gender_lightning.config.data import SyntheticData
from gender_lightning.data import datamodule
from gender_lightning.data.framing import Framing
from gender_lightning.inference.stream import local
from gender_lightning.machine.hardware import Hardware
from gender_lightning.overrides import compose

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


@pytest.mark.parametrize(("faces", "workers"), [("none", 7), ("detect", 8)])
def test_predict_chooses_several_workers_by_itself(monkeypatch: pytest.MonkeyPatch, faces: str, workers: int) -> None:
    """Through `predict`, up to the stream of pictures, with a GPU that is not there."""
    told: dict[str, Any] = {}

    class Enough(Exception):
        """Nothing of what follows is looked at here."""

    def stream(items: Any, cropper: Any, classifier: Any, **options: Any) -> Any:
        told.update(options, device=classifier.hardware.device_type)
        raise Enough

    nothing = SimpleNamespace(remark="", items=lambda: [], check=lambda: None, count=lambda: 3, is_endless=False)
    checkpoints = SimpleNamespace(network=StubNetwork, domain=None)
    done = SimpleNamespace(pictures=0)
    for name, value in {
        "Source": lambda *_: nothing, "check_disagreement": lambda *_: None, "least_confidence": lambda *_: 0.5,
        "_hardware": lambda *_: GPU, "_settings": lambda *_: {}, "_annotator": lambda *_: None, "_rest": lambda *_: [],
        "Output": lambda *_, **__: SimpleNamespace(done=lambda: done, path=Path("a.csv")), "predict_stream": stream,
        "Classifier": lambda network, hardware, *_: SimpleNamespace(hardware=hardware), "available_cores": lambda: 8,
        "CheckpointSet": SimpleNamespace(of=lambda *_: checkpoints),
        "FaceSearch": SimpleNamespace(of=lambda config: SimpleNamespace(cropper=lambda spec: nothing)),
    }.items():  # fmt: skip
        monkeypatch.setattr(predict, name, value)
    config = parse_config(PredictConfig, compose("predict", ["checkpoint=a.ckpt", "input=a.jpg", f"faces={faces}"]))
    assert config.workers == "auto"
    with pytest.raises(Enough):
        predict.predict(config)
    assert (told["workers"], told["chunk"], told["device"]) == (workers, 256, "cuda")
