"""`gender-lightning population`: count the men and women in a crowd, without a row per person."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from gender_lightning.commands.steps.reporting import refuse_overwriting, set_up_logging
from gender_lightning.config import PopulationConfig, parse_config
from gender_lightning.console import console, shown
from gender_lightning.csv_text import cell
from gender_lightning.data.loading import MOST_WORKERS
from gender_lightning.errors import UserError
from gender_lightning.evaluation.metrics import probabilities
from gender_lightning.evaluation.predictions import read_predictions
from gender_lightning.evaluation.statistics.prevalence import Reference
from gender_lightning.inference.checkpoints import CheckpointSet
from gender_lightning.inference.domain import ALARM
from gender_lightning.inference.faces.crops import FaceSearch
from gender_lightning.inference.population import ALL, Counts, Crowd, GroupCount, count
from gender_lightning.inference.stream.local import Classifier, predict_stream
from gender_lightning.inference.stream.sources import Source
from gender_lightning.machine.hardware import available_cores, resolve_hardware
from gender_lightning.models.checkpoints.checkpoint import ModelSpec
from gender_lightning.progress import progress_bar
from gender_lightning.runs import write_text

_DOUBTFUL = 0.05  # probability of such scores by chance, below which the correction is called into question


def main(values: dict[str, Any]) -> Counts:
    """Count from the composed configuration, and print the table."""
    set_up_logging()
    return population(parse_config(PopulationConfig, values))


def population(config: PopulationConfig) -> Counts:
    """Count everyone, then the groups that are large enough.

    Raises:
        UserError: There is nothing to count, there are too few faces, or there are no labelled faces from which to
            estimate the model's confusion.
    """
    source = Source(config.inputs, config.frame_step)
    source.check()
    if config.output is not None:
        refuse_overwriting(Path(config.output).expanduser())
    checkpoints = CheckpointSet.of(config.checkpoint, config.faces)
    network = checkpoints.network()
    reference = _reference(config, checkpoints, network.spec)
    crowd = Crowd(config.by, config.window, network.spec.threshold, config.persons)
    hardware = resolve_hardware(accelerator=config.accelerator, prefix="")
    classifier = Classifier(network, hardware, 0.0, config.batch_size, checkpoints.domain)
    _fill(crowd, config, source, classifier)
    for sentence in _seen(crowd, source, tracked=config.persons == "track"):
        console.print(sentence, markup=False)
    lines = count(
        crowd,
        reference,
        config.minimum,
        method=config.method,
        target=config.interval_for,
        level=config.level,
        draws=config.draws,
        seed=config.seed,
    )
    if not lines:
        raise UserError(
            f"There are fewer than minimum={config.minimum} {_counted(config)}, so nothing is reported.",
            "Give more pictures" + (", or a lower minimum." if config.minimum > 10 else "."),
        )
    refuse_other_kinds(lines[0], config, classifier, crowd)
    counts = Counts(lines, network.spec.class_names)
    _report(counts, config, network.spec, len(crowd.groups))
    if config.output is not None:
        _write(counts, Path(config.output).expanduser())
    return counts


def _seen(crowd: Crowd, source: Source, *, tracked: bool) -> Iterator[str]:
    """What was looked at, and whether persons or detections are counted."""
    yield f"{crowd.pictures:,} pictures: {crowd.without_face:,} without a face, {crowd.unreadable:,} unreadable"
    if left_out := source.left_out_text():
        yield left_out
    if crowd.frames and not tracked:
        yield (
            f"{crowd.frames:,} of the pictures are frames of videos. They count detections, not persons: someone who "
            "appears in twenty frames is counted twenty times, and the interval is too narrow. persons=track follows "
            "the faces from frame to frame."
        )
    if tracked:
        tracks = crowd.size(ALL) if crowd.groups else 0
        yield (
            f"{'1 track counts as a person' if tracks == 1 else f'{tracks:,} tracks count as persons'}. Someone who "
            "leaves the picture and comes back, and everyone after a cut, is counted again."
        )


def _fill(crowd: Crowd, config: PopulationConfig, source: Source, classifier: Classifier) -> None:
    cropper = FaceSearch.of(config).cropper(classifier.network.spec)
    if cropper.remark:
        console.print(cropper.remark, markup=False)
    automatic = 0 if source.is_endless else min(available_cores(), MOST_WORKERS)
    workers = automatic if config.workers == "auto" else config.workers
    chunk = 1 if source.is_endless else config.batch_size
    total = source.count() or 0
    try:
        with progress_bar("counting") as report:
            for pictures in predict_stream(source.items(), cropper, classifier, workers=workers, chunk=chunk):
                crowd.take(pictures)
                report(crowd.pictures, max(total, crowd.pictures))
    except KeyboardInterrupt:
        if not source.is_endless:
            raise


def refuse_other_kinds(everyone: GroupCount, config: PopulationConfig, classifier: Classifier, crowd: Crowd) -> None:
    """Refuse to correct a count by labelled faces, of valid or of `reference=`, that the crowd is unlike.

    Raises:
        UserError: The crowd is of another kind than the labelled faces.
    """
    people = crowd.people_of(ALL)
    persons = None if people is None else float(people[:, 0].sum() ** 2 / (people[:, 0] ** 2).sum())
    difference = None if classifier.domain is None else classifier.domain.compare(classifier.seen, persons)
    if difference is None or not difference.alarm:
        return
    if config.reference is not None and everyone.fit >= ALARM:
        console.print(f"{difference.text} The labelled faces of reference= are used instead.", markup=False)
        return
    of_reference = "" if config.reference is None else " Nor do their scores look like those of reference=."
    naive, male = everyone.estimate.naive, classifier.network.spec.class_names[1]
    raise UserError(
        f"{difference.text}{of_reference} So the count cannot be corrected; uncorrected, {naive:.1%} of "
        f"{everyone.estimate.faces:,} faces are decided {male}.",
        "Give labelled faces of the same kind, as evaluate writes them: reference=predictions.parquet",
        field="reference",
    )


def _reference(config: PopulationConfig, checkpoints: CheckpointSet, spec: ModelSpec) -> Reference:
    """The model's confusion, from labelled faces that it was not trained on."""
    if config.reference is not None:
        table = read_predictions(Path(config.reference).expanduser())
    elif (on_valid := checkpoints.valid_predictions()) is not None:
        table = on_valid
    else:
        inside = (
            "is not inside a run directory with predictions/valid.parquet"
            if checkpoints.is_one
            else "are not inside run directories with predictions/valid.parquet of the same images"
        )
        raise UserError(
            f"{checkpoints} {inside}, from which the model's confusion is estimated.",
            "Give labelled predictions: reference=... (evaluate writes them).",
            field="reference",
        )
    persons = table["identity"]
    return Reference.of(
        table["label"].to_numpy(),
        probabilities(table["logit"].to_numpy(np.float64), spec.temperature),
        spec.threshold,
        None if persons.isna().any() else persons.to_numpy(np.int64),
    )


