"""The images that people review, their answers, and the estimated rate of wrong labels.

All suspected images are looked at, and a random sample of the others, in random order and without a sign of which is
which: who knows what is suspected finds it. Since the order is random, a review that stops early is a smaller random
sample of both kinds.
"""

from __future__ import annotations

import csv
import io
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from gender_lightning import csv_text
from gender_lightning.audit.findings import Doubt
from gender_lightning.audit.labels import text_of
from gender_lightning.data.rows.revising import UNSURE, VERDICTS, WRONG, read_corrections
from gender_lightning.data.sources.annotations import CLASS_NAMES, Index
from gender_lightning.durable import writing
from gender_lightning.errors import UserError
from gender_lightning.evaluation.statistics.proportions import LEVEL, NOWHERE, Interval
from gender_lightning.plain_files import read_json

COLUMNS = ("image_id", "label", "verdict", "time")


@dataclass(frozen=True)
class ReviewItem:
    """An image to look at.

    Attributes:
        image_id: Name of the image in the data set.
        label: 0 or 1, as the data set has it.
        reason: Why it is suspected; empty where nothing is.
    """

    image_id: str
    label: int
    reason: str = ""


@dataclass(frozen=True)
class ReviewAnswer:
    """A verdict of `VERDICTS`, and when it was given (ISO 8601)."""

    verdict: str
    time: str


@dataclass(frozen=True)
class ErrorRate:
    """A share of the images of a data set, estimated from those that were looked at.

    Attributes:
        value: nan where no image of one kind was looked at.
        interval: 95 %, over the choice of the images; nowhere where there is no value.
    """

    value: float
    interval: Interval


def read_audit(path: Path) -> tuple[dict[str, Any], list[Doubt]]:
    """The data section and the suspected images of an `audit.json`.

    Raises:
        UserError: It is missing, damaged, or something else.
    """
    content = read_json(path)
    review = content.get("review") if isinstance(content, dict) else None
    section = content.get("data") if isinstance(content, dict) else None
    if not isinstance(review, list) or not isinstance(section, dict) or not all(map(_is_doubt, review)):
        raise UserError(f"{path} is not the record of an audit.", "Make it with gender-lightning data audit.")
    return section, [Doubt(one["image_id"], one["reason"]) for one in review]


def _is_doubt(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name), str) for name in ("image_id", "reason"))


def queue(index: Index, doubts: Sequence[Doubt], sample: int, seed: int) -> list[ReviewItem]:
    """All suspected images in the data and a random sample of the others, in one random order.

    Args:
        index: The data.
        doubts: Suspected images of the audit.
        sample: Number of unsuspected images.
        seed: The same one gives the same queue, so that a review continues.
    """
    reasons = {doubt.image_id.encode(): doubt.reason for doubt in doubts}
    suspected = np.isin(index.image_ids, np.array(sorted(reasons), dtype=np.bytes_)) if reasons else None
    suspected = np.zeros(len(index), dtype=np.bool_) if suspected is None else suspected
    generator = np.random.default_rng(seed)
    others = generator.permutation(np.flatnonzero(~suspected))[:sample]
    rows = generator.permutation(np.concatenate([np.flatnonzero(suspected), others]))
    return [
        ReviewItem(text_of(name := bytes(index.image_ids[row])), int(index.labels[row]), reasons.get(name, ""))
        for row in rows.tolist()
    ]


def read_answers(path: Path) -> dict[str, ReviewAnswer]:
    """The answers given so far; empty if there is no file yet.

    Raises:
        UserError: The file is malformed.
    """
    if not path.is_file():
        return {}
    read_corrections(path)  # refuses what is malformed, by row
    with path.open(encoding="utf-8", newline="") as file:
        return {
            csv_text.text_of(row["image_id"]): ReviewAnswer(row["verdict"], row.get("time") or "")
            for row in csv.DictReader(file)
        }


