"""All numbers of one evaluation, as one frozen record: what reports, comparisons and dashboards read.

`evaluation.json` holds it whole; `metrics.json` holds `Evaluation.flat`, one number per name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from gender_lightning.errors import UserError
from gender_lightning.evaluation.chosen_knee import ChosenKnee
from gender_lightning.evaluation.measure import Measure, Number
from gender_lightning.evaluation.subgroups.fairness import Fairness
from gender_lightning.evaluation.subgroups.group_words import in_words, rest_in_words

if TYPE_CHECKING:
    import pandas as pd

Group = Literal["lighting", "expression", "pose", "likeness", "other"]
GROUPS: tuple[Group, ...] = ("lighting", "expression", "pose", "likeness", "other")
TableName = Literal["metrics", "slices", "fairness", "suspects", "corruptions"]
FORMAT = 1


@dataclass(frozen=True)
class Bin:
    """One bar of a reliability diagram.

    Attributes:
        images: Number of images, about the same in every bin.
        predicted: Mean probability of male.
        observed: Share of males.
        low: Lower end of the interval of `observed` over persons; nan with fewer than ten of them.
        high: Upper end.
    """

    images: int
    predicted: Number
    observed: Number
    low: Number
    high: Number


@dataclass(frozen=True)
class Calibration:
    """Whether probabilities mean what they say; "uncalibrated" is without the temperature.

    Attributes:
        temperature: The checkpoint's, fitted on valid.
        threshold: The checkpoint's, chosen on valid.
        ece: Expected calibration error over `bins`, in [0, 1].
        ece_uncalibrated: The same without the temperature.
        ece_by_chance: Mean ECE of a perfectly calibrated model on such persons: an `ece` of about this size
            is no evidence of miscalibration.
        ece_by_chance_high: What such a model exceeds in one of twenty splits.
        brier: Mean squared error of the probability.
        brier_uncalibrated: The same without the temperature.
        loss: Mean log-loss, nats.
        loss_uncalibrated: The same without the temperature.
        bins: Bins of equal mass, by rising probability.
        bins_uncalibrated: The same without the temperature.
        scale_z: Standard normal if the logits are scaled rightly, positive if the model is too sure of itself; nan in
            evaluations of earlier versions.
    """

    temperature: float
    threshold: float
    ece: Measure
    ece_uncalibrated: Measure
    ece_by_chance: Number
    ece_by_chance_high: Number
    brier: Measure
    brier_uncalibrated: Measure
    loss: Measure
    loss_uncalibrated: Measure
    bins: list[Bin]
    bins_uncalibrated: list[Bin]
    scale_z: Number = math.nan


@dataclass(frozen=True)
class AttainableCoverage:
    """The most images that can be decided at an accuracy, found on the split itself: what would be possible.

    Attributes:
        accuracy: The accuracy that is wanted.
        min_confidence: Decide from here on; nan where no confidence reaches the accuracy.
        coverage: Share of the images that are decided.
        coverage_male: Share of the males.
        coverage_female: Share of the females.
    """

    accuracy: float
    min_confidence: Number
    coverage: Number
    coverage_male: Number
    coverage_female: Number


@dataclass(frozen=True)
class ChosenAbstention:
    """A confidence that was chosen on valid with a guarantee, and what it does on this split.

    Attributes:
        target_accuracy: The accuracy that is wanted of what is decided.
        error_rate: Chance that the guarantee fails, over the persons of valid.
        min_confidence: Decide from here on; nan where valid gives no guarantee.
        valid_images: Number of images that it was chosen on.
        valid_coverage: Share of those that are decided.
        coverage: Share of this split that is decided; nan, as the following, where there is no guarantee.
        coverage_male: Share of its males.
        coverage_female: Share of its females.
        accuracy: Accuracy on what is decided of this split.
        holds: Whether the guarantee is about images like these: those of valid's own data, which it was not chosen on.
    """

    target_accuracy: float
    error_rate: float
    min_confidence: Number
    valid_images: int
    valid_coverage: Number
    coverage: Number
    coverage_male: Number
    coverage_female: Number
    accuracy: Measure
    holds: bool = True

    @property
    def exists(self) -> bool:
        """Whether valid gives a confidence at all."""
        return not math.isnan(self.min_confidence)


@dataclass(frozen=True)
class Selective:
    """How the model does when it may abstain.

    Attributes:
        aurc: Area under risk over coverage, the less the better.
        aurc_of_oracle: The same area for these decisions in the best order.
        coverage: (P,) coverages of the risk-coverage curve, at most a few hundred points.
        risk: (P,) error rates.
        min_confidence: (P,) confidences.
        reached: What would be possible at 99 and at 99.5 % accuracy.
        guaranteed: What was chosen on valid for several accuracies; empty without predictions on valid.
        knee: What `min_confidence=auto` does; None without predictions on valid, and in earlier versions.
    """

    aurc: Number
    aurc_of_oracle: Number
    coverage: list[float]
    risk: list[float]
    min_confidence: list[float]
    reached: list[AttainableCoverage]
    guaranteed: list[ChosenAbstention]
    knee: ChosenKnee | None = None

    @property
    def best_chosen(self) -> ChosenAbstention | None:
        """The highest accuracy for which valid gives a confidence."""
        return next((chosen for chosen in reversed(self.guaranteed) if chosen.exists), None)


@dataclass(frozen=True)
class Slice:
    """A subgroup of the split; decisions at 0.5.

    Attributes:
        name: Name of the slice, such as `Eyeglasses=1`, `dark`, `male Wearing_Lipstick=1`.
        group: The heading that it stands under.
        rule: What belongs to it, in words or as a comparison with its number.
        rest: What it is compared with: `other images`, `other males` or `other females`.
        images: Number of images.
        persons: Number of identities; of images where they are unknown.
        males: Number of images of males.
        small: Whether it has too few images or persons to judge.
        accuracy: Accuracy with its interval over persons as low and high (`statistics.proportions`).
        recall_male: The same of its males.
        recall_female: The same of its females.
        rest_accuracy: Accuracy of the rest.
        difference: `accuracy` minus `rest_accuracy`, with an interval over persons.
        p: P of no difference; nan where there are too few persons for a test.
        p_holm: The same, adjusted for all tests of the table.
        rest_small: Whether the rest has too few images or persons to be compared with.
    """

    name: str
    group: Group
    rule: str
    rest: str
    images: int
    persons: int
    males: int
    small: bool
    accuracy: Measure
    recall_male: Measure
    recall_female: Measure
    rest_accuracy: Number
    difference: Measure
    p: Number
    p_holm: Number
    rest_small: bool = False

    @property
    def words(self) -> str:
        """The name in English: "women without heavy make-up"."""
        return in_words(self.name)

    @property
    def rest_words(self) -> str:
        """`rest` in English: "other women"."""
        return rest_in_words(self.rest)


@dataclass(frozen=True)
class Worst:
    """The slice with the lowest accuracy of those that are not small.

    Attributes:
        name: The slice's name.
        significant: Whether it is worse than its rest beyond chance (Holm, 5 %). Slices that are come first.
    """

    name: str
    significant: bool


@dataclass(frozen=True)
class TrainingData:
    """What is known of the data that the model learned from.

    Attributes:
        images: Number of training images.
        males: Number of those of males.
        persons: Number of identities; None where they are unknown.
        fingerprint: SHA-256 of all splits' image names, labels and splits, in hexadecimal.
    """

    images: int
    males: int
    persons: int | None
    fingerprint: str


@dataclass(frozen=True)
class Evaluation:
    """One model on one split of one data set.

    Attributes:
        checkpoint: The checkpoint as the user typed it.
        run: Name of its run; empty outside of a run.
        data: `celeba`, `folder` or `synthetic`.
        split: `train`, `valid` or `test`.
        trained_on: Whether the model learned from these images: then nothing here says how good it is.
        images: Number of images.
        males: Number of those of males.
        persons: Number of identities; None where they are unknown, so that images were resampled.
        level: Coverage of the intervals, 0.95.
        resamples: Number of resamples of the bootstrap.
        seed: Seed of the bootstrap.
        model: `backbone`, `image_size`, `parameters`, `test_time_flip`, `test_time_zooms`,
            `threshold_rule`.
        metrics: Decided at 0.5: accuracy, balanced_accuracy, recall_male, recall_female, precision_male,
            precision_female, f1 (of male), mcc; and auroc, average_precision.
        metrics_at_threshold: The first eight, decided at the threshold chosen on valid.
        calibration: Whether probabilities mean what they say.
        selective: What abstaining gives.
        slices: Subgroups by heading, then by name; both values of an attribute.
        worst_slice: None where all slices are small.
        suspects: Number of labels that the model confidently contradicts.
        remarks: Sentences a reader must know, such as that identities were not known.
        further: Numbers of other parts of an evaluation, such as `mean_corruption_error`; they go into
            `metrics.json` too.
        fairness: Gaps between groups; None in evaluations of earlier versions.
        training_data: What the model learned from; None where it is not known.
        path: The folder with the report, the tables and the figures; None for one that was read back.
    """

    checkpoint: str
    run: str
    data: str
    split: Literal["train", "valid", "test"]
    trained_on: bool
    images: int
    males: int
    persons: int | None
    level: float
    resamples: int
    seed: int
    model: dict[str, Any]
    metrics: dict[str, Measure]
    metrics_at_threshold: dict[str, Measure]
    calibration: Calibration
    selective: Selective
    slices: list[Slice]
    worst_slice: Worst | None
    suspects: int
    remarks: list[str] = field(default_factory=list)
    further: dict[str, float] = field(default_factory=dict)
    fairness: Fairness | None = None
    training_data: TrainingData | None = None
    format: int = FORMAT
    path: Annotated[Path | None, Field(exclude=True)] = field(default=None, compare=False)

    @property
    def prefix(self) -> str:
        """First part of the names in `metrics.json`: `val`, `test` or `train`."""
        return "val" if self.split == "valid" else self.split

    def slice(self, name: str) -> Slice:
        """The slice of this name."""
        return next(found for found in self.slices if found.name == name)

    def table(self, name: TableName = "metrics") -> pd.DataFrame:
        """One of the tables.

        Args:
            name: `metrics`, with their intervals; `slices` and `fairness`, as in the files of these names; `suspects`
                and `corruptions`, which are read from the files.

        Raises:
            UserError: There is no such table in this evaluation.
        """
        from gender_lightning.evaluation.result_tables import table_of

        return table_of(self, name)

    def _repr_html_(self) -> str:
        from gender_lightning.evaluation.result_tables import html_of

        return html_of(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON takes them: what is not a number is None."""
        content: dict[str, Any] = json.loads(_adapter().dump_json(self))
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Evaluation:
        """Read what `to_dict` gave.

        Raises:
            UserError: It is something else, or of another version.
        """
        try:
            return _adapter().validate_python({**content, "path": None})
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise UserError(
                f"This is not an evaluation that this version can read ({place}: {first['msg']}).",
                "Run gender-lightning evaluate again to write a new one.",
            ) from error

    def flat(self) -> dict[str, float | None]:
        """One number per name, for `metrics.json` and dashboards; None where it is not defined.

        `test/accuracy` with the ends of its interval, `test/accuracy_low` and `test/accuracy_high`;
        `test/accuracy_at_threshold`; calibration, selective prediction and fairness; `further`.
        """
        numbers: dict[str, float] = {}
        for name, measure in (self.metrics | _losses(self.calibration)).items():
            numbers |= {name: measure.value, f"{name}_low": measure.low, f"{name}_high": measure.high}
        numbers |= {f"{name}_at_threshold": measure.value for name, measure in self.metrics_at_threshold.items()}
        numbers |= {"threshold": self.calibration.threshold, "temperature": self.calibration.temperature}
        numbers |= {"ece_by_chance": self.calibration.ece_by_chance, "aurc": self.selective.aurc}
        numbers |= {f"coverage_at_accuracy_{point.accuracy:g}": point.coverage for point in self.selective.reached}
        worst = self.slice(self.worst_slice.name).accuracy.value if self.worst_slice else math.nan
        numbers |= {"worst_slice_accuracy": worst, "suspects": self.suspects, "images": self.images}
        numbers |= {} if self.fairness is None else _fairness_numbers(self.fairness)
        numbers |= self.further
        return {f"{self.prefix}/{name}": None if math.isnan(value) else value for name, value in numbers.items()}


def _losses(calibration: Calibration) -> dict[str, Measure]:
    names = ("loss", "loss_uncalibrated", "brier", "brier_uncalibrated", "ece", "ece_uncalibrated")
    return {name: getattr(calibration, name) for name in names}


def _fairness_numbers(fairness: Fairness) -> dict[str, float]:
    gap, largest, worst = fairness.recall_gap, fairness.largest, fairness.worst_group
    numbers = {"recall_gap": gap.value, "recall_gap_low": gap.low, "recall_gap_high": gap.high}
    numbers |= {f"{name}_per_person": measure.value for name, measure in fairness.per_person.items()}
    numbers["equalized_odds_difference"] = largest.equalized_odds.value if largest else math.nan
    numbers["worst_attribute_group_accuracy"] = worst.accuracy.value if worst else math.nan
    judged = [group.accuracy.value for group in fairness.groups if group.judged]
    numbers["worst_intersection_accuracy"] = min(judged, default=math.nan)
    return numbers


@cache
def _adapter() -> TypeAdapter[Evaluation]:
    return TypeAdapter(Evaluation)
