"""`python -m gender_lightning.benchmarks.augmentation_parts`: what each part of the augmentation `framing` gives.

Trains `experiment=celeba_mini` with each seed, and then, from its weights, `experiment=robust` with the augmentation of
`celeba_mini`, the same with each part of `framing` added alone, `robust` itself, and that without each part, all with a
single view of each face, and `robust` with its several zooms; then measures every run on its own test split and on
folders of other faces, with pictures as they are (`faces=none`) and with faces found where `predict` would look for
them (`faces=auto`). Writes one table, `parts.md`, after every seed, and the predictions into each run, so that `compare
evaluation=test-none` can test any two of the rows. A call with the same output goes on where the last one ended.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from gender_lightning.config import DataConfig, EvaluateConfig, parse_config
from gender_lightning.data.datamodule import FaceDataModule
from gender_lightning.data.dataset import Batch
from gender_lightning.evaluation.predictions import predictions_table, read_predictions, write_predictions
from gender_lightning.faces_choice import Faces
from gender_lightning.inference.faces.crops import FaceSearch
from gender_lightning.inference.faces.located import finder_of
from gender_lightning.inference.logits import predict_split
from gender_lightning.job import job_environment
from gender_lightning.machine.hardware import resolve_hardware
from gender_lightning.machine.provenance import hardware, package_versions
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, load_network
from gender_lightning.overrides.composing import compose
from gender_lightning.runs import Run, write_text

START, THEN = "celeba_mini", "robust"  # the experiment that every run starts from, and that of the rows
PLAIN, FRAMING = "standard", "framing"  # the augmentations of these two
PARTS = {
    "scale and shift": ("random_scale", "random_translation"),
    "aspect ratio": ("random_aspect_ratio",),
    "rotation": ("random_rotation",),
    "borders": ("fill",),
    "resolution, blur, JPEG": ("downscale", "gaussian_blur", "jpeg"),
    "colours, grey": ("color_jitter", "random_grayscale"),
    "erasing": ("random_erasing",),  # which `framing` leaves out
}
SMALL = ("model=resnet18", "data.image_size=48", "data.batch_size=64", "logger=csv", "test=false")
BEGINNING = ("trainer.max_epochs=6", "scheduler.warmup_epochs=1", *SMALL)
REST = (
    "trainer.max_epochs=1", "scheduler.warmup_epochs=0.3", "optimizer.lr=5e-4", "callbacks.ema.decay=0.99",
    "augmentation.progressive=[]", *SMALL,
)  # fmt: skip
ONE_VIEW = "model.test_time_zooms=[1]"
WAYS: tuple[Faces, ...] = ("none", "auto")


@dataclass(frozen=True)
class Recipe:
    """A row of the table: its name, the folder of its runs, and the overrides of `train`."""

    name: str
    folder: str
    overrides: tuple[str, ...]


def recipes(parts: Sequence[str] = tuple(PARTS)) -> list[Recipe]:
    """Both augmentations, each followed by those that differ from it in one of these parts, and `robust` as it is."""
    values = {
        name: compose("train", [f"experiment={experiment}"])["augmentation"]
        for name, experiment in ((PLAIN, START), (FRAMING, THEN))
    }
    found = []
    for own, other in ((PLAIN, FRAMING), (FRAMING, PLAIN)):
        whole = {name: _typed(values[own][name]) for names in PARTS.values() for name in names}
        found.append(Recipe(own, own, (*_overrides(whole), ONE_VIEW)))
        for part in parts:
            changed = {name: _typed(values[other][name]) for name in PARTS[part]}
            word = "with" if (own == PLAIN) != (part == "erasing") else "without"
            folder = f"{own}_{word}_{part.replace(', ', '_').replace(' ', '_')}"
            found.append(Recipe(f"{own} {word} {part}", folder, (*_overrides(whole | changed), ONE_VIEW)))
    found.append(Recipe(f"{FRAMING}, seen at several zooms", f"{FRAMING}_zooms", _overrides(whole)))
    return found


def _overrides(augmentation: Mapping[str, str]) -> tuple[str, ...]:
    """The overrides of `train` for a row of the table."""
    return (f"experiment={THEN}", *REST, *(f"augmentation.{name}={text}" for name, text in augmentation.items()))


def _typed(value: Any) -> str:
    """A value as an override says it."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_typed(one)}" for key, one in value.items()) + "}"
    return "[" + ",".join(map(_typed, value)) + "]" if isinstance(value, list) else str(value)


