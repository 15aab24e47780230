"""`gender-lightning benchmark`: measure how fast this machine loads, augments and trains, beside the common way."""

from __future__ import annotations

import json
import multiprocessing
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig

from gender_lightning.benchmarks import input_stages, network_stages, whole_runs
from gender_lightning.benchmarks.drawn_pictures import crops, photographs
from gender_lightning.benchmarks.faces import BenchmarkFaces, some_faces
from gender_lightning.benchmarks.summary import (
    Measurement,
    Where,
    advice,
    kept_by_training,
    kept_while_training,
    sentences,
    table,
)
from gender_lightning.benchmarks.timing import Rate, one_core, take_turns
from gender_lightning.commands.steps.reporting import set_up_logging
from gender_lightning.config import BenchmarkConfig, ModelConfig, parse_config
from gender_lightning.config.validation import suggestion
from gender_lightning.console import console, shown
from gender_lightning.data.datamodule import FaceDataModule
from gender_lightning.data.loading import automatic_workers
from gender_lightning.errors import UserError
from gender_lightning.interruption import Interruption
from gender_lightning.machine.hardware import Hardware, available_cores
from gender_lightning.machine.provenance import git_state, hardware, package_versions
from gender_lightning.models.probe import check_network
from gender_lightning.overrides import compose, groups
from gender_lightning.overrides.own_folders import KEY, of_command, of_texts
from gender_lightning.progress import progress_bar
from gender_lightning.reports.benchmark_chart import draw_chart
from gender_lightning.runs import write_text
from gender_lightning.training.allocator import tune_heap
from gender_lightning.training.losses.loss import Criterion
from gender_lightning.training.sections import augmentation_settings
from gender_lightning.training.trainer import hardware_of
from gender_lightning.transforms import Augment

WHOLE_RUNS = {"startup", "train"}
INPUT_STAGES = ("decode", "loader", "augmentation", "pipeline")
NETWORK_STAGES = {"startup", "step", "inference", "train"}
FACE_STAGES = {"faces, 200 px": (crops, 64), "faces, 12 MP": (photographs, 3)}
MOST_FACES = 1000  # enough that no cache of the processor holds them all
_PASSED_ON = ("data", "model", "augmentation", "loss", "optimizer", "trainer", "packages")  # sections of `train` too


@dataclass(frozen=True)
class Bench:
    """The settings and objects that all stages share."""

    config: BenchmarkConfig
    hardware: Hardware
    faces: BenchmarkFaces
    augment: Augment
    criterion: Criterion
    typed: tuple[str, ...]
    folder: Path  # holds real trainings, and is removed afterwards

    @property
    def where(self) -> Where:
        """The device's name in the table."""
        names: dict[str, Where] = {"cuda": "GPU", "mps": "MPS", "cpu": "CPU"}
        return names[self.hardware.device_type]


def main(values: dict[str, Any]) -> None:
    """Measure from the composed configuration, and print the table."""
    set_up_logging()
    config = parse_config(BenchmarkConfig, values)
    typed = (*of_command(), *HydraConfig.get().overrides.task)
    models = {name: _model(name, typed) for name in config.models} or {_choice("model"): config.model}
    if NETWORK_STAGES & {*config.stages}:
        for model in models.values():
            check_network(model.name, config.data.image_size, arguments=model.arguments)
    output = Path(config.output)
    if output.exists():
        raise UserError(f"output={output}: it exists already.", "Choose another output=...", field="output")
    with Interruption().listening(["SIGTERM"]):  # so that a training that is being measured ends as well
        benchmark(config, models, typed, output)


