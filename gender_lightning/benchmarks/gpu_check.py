"""`make gpu-check`: every figure that needs a GPU, in ten minutes, into one JSON file.

Each part is a command of its own, so that a GPU in exclusive mode is free for the next one, and a part that fails or
hangs costs its own figures only. The most important parts come first, and the file is written after each of them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from gender_lightning.benchmarks.whole_runs import Training, train_ours
from gender_lightning.data.resident import MOST_MEMORY
from gender_lightning.durable import writing
from gender_lightning.errors import UserError, printable
from gender_lightning.job import PARENT_VARIABLE, job_environment
from gender_lightning.machine.hardware import what_compilation_lacks
from gender_lightning.machine.provenance import git_state, hardware, package_versions

SECONDS = 600.0
CELEBA, CELEBA_VALID = 162_770, 19_867  # images
# What a ResNet50 at 224 px is measured by. No figure of PyTorch on a single H100 or H200 is public.
RESNET50_BESIDE: dict[str, Any] = {
    "images_per_second_per_h200": 7_869,  # MLPerf Training v4.0
    "images_per_second_estimated_for_an_h100": [3_300, 4_500],
    "goals": {"images_per_second": 4_000, "kept": 0.9},
}
RESNET50_SAID = (
    "beside it: 7,869 images/s per H200 in MLPerf Training v4.0, and 3,300 to 4,500 as an estimate for an H100; the "
    "goals are 4,000 images/s and 90 % kept"
)
RECIPE = (
    "experiment=celeba", "data=synthetic", "model.pretrained=false", "trainer.devices=1", "logger=csv",
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """One command to measure.

    Attributes:
        name: Key of its figures in the file.
        overrides: Overrides of `gender-lightning benchmark`, or of `train` for a recipe.
        least: Least duration in seconds; the part is left out if less time is left.
        steps: Number of steps in an epoch, for a recipe; None for `benchmark`.
        beside: Figures of others, and goals, to stand beside those of the part; empty if there are none.
        said: The same as a sentence.
    """

    name: str
    overrides: tuple[str, ...]
    least: float = 60.0
    steps: int | None = None
    beside: Mapping[str, Any] = field(default_factory=dict)
    said: str = ""


@dataclass(frozen=True)
class Size:
    """The amount of work; the tests measure the same with little.

    Attributes:
        faces: Number of drawn faces to train on.
        valid: Number of drawn faces to validate on.
        pixels: Sides of the images, large and small.
        batches: Batch sizes, large and small.
        models: Networks, large and small.
        seconds: Duration of one measurement.
        more: Further overrides of every part.
        recipe: What `auto` means in the recipe with all of CelebA, and would not mean with a few faces and epochs.
    """

    faces: int = 20_480
    valid: int = 2_560
    pixels: tuple[int, int] = (224, 112)
    batches: tuple[int, int] = (256, 64)
    models: tuple[str, str] = ("resnet50", "resnet18")
    seconds: float = 4.0
    more: tuple[str, ...] = ("trainer.accelerator=gpu",)
    recipe: tuple[str, ...] = ()


def parts(size: Size, root: Path) -> list[Part]:
    """The parts to measure, the most important first.

    Args:
        size: The amount of work.
        root: Folder of the drawn faces, which all parts share.
    """
    data = (f"data.root={root}", f"data.sizes={{train: {size.faces}, valid: {size.valid}, test: 64}}", *size.more)
    large, small = size.batches
    timing = (
        "common=false",
        "repeats=3",
        f"seconds={size.seconds}",
        "train_repeats=1",
        f"train_seconds={size.seconds}",
    )

    def bench(name: str, model: str, pixels: int, batch: int, *more: str, least: float = 60.0) -> Part:
        sizes = (f"model={model}", f"data.image_size={pixels}", f"data.batch_size={batch}")
        # the bare step is measured with each training; a stage of its own would compile it once more
        stages = "[train]" if "trainer.compile=true" in more else "[augmentation,step,train]"
        known = (model, pixels) == ("resnet50", 224)
        beside, said = (RESNET50_BESIDE, RESNET50_SAID) if known else ({}, "")
        return Part(name, (*data, *timing, f"stages={stages}", *sizes, *more), least, beside=beside, said=said)

    net, pixels = size.models[0], size.pixels[0]
    found = [
        bench(f"{net} {pixels} px, batch {large}, compiled", net, pixels, large, "trainer.compile=true", least=120.0),
        bench(f"{net} {pixels} px, batch {large}", net, pixels, large, "trainer.compile=false"),
    ]
    steps = max(1, size.faces // large)
    sizes = (f"model={net}", f"data.image_size={pixels}", f"data.batch_size={large}")
    found.append(Part("experiment=celeba", (*RECIPE, *data, *sizes, *size.recipe), steps=steps))
    net, pixels = size.models[1], size.pixels[1]
    for batch in (large, small):
        for resident in ("true", "false"):
            name = f"{net} {pixels} px, batch {batch}, resident {resident}"
            found.append(bench(name, net, pixels, batch, f"data.resident={resident}", "trainer.compile=false"))
    return found


def check(
    todo: Sequence[Part], output: Path, measure: Callable[[Part, Path, float], dict[str, Any]], seconds: float
) -> dict[str, Any]:
    """Measure the parts for which time is left, and write the file after each.

    Args:
        todo: The parts, the most important first.
        output: The JSON file.
        measure: Measures one part in a folder of its own, within a time limit in seconds.
        seconds: Time limit for all of them.

    Returns:
        The content of the file.
    """
    started = time.monotonic()
    about = {"packages": package_versions(), "hardware": hardware(), **git_state()}
    content: dict[str, Any] = {**about, "parts": {}}
    with TemporaryDirectory(prefix="gl_") as folder:
        for number, part in enumerate(todo):
            left = seconds - (time.monotonic() - started)
            if left < part.least:
                content["parts"][part.name] = {"left_out": f"{left:.0f} s were left, and {part.least:.0f} are needed"}
                continue
            sys.stdout.write(f"{part.name} ({left:.0f} s left)\n")
            try:
                found = measure(part, Path(folder) / str(number), left)
                content["parts"][part.name] = {**found, "beside": part.beside} if part.beside else found
            except UserError as error:
                content["parts"][part.name] = {"failed": str(error)}
            content["seconds"] = round(time.monotonic() - started, 1)
            with writing(output) as file:
                file.write(json.dumps(content, indent=2) + "\n")
    return content


def measured(part: Part, folder: Path, seconds: float) -> dict[str, Any]:
    """The figures of a part.

    Raises:
        UserError: The command failed, or took longer than `seconds`.
    """
    if part.steps is not None:
        return epoch_of_celeba(train_ours(part.overrides, folder, part.steps, whole_valid=True, within=seconds))
    output = folder / "result"
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "gender_lightning", "benchmark", *part.overrides, f"output={output}"]
    environment = {**job_environment(), PARENT_VARIABLE: str(os.getpid())}  # it ends with this process
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        remedy = "Run it alone to see how long it takes."
        raise UserError(f"It took longer than the {seconds:.0f} s that were left.", remedy) from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or [f"exit code {done.returncode}"]
        raise UserError(said[-1], f"Run it alone: {' '.join(command[1:])}")
    content = json.loads((output / "benchmark.json").read_text(encoding="utf-8"))
    return {name: content[name] for name in ("measurements", "kept_while_training", "kept_by_training", "said")}


def epoch_of_celeba(training: Training) -> dict[str, Any]:
    """The duration of an epoch of CelebA, in minutes, at the speed of a training on drawn faces.

    The parts are the training on 162,770 images, checkpoints included, and the validation on 19,867.

    Args:
        training: A training that has validated on a whole valid split.
    """
    assert training.seconds_validating is not None
    beside = training.seconds_beside - training.seconds_validating
    train = (CELEBA / training.images_per_second + max(0.0, beside)) / 60
    valid = training.seconds_validating * CELEBA_VALID / training.validated / 60
    return {
        "images_per_second": training.images_per_second,
        "minutes_per_epoch": train + valid,
        "minutes_of_training": train,
        "minutes_of_validation": valid,
        "peak_gpu_bytes": training.peak_gpu_bytes,
        "resident": training.resident,
    }


def recipe_here(pixels: int) -> tuple[str, ...]:
    """What `auto` means on this machine in the recipe with all of CelebA; asks the driver, and opens no GPU."""
    needed = (CELEBA + CELEBA_VALID) * 3 * pixels**2
    memory = torch.cuda.get_device_properties(0).total_memory
    compiles, stays = what_compilation_lacks() is None, needed < MOST_MEMORY * memory
    return f"trainer.compile={str(compiles).lower()}", f"data.resident={str(stays).lower()}"


def summary(todo: Sequence[Part], content: Mapping[str, Any]) -> Iterator[str]:
    """One line for each figure or reason in the content of the file, with what stands beside the figures."""
    for part in todo:
        found = content["parts"][part.name]
        said = found.get("said", [found.get("failed") or found.get("left_out") or json.dumps(found)])
        yield from (f"{part.name}: {line}" for line in said)
        if "beside" in found:
            yield f"{part.name}: {part.said}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; the exit code is 2 if there is no GPU, or none that torch can use."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("gpu-check.json"), help="the file to write")
    parser.add_argument("--faces", type=Path, default=Path("data/gpu-check"), help="folder of the drawn faces")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="time limit of all parts together")
    chosen = parser.parse_args(arguments)
    if not torch.cuda.device_count():  # asks the driver, and opens no GPU
        sys.stderr.write("torch sees no GPU, so there is nothing to check.\n")
        sys.exit(2)
    try:
        size = Size(recipe=recipe_here(Size().pixels[0]))
    except (RuntimeError, torch.cuda.DeferredCudaCallError) as error:
        sys.stderr.write(f"torch sees a GPU and cannot use it: {printable(str(error).splitlines()[0])}\n")
        sys.exit(2)
    todo = parts(size, chosen.faces.absolute())
    content = check(todo, chosen.output, measured, chosen.seconds)
    for line in summary(todo, content):
        sys.stdout.write(f"{printable(line)}\n")
    sys.stdout.write(f"written to {chosen.output.absolute()}\n")


if __name__ == "__main__":
    main()
