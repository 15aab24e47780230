"""What a run has left, read back: its predictions, its configuration, what it cost."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from gender_lightning.errors import UserError, UserErrors
from gender_lightning.evaluation.predictions import read_predictions
from gender_lightning.plain_files import read_yaml
from gender_lightning.runs import Run

if TYPE_CHECKING:
    import pandas as pd

Split = Literal["test", "valid"]


@dataclass(frozen=True, eq=False)
class RunResult:
    """A finished run with its predictions.

    Attributes:
        run: Its directory.
        name: The directory as it is told apart from the others.
        config: Configuration of the training.
        info: `run.json`.
        overrides: What was typed.
        table: Predictions, sorted by image.
        predictions: File that they were read from.
    """

    run: Run
    name: str
    config: Mapping[str, Any]
    info: Mapping[str, Any]
    overrides: tuple[str, ...]
    table: pd.DataFrame
    predictions: Path

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return int(self.config.get("seed", 0))

    @property
    def backbone(self) -> str:
        """Name of the network."""
        return str(self.config.get("model", {}).get("name", "unknown"))

    @property
    def members(self) -> tuple[RunResult, ...]:
        """The runs whose networks decide: itself alone, unless it is a mean."""
        return (self,)

    @property
    def scored(self) -> bool:
        """Whether it has probabilities, so that ranking and calibration can be judged."""
        return True

    @property
    def complete(self) -> bool:
        """Whether it has an answer for every image."""
        return True

    @cached_property
    def labels(self) -> NDArray[np.bool_]:
        """Whether each image is of a male, (N,)."""
        return self.table["label"].to_numpy(dtype=np.bool_)

    @cached_property
    def logits(self) -> NDArray[np.float64]:
        """Logits of the class male, (N,)."""
        return self.table["logit"].to_numpy(dtype=np.float64)

    @cached_property
    def probability(self) -> NDArray[np.float64]:
        """Probabilities of the class male, calibrated on valid, (N,)."""
        return self.table["probability"].to_numpy(dtype=np.float64)

    @cached_property
    def calibrated_logits(self) -> NDArray[np.float64]:
        """Logit of `probability`, (N,); at most 16 either way, since the table holds float32."""
        chance = np.clip(self.probability, 1e-7, 1 - 1e-7)
        return np.asarray(np.log(chance) - np.log1p(-chance))

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each image is decided rightly at 0.5, (N,)."""
        correct: NDArray[np.bool_] = (self.probability >= 0.5) == self.labels
        return correct

    def with_table(self, table: pd.DataFrame) -> RunResult:
        """The same run on some of its images."""
        return replace(self, table=table)


def choose_split(runs: Sequence[Run], wanted: str, evaluation: str | None) -> tuple[Split, str | None]:
    """Which split they are compared on, and a sentence where that is not simply test.

    Trials of a search never see test, so that they are compared on valid; the folds of a cross-validation are, too.
    """
    if evaluation is not None:
        return "valid" if evaluation.endswith("-valid") else "test", None
    if wanted != "auto":
        return ("valid" if wanted == "valid" else "test"), (_CHOSEN if wanted == "valid" else None)
    if runs and all(run.config().get("data", {}).get("folds") for run in runs):
        return "valid", _CHOSEN
    untested = [run for run in runs if not _file(run, "test", None).is_file()]
    if untested and all(_file(run, "valid", None).is_file() for run in runs):
        some = "The runs have" if len(untested) == len(runs) else f"{len(untested)} of {len(runs)} runs have"
        return "valid", f"{some} not seen the test split, as is right for trials of a search. {_CHOSEN}"
    return "test", None


_CHOSEN = (
    "All are compared on valid, which their epochs were chosen on: the figures are a little too good, the best one's "
    "most."
)


def read_runs(runs: Sequence[Run], split: Split, evaluation: str | None) -> list[RunResult]:
    """Predictions and records of every run.

    Raises:
        UserErrors: Some have no predictions, or files that cannot be read.
    """
    names = short_names([run.path for run in runs])
    read: list[RunResult] = []
    problems: list[UserError] = []
    for run, name in zip(runs, names, strict=True):
        file = _file(run, split, evaluation)
        if not file.is_file():
            problem = f"{run.path} has no predictions of {evaluation or split}."
            problems.append(UserError(problem, _remedy(run, split, evaluation)))
            continue
        try:
            table = read_predictions(file).sort_values("image_id", ignore_index=True)
            if len(table) == 0 or not np.isfinite(table["logit"]).all():
                raise UserError(f"{file} holds no image, or logits that are not finite.", "Leave this run out.")
            read.append(RunResult(run, name, run.config(), run.info(), _overrides(run), table, file))
        except UserError as error:
            problems.append(error)
    if problems:
        raise UserErrors(problems)
    return read


def short_names(paths: Sequence[Path]) -> list[str]:
    """Paths below the deepest directory that they share."""
    if len(paths) == 1:
        return [paths[0].name]
    common = os.path.commonpath([str(path) for path in paths])
    return [os.path.relpath(path, common) for path in paths]


def _file(run: Run, split: str, evaluation: str | None) -> Path:
    if evaluation is not None:
        return run.path / "evaluation" / evaluation / "predictions.parquet"
    own = run.predictions / f"{split}.parquet"
    if own.is_file():
        return own
    # `evaluate` on the run's own data, whether by the best of a search or by hand
    evaluated = run.path / "evaluation" / f"{run.config().get('data', {}).get('name')}-{split}" / "predictions.parquet"
    return evaluated if evaluated.is_file() else own


def _remedy(run: Run, split: str, evaluation: str | None) -> str:
    if evaluation is not None:
        return f"Make them with gender-lightning evaluate checkpoint={run.path} ..."
    other = "valid" if split == "test" else "test"
    instead = f", or compare on {other}: split={other}" if _file(run, other, None).is_file() else ""
    return f"Make them with gender-lightning evaluate checkpoint={run.path} split={split}{instead}."


def _overrides(run: Run) -> tuple[str, ...]:
    file = run.path / "overrides.yaml"
    content = read_yaml(file, interpolations=True) if file.is_file() else []
    return tuple(str(item) for item in content) if isinstance(content, list) else ()
