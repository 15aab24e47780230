"""`benchmark`: a GPU in exclusive mode has room for one process, and a whole training is a process of its own."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gender_lightning.benchmarks import whole_runs
from gender_lightning.benchmarks.whole_runs import Training
from gender_lightning.commands import benchmark
from gender_lightning.commands.benchmark import FACE_STAGES
from gender_lightning.config import TrainConfig, parse_config
from gender_lightning.data.framing import Framing
from gender_lightning.machine.hardware import Hardware
from gender_lightning.overrides import compose
from gender_lightning.running import check_overrides


def test_this_process_opens_the_gpu_after_the_last_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def opens(name: str) -> Any:
        def stage(*arguments: Any) -> str:
            opened.append(name)
            return name

        return stage

    def train_ours(*arguments: Any) -> Any:
        assert opened == ["startup"]  # which is a training too
        return Training(1.0, 1.0)

    class Pool:
        """What it is given happens in another process, which has ended before the next training."""

        def __init__(self, workers: int, context: Any) -> None:
            assert context.get_start_method() == "spawn"  # a forked process would have what this one has opened

        def __enter__(self) -> Pool:
            return self

        def __exit__(self, *error: object) -> None:
            return

        def submit(self, *work: Any) -> Any:
            return SimpleNamespace(result=lambda: 100.0)

    monkeypatch.setattr(benchmark, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(benchmark, "_startup", opens("startup"))
    monkeypatch.setattr(benchmark, "_input", opens("input"))
    monkeypatch.setattr(benchmark, "_network", opens("network"))
    monkeypatch.setattr(whole_runs, "train_ours", train_ours)
    stages = ("startup", "augmentation", "step", "train")
    data = SimpleNamespace(image_size=32, batch_size=8, resident="auto")
    settings = SimpleNamespace(
        stages=stages, train_repeats=2, train_seconds=0.1, common=False, data=data, optimizer=None
    )
    bench: Any = benchmark.Bench(
        settings,  # type: ignore[arg-type]
        Hardware("gpu", 1, "32-true", compile=False, channels_last=False),
        SimpleNamespace(dataset=range(100)),  # type: ignore[arg-type]
        SimpleNamespace(to=opens("augmentation")),  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        (),
        tmp_path,
    )
    models: Any = {name: SimpleNamespace(name=name) for name in ("a", "b")}
    found: list[Any] = list(benchmark.measure(bench, models))
    assert opened == ["startup", "augmentation", "input", "network", "network"]
    stages = [getattr(measurement, "stage", measurement) for measurement in found]
    assert stages == ["startup", "input", "network", "train", "network", "train"]


@pytest.mark.parametrize("compiles", [True, False])
@pytest.mark.parametrize("typed", ["auto", "true", None])
@pytest.mark.parametrize("resident", [True, "auto", False])
def test_a_training_compiles_as_the_bare_step_and_can_fill_what_stays_on_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiles: bool, typed: str | None, resident: bool | str
) -> None:
    """By itself, a training of a few steps compiles nothing, and sees too few of the faces to keep them."""
    told: list[list[str]] = []

    def train_ours(overrides: list[str], folder: Path, steps: int) -> Any:
        told.append(overrides)
        assert steps == 12  # 0.96 s at 100 images/s, of 8 images each
        return Training(1.0, 1.0, peak_gpu_bytes=5, resident=True)

    monkeypatch.setattr(whole_runs, "train_ours", train_ours)
    monkeypatch.setattr(benchmark, "_bare_step", lambda *_: lambda: 100.0)
    data = SimpleNamespace(batch_size=8, resident=resident)
    settings: Any = SimpleNamespace(stages=["train"], train_repeats=1, train_seconds=0.96, common=False, data=data)
    parts: Any = (SimpleNamespace(dataset=range(1000)), torch.nn.Identity(), None)
    texts = ["stages=[train]", *([] if typed is None else [f"trainer.compile={typed}"])]
    hardware = Hardware("cpu", 1, "32-true", compile=compiles, channels_last=False)
    bench = benchmark.Bench(settings, hardware, *parts, tuple(texts), tmp_path)
    models: Any = {"resnet18": SimpleNamespace(name="resnet18")}
    (found,) = benchmark.measure(bench, models)
    assert (found.peak_gpu_bytes, found.resident) == (5, True)
    check_overrides("train", told[0])
    config = parse_config(TrainConfig, compose("train", told[0]))
    assert config.trainer.compile is compiles
    assert config.data.limit == (96 if resident is True else None)
    assert config.model.name == "resnet18"


@pytest.mark.parametrize(
    ("stages", "opens"), [(["train"], False), (["startup", "decode"], False), (["augmentation", "step"], True)]
)
def test_the_gpu_is_not_opened_before_a_training_either(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stages: list[str], opens: bool
) -> None:
    class Enough(Exception):
        """Nothing of what follows is looked at here."""

    def hardware_of(trainer: Any, **options: Any) -> Any:
        assert options == {"opens": opens}
        raise Enough

    monkeypatch.setattr(benchmark, "hardware_of", hardware_of)
    config: Any = SimpleNamespace(trainer=None, stages=stages)
    with pytest.raises(Enough):
        benchmark.benchmark(config, {}, (), tmp_path)


def test_faces_are_two_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "FACE_STAGES", {name: (kind, 1) for name, (kind, _) in FACE_STAGES.items()})
    bench: Any = SimpleNamespace(
        config=SimpleNamespace(stages=["faces"], common=False, repeats=1, seconds=1e-9),
        hardware=Hardware("cpu", 1, "32-true", compile=False, channels_last=False),
        faces=SimpleNamespace(dataset=SimpleNamespace(framing=Framing(32))),
        augment=torch.nn.Identity(),
    )
    found = benchmark.measure(bench, {})
    places = [(measurement.stage, measurement.where) for measurement in found]
    assert places == [(name, "per core") for name in FACE_STAGES]
    assert all(measurement.ours.median > 0 for measurement in found)
