"""One row per recipe: runs that differ in nothing but the seed belong together."""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gender_lightning.comparison.runs.reading import RunResult
from gender_lightning.overrides.fields import flat
from gender_lightning.runs import Run

# What a run is called and where it goes, and how it is logged and loaded, changes nothing of its result.
_NO_PART = (
    "seed", "name", "run_dir", "resume", "test", "threshold", "logger", "search", "data.workers", "data.prefetch",
    "data.pin_memory", "data.persistent_workers", "data.eval_batch_size", "trainer.log_every_n_steps",
)  # fmt: skip
_NAMES = {
    "resnet18": "ResNet18",
    "resnet50": "ResNet50",
    "googlenet": "GoogLeNet",
    "vgg19": "VGG19",
    "efficientnet_b0": "EfficientNet-B0",
    "efficientnet_v2_s": "EfficientNetV2-S",
    "vit_b_16": "ViT-B/16",
    "convnext_tiny": "ConvNeXt-Tiny",
}
_LONG_NUMBER = re.compile(r"\d+\.\d{5,}(e[+-]?\d+)?")  # as a search draws it
_TARGET = re.compile(r"\{_target_: ?(?:\w+\.)*(\w+)(?:, ?(.*))?\}")  # a class and its arguments
_LONGEST_VALUE = 24
_MOST_SETTINGS = 4  # that a label spells out


@dataclass(frozen=True, eq=False)
class Row:
    """A recipe with its runs.

    Attributes:
        label: What tells it from the other rows: the backbone, and what was set otherwise.
        runs: At least one, by seed.
    """

    label: str
    runs: tuple[RunResult, ...]

    @property
    def n(self) -> int:
        """Runs, that is, seeds."""
        return len(self.runs)


def make_rows(runs: Sequence[RunResult]) -> tuple[list[Row], list[str]]:
    """Group runs by recipe.

    Args:
        runs: On the same images.

    Returns:
        The rows in the order of their first run, and a sentence on each run that repeats another's recipe and seed:
        it says nothing about other seeds, so that the newer one alone counts.
    """
    groups: dict[str, list[RunResult]] = {}
    for run in runs:
        groups.setdefault(json.dumps(recipe(run.config), sort_keys=True, default=str), []).append(run)
    notes: list[str] = []
    kept = [_one_per_seed(group, notes) for group in groups.values()]
    labels = _labels([group[0] for group in kept], _names(kept))
    return [Row(label, tuple(group)) for label, group in zip(labels, kept, strict=True)], notes


def recipe(config: Mapping[str, Any]) -> dict[str, Any]:
    """Every field that may change a result but the seed, by its dotted name.

    A run that the training began from, `model.pretrained`, stands for its own recipe.
    """
    kept = _fields(config)
    if start := _start(config):
        began, file = start
        kept["model.pretrained"] = {"checkpoint": file, **recipe(began)}
    return kept


def _start(config: Mapping[str, Any]) -> tuple[Mapping[str, Any], str] | None:
    """The configuration of the run that a training began from, and the checkpoint's name; None if it is not here."""
    pretrained = config.get("model", {}).get("pretrained")
    if not isinstance(pretrained, str):
        return None
    path = Path(pretrained)
    directory, file = (path, "best.ckpt") if path.is_dir() else (path.parent.parent, path.name)
    return (_config(directory), file) if (directory / "config.yaml").is_file() else None


@functools.lru_cache(maxsize=256)
def _config(directory: Path) -> Mapping[str, Any]:
    """The configuration of a run, which does not change; many runs may have begun from one."""
    return Run.open(directory).config()


def _seeds(config: Mapping[str, Any]) -> tuple[int, ...]:
    """The seed of a training, and those of the runs that it began from."""
    start = _start(config)
    return int(config.get("seed", 0)), *(() if start is None else _seeds(start[0]))


def _fields(config: Mapping[str, Any]) -> dict[str, Any]:
    fields = {key: value for key, value in flat(config) if not isinstance(value, Mapping)}
    kept = {key: value for key, value in fields.items() if not _is_no_part(key)}
    if isinstance(root := kept.get("data.root"), str):
        kept["data.root"] = os.path.realpath(root)
    return kept


