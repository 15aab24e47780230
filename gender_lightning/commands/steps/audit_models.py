"""Who judges the labels of an audit: models that there are already, or small ones that are trained for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gender_lightning.audit.judging import describe, judge
from gender_lightning.audit.reading import AuditData
from gender_lightning.commands.evaluate import is_own_data, search_in
from gender_lightning.config import DataCommandConfig
from gender_lightning.console import console
from gender_lightning.csv_text import cell
from gender_lightning.data.framing import FRAMING_FIELDS
from gender_lightning.data.rows.folds import fold_of
from gender_lightning.data.rows.revising import read_excluded
from gender_lightning.data.sources.annotations import SPLITS, Index
from gender_lightning.errors import UserError
from gender_lightning.evaluation.metric_list import sigmoid
from gender_lightning.inference.faces.located import Located, finder_of
from gender_lightning.machine.hardware import Hardware, resolve_hardware
from gender_lightning.models.checkpoints.checkpoint import Network, load_network
from gender_lightning.overrides import check
from gender_lightning.overrides.of_run import hydra_value
from gender_lightning.plain_files import read_json
from gender_lightning.progress import progress_bar
from gender_lightning.runs import Run, write_text
from gender_lightning.sweeps.jobs import Job, JobResult, run_job
from gender_lightning.sweeps.pool import work_off
from gender_lightning.sweeps.processes import Children
from gender_lightning.sweeps.slots import Slot

FOLDS = "folds"
_PLAN = "plan.json"
_DECIDED_BY_RECIPE = ("name", "image_size", "batch_size", "eval_batch_size", "exclude")
Judgement = tuple[NDArray[np.float64], str]


def by_checkpoints(config: DataCommandConfig, material: AuditData, read: NDArray[np.bool_], output: Path) -> Judgement:
    """Probabilities of male by the mean of some checkpoints, for the splits that none of them has learned from.

    Args:
        config: The command's; names at least one checkpoint.
        material: The data set, with pictures.
        read: (N,), which pictures decode.
        output: Folder of the audit, which keeps what was computed.

    Returns:
        (N,) with nan where nothing is said, and a sentence on the judges.

    Raises:
        UserError: A checkpoint cannot be used, or has learned from all splits that there are.
    """
    index, paths = material.index, [Path(path).expanduser() for path in config.checkpoint or ()]
    own = [is_own_data(config.data, Run.of(path)) for path in paths]
    rows = np.flatnonzero(read & (index.partition > 0) if any(own) else read)
    if not len(rows):
        raise UserError(
            "The checkpoint has learned from all images of these data.",
            "Give one that has not, or let folds=5 train models for it.",
            field="checkpoint",
        )
    hardware = _hardware(config)
    logits = np.zeros(len(rows))
    for path in paths:
        logits += _calibrated(path, config, material, rows, output, hardware) / len(paths)
    probability = np.full(len(index), np.nan)
    probability[rows] = sigmoid(logits)
    names = ", ".join(path.name for path in paths)
    which = "the splits valid and test, from which it has not learned" if any(own) else "all splits"
    chosen = " Its best epoch was chosen on valid, so that there it agrees a little too often." if any(own) else ""
    return probability, f"Judged by {names}: {which}.{chosen}"


def by_folds(
    config: DataCommandConfig, material: AuditData, read: NDArray[np.bool_], pairs: NDArray[np.int64], output: Path
) -> Judgement:
    """Probabilities of male, for every image by a small model that has seen neither the person nor a duplicate.

    Args:
        config: The command's; says how many folds.
        material: The data set, with pictures.
        read: (N,), which pictures decode.
        pairs: (P, 2), rows that are duplicates of each other.
        output: Folder of the audit, which keeps the trained models.

    Returns:
        (N,) with nan where a picture does not decode, and a sentence on the judges.

    Raises:
        UserError: The folder holds the folds of other data, or a training failed.
        SystemExit: It was interrupted; the same command continues.
    """
    assert config.folds is not None
    index = material.index
    fold = fold_of(index, pairs, config.folds, config.data.seed)
    folder = output / FOLDS
    _plan(folder, config, index, fold)
    jobs = [_job(number, config, index, fold, read, folder) for number in range(config.folds)]
    _train(jobs)
    hardware = _hardware(config)
    probability = np.full(len(index), np.nan)
    for job in jobs:
        rows = np.flatnonzero((fold == job.number) & read)
        probability[rows] = sigmoid(_calibrated(job.directory, config, material, rows, output, hardware))
    backbone = load_network(Run(jobs[0].directory).best).spec.backbone
    return probability, (
        f"Judged by {config.folds} models ({backbone}), each trained on the persons of train and valid but those whose "
        "labels it judges."
    )


def check_recipe(config: DataCommandConfig) -> None:
    """Refuse a recipe that `train` would refuse, before anything is computed.

    Raises:
        UserErrors: All of its mistakes.
    """
    check("train", _overrides(config, Path("held_out.csv")))


def check_checkpoints(config: DataCommandConfig) -> None:
    """Refuse checkpoints that cannot be used, before anything is computed.

    Raises:
        UserError: One of them does not exist, cannot be read, or needs an extra that is not installed.
    """
    for path in config.checkpoint or ():
        _judge_of(Path(path).expanduser(), config)


def _overrides(config: DataCommandConfig, held_out: Path) -> list[str]:
    section = config.data.model_dump()
    named = {text.partition("=")[0].lstrip("+") for text in config.recipe}
    data = [
        f"data.{key}={hydra_value(value)}"
        for key, value in section.items()
        if key not in _DECIDED_BY_RECIPE and f"data.{key}" not in named
    ]
    fixed = [f"data.exclude={hydra_value(str(held_out.absolute()))}", "test=false", "name=fold"]
    return [f"data={section['name']}", *data, *config.recipe, *fixed]


def _job(
    number: int, config: DataCommandConfig, index: Index, fold: NDArray[np.int64], read: NDArray[np.bool_], folder: Path
) -> Job:
    """The training of one fold, which continues where an earlier one was killed."""
    held_out = folder / f"{number}-held-out.csv"
    excluded = {bytes(image_id) for image_id in index.image_ids[(fold == number) | ~read].tolist()}
    if config.data.exclude is not None:
        excluded |= read_excluded(Path(config.data.exclude).expanduser())
    names = sorted(image_id.decode(errors="replace") for image_id in excluded)
    quoted = [cell(name).replace('"', '""') for name in names]
    write_text(held_out, "image_id\n" + "".join(f'"{name}"\n' for name in quoted))
    directory = folder / str(number)
    return Job(number, tuple(_overrides(config, held_out)), directory, resume=(directory / "run.json").is_file())


def _train(jobs: Sequence[Job]) -> None:
    waiting = [job for job in jobs if Run(job.directory).info().get("status") != "done"]
    failed: list[JobResult] = []

    def work(slot: Slot, children: Children) -> None:
        for job in waiting:
            if children.stopping.is_set() or failed:
                return
            console.print(f"fold {job.number + 1} of {len(jobs)}: training (its log: {job.directory / 'log.txt'})")
            result = run_job(job, slot, children)
            if result.status != "done":
                failed.append(result)

    children = Children()
    if work_off([Slot(0)], lambda slot: work(slot, children), children, lambda: None):
        raise SystemExit(130)
    if failed:
        raise UserError(
            f"The training of fold {failed[0].job.number + 1} has {failed[0].status}: {failed[0].error}",
            "Remove the cause, or change recipe=[...]; the same command continues.",
        )


def _plan(folder: Path, config: DataCommandConfig, index: Index, fold: NDArray[np.int64]) -> None:
    """Note what the folds are of, and refuse those of something else."""
    digest = hashlib.sha256(index.image_ids.tobytes() + index.labels.tobytes() + fold.tobytes())
    plan = {"folds": config.folds, "recipe": list(config.recipe), "digest": digest.hexdigest()}
    file = folder / _PLAN
    if file.is_file() and read_json(file) != plan:
        raise UserError(
            f"{folder} holds the folds of other data, or of another recipe.",
            "Choose another folder by output=..., or remove this one.",
            field="output",
        )
    folder.mkdir(exist_ok=True)
    write_text(file, json.dumps(plan) + "\n")


def features(
    config: DataCommandConfig, material: AuditData, read: NDArray[np.bool_], output: Path
) -> NDArray[np.float16]:
    """The features that the first checkpoint finds in all pictures that decode, see `audit.judging.describe`.

    What the network has learned from is not left out: here it judges no label.

    Raises:
        UserError: The checkpoint cannot be used.
    """
    assert config.checkpoint and material.store is not None
    path = Path(config.checkpoint[0]).expanduser()
    network, finder = _judge_of(path, config)
    index, hardware = material.index.select(np.flatnonzero(read)), _hardware(config)
    with progress_bar(f"{path.name} looks at pictures") as report:
        return describe(network, index, material.store, finder, hardware, output, progress=report)


def _judge_of(path: Path, config: DataCommandConfig) -> tuple[Network, Located | None]:
    """A network, and how it finds the faces in these data."""
    network = load_network(path)
    return network, finder_of(network.spec, search_in(config.data, Run.of(path)))


def _hardware(config: DataCommandConfig) -> Hardware:
    return resolve_hardware(accelerator=config.accelerator, prefix="")


def _calibrated(
    path: Path, config: DataCommandConfig, material: AuditData, rows: NDArray[np.intp], output: Path, hardware: Hardware
) -> NDArray[np.float64]:
    """Logits of these rows, divided by the checkpoint's temperature."""
    network, finder = _judge_of(path, config)
    assert material.store is not None
    with progress_bar(f"{path.name} judges") as report:
        logits = judge(network, material.index.select(rows), material.store, finder, hardware, output, progress=report)
    return logits.astype(np.float64) / network.spec.temperature


assert SPLITS[0] == "train" and "image_size" in FRAMING_FIELDS
