"""Accuracy of every group, the worst of them, and the gap to the best."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from gender_lightning.evaluation.metrics import probabilities

WORST, GAP = "worst_group_accuracy", "group_gap"
_ACCURACY, _IMAGES = "accuracy_", "images_"


def key_of(name: str) -> str:
    """A group's name as part of a metric's: `female_without_Wearing_Lipstick`."""
    return re.sub(r"[^\w.+-]", "_", name)


def group_metric_names(groups: Sequence[str]) -> tuple[str, ...]:
    """Names of what `group_metrics` measures, for groups of these names."""
    return (WORST, GAP, *(_ACCURACY + key_of(name) for name in groups))


def is_group_metric(name: str) -> bool:
    """Whether a metric, such as `val/group_gap`, is one that needs groups."""
    short = name.partition("/")[2]
    return short in (WORST, GAP) or short.startswith(_ACCURACY)


def images_of(name: str) -> str:
    """The name of the number of images behind a group's accuracy."""
    return _IMAGES + name.removeprefix(_ACCURACY)


def group_metrics(
    labels: ArrayLike | Tensor, logits: ArrayLike | Tensor, groups: NDArray[np.int64], names: Sequence[str]
) -> dict[str, float]:
    """Accuracy at 0.5 of each group as `accuracy_<group>`, the lowest, and the difference to the highest.

    Args:
        labels: (N,), 1 male.
        logits: (N,), of the class male.
        groups: Group of each image, int64 (N,).
        names: Names of the groups.

    Returns:
        Fractions in [0, 1]; a group without images is left out. All are nan where a logit is.
    """
    probability = probabilities(logits)
    correct = (probability >= 0.5) == (np.asarray(labels) == 1)
    sizes = np.bincount(groups, minlength=len(names))
    hits = np.bincount(groups, correct, minlength=len(names))
    there = np.flatnonzero(sizes).tolist()
    found = {_ACCURACY + key_of(names[group]): float(hits[group] / sizes[group]) for group in there}
    if np.isnan(probability).any() or not found:
        return dict.fromkeys((WORST, GAP, *found), math.nan)
    return {WORST: min(found.values()), GAP: max(found.values()) - min(found.values()), **found}


def described(metrics: Mapping[str, float], names: Sequence[str]) -> str:
    """`male 0.9880 (n = 504), ...`: what `group_metrics` and `group_sizes` have found."""
    keys = {name: key_of(name) for name in names if _IMAGES + key_of(name) in metrics}
    return ", ".join(
        f"{name} {metrics[_ACCURACY + key]:.4f} (n = {metrics[_IMAGES + key]:,.0f})" for name, key in keys.items()
    )


def group_sizes(groups: NDArray[np.int64], names: Sequence[str]) -> dict[str, float]:
    """Images of each group as `images_<group>`, without groups that have none."""
    sizes = np.bincount(groups, minlength=len(names))
    return {_IMAGES + key_of(name): float(size) for name, size in zip(names, sizes, strict=True) if size}