def train(recipe: Recipe, seed: int, root: Path, more: Sequence[str]) -> Run | None:
    """The finished run of a recipe and a seed, trained where there is none yet; None if the training failed."""
    folder = root / recipe.folder / f"seed{seed}"
    if (folder / "run.json").is_file() and Run.open(folder).info().get("status") == "done":
        return Run.open(folder)
    shutil.rmtree(folder, ignore_errors=True)  # what a killed call left
    typed = {text.partition("=")[0] for text in more}
    own = (text for text in recipe.overrides if text.partition("=")[0] not in typed)
    places = (f"seed={seed}", f"name={recipe.folder}", f"run_dir={folder}")
    command = [sys.executable, "-m", "gender_lightning", "train", *own, *more, *places]
    done = subprocess.run(command, env=job_environment(), capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or [f"exit code {done.returncode}"]
        sys.stderr.write(f"{recipe.name}, seed {seed}: {said[-1]}\n")
        return None
    return Run.open(folder)


class Faceset:
    """The test split of some data, whose faces are found once for all runs, since they share framing and placement."""

    def __init__(self, name: str, data: DataConfig, faces: Faces, spec: ModelSpec) -> None:
        data = data.model_copy(update=asdict(spec.framing))
        self.name, self.spec, self.hardware = f"{name}-{faces}", spec, resolve_hardware(prefix="")
        finder = finder_of(spec, FaceSearch(faces))
        kind = self.hardware.device_type
        module = FaceDataModule(data, finder=finder, device_type=kind, makes_cache=False, framing=spec.framing)
        module.setup(only="test")
        self.index = module.index("test")
        self.batches: list[Batch] = list(module.loader("test"))

    def accuracy(self, run: Run) -> float:
        """Accuracy of a run, whose predictions are made and written where they are missing."""
        file = run.path / "evaluation" / self.name / "predictions.parquet"
        if not file.is_file():
            network = load_network(run.path)
            assert (network.spec.framing, network.spec.placement) == (self.spec.framing, self.spec.placement)
            logits = predict_split(network, self.batches, len(self.index), self.hardware).logits
            write_predictions(predictions_table(self.index, "test", logits, network.spec.temperature), file)
        table = read_predictions(file)
        return float(((table["probability"] >= 0.5) == (table["label"] == 1)).mean())


def markdown(rows: Mapping[Recipe, Sequence[Run]], sets: Sequence[Faceset]) -> str:
    """The table: accuracy in percent, mean over the seeds with their standard deviation."""
    names = [f"{one.name} ({len(one.index):,})" for one in sets]
    lines = ["| | seeds | " + " | ".join(names) + " |", "|---|---" + "|---" * len(sets) + "|"]
    for recipe, runs in rows.items():
        cells = (_cell([100 * one.accuracy(run) for run in runs]) for one in sets)
        lines.append(f"| {recipe.name} | {len(runs)} | " + " | ".join(cells) + " |")
    machine, versions = hardware(), package_versions()
    on = ", ".join(machine["gpus"]) or f"{machine['cores']} cores of {machine['cpu']}"
    told = ", ".join(f"{name} {versions[name]}" for name in ("torch", "pytorch-lightning") if name in versions)
    return "\n".join([*lines, "", f"Accuracy, %, mean ± standard deviation over seeds. {on}; {told}.", ""])


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "failed"
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.1f}{spread}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/augmentation_parts"), help="folder of runs and table")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS), help="by default all")
    parser.add_argument(
        "--faces", action="append", default=[], metavar="NAME=FOLDER", help="other faces: female/, male/"
    )
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("overrides", nargs="*", help=f"of every training, after --; by default {' '.join(SMALL)}")
    chosen = parser.parse_args(arguments)
    wanted, output = recipes(chosen.parts), chosen.output.absolute()
    beginning = Recipe("start", "start", (f"experiment={START}", *BEGINNING))
    sets: list[Faceset] = []
    rows: dict[Recipe, list[Run]] = {recipe: [] for recipe in wanted}
    with ThreadPoolExecutor(chosen.jobs) as pool:
        starts = list(pool.map(lambda seed: train(beginning, seed, output, chosen.overrides), chosen.seeds))
        for seed, start in zip(chosen.seeds, starts, strict=True):
            if start is None:
                continue
            more = [f"model.pretrained={start.path}", *chosen.overrides]
            made = pool.map(partial(train, seed=seed, root=output, more=more), wanted)
            for recipe, run in zip(wanted, made, strict=True):
                rows[recipe] += [run] if run is not None else []
            if not sets and (some := next((runs[0] for runs in rows.values() if runs), None)):
                sets = facesets(some, chosen.faces)
            write_text(output / "parts.md", markdown(rows, sets))
    if not sets:
        sys.exit("No run was trained, so that there is no table.")
    sys.stdout.write(f"{(output / 'parts.md').read_text()}written to {output / 'parts.md'}\n")


def facesets(run: Run, folders: Iterable[str]) -> list[Faceset]:
    """The run's own test split and the folders, each looked at in both ways."""
    spec = load_network(run.path).spec
    choices: dict[str, DataConfig] = {"test": TypeAdapter(DataConfig).validate_python(run.config()["data"])}
    for text in folders:
        name, _, root = text.partition("=")
        texts = ["data=folder", f"data.root={root}", "data.sizes={train:0.0,valid:0.0,test:1.0}", "checkpoint=none"]
        choices[name] = parse_config(EvaluateConfig, compose("evaluate", texts)).data
    return [Faceset(name, data, faces, spec) for name, data in choices.items() for faces in WAYS]


if __name__ == "__main__":
    main()