def write_answers(path: Path, items: Sequence[ReviewItem], answers: Mapping[str, ReviewAnswer]) -> None:
    """Write `corrections.csv`, in the order of the answers; those on images of an earlier queue are kept."""
    labels = {item.image_id: CLASS_NAMES[item.label] for item in items}
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for image_id, answer in answers.items():
        writer.writerow([csv_text.cell(image_id), labels.get(image_id, ""), answer.verdict, answer.time])
    with writing(path) as file:
        file.write(text.getvalue())


def estimate(
    items: Sequence[ReviewItem], answers: Mapping[str, ReviewAnswer], images: int, verdict: str = WRONG
) -> ErrorRate:
    """Estimate the share of all images to which a reviewer would give this verdict.

    Suspected and unsuspected images are two strata; in each the number is hypergeometric, whose exact interval is
    nothing once all were looked at. The two intervals are combined by MOVER (Zou and Donner 2008).

    Args:
        items: Result of `queue`.
        answers: The answer to each image.
        images: Number of images of the data set, including those outside the queue.
        verdict: `wrong`, or `cannot tell`.
    """
    assert verdict in (WRONG, UNSURE)
    suspected = [item for item in items if item.reason]
    strata = ((suspected, len(suspected)), ([item for item in items if not item.reason], images - len(suspected)))
    value, below, above = 0.0, 0.0, 0.0
    for part, size in strata:
        if not size:
            continue
        said = [answers[item.image_id].verdict for item in part if item.image_id in answers]
        if not said:
            return ErrorRate(math.nan, NOWHERE)
        hits, weight, share = said.count(verdict), size / images, said.count(verdict) / len(said)
        low, high = hypergeometric(hits, len(said), size)
        value += weight * share
        below += (weight * (share - low)) ** 2
        above += (weight * (high - share)) ** 2
    return ErrorRate(value, Interval(max(0.0, value - math.sqrt(below)), min(1.0, value + math.sqrt(above))))


def hypergeometric(hits: int, sample: int, size: int, level: float = LEVEL) -> Interval:
    """Exact interval of the share of hits in a finite population, from a random sample of it without replacement.

    Args:
        hits: Number of hits in the sample.
        sample: Its size, at least 1.
        size: Size of the population.
        level: Coverage that it has at least.
    """
    tail = (1 - level) / 2
    possible = range(hits, size - sample + hits + 1)  # hits that the population can hold
    # so many or more in the sample are the more likely, and so many or fewer the less likely, the more it holds
    low = bisect_left(possible, True, key=lambda held: bool(stats.hypergeom.sf(hits - 1, size, held, sample) > tail))
    high = bisect_left(possible, True, key=lambda held: bool(stats.hypergeom.cdf(hits, size, held, sample) <= tail))
    return Interval(possible[low] / size, possible[high - 1] / size)


def summary(items: Sequence[ReviewItem], answers: Mapping[str, ReviewAnswer], images: int) -> str:
    """What the review says of the data set so far."""
    done = [item for item in items if item.image_id in answers]
    counts = ", ".join(
        f"{sum(answers[item.image_id].verdict == verdict for item in done):,} {verdict}" for verdict in VERDICTS
    )
    head = f"{len(done):,} of {len(items):,} images looked at: {counts}."
    wrong, unsure = (estimate(items, answers, images, verdict) for verdict in (WRONG, UNSURE))
    if math.isnan(wrong.value):
        return f"{head} The rate of wrong labels can be estimated once images of both kinds were looked at."
    return (
        f"{head} Estimated for all {images:,} images: {_percent(wrong)} of the labels are wrong in the eyes of this "
        f"reviewer, who cannot tell of {_percent(unsure)}. The intervals (95 %) are over the choice of the images; "
        "that reviewers differ and err is not in them."
    )


def _percent(rate: ErrorRate) -> str:
    low, high = rate.interval
    return f"{100 * rate.value:.2f} % ({100 * low:.2f} to {100 * high:.2f})"
