"""A new head and what it says of the images at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gender_lightning.models.last_layer import Change

Logits = NDArray[np.float32]
Decided = NDArray[np.bool_]


@dataclass(frozen=True)
class Outcome:
    """A fitted head.

    Pairs are of the fitting images and of the report's; of the former, everything new comes from fits that have not
    seen the person.

    Attributes:
        change: Change of the last layer; None where the weights stay.
        chosen: The setting that was chosen.
        temperature: Fitted on the fitting images.
        threshold: Probability of male from which on to decide so.
        threshold_rule: How it was chosen, as in a checkpoint.
        old: Logits of the old head.
        new: Logits of the new head.
        decided: What the new head decides at its threshold, male.
    """

    change: Change | None
    chosen: Mapping[str, Any]
    temperature: float
    threshold: float
    threshold_rule: str
    old: tuple[Logits, Logits]
    new: tuple[Logits, Logits]
    decided: tuple[Decided, Decided]
