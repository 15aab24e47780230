"""The prose of a report: a verdict in three sentences, and the limits of its numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gender_lightning.evaluation.measure import Measure
from gender_lightning.evaluation.results import Evaluation
from gender_lightning.evaluation.statistics.proportions import FEWEST_PERSONS
from gender_lightning.evaluation.subgroups.slices import FEWEST_IMAGES
from gender_lightning.reports.fairness_words import count
from gender_lightning.reports.page import percent

if TYPE_CHECKING:
    import pandas as pd

NO_INTERVAL = f"With fewer than {FEWEST_PERSONS} of them there is none, nor where nothing varies, as for an AUROC of 1."
_SURE = 1.96  # of a standard normal: beyond chance at 5 %


def verdict(evaluation: Evaluation, corruptions: pd.DataFrame | None = None) -> list[str]:
    """Summarise in three sentences how good the model is, where it fails, and how far to trust its confidence."""
    return [_how_good(evaluation), _where_it_fails(evaluation, corruptions), _how_sure(evaluation)]


def limits(evaluation: Evaluation, corruptions: pd.DataFrame | None = None) -> list[str]:
    """List what a reader must not conclude, most important first."""
    found = []
    if evaluation.trained_on:
        found.append("The model was trained on these very images: nothing here says how good it is on others.")
    found += evaluation.remarks
    found.append(
        "The label is perceived gender in two classes, as annotators saw it in a picture. It is not how the persons "
        "describe themselves, and the numbers must not be used to decide about a person."
    )
    found.append(
        f"The numbers hold for pictures like these ({evaluation.data}, {evaluation.split} split). Other cameras, "
        "countries or framings can change all of them."
    )
    there = [slice_ for slice_ in evaluation.slices if slice_.images]
    if small := sum(slice_.small for slice_ in there):
        found.append(
            f"{small} of {count(len(there), 'slice')} {'is' if small == 1 else 'are'} too small to judge, listed and "
            "marked."
        )
    if evaluation.slices:
        found.append("A slice shows where the model errs, not why: its images can differ from the rest in other ways.")
    if corruptions is not None:
        found.append(
            "Corruptions are simulated; mask and sunglasses are drawn where an aligned face has mouth and eyes, and "
            "frost is drawn rather than photographed."
        )
    return found


def with_interval(measure: Measure, digits: int = 1) -> str:
    """Format a measure with its interval: ``94.3 % (92.9 to 95.5)``."""
    if math.isnan(measure.value):
        return percent(math.nan)
    if math.isnan(measure.low):
        return percent(measure.value, digits)
    return f"{percent(measure.value, digits)} ({100 * measure.low:.{digits}f} to {100 * measure.high:.{digits}f})"


def _how_good(evaluation: Evaluation) -> str:
    metrics = evaluation.metrics
    whom = f" of {evaluation.persons:,} persons" if evaluation.persons else ""
    male, female = (metrics[f"recall_{name}"].value for name in ("male", "female"))
    split = {"valid": "validation", "train": "training"}.get(evaluation.split, evaluation.split)
    text = f"It gets {with_interval(metrics['accuracy'])} of {evaluation.images:,} {split} images{whom} right"
    if math.isnan(male) or math.isnan(female):
        return text + "."
    return f"{text}: {percent(male)} of the men and {percent(female)} of the women."


def _where_it_fails(evaluation: Evaluation, corruptions: pd.DataFrame | None) -> str:
    parts = [_on_whom(evaluation)]
    if corruptions is not None and (corruptions["severity"] > 0).any():
        accuracies = corruptions[corruptions["severity"] > 0].groupby("corruption")["accuracy"].mean()
        name = str(accuracies.idxmin()).replace("_", " ")
        parts.append(f"of all corruptions {name} hurts most ({percent(float(accuracies.min()))} right on average)")
    text = "; ".join(parts)
    return text[0].upper() + text[1:] + "."


def _on_whom(evaluation: Evaluation) -> str:
    """The subgroup that it does worst on, and before it the class where that fares worse: the headline has said so."""
    classes = _between_classes(evaluation)
    if evaluation.worst_slice is None:
        if not any(found.images for found in evaluation.slices):
            return f"{classes}; these data have no subgroups to look at"
        people = f" of {FEWEST_PERSONS} persons" if evaluation.persons else ""
        return f"{classes}; no subgroup has the {FEWEST_IMAGES} images{people} that it takes to judge one"
    worst = evaluation.slice(evaluation.worst_slice.name)
    sure = evaluation.worst_slice.significant
    judged = sum(not found.small for found in evaluation.slices)
    lowest = f", which may be chance in the lowest of {judged}"
    where, chance = ("worst, beyond chance, on", "") if sure else ("worst on", lowest)
    text = (
        f"it does {where} {worst.words}, {percent(worst.accuracy.value)} of {worst.images:,} images against "
        f"{percent(worst.rest_accuracy)} of {worst.rest_words}{chance}"
    )
    if any(evaluation.metrics[name].value < worst.accuracy.value for name in ("recall_male", "recall_female")):
        return f"{classes}; of the subgroups {text}"
    return text


def _between_classes(evaluation: Evaluation) -> str:
    """Which class it fails on more often, and whether that is beyond chance."""
    male, female = (evaluation.metrics[f"recall_{name}"].value for name in ("male", "female"))
    if math.isnan(male) or math.isnan(female):
        there, absent = ("men", "women") if math.isnan(female) else ("women", "men")
        return f"all images are of {there}, so that nothing is known of {absent}"
    if male == female:
        return "it fails on men and women equally often"
    sure = evaluation.fairness is not None and evaluation.fairness.recall_gap.shown
    chance = "beyond chance" if sure else "which may be chance"
    return f"it fails more often on {'men' if male < female else 'women'}, {chance}"


def _how_sure(evaluation: Evaluation) -> str:
    calibration = evaluation.calibration
    ece = calibration.ece.value
    if math.isnan(ece):
        return "How far its confidence can be trusted is not known."
    return (
        f"Its probabilities are off by {100 * ece:.1f} points on average, {explained_by_chance(evaluation)}; "
        f"{_abstaining(evaluation)}."
    )


def explained_by_chance(evaluation: Evaluation) -> str:
    """Whether chance alone would make the calibration error as large."""
    if (evaluation.persons or evaluation.images) < FEWEST_PERSONS:
        return "which so few persons cannot tell from chance" if evaluation.persons else "which may be chance"
    found = evaluation.calibration
    more = found.ece.value > found.ece_by_chance_high
    text = f"{'more' if more else 'no more'} than chance explains"
    if not abs(found.scale_z) > _SURE:  # nor where it is nan
        return text
    side = "too sure of itself" if found.scale_z > 0 else "less sure than it may be"
    return f"{text}, {'and' if more else 'but'} the model is {side} throughout, beyond chance"


def _abstaining(evaluation: Evaluation) -> str:
    """What abstaining gives, by a confidence that was not chosen on these images."""
    if not evaluation.selective.guaranteed:
        return "there are no predictions on valid to choose a confidence for abstaining on"
    chosen = evaluation.selective.best_chosen
    if chosen is None:
        return "valid has too few persons, or the model too many errors, to choose a confidence for abstaining"
    wanted = percent(chosen.target_accuracy, 1 if chosen.target_accuracy * 100 % 1 else 0)
    text = f"if it abstains below the confidence that was chosen on valid for {wanted} right, it decides "
    if not chosen.coverage > 0:
        return text + "none of these images"
    return (
        text + f"{percent(chosen.coverage, 0)} of the images and gets {with_interval(chosen.accuracy)} of those right"
    )