def benchmark(config: BenchmarkConfig, models: dict[str, ModelConfig], typed: tuple[str, ...], output: Path) -> None:
    """Measure every stage, print and draw the result, write `benchmark.json`."""
    # real trainings are processes of their own, which need a GPU that this one has not opened
    chosen = hardware_of(config.trainer, opens=not WHOLE_RUNS & {*config.stages})
    data = FaceDataModule(config.data, device_type=chosen.device_type)
    data.prepare_data()
    data.setup()
    if chosen.device_type == "cpu":
        tune_heap()  # as `train` does; the stages of the common way in this process benefit from it too
    augment = Augment(augmentation_settings(config.augmentation), channels_last=chosen.channels_last)
    with TemporaryDirectory(prefix="gl_") as folder, some_faces(data.dataset("train"), MOST_FACES) as faces:
        criterion = Criterion(config.loss, data.class_counts("train"))
        bench = Bench(config, chosen, faces, augment, criterion, typed, Path(folder))
        measurements = measure(bench, models)
    images = len(data.index("train"))
    training, epochs = kept_while_training(measurements), kept_by_training(measurements, images)
    wanted = config.data.workers
    workers = automatic_workers(available_cores(), chosen.device_type) if wanted == "auto" else wanted
    said = sentences(training, epochs, images, advice(measurements, workers=workers, cores=available_cores()))
    output.mkdir(parents=True)
    content = {
        "measurements": [measurement.to_dict() for measurement in measurements],
        "kept_while_training": training,
        "kept_by_training": epochs,
        "images_per_epoch": images,
        "said": said,
        "config": config.model_dump(mode="json", by_alias=True),
        "typed": list(typed),
        "packages": package_versions(),
        "hardware": hardware(),
        **git_state(),
    }
    write_text(output / "benchmark.json", json.dumps(content, indent=2) + "\n")
    if any(not measurement.is_time for measurement in measurements):
        draw_chart(measurements, output / "benchmark.png", _title(config, chosen))
    console.print(table(measurements))
    for sentence in said:
        console.print(sentence, markup=False)
    console.print(f"written to {shown(output)}", markup=False)


def measure(bench: Bench, models: dict[str, ModelConfig]) -> list[Measurement]:
    """Measure the requested stages, in their order in a training; the stages of a network for each model.

    Whole trainings are measured first: a GPU in exclusive mode accepts them only until this process has opened it.
    """
    asked = bench.config.stages
    found = [_startup(bench)] if "startup" in asked else []
    trainings = {choice: _train(bench, choice, model) for choice, model in models.items() if "train" in asked}
    bench.augment.to(bench.hardware.device_type)
    found += [_input(bench, stage) for stage in INPUT_STAGES if stage in asked]
    found += [_faces(bench, stage) for stage in FACE_STAGES if "faces" in asked]
    for choice, model in models.items():
        found += [_network(bench, stage, model) for stage in ("step", "inference") if stage in asked]
        found += [trainings[choice]] if "train" in asked else []
    return found


def _startup(bench: Bench) -> Measurement:
    overrides = _for_train(bench.typed)
    with progress_bar("startup") as report:
        rates = whole_runs.measure_startup(overrides, bench.folder / "startup", bench.config.repeats, report)
    return Measurement("startup", None, bench.where, rates["ours"], rates["common"])


def _input(bench: Bench, stage: str) -> Measurement:
    size, device = bench.config.data.batch_size, torch.device(bench.hardware.device_type)
    units = {
        "decode": lambda: input_stages.decode_units(bench.faces, size),
        "loader": lambda: input_stages.loader_units(bench.faces, size, bench.augment),
        "augmentation": lambda: input_stages.augmentation_units(bench.faces, size, bench.augment, device),
        "pipeline": lambda: input_stages.pipeline_units(bench.faces, size, bench.augment),
    }[stage]()
    with one_core():
        rates = _take_turns(bench, stage, units)
    on_device = stage == "augmentation" and bench.where != "CPU"
    return Measurement(stage, None, bench.where if on_device else "per core", rates["ours"], rates.get("common"))


def _faces(bench: Bench, stage: str) -> Measurement:
    draw, count = FACE_STAGES[stage]
    with one_core():
        units = input_stages.faces_units(draw(count), bench.faces.dataset.framing)
        rates = _take_turns(bench, stage, units)
    return Measurement(stage, None, "per core", rates["ours"], rates.get("common"))


def _network(bench: Bench, stage: str, model: ModelConfig) -> Measurement:
    data = bench.config.data
    if stage == "step":
        units = _step_units(bench, model)
    else:
        units = network_stages.inference_units(
            model, bench.hardware, image_size=data.image_size, batch_size=data.batch_size
        )
    rates = _take_turns(bench, f"{stage} {model.name}", units)
    return Measurement(stage, model.name, bench.where, rates["ours"], rates.get("common"))


def _take_turns(bench: Bench, name: str, units: input_stages.Units) -> dict[str, Rate]:
    wanted = units if bench.config.common else {"ours": units["ours"]}
    device = torch.device(bench.hardware.device_type)
    with progress_bar(name) as report:
        return take_turns(
            wanted, repeats=bench.config.repeats, seconds=bench.config.seconds, device=device, report=report
        )


