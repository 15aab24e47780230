"""Answers of any other tool, or of people, as a row: a table with `image_id` and `probability` or `label`.

Labels and persons come from the runs beside it. An image without an answer counts as not right; `images=common`
compares on the images that every file answers instead.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gender_lightning.comparison.runs.reading import RunResult
from gender_lightning.comparison.runs.rows import Row
from gender_lightning.csv_text import refuse_doubled
from gender_lightning.errors import UserError
from gender_lightning.evaluation.predictions import UNREADABLE, check_size
from gender_lightning.runs import Run

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".parquet")
_MOST_BYTES = 1 << 28
_ID, _ANSWERS = "image_id", ("probability", "label")
_WORDS = {"female": 0, "woman": 0, "f": 0, "0": 0, "0.0": 0, "false": 0,
          "male": 1, "man": 1, "m": 1, "1": 1, "1.0": 1, "true": 1}  # fmt: skip
# The words of `predict` for a face about which nothing is said, and those of an empty cell.
_NO_ANSWER = frozenset(("", "nan", "none", "null", "<na>", "uncertain", "no_face", "unreadable", "unknown"))


@dataclass(frozen=True)
class Answers:
    """A file of answers.

    Attributes:
        path: The file.
        ids: (M,), texts, each once.
        values: (M,), probability of male, or 0 and 1 where there are only labels; nan: no answer.
        probabilities: Whether the values are probabilities.
    """

    path: Path
    ids: NDArray[np.object_]
    values: NDArray[np.float64]
    probabilities: bool


def divide(wanted: Sequence[str]) -> tuple[list[str], list[Path]]:
    """What names runs, and the files of answers among it.

    Raises:
        UserError: There are only files, so that nothing says what the labels are.
    """
    files = [text for text in wanted if Path(text).expanduser().suffix.lower() in SUFFIXES]
    runs = [text for text in wanted if text not in files]
    if files and not runs:
        raise UserError(
            "A file of answers has no labels of its own.", "Name a run beside it: runs=[RUN,theirs.csv].", field="runs"
        )
    return runs, [Path(text).expanduser() for text in dict.fromkeys(files)]


def read_answers(path: Path) -> Answers:
    """Read a file of answers.

    Raises:
        UserError: It is missing, no table, lacks a column or has it or an image twice, or a value is no answer.
    """
    table, names = _read(path)
    refuse_doubled(path, names, (_ID, *_ANSWERS), "runs")
    column = next((name for name in _ANSWERS if name in table.columns), None)
    if _ID not in table.columns or column is None:
        raise UserError(
            f"{path} needs the columns image_id and probability (of male, 0 to 1) or label (female, male).",
            "Name them so in its first line.",
            field="runs",
        )
    ids, texts = table[_ID].astype(str), table[column].astype(str).str.strip().str.lower()
    if twice := int(ids.duplicated().sum()):
        images = "an image" if twice == 1 else f"{twice:,} images"
        raise UserError(
            f"{path} has {images} more than once, such as {ids[ids.duplicated()].iloc[0]}.",
            "Keep one answer for each image.",
            field="runs",
        )
    values = np.array([_value(text, column, path) for text in texts])
    return Answers(path, ids.to_numpy(dtype=object), values, column == "probability")


def _value(text: str, column: str, path: Path) -> float:
    if text in _NO_ANSWER:
        return np.nan
    if column == "label" and text in _WORDS:
        return _WORDS[text]
    try:
        value = float(text) if column == "probability" else np.nan
    except ValueError:
        value = np.nan
    if not 0 <= value <= 1:
        wanted = "a number from 0 to 1" if column == "probability" else "female or male"
        raise UserError(
            f"{path}: the {column} {text[:40]!r} is not {wanted}.", "Leave a cell empty where there is no answer."
        )
    return value


def _read(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The table, and the names of its columns as they are written."""
    import pandas as pd

    try:
        if not path.is_file():
            raise OSError(None, "there is no such file")
        if path.suffix.lower() == ".parquet":
            check_size(path)
            table = pd.read_parquet(path, engine="pyarrow")
            return table, list(table.columns)
        if path.stat().st_size > _MOST_BYTES:
            raise OSError(None, f"it has more than {_MOST_BYTES:,} bytes")
        with path.open(encoding="utf-8-sig", newline="") as file:  # pandas would rename the second of two columns
            names = next(csv.reader(file), [])
        # a comma at the end of each line is no further column, for which pandas would take the first one as an index
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.ParserWarning)
            table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False)
        return table, names
    except (*UNREADABLE, csv.Error) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise UserError(f"{path} cannot be read ({reason}).", "Give a CSV or Parquet table.", field="runs") from error