def display_name(backbone: str) -> str:
    """Name of a backbone as papers write it, where it is on the menu."""
    return _NAMES.get(backbone, backbone.removeprefix("timm/"))


def _is_no_part(key: str) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in _NO_PART)


def _one_per_seed(group: Sequence[RunResult], notes: list[str]) -> list[RunResult]:
    newest: dict[tuple[int, ...], RunResult] = {}
    for run in sorted(group, key=lambda run: str(run.info.get("created", ""))):
        seeds = _seeds(run.config)
        if older := newest.get(seeds):
            notes.append(f"{older.name} has the recipe and seed of {run.name}, which is newer: it was left out.")
        newest[seeds] = run
    return [newest[seed] for seed in sorted(newest)]


def _names(groups: Sequence[Sequence[RunResult]]) -> list[str]:
    """What the folders of each row have in common, if that tells the rows apart; else the name of one run of each."""
    shared = [os.path.commonpath([run.name for run in group]) for group in groups]
    return shared if all(shared) and len(set(shared)) == len(shared) else [group[0].name for group in groups]


def _labels(runs: Sequence[RunResult], names: Sequence[str]) -> list[str]:
    """Labels of the rows, from one run of each and the names of their folders."""
    same_model = {run.backbone: [other for other in runs if other.backbone == run.backbone] for run in runs}
    labels = []
    for run, name in zip(runs, names, strict=True):
        rivals = same_model[run.backbone]
        settings = "" if len(rivals) == 1 else _settings(run, rivals, name)
        labels.append(f"{display_name(run.backbone)} {settings}".strip())
    short = [_LONG_NUMBER.sub(lambda match: f"{float(match[0]):.3g}", label) for label in labels]
    labels = short if len(set(short)) == len(short) else labels
    if len(set(labels)) == len(labels):
        return labels
    return [f"{label} ({name})" for label, name in zip(labels, names, strict=True)]


def _settings(run: RunResult, rivals: Sequence[RunResult], name: str) -> str:
    """What was set otherwise than in other runs of the backbone: as it was typed, else by field, else the name."""
    for told in (_typed, recipe_texts):
        texts = {id(rival): told(rival) for rival in rivals}
        shared = set.intersection(*(set(each) for each in texts.values()))
        own = [text for text in texts[id(run)] if text not in shared]
        distinct = {tuple(sorted(set(each) - shared)) for each in texts.values()}
        if len(distinct) == len(rivals) and len(own) <= _MOST_SETTINGS:
            brief = {
                one: [text for text in found if text not in shared and _brief(text)] for one, found in texts.items()
            }
            if len({tuple(sorted(each)) for each in brief.values()}) == len(rivals):  # long values are not needed
                own = brief[id(run)]
            return " ".join(_short(text) for text in own)
    return f"({name})"


def _brief(override: str) -> bool:
    return len(_named(override)[1]) <= _LONGEST_VALUE


def _short(override: str) -> str:
    """`lr=0.01` for `optimizer.lr=0.01`; a long value is cut."""
    name, value = _named(override)
    return f"{name}={value if len(value) <= _LONGEST_VALUE else value[:_LONGEST_VALUE] + '...'}"


def _named(override: str) -> tuple[str, str]:
    """The last name of a key, and its value; a class is called by its name alone."""
    key, _, value = override.partition("=")
    if key.endswith("._target_"):
        key, value = key.removesuffix("._target_"), value.rpartition(".")[2]
    elif target := _TARGET.fullmatch(value):
        value = target[1] + (f"({target[2]})" if target[2] else "")
    return key.rpartition(".")[2], value


def _typed(run: RunResult) -> list[str]:
    """Overrides that are part of the recipe, in the order in which they were typed."""
    own = (text.lstrip("+~") for text in run.overrides)
    ignored = ("model", "model.name", "data.root", "run_dir")
    return [text for text in own if (key := text.partition("=")[0]) not in ignored and not _is_no_part(key)]


def recipe_texts(run: RunResult) -> list[str]:
    """Every field of the recipe as an override would say it."""
    return [f"{key}={value}" for key, value in _fields(run.config).items() if key != "model.name"]
