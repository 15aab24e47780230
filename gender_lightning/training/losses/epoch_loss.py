"""The mean loss of an epoch, in a form that a checkpoint within the epoch can store."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class EpochLoss(Metric):
    """The mean of the batches' losses over images, over all ranks once the metric is synchronised.

    Lightning's checkpoints do not contain its own running mean: after a resume within an epoch, it would be the mean of
    the rest of the epoch only.
    """

    full_state_update = False
    total: Tensor
    images: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, loss: Tensor, images: int) -> None:
        """Add a batch.

        Args:
            loss: Mean loss of the batch, a scalar; the device is not waited for.
            images: Number of images in the batch.
        """
        self.total += loss.float() * images
        self.images += images

    def compute(self) -> Tensor:
        """The mean, a float32 scalar; nan before the first batch."""
        return self.total / self.images

    def sums(self) -> Tensor:
        """The sum of losses over images and the number of images on this rank, float32 (2,)."""
        return torch.stack([self.total, self.images]).detach()

    def restore(self, sums: Tensor, rank: int, ranks: int) -> None:
        """Continue from stored sums; if the number of ranks has changed, the first rank takes all of them.

        Args:
            sums: The `sums` of all ranks at the time, float32 (ranks, 2).
            rank: Number of this rank.
            ranks: Number of ranks now.
        """
        self.update(torch.zeros(()), 0)  # otherwise torchmetrics would warn that nothing has been added
        if len(sums) != ranks:
            sums = torch.cat([sums.sum(0, keepdim=True), torch.zeros(ranks - 1, 2)])
        self.total, self.images = (value.clone().to(self.total) for value in sums[rank])
