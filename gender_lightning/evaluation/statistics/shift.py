"""Whether faces are of the kind that a model was tried on: a two-sample test over persons, whatever the share of men.

Of each class the labelled faces give the mean of what is described of a face, and its covariance between faces and
between persons. A crowd of unknown labels is a mixture of both classes; what is left of its mean after the nearest
mixture is Hotelling's T squared in the units of its covariance: that of the crowd's faces, or persons where they are
known, plus that of the labelled persons. F's distribution allows for a covariance that few persons tell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from gender_lightning.evaluation.statistics.proportions import Floats

FEWEST_PERSONS = 10  # of a class, to know how persons differ
_OF_STRANGERS = 8.0  # faces of one person, where persons are unknown
_STEPS = 4  # towards the nearest mixture, whose metric depends on the share


@dataclass(frozen=True)
class ClassMoments:
    """What is described (D numbers a face) of the labelled faces, by class: female first; every person counts once.

    Attributes:
        means: float64 (2, D).
        faces: float64 (2, D, D): covariance of a face of a person drawn at random.
        persons: float64 (2, D, D): covariance of the means of persons.
        number: int64 (2,): persons.
    """

    means: Floats
    faces: Floats
    persons: Floats
    number: NDArray[np.int64]

    @classmethod
    def of(cls, described: Floats, male: NDArray[np.bool_], clusters: NDArray[np.int64]) -> ClassMoments | None:
        """Take the moments of described faces (N, D), their classes (N,) and persons (N,), as from `clusters_of`.

        Returns:
            None with fewer than ten persons of a class.
        """
        means, faces, persons, number = [], [], [], []
        for members in (~male, male):
            values = described[members]
            who = np.unique(clusters[members], return_inverse=True)[1]
            count = np.bincount(who)
            if len(count) < FEWEST_PERSONS:
                return None
            weight = 1.0 / count[who] / len(count)
            of_person = np.stack([np.bincount(who, column) / count for column in values.T], axis=1)
            mean = weight @ values
            rest = values - mean
            means.append(mean)
            faces.append((rest * weight[:, None]).T @ rest * len(count) / (len(count) - 1))
            persons.append(np.cov(of_person.T).reshape(len(mean), len(mean)))
            number.append(len(count))
        return cls(np.array(means), np.array(faces), np.array(persons), np.array(number, dtype=np.int64))

    def of_columns(self, columns: slice) -> ClassMoments:
        """The moments of some of the numbers alone."""
        faces, persons = self.faces[:, columns, columns], self.persons[:, columns, columns]
        return ClassMoments(self.means[:, columns], faces, persons, self.number)


@dataclass(frozen=True)
class Shift:
    """How far a crowd is from the labelled faces.

    Attributes:
        p: Probability of such a distance by chance.
        distance: Distance of the means, in standard deviations of a face within its class (Mahalanobis), less what
            chance alone gives on average; not below 0.
    """

    p: float
    distance: float


def shift_of(mean: Floats, faces: float, labelled: ClassMoments, persons: float | None = None) -> Shift:
    """Compare the mean (D,) of a crowd's faces with the labelled faces.

    Args:
        mean: Mean over the crowd's faces.
        faces: Number of faces, at least 1.
        labelled: See `ClassMoments`.
        persons: Number of persons of equal weight that the faces are worth (Kish 1965), where they are known. If None,
            eight faces are taken to be of one person: a folder that shows few people often is then hardly ever called
            different for that.
    """
    worth = max(1.0, faces / _OF_STRANGERS if persons is None else persons)
    singles = persons is not None and faces <= persons * (1 + 1e-9)
    spread = labelled.faces if singles else labelled.persons
    between, share = labelled.means[1] - labelled.means[0], 0.5
    for _ in range(_STEPS):
        weights = np.array([1 - share, share])
        of_crowd = np.tensordot(weights, spread, 1) + share * (1 - share) * np.outer(between, between)
        of_labelled = np.tensordot(weights**2 / labelled.number, labelled.persons, 1)
        inverse = np.linalg.pinv(of_crowd / worth + of_labelled, hermitian=True)
        along = float(between @ inverse @ between)
        share = float(np.clip(between @ inverse @ (mean - labelled.means[0]) / along, 0.0, 1.0)) if along > 0 else share
    left = mean - labelled.means[0] - share * between
    squared = float(left @ inverse @ left)
    # of a mixture's covariance (Satterthwaite): a crowd of women is measured by the labelled women alone
    dimensions, degrees = max(1, len(left) - 1), 1 / float((weights**2 / (labelled.number - 1)).sum())
    rest = degrees - dimensions + 1
    p = float(special.fdtrc(dimensions, rest, squared * rest / (degrees * dimensions))) if rest > 0 else math.nan
    within = np.linalg.pinv(np.tensordot(weights, labelled.faces, 1), hermitian=True)
    by_chance = float(np.trace(within @ (of_crowd / worth + of_labelled)))
    return Shift(p, math.sqrt(max(0.0, float(left @ within @ left) - by_chance)))
