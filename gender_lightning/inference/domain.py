"""What a checkpoint remembers of its valid split, and whether a crowd of faces is of the same kind.

A face is described by its score (logit over temperature, the size of that, and the doubt) and by its features: the
first principal components of what the head receives, within the classes, and how much of the features lies outside of
them. The checkpoint keeps means and covariances of these over the persons of valid, from which no face can be told.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gender_lightning.errors import UserError
from gender_lightning.evaluation.knee import Knee, find_knee
from gender_lightning.evaluation.metric_list import sigmoid
from gender_lightning.evaluation.selective import choose_abstention, confidence
from gender_lightning.evaluation.statistics.proportions import Floats
from gender_lightning.evaluation.statistics.shift import FEWEST_PERSONS, ClassMoments, Shift, shift_of
from gender_lightning.models.checkpoints.checkpoint import Answer, Network
from gender_lightning.models.checkpoints.memory import read_valid
from gender_lightning.models.features import observed

TARGETS = (0.95, 0.98, 0.99, 0.995)  # accuracies of which a checkpoint keeps the confidences
FEWEST_FACES = 30  # of which something is said
ALARM = 0.01  # p value from which on faces are called different
LEAST_DISTANCE = 0.5  # in standard deviations of a face: less is not worth a word, however sure it is
_COMPONENTS = 8
_PERSONS_PER_COMPONENT = 10
_LARGEST_LOGIT = 10.0
_QUANTILES = 201
_ITERATIONS = 20  # of which each takes half a second for 3,000 images of 4,096 features
_SCORES = 3  # numbers that describe a face's score
_TINY = 1e-12


@dataclass(frozen=True)
class Domain:
    """The memory of valid.

    Attributes:
        temperature: The checkpoint's when this was made.
        threshold: Likewise.
        centre: float64 (C,), mean features.
        axes: float64 (C, K), principal axes, over the standard deviations along them.
        moments: Moments of the described faces.
        confidences: (201,), quantiles of the confidence on valid, images alike.
        knee: `min_confidence=auto`.
        cuts: Confidence and coverage for each accuracy that valid can guarantee.
    """

    temperature: float
    threshold: float
    centre: Floats
    axes: Floats
    moments: ClassMoments
    confidences: Floats
    knee: Knee
    cuts: dict[float, tuple[float, float]]

    @classmethod
    def of(
        cls,
        labels: NDArray[Any],
        logits: NDArray[Any],
        clusters: NDArray[np.int64],
        rows: NDArray[np.int64],
        features: NDArray[np.float32],
        *,
        temperature: float,
        threshold: float,
    ) -> Domain | None:
        """Remember valid.

        Args:
            labels: (N,), 1 male, 0 female.
            logits: (N,), of male.
            clusters: (N,), which images are of one person, as from `clusters_of`.
            rows: (M,), the images whose features are known.
            features: float32 (M, C).
            temperature: The checkpoint's.
            threshold: The checkpoint's.

        Returns:
            None if `describable` is false.
        """
        if not describable(labels, clusters, rows):
            return None
        male, who = labels[rows] == 1, np.unique(clusters[rows], return_inverse=True)[1]
        weight = 1.0 / np.bincount(who)[who]
        centre, axes = _principal_axes(features.astype(np.float64), male, weight / weight.sum(), int(who.max()) + 1)
        moments = ClassMoments.of(_described(logits[rows], features, temperature, centre, axes), male, who)
        assert moments is not None
        sure = confidence(sigmoid(logits.astype(np.float64) / temperature), threshold)
        chosen = [
            choose_abstention(labels, logits, temperature, target, clusters=clusters, threshold=threshold)
            for target in TARGETS
        ]
        return cls(
            temperature,
            threshold,
            centre,
            axes,
            moments,
            np.quantile(sure, np.linspace(0, 1, _QUANTILES)),
            find_knee(labels, logits, temperature, clusters=clusters, threshold=threshold),
            {a.target_accuracy: (a.min_confidence, a.coverage) for a in chosen if a.min_confidence is not None},
        )

    def describe(self, logits: Tensor, features: Tensor) -> Floats:
        """Numbers (B, 3 + K + 1) of faces, from their logits (B,) and features (B, C)."""
        return _described(logits.cpu().numpy(), features.cpu().numpy(), self.temperature, self.centre, self.axes)

    def coverage(self, least: float) -> float:
        """Share of valid that is decided from a confidence on, in 0..1."""
        return 1.0 if least <= 0 else float(1 - np.interp(least, self.confidences, np.linspace(0, 1, _QUANTILES)))

    def compare(self, seen: FaceTotals, persons: float | None = None) -> DomainShift | None:
        """Whether faces are of valid's kind; None of fewer than 30.

        Args:
            seen: The faces.
            persons: How many persons of equal weight they are worth, where these are known.
        """
        if seen.faces < FEWEST_FACES or not len(seen.sums):
            return None
        parts = (slice(0, _SCORES), slice(_SCORES, len(seen.sums)))
        scores, features = (
            shift_of(seen.sums[part] / seen.faces, seen.faces, self.moments.of_columns(part), persons) for part in parts
        )
        return DomainShift(seen.faces, scores, features)

    def to_dict(self) -> dict[str, Any]:
        """Tensors and scalars, as a checkpoint keeps them."""
        moments, knee = self.moments, self.knee
        return {
            "temperature": self.temperature,
            "threshold": self.threshold,
            "centre": torch.from_numpy(self.centre).float(),
            "axes": torch.from_numpy(self.axes).float(),
            "means": torch.from_numpy(moments.means),
            "faces": torch.from_numpy(moments.faces),
            "persons": torch.from_numpy(moments.persons),
            "number": torch.from_numpy(moments.number),
            "confidences": torch.from_numpy(self.confidences),
            "knee": [knee.min_confidence, knee.coverage, knee.risk, knee.risk_of_all],
            "curve": torch.from_numpy(knee.curve),
            "cuts": [[target, *cut] for target, cut in self.cuts.items()],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Domain | None:
        """Read what `to_dict` gave; None if it is anything else, as of another version or damaged."""
        try:
            arrays = {
                name: content[name].double().numpy()
                for name in ("centre", "axes", "means", "faces", "persons", "number", "confidences", "curve")
            }
            numbers = [float(content[name]) for name in ("temperature", "threshold")]
            knee = [float(value) for value in content["knee"]]
            cuts = {float(target): (float(least), float(share)) for target, least, share in content["cuts"]}
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError):
            return None
        described, channels = arrays["means"].shape[-1], arrays["centre"].size
        shapes = {
            "centre": (channels,), "axes": (channels, described - _SCORES - 1), "means": (2, described),
            "faces": (2, described, described), "persons": (2, described, described), "number": (2,),
            "confidences": (_QUANTILES,),
        }  # fmt: skip
        wrong = any(arrays[name].shape != shape for name, shape in shapes.items())
        finite = all(np.isfinite(array).all() for array in arrays.values()) and all(map(math.isfinite, numbers))
        if wrong or not finite or len(knee) != 4 or min(numbers[0], float(arrays["number"].min())) <= 0:
            return None
        moments = ClassMoments(arrays["means"], arrays["faces"], arrays["persons"], arrays["number"].astype(np.int64))
        found = Knee(knee[0], knee[1], knee[2], knee[3], arrays["curve"])
        temperature, threshold = numbers
        return cls(
            temperature, threshold, arrays["centre"], arrays["axes"], moments, arrays["confidences"], found, cuts
        )


def describable(labels: NDArray[Any], clusters: NDArray[np.int64], rows: NDArray[np.int64]) -> bool:
    """Whether images are of enough persons, ten of each class, to know how persons differ; see `Domain.of`."""
    return all(len(np.unique(clusters[rows][labels[rows] == one])) >= FEWEST_PERSONS for one in (0, 1))


class FaceTotals:
    """Sums over the faces that were looked at so far; threads may share one.

    Attributes:
        faces: Number of faces.
        decided: Number of those that got a label.
        sums: float64 (D,), of what was described of them; empty without a `Domain`.
    """

    def __init__(self) -> None:
        self.faces = 0
        self.decided = 0
        self.sums: Floats = np.zeros(0)
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Without the lock, which a process cannot send to another."""
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())

    def take(self, decided: int, faces: int) -> None:
        """Add faces: how many got a label, and how many there are."""
        with self._lock:
            self.decided += decided
            self.faces += faces

    def describe(self, described: Floats | None) -> None:
        """Add what was described of faces (B, D); None if nothing was."""
        if described is not None and len(described):
            with self._lock:
                self.sums = described.sum(axis=0) + (self.sums if len(self.sums) else 0.0)


