"""Group DRO: weights of groups that follow the groups' losses.

Sagawa et al. 2020, "Distributionally Robust Neural Networks for Group Shifts", algorithm 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F


class GroupDro(nn.Module):
    """The weights q of algorithm 1, and the resulting factors for the images of a batch.

    In each optimizer step, q_g is multiplied by exp(step_size * (L_g + adjustment / sqrt(n_g))), and q is normalised.
    L_g is the mean loss of the group's images in the step, over all ranks and over the accumulated batches so far. The
    weight of a group without an image in the step changes by the normalisation only.

    The training loss is the mean over images of q_g / p_g times the image's loss, where p_g is the group's share of an
    epoch. Its expectation is the algorithm's sum of q_g L_g with any sampler, and it adds up over batches and ranks,
    as gradients do. With equal weights and a group-balanced sampler, it is the ordinary mean.

    An image mixed from two counts for the groups of both, each with its share, and for each group with the loss of
    that group's label.

    The state, which `last.ckpt` holds, is the same on all ranks. The host never waits for the device.

    Args:
        counts: Number of training images of each group, n_g.
        shares: Share of an epoch of each group, p_g, adding up to 1.
        step_size: Step size of the weights, above 0.
        adjustment: The constant C of the paper's group adjustment; 0 is off.
    """

    log_weights: Tensor
    sums: Tensor
    shares: Tensor
    offsets: Tensor

    def __init__(
        self, counts: Sequence[int], shares: Sequence[float], *, step_size: float, adjustment: float = 0.0
    ) -> None:
        super().__init__()
        number = len(counts)
        self.step_size = step_size
        # logarithms, since a weight that is once rounded to 0 would stay 0
        self.register_buffer("log_weights", torch.full((number,), 1 / number).log())
        self.register_buffer("sums", torch.zeros(2, number))  # of this step so far: losses, images
        self.register_buffer("shares", torch.tensor(shares, dtype=torch.float32), persistent=False)
        offsets = adjustment / torch.tensor(counts, dtype=torch.float32).sqrt()
        self.register_buffer("offsets", offsets, persistent=False)

    @property
    def weights(self) -> Tensor:
        """The weights q, float32 (G,), after the batches so far."""
        return self._moved().exp()

    @torch.no_grad()
    def observe(self, logits: Tensor, groups: Tensor, targets: Tensor) -> None:
        """Take the losses of a batch into account.

        Args:
            logits: Float32 (B,).
            groups: Share of each group in each image, float32 (B, G).
            targets: Smoothed label of each group, float32 (G,).
        """
        grid = logits[:, None].expand_as(groups)
        losses = F.binary_cross_entropy_with_logits(grid, targets.expand_as(groups), reduction="none")
        batch = torch.stack([(groups * losses).sum(0), groups.sum(0)])
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(batch)  # the host does not wait for a GPU here
        self.sums += batch

    def factors(self) -> Tensor:
        """Factor of an image's loss for each group: q_g / p_g, float32 (G,)."""
        return self.weights / self.shares

    def end_step(self) -> None:
        """End an optimizer step; the next one starts from its weights."""
        self.log_weights.copy_(self._moved())
        self.sums.zero_()

    @torch.no_grad()
    def _moved(self) -> Tensor:
        losses, images = self.sums
        means = losses / images.clamp(min=1e-12) + self.offsets
        moved = self.log_weights + torch.where(images > 0, self.step_size * means, 0.0)
        return torch.log_softmax(moved, 0)