def _train(bench: Bench, choice: str, model: ModelConfig) -> Measurement:
    """Run real trainings of about `train_seconds` per epoch, in turns with the bare step and the textbook script."""
    repeats, batch_size = bench.config.train_repeats, bench.config.data.batch_size
    bare_step = _bare_step(bench, model)
    textbook = bench.config.common and "/" not in model.name  # the script knows torchvision's networks only
    bare: list[float] = []
    ours: list[whole_runs.Training] = []
    common: list[float] = []
    with progress_bar(f"train {model.name}") as report:
        for repeat in range(repeats):
            folder = bench.folder / f"{choice}-{repeat}"
            bare.append(bare_step())
            steps = max(4, round(bench.config.train_seconds * bare[0] / batch_size))
            steps = min(steps, max(1, len(bench.faces.dataset) // batch_size))
            ours.append(whole_runs.train_ours(_for_training(bench, choice, steps), folder / "ours", steps))
            report(2 * repeat + 1, 2 * repeats)
            if textbook:
                common.append(_train_textbook(bench, model, folder / "textbook", steps))
            report(2 * repeat + 2, 2 * repeats)
    return Measurement(
        "train",
        model.name,
        bench.where,
        Rate(tuple(training.images_per_second for training in ours)),
        Rate(tuple(common)) if common else None,
        statistics.median(training.seconds_beside for training in ours),
        Rate(tuple(bare)),
        peak_gpu_bytes=max((training.peak_gpu_bytes or 0 for training in ours), default=0) or None,
        resident=None if ours[0].resident is None else all(training.resident for training in ours),
    )


def _step_units(bench: Bench, model: ModelConfig) -> input_stages.Units:
    data, optimizer = bench.config.data, bench.config.optimizer
    return network_stages.step_units(
        model, optimizer, bench.criterion, bench.hardware, image_size=data.image_size, batch_size=data.batch_size
    )


def _bare_step(bench: Bench, model: ModelConfig) -> Callable[[], float]:
    """A function that measures the bare step; an accelerator is used by a process of its own, which releases it."""
    data, seconds = bench.config.data, bench.config.train_seconds
    optimizer = bench.config.optimizer
    measured = (model, optimizer, bench.criterion, bench.hardware, data.image_size, data.batch_size, seconds)
    if bench.where == "CPU":
        return network_stages.step_rate(*measured)

    def in_a_process() -> float:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(_measured, *measured).result()

    return in_a_process


def _measured(*arguments: Any) -> float:
    return network_stages.step_rate(*arguments)()


def _train_textbook(bench: Bench, model: ModelConfig, folder: Path, steps: int) -> float:
    data = bench.config.data
    return whole_runs.train_textbook(
        bench.faces,
        folder,
        backbone=model.name,
        image_size=data.image_size,
        batch_size=data.batch_size,
        steps=steps,
        accelerator=bench.hardware.accelerator,
    )


def _for_train(typed: Sequence[str], model: str | None = None) -> list[str]:
    """The typed overrides of sections that `train` has too, with another model if one is given."""
    keys = [text.lstrip("+~").partition("=")[0] for text in typed]
    passed = [text for text, key in zip(typed, keys, strict=True) if key == KEY or key.partition(".")[0] in _PASSED_ON]
    if model is None:
        return passed
    return [f"model={model}", *(text for text in passed if text.partition("=")[0] != "model")]


def _for_training(bench: Bench, model: str, steps: int) -> list[str]:
    """The overrides of a real training that does what the bare step beside it does.

    By itself, a training of so few steps would not compile, where the bare step does.
    """
    overrides = _for_train(bench.typed, model)
    overrides.append(f"trainer.compile={str(bench.hardware.compile).lower()}")  # what is typed, or what `auto` meant
    if bench.config.data.resident is True:
        # pictures stay on the device once an epoch has seen them all, so there are no more than an epoch sees
        overrides.append(f"data.limit={steps * bench.config.data.batch_size}")
    return overrides


def _model(choice: str, typed: Sequence[str]) -> ModelConfig:
    known = groups(of_texts(typed))["model"]
    if choice not in known:
        raise UserError(f"models: there is no conf/model/{choice}.yaml.", suggestion(choice, known), field="models")
    values = compose("benchmark", [*(text for text in typed if not text.startswith("model=")), f"model={choice}"])
    return parse_config(BenchmarkConfig, values).model


def _choice(group: str) -> str:
    return str(HydraConfig.get().runtime.choices[group])


def _title(config: BenchmarkConfig, chosen: Hardware) -> str:
    machine = hardware()
    device = ", ".join(machine["gpus"]) or f"{machine['cores']} cores of {machine['cpu']}"
    precision = f"{chosen.precision}{', channels_last' if chosen.channels_last else ''}"
    return (
        f"{config.data.name}, {config.data.image_size} px, batch {config.data.batch_size}, {precision}, n = "
        f"{config.repeats}\n{device}, torch {torch.__version__}"
    )