@dataclass(frozen=True)
class DomainShift:
    """How a crowd of faces differs from valid.

    Attributes:
        faces: Number of faces.
        scores: What is said of them.
        features: What the network's head receives of them.
    """

    faces: int
    scores: Shift
    features: Shift

    @property
    def p(self) -> float:
        """Probability of such faces by chance, of both tests together (Bonferroni)."""
        return min(1.0, 2 * min(self.scores.p, self.features.p))

    @property
    def alarm(self) -> bool:
        """Whether the faces are of another kind: beyond chance, and by enough to matter."""
        return bool(self.parts)

    @property
    def parts(self) -> list[str]:
        """What differs: `scores`, `features`."""
        both = (("scores", self.scores), ("features", self.features))
        return [name for name, one in both if 2 * one.p < ALARM and one.distance >= LEAST_DISTANCE]

    @property
    def text(self) -> str:
        """A sentence where there is an alarm, else nothing."""
        if not self.alarm:
            return ""
        by = max(self.scores.distance, self.features.distance)
        chance = "p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}"
        return (
            f"These faces are of another kind than the run's valid split: their {' and '.join(self.parts)} differ by "
            f"{by:.1f} standard deviations ({chance}). What was measured there does not hold for them."
        )


def domain_of(checkpoint: Path) -> Domain | None:
    """What a checkpoint, or the best one of a run directory, remembers of valid; None if it remembers nothing."""
    try:
        return Domain.from_dict(read_valid(checkpoint))
    except UserError:  # told where the weights are read
        return None