def _report(lines: Counts, config: PopulationConfig, spec: ModelSpec, groups: int) -> None:
    female, male = spec.class_names
    table = Table("", title=f"share of {male}, with a {config.level:.0%} interval", title_style="")
    for column in ("faces", female, male, f"share {male}", "interval", "uncorrected"):
        table.add_column(column, justify="right")
    for row in lines.rows():
        interval = f"{row['share_low']:.1%} to {row['share_high']:.1%}"
        numbers = [f"{row[name]:,}" for name in ("faces", female, male)]
        table.add_row(str(row["group"]), *numbers, f"{row[f'share_{male}']:.1%}", interval, f"{row['uncorrected']:.1%}")
    console.print(table)
    left_out = groups - (len(lines) - 1)
    if config.by != "none" and left_out:
        console.print(
            f"{left_out:,} groups are not reported: they, or the groups that subtraction would disclose, have fewer "
            f"than minimum={config.minimum} {_counted(config)}."
        )
    if config.persons == "none":
        console.print(
            "Detections are counted, not people: someone who appears several times is counted several times, and the "
            "interval treats each detection as a different person. Use persons=folder if each person has a "
            "folder, persons=track for a video.",
            markup=False,
        )
    doubtful = [line.group for line in lines if line.fit < _DOUBTFUL]
    if doubtful:
        shown = ", ".join(doubtful[:3]) + (f" and {len(doubtful) - 3} more" if len(doubtful) > 3 else "")
        console.print(
            f"Treat this result with care ({shown}): no mixture of the labelled faces gives such scores, so the crowd "
            "differs from them in more than its share of men. Give labelled faces that resemble the crowd's: "
            "reference=...",
            markup=False,
        )


def _counted(config: PopulationConfig) -> str:
    return "faces" if config.persons == "none" else "persons"


def _write(lines: Counts, path: Path) -> None:
    rows = lines.rows()
    if path.suffix == ".json":
        text = json.dumps(rows, indent=2) + "\n"
    else:
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "group": cell(row["group"])} for row in rows)
        text = buffer.getvalue()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror}.", "Choose another place: output=...", field="output"
        ) from error
    console.print(f"written to {shown(path)}", markup=False)
