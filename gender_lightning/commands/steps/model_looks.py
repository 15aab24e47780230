"""The part of `evaluate` that runs the network again or draws: corruptions, figures and the page."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gender_lightning.data.datamodule import FaceDataModule
from gender_lightning.diagnostics.corruption_results import (
    FILE,
    check_comparable,
    chosen_rows,
    conditions,
    conditions_text,
    corruption_table,
    mean_corruption_error,
)
from gender_lightning.diagnostics.looks import Looks
from gender_lightning.evaluation.results import Evaluation
from gender_lightning.evaluation.suspects import suspects_table
from gender_lightning.machine.hardware import Hardware
from gender_lightning.models.checkpoints.checkpoint import Network
from gender_lightning.reports.evaluation_figures import draw_all, save_all
from gender_lightning.reports.evaluation_page import Findings, report_page
from gender_lightning.reports.page import number, percent
from gender_lightning.runs import write_text

if TYPE_CHECKING:
    import pandas as pd

Mode = Literal["none", "quick", "full"]
PAGE = "report.html"


@dataclass(frozen=True)
class CorruptionResults:
    """The network's results on corrupted pictures.

    Attributes:
        table: The table that `corruption_table` returned.
        reference: The table of a reference network; None if none was given.
    """

    table: pd.DataFrame
    reference: pd.DataFrame | None

    def numbers(self) -> dict[str, float]:
        """Mean corruption errors by name, for `Evaluation.further`."""
        named = {
            "mean_corruption_error": mean_corruption_error(self.table),
            "mean_face_corruption_error": mean_corruption_error(self.table, faces=True),
        }
        if self.reference is not None:
            relative = mean_corruption_error(self.table, self.reference)
            named["relative_corruption_error"] = relative
        return named

    def cards(self) -> tuple[tuple[str, str, str], ...]:
        """The cards of the page: name, value, and how the value was measured."""
        named, how = self.numbers(), conditions_text(self.table)
        cards = [
            ("Mean corruption error", percent(named["mean_corruption_error"]), f"ImageNet-C's fifteen; {how}"),
            ("Faces' own", percent(named["mean_face_corruption_error"]), "seven corruptions of faces"),
        ]
        if "relative_corruption_error" in named:
            relative = named["relative_corruption_error"]
            shown = number(math.nan) if math.isnan(relative) else f"{100 * relative:.0f}"
            cards.append(("mCE relative to the reference", shown, "100 is as good, less is better"))
        return tuple(cards)


def passes(mode: Mode, images: int) -> int:
    """Number of corrupted images that `measure_corruptions` predicts, for a progress bar."""
    return 0 if mode == "none" else len(conditions(mode)) * len(chosen_rows(mode, images))


def measure_corruptions(
    network: Network,
    data: FaceDataModule,
    split: str,
    hardware: Hardware,
    *,
    mode: Mode,
    reference: pd.DataFrame | None,
    seed: int,
    advance: Callable[[int], object],
) -> CorruptionResults | None:
    """Measure the network on corrupted pictures; None for the mode ``none``.

    Raises:
        UserError: The reference was measured under other conditions.
    """
    if mode == "none":
        return None
    batches = data.loader(split, rows=chosen_rows(mode, len(data.dataset(split))))
    table = corruption_table(network, batches, hardware, mode=mode, framing=data.framing, seed=seed, advance=advance)
    if reference is not None:
        check_comparable(table, reference)
    return CorruptionResults(table, reference)


def write_report(
    output: Path, evaluation: Evaluation, table: pd.DataFrame, results: CorruptionResults | None, looks: Looks | None
) -> None:
    """Write `figures/`, `report.html` and, if corruptions were measured, `corruptions.csv`."""
    corruptions = None if results is None else results.table
    drawn = draw_all(evaluation, table, corruptions)
    save_all(drawn, output)
    if corruptions is not None:
        write_text(output / FILE, corruptions.to_csv(index=False, float_format="%.6f"))
    cards = () if results is None else results.cards()
    findings = Findings(evaluation, drawn, suspects_table(table), corruptions, cards, looks)
    write_text(output / PAGE, report_page(findings))