def answers_of(network: Network, images: Tensor, domain: Domain | None) -> tuple[list[Answer], Floats | None]:
    """What a network says about images, uint8 (B, 3, S, S), and the faces as `Domain.describe` does."""
    if domain is None or not len(images):
        return network.answers(images), None
    with observed(network.net) as features:
        logits = network(images).float()
        described = domain.describe(logits, features.take())
    return list(map(Answer, torch.sigmoid(logits / network.spec.temperature).cpu().tolist())), described


def _described(
    logits: NDArray[Any], features: NDArray[Any], temperature: float, centre: Floats, axes: Floats
) -> Floats:
    scaled = np.clip(np.asarray(logits, dtype=np.float64) / temperature, -_LARGEST_LOGIT, _LARGEST_LOGIT)
    scores = np.stack([scaled, np.abs(scaled), 1 / (1 + np.exp(np.abs(scaled)))], axis=1)
    rest = np.asarray(features, dtype=np.float64) - centre
    along = rest @ axes
    # the axes are orthogonal, but no longer of length 1
    within = (along / np.maximum(np.linalg.norm(axes, axis=0), _TINY)) ** 2
    outside = np.log(np.maximum((rest**2).sum(axis=1) - within.sum(axis=1), 1e-6 * (rest**2).sum(axis=1) + _TINY))
    described: Floats = np.column_stack([scores, along, outside])
    return described


def _principal_axes(features: Floats, male: NDArray[np.bool_], weight: Floats, persons: int) -> tuple[Floats, Floats]:
    """Centre (C,) and axes (C, K) of features (N, C) within their classes, weighted (N,).

    By orthogonal iteration, since a decomposition of some thousand channels takes a minute for its first few axes.
    """
    rest = features.copy()
    for members in (male, ~male):
        rest[members] -= np.average(features[members], axis=0, weights=weight[members])
    rest *= np.sqrt(weight)[:, None]
    number = max(1, min(_COMPONENTS, persons // _PERSONS_PER_COMPONENT, *features.shape))
    width = min(2 * number, *features.shape)
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(features.shape[1], width)))[0]
    for _ in range(_ITERATIONS):
        basis = np.linalg.qr(rest.T @ (rest @ basis))[0]
    _, sizes, turned = np.linalg.svd(rest @ basis, full_matrices=False)
    axes: Floats = basis @ (turned[:number] / np.maximum(sizes[:number, None], _TINY)).T
    return weight @ features, axes
