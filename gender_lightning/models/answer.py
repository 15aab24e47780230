"""What a network says about a face."""

from __future__ import annotations

from typing import NamedTuple


class Answer(NamedTuple):
    """What a network says about a face.

    Attributes:
        probability: Calibrated probability of class male, in 0..1.
        disagreement: `mutual_information` of an `Ensemble` in nats; None for a single network.
    """

    probability: float
    disagreement: float | None = None
