"""The order of rows: a pure function of (seed, epoch), the same images per step on any number of ranks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler


class Balance:
    """The composition of an epoch that is as long as the split and in which every group has the same share.

    A group whose images would have to occur more than `cap` times each has the share that `cap` allows, and the others
    divide the rest evenly. Within a group, all images occur equally often, to within one.

    Args:
        groups: Group of each row, int64 (N,), numbered from 0; no group is empty.
        cap: Largest number of times that an image occurs, on average over epochs; at least 1.

    Attributes:
        appearances: Number of times that each row occurs, on average over epochs, float64 (N,); their sum is N.
    """

    def __init__(self, groups: NDArray[np.int64], cap: float) -> None:
        assert len(groups) and cap >= 1, (len(groups), cap)
        self.groups = groups
        sizes = np.bincount(groups)
        shares = np.zeros(len(sizes))
        left, uncapped = float(len(groups)), list(range(len(sizes)))
        while capped := [group for group in uncapped if left / len(uncapped) > cap * sizes[group] * (1 + 1e-9)]:
            for group in capped:
                shares[group] = cap * sizes[group]
                left -= shares[group]
                uncapped.remove(group)
        shares[uncapped] = left / len(uncapped)
        self.appearances: NDArray[np.float64] = (shares / sizes)[groups]

    def shares(self, groups: NDArray[np.int64]) -> NDArray[np.float64]:
        """Share of an epoch of each group, for any division of the rows into groups, float64 (G,)."""
        shares: NDArray[np.float64] = np.bincount(groups, self.appearances) / len(self.groups)
        return shares

    def draw(self, random: np.random.Generator) -> NDArray[np.int64]:
        """Draw the rows of an epoch in random order, int64 (N,); the k-th repetition of row r is r + k N.

        Systematic sampling gives each group its share to within one image. Augmentation is keyed by r + k N, and
        therefore treats the repetitions of a picture differently.
        """
        rows = random.permutation(len(self.groups))
        rows = rows[np.argsort(self.groups[rows], kind="stable")]
        ends = np.cumsum(self.appearances[rows])
        ends[-1] = len(rows)
        points = random.random() + np.arange(len(rows))
        counts = np.diff(np.searchsorted(points, ends), prepend=0)
        repetition = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        drawn: NDArray[np.int64] = random.permutation(np.repeat(rows, counts) + repetition * len(rows))
        return drawn


class TrainingSampler(Sampler[int]):
    """A new permutation each epoch, cut into global batches, of which each rank takes its block.

    At every step R ranks with b images each see the images that one rank with R*b sees. A split larger than
    one global batch drops the remainder (other images each epoch); a smaller one is shared evenly, filled up
    by repeating its first images where it does not divide.

    Args:
        length: Number of rows.
        batch_size: Images per batch on each rank.
        seed: Seed of the order.
        rank: Rank of this process.
        ranks: Number of processes.
        epoch: The first epoch, since a loader's workers fetch before `set_epoch` is called.
        images: Number of images of this first epoch that all ranks of a resumed training have already seen, in batches
            of any size; the rest comes in batches of this size.
        balance: The groups and their shares of an epoch; None: each row occurs once.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        *,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
        epoch: int = 0,
        images: int = 0,
        balance: Balance | None = None,
    ) -> None:
        assert length > 0 and batch_size > 0 and 0 <= rank < ranks
        self.length, self.batch_size, self.seed, self.rank, self.ranks = length, batch_size, seed, rank, ranks
        self.epoch, self.balance = epoch, balance
        self._started = (epoch, images)

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation; Lightning calls this before each epoch, also after a resume."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Number of rows in a whole epoch, even where part of it is already done."""
        steps = self.length // (self.batch_size * self.ranks)
        return steps * self.batch_size if steps else -(-self.length // self.ranks)

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng([self.seed, self.epoch])
        order = random.permutation(self.length) if self.balance is None else self.balance.draw(random)
        first, seen = self._started
        rest = order[seen if self.epoch == first else 0 :]
        steps = len(rest) // (self.batch_size * self.ranks)
        per_rank = self.batch_size if steps else -(-len(rest) // self.ranks)
        kept = max(1, steps) * per_rank * self.ranks
        blocks = (
            np.resize(rest, kept).reshape(-1, self.ranks, per_rank) if len(rest) else rest.reshape(0, self.ranks, 0)
        )
        return iter(blocks[:, self.rank].ravel().tolist())


def batches_done(length: int, images: int, global_batch: int) -> int:
    """Number of batches of an epoch that count as done once the training has seen some of its images.

    The remaining images form whole batches of `global_batch`, or one smaller batch; the other batches count as done.

    Args:
        length: Number of images in the split.
        images: Number of images that were seen, in batches of any size.
        global_batch: Number of images in a batch over all ranks.
    """
    total = max(1, length // global_batch)
    return total - max(1, (length - images) // global_batch) if images else 0


class EvaluationSampler(Sampler[int]):
    """Every row once, in order; rank r takes rows r, r+R, ... The last ranks repeat a row so that all are as long.

    Code that gathers over ranks drops the repeats by index.
    """

    def __init__(self, length: int, *, rank: int = 0, ranks: int = 1) -> None:
        assert 0 <= rank < ranks
        self.length, self.rank, self.ranks = length, rank, ranks

    def __len__(self) -> int:
        return -(-self.length // self.ranks)

    def __iter__(self) -> Iterator[int]:
        rows = np.arange(self.rank, self.rank + len(self) * self.ranks, self.ranks)
        return iter((rows % max(self.length, 1)).tolist())