def answered(answers: Answers, reference: RunResult) -> NDArray[np.float64]:
    """The answers on the images of a run, nan where there is none.

    Names match as they are, or else by what follows the last slash: other tools keep the folder or drop it.

    Raises:
        UserError: There is none at all.
    """
    wanted = reference.table["image_id"].to_numpy(dtype=object)
    known = dict(zip(answers.ids.tolist(), answers.values.tolist(), strict=True))
    found = np.array([known.get(name, np.nan) for name in wanted])
    if np.isnan(found).all():
        short = {_last(name): value for name, value in known.items()}
        if len(short) == len(known) and len({_last(name) for name in wanted}) == len(wanted):
            found = np.array([short.get(_last(name), np.nan) for name in wanted])
    if np.isnan(found).all():
        raise UserError(
            f"{answers.path} answers none of the {len(wanted):,} images that are compared (such as {wanted[0]}).",
            "Its image_id must be that of predictions/test.parquet.",
            field="runs",
        )
    return found


def _last(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def common(runs: Sequence[RunResult], files: Sequence[Answers]) -> list[RunResult]:
    """The runs on the images that every file answers; runs on the same images."""
    there = np.all([~np.isnan(answered(file, runs[0])) for file in files], axis=0)
    if not there.any():
        raise UserError("No image is answered by all files.", "Name fewer of them, or leave out images=common.")
    return [run.with_table(run.table[there].reset_index(drop=True)) for run in runs]


def foreign_rows(files: Sequence[Answers], reference: RunResult, labels: Sequence[str]) -> tuple[list[Row], list[str]]:
    """A row per file, on the images of a run, and a sentence on each that a reader must know.

    Args:
        files: The answers.
        reference: A run on the images that are compared: it has labels and persons.
        labels: Those of the rows that there are already.
    """
    rows, notes, taken = [], [], set(labels)
    for file in files:
        values = answered(file, reference)
        missing = np.isnan(values)
        name = file.path.stem if file.path.stem not in taken else str(file.path)
        taken.add(name)
        # without an answer it is not right, whatever the label
        filled = np.where(missing, 1 - reference.labels, values)
        table = reference.table.assign(probability=filled, logit=_logits(filled))
        scored = file.probabilities and not missing.any()
        run = Foreign(Run(file.path), name, {}, {}, (), table, file.path, scored, int(missing.sum()))
        rows.append(Row(name, (run,)))
        if missing.any():
            notes.append(
                f"{name} has no answer for {int(missing.sum()):,} of {len(values):,} images; they count as not right "
                "(images=common leaves them out)."
            )
        if not file.probabilities:
            notes.append(f"{name} gives labels alone: nothing is said of ranking or calibration.")
        elif float(run.correct[~missing].mean()) < 0.5:
            notes.append(f"{name} is mostly wrong: its column probability must be that of male.")
    return rows, notes


def _logits(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    chance = np.clip(probability, 1e-7, 1 - 1e-7)
    logits: NDArray[np.float64] = np.log(chance) - np.log1p(-chance)
    return logits


@dataclass(frozen=True, eq=False)
class Foreign(RunResult):
    """A file of answers in the place of a run; it has no recipe, no seed and no cost.

    Attributes:
        probabilistic: Whether it has a probability for every image.
        missing: Images without an answer.
    """

    probabilistic: bool = True
    missing: int = 0

    @property
    def scored(self) -> bool:
        """Whether ranking and calibration can be judged."""
        return self.probabilistic

    @property
    def complete(self) -> bool:
        """Whether every image has an answer."""
        return self.missing == 0
