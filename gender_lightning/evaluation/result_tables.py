"""The tables of an evaluation, and how it shows itself in a notebook."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gender_lightning.console import shown
from gender_lightning.errors import UserError
from gender_lightning.evaluation.measure import Measure, decimal
from gender_lightning.evaluation.results import Evaluation, TableName
from gender_lightning.evaluation.subgroups.fairness import fairness_table
from gender_lightning.evaluation.subgroups.slices import slices_table
from gender_lightning.notebook import as_html

if TYPE_CHECKING:
    import pandas as pd

_SAME = "The model's own threshold is 0.5 too, so that these metrics hold for it as well."


def table_of(evaluation: Evaluation, name: TableName) -> pd.DataFrame:
    """See `Evaluation.table`."""
    import pandas as pd

    if name == "metrics":
        return metrics_table(evaluation)
    if name == "slices":
        return slices_table(evaluation.slices)
    if name == "fairness" and evaluation.fairness is not None:
        return fairness_table(evaluation.fairness)
    file = None if evaluation.path is None else evaluation.path / f"{name}.csv"
    if name not in ("suspects", "corruptions") or file is None or not file.is_file():
        raise UserError(
            f"This evaluation has no table {name}.",
            "Choose metrics or slices, or evaluate again: fairness, suspects and corruptions lie in its folder.",
        )
    return pd.read_csv(file)


def measures_of(evaluation: Evaluation) -> dict[str, Measure]:
    """The metrics, and the losses of the calibrated probabilities."""
    losses = {name: getattr(evaluation.calibration, name) for name in ("loss", "brier", "ece")}
    return evaluation.metrics | losses


def at_own_threshold(evaluation: Evaluation) -> Mapping[str, Measure]:
    """The metrics at the model's own threshold; none where that is 0.5 itself, whose metrics are told anyway."""
    return {} if evaluation.calibration.threshold == 0.5 else evaluation.metrics_at_threshold


def why_one_threshold(evaluation: Evaluation) -> str:
    """Why there is no second column of metrics; empty where there is one."""
    return _SAME if evaluation.calibration.threshold == 0.5 else ""


def metrics_table(evaluation: Evaluation) -> pd.DataFrame:
    """One row per metric: `value` at 0.5, `low` and `high`, and `at_threshold`, which was chosen on valid."""
    import pandas as pd

    other = evaluation.metrics_at_threshold
    rows = {
        name: (measure.value, measure.low, measure.high, other[name].value if name in other else math.nan)
        for name, measure in measures_of(evaluation).items()
    }
    columns = ["value", "low", "high", "at_threshold"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("metric")


def html_of(evaluation: Evaluation) -> str:
    """What was measured on what, the metrics, the worst subgroup, and where the page is."""
    other = at_own_threshold(evaluation)
    head = ["metric", "at 0.5", f"{evaluation.level:.0%} interval"]
    rows = [[name, decimal(measure.value), measure.ends()] for name, measure in measures_of(evaluation).items()]
    if other:
        head.append(f"at {evaluation.calibration.threshold:.3f}")
        for row in rows:
            row.append(decimal(other[row[0]].value) if row[0] in other else "")
    sentences = [same] if (same := why_one_threshold(evaluation)) else []
    if evaluation.worst_slice is not None:
        worst = evaluation.slice(evaluation.worst_slice.name)
        beyond = " beyond chance" if evaluation.worst_slice.significant else ""
        sentences.append(
            f"Worst subgroup{beyond}: {worst.words}, accuracy {worst.accuracy} on {worst.images:,} images."
        )
    sentences += evaluation.remarks
    if evaluation.path is not None:
        sentences.append(f"Page: {shown(evaluation.path / 'report.html')}")
    people = "" if evaluation.persons is None else f" of {evaluation.persons:,} persons"
    heading = f"{evaluation.data} {evaluation.split}: {evaluation.images:,} images{people}"
    return as_html(heading, head, rows, sentences)
