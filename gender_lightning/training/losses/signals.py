"""Groups and auxiliary attributes of training images, on the device."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from gender_lightning.data.dataset import Batch


class Targets(NamedTuple):
    """The targets of a training step, after MixUp or CutMix.

    Attributes:
        labels: Float32 (B,), 1 male.
        groups: Share of each group in each image, float32 (B, G), rows adding up to 1; None without groups.
        attributes: Share of each auxiliary attribute, float32 (B, A); None without auxiliary attributes.
    """

    labels: Tensor
    groups: Tensor | None = None
    attributes: Tensor | None = None


class Signals:
    """Groups and auxiliary attributes of all training images; a batch looks up its own by index.

    Args:
        groups: Group of each row of the train split, int64 (N,); None if the loss needs no groups.
        number: Number of groups, G.
        attributes: Auxiliary attributes of each row, bool (N, A); None without auxiliary attributes.
    """

    def __init__(
        self, groups: NDArray[np.int64] | None = None, number: int = 0, attributes: NDArray[np.bool_] | None = None
    ) -> None:
        self.number = number
        self.groups = None if groups is None else torch.from_numpy(groups)
        self.attributes = None if attributes is None else torch.from_numpy(np.ascontiguousarray(attributes))

    def to(self, device: torch.device) -> None:
        """Move the tensors to the device of the training."""
        self.groups = None if self.groups is None else self.groups.to(device)
        self.attributes = None if self.attributes is None else self.attributes.to(device)

    def columns(self, batch: Batch) -> Tensor:
        """Join labels, one-hot groups and attributes, float32 (B, 1 + G + A); labels alone are float32 (B,)."""
        labels = batch.labels.float()
        if self.groups is None and self.attributes is None:
            return labels
        columns = [labels[:, None]]
        if self.groups is not None:
            rows = batch.indices % len(self.groups)
            columns.append(F.one_hot(self.groups[rows], self.number).float())
        if self.attributes is not None:
            columns.append(self.attributes[batch.indices % len(self.attributes)].float())
        return torch.cat(columns, dim=1)

    def split(self, columns: Tensor) -> Targets:
        """Split what `columns` has joined."""
        if columns.ndim == 1:
            return Targets(columns)
        groups = 0 if self.groups is None else self.number
        return Targets(
            columns[:, 0],
            None if self.groups is None else columns[:, 1 : 1 + groups],
            None if self.attributes is None else columns[:, 1 + groups :],
        )
