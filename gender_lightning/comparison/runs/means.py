"""The mean of several runs as a row: `runs=[A,[B,C]]` compares A with the mean of B and C."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gender_lightning.comparison.runs.foreign import SUFFIXES
from gender_lightning.comparison.runs.reading import RunResult
from gender_lightning.comparison.runs.rows import Row, display_name
from gender_lightning.comparison.runs.selection import select_runs
from gender_lightning.errors import UserError
from gender_lightning.evaluation.metric_list import sigmoid
from gender_lightning.evaluation.metrics import fit_temperature
from gender_lightning.evaluation.predictions import read_predictions
from gender_lightning.runs import Run


@dataclass(frozen=True, eq=False)
class Mean(RunResult):
    """The mean of several runs' calibrated logits in the place of a run; it has no recipe and no seed.

    Attributes:
        of: The runs.
    """

    of: tuple[RunResult, ...] = ()

    @property
    def members(self) -> tuple[RunResult, ...]:
        """The runs whose mean it is."""
        return self.of


def runs_of_means(wanted: Sequence[str | Sequence[str]]) -> list[tuple[Run, ...]]:
    """The runs of each requested mean.

    Raises:
        UserError: A mean names fewer than two runs, or something that is not a run.
    """
    found = []
    for group in wanted:
        if isinstance(group, str):
            continue
        if files := [text for text in group if Path(text).suffix.lower() in SUFFIXES]:
            raise UserError(
                f"{files[0]} is a file of answers, which cannot be part of a mean.",
                "Name it outside of the inner brackets.",
            )
        runs = select_runs(group).runs
        if len(runs) < 2:
            raise UserError(f"[{','.join(group)}] is the mean of one run.", "Name another, or leave the brackets out.")
        found.append(runs)
    return found


def mean_rows(groups: Sequence[Sequence[RunResult]], labels: Sequence[str]) -> tuple[list[Row], list[str]]:
    """A row for each mean, and a sentence on it.

    Args:
        groups: The members of each mean, on the same images.
        labels: Those of the rows that there are already.
    """
    rows, notes, taken = [], [], set(labels)
    for members in groups:
        backbones = [display_name(member.backbone) for member in members]
        kinds = [(backbones.count(name), name) for name in dict.fromkeys(backbones)]
        label = "mean of " + " and ".join(f"{count} {name}" if count > 1 else name for count, name in kinds)
        if label in taken:
            label = f"mean of {', '.join(member.name for member in members)}"
        taken.add(label)
        temperature = _temperature(members)
        logit = np.mean([member.calibrated_logits for member in members], axis=0) / (temperature or 1.0)
        seconds = [float(member.info.get("seconds", math.nan)) for member in members]
        first = members[0]
        run = Mean(
            run=Run(Path(f"[{','.join(str(member.run.path) for member in members)}]")),
            name=label,
            config={"data": first.config.get("data", {})},
            info={} if math.isnan(sum(seconds)) else {"seconds": sum(seconds)},
            overrides=(),
            table=first.table.assign(logit=logit, probability=sigmoid(logit)),
            predictions=first.predictions,
            of=tuple(members),
        )
        rows.append(Row(label, (run,)))
        how = (
            "calibrated on valid" if temperature else "not calibrated for lack of predictions on the same valid images"
        )
        notes.append(f"The {label} is that of the calibrated logits of {len(members)} runs, {how}.")
    return rows, notes


def _temperature(members: Sequence[RunResult]) -> float | None:
    """The temperature of the mean, fitted on the images of valid; None if the members have none in common."""
    files = [member.run.predictions / "valid.parquet" for member in members]
    if not all(file.is_file() for file in files):
        return None
    tables = [read_predictions(file).sort_values("image_id", ignore_index=True) for file in files]
    if not all(table[["image_id", "label"]].equals(tables[0][["image_id", "label"]]) for table in tables):
        return None
    logits: list[NDArray[np.float64]] = [
        member.with_table(table).calibrated_logits for member, table in zip(members, tables, strict=True)
    ]
    return fit_temperature(np.mean(logits, axis=0), tables[0]["label"].to_numpy())
