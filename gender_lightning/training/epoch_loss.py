"""The mean loss of an epoch, as something that a checkpoint inside the epoch can keep."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class EpochLoss(Metric):
    """Mean over images of the batches' losses; all ranks together where the metric is synchronised.

    Lightning's own running mean is not in its checkpoints, so that the first row of a training that was resumed
    inside an epoch would be the mean of the epoch's rest.
    """

    full_state_update = False
    total: Tensor
    images: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, loss: Tensor, images: int) -> None:
        """Takes a batch in.

        Args:
            loss: Mean over the batch, scalar; not waited for.
            images: Size of the batch.
        """
        self.total += loss.float() * images
        self.images += images

    def compute(self) -> Tensor:
        """The mean, scalar float32; nan before the first batch."""
        return self.total / self.images

    def sums(self) -> Tensor:
        """Float32 (2,): sum of losses over images, and images, of this rank."""
        return torch.stack([self.total, self.images]).detach()

    def restore(self, sums: Tensor, rank: int, ranks: int) -> None:
        """Goes on with what was summed before; where the number of ranks has changed the first takes all.

        Args:
            sums: Float32 (ranks of then, 2), see `sums`.
            rank: This one.
            ranks: How many there are now.
        """
        self.update(torch.zeros(()), 0)  # or torchmetrics would warn that nothing has been summed
        if len(sums) != ranks:
            sums = torch.cat([sums.sum(0, keepdim=True), torch.zeros(ranks - 1, 2)])
        self.total, self.images = (value.clone().to(self.total) for value in sums[rank])
