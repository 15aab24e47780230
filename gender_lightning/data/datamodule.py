"""The data module: configuration -> index -> loaders."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Sampler

from gender_lightning.data.annotations import SPLITS, Index
from gender_lightning.data.dataset import Batch, FaceDataset, keep_batch, start_worker
from gender_lightning.data.decoding import Framing
from gender_lightning.data.reading import available_cores, draw_synthetic, open_data
from gender_lightning.data.sampling import EvaluationSampler, TrainingSampler
from gender_lightning.data.selection import check_classes, class_counts
from gender_lightning.errors import UserError

if TYPE_CHECKING:
    from gender_lightning.config.data import DataConfig

EVALUATION_FACTOR = 2  # without gradients and optimizer a batch twice the size fits
MOST_WORKERS = 16  # per rank: beyond, a decoder's worker waits


class FaceDataModule(pl.LightningDataModule):
    """Faces in batches of uint8, the same whatever the number of workers and ranks.

    The trainer must run with ``use_distributed_sampler=False``: the samplers know the ranks.

    Args:
        config: The ``data`` section.
        seed: Of the order of the training batches.
    """

    def __init__(self, config: DataConfig, *, seed: int = 1) -> None:
        super().__init__()
        self.config = config
        self.seed = seed
        self.framing = Framing(config.image_size, config.crop, config.zoom, config.interpolation)
        self._datasets: dict[str, FaceDataset] = {}
        self._loaders: dict[str, DataLoader[Batch]] = {}

    def prepare_data(self) -> None:
        """Draw the synthetic faces that are not there yet; Lightning calls it on rank 0 only."""
        if self.config.name == "synthetic":
            draw_synthetic(self.config)

    def setup(self, stage: str | None = None) -> None:
        """Read the index, choose the rows, check the classes; the second call does nothing.

        Raises:
            UserError: Data are missing or malformed, or a split has images of one class only.
        """
        if self._datasets:
            return
        index, store = open_data(self.config)
        for split in SPLITS:
            part = index.select(index.split(split))
            if len(part):
                check_classes(part, split)
            self._datasets[split] = FaceDataset(part, store, self.framing)

    @property
    def has_valid(self) -> bool:
        """Whether there is anything to choose on."""
        return len(self._dataset("valid")) > 0

    def index(self, split: str) -> Index:
        """The rows of a split after selection, as ``Batch.indices`` counts them."""
        return self._dataset(split).index

    def class_counts(self, split: str) -> tuple[int, int]:
        """(female, male) images of a split."""
        return class_counts(self.index(split), split)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches in an order that is a function of (seed, epoch)."""
        return self.loader("train", training=True)

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Each image of valid once; no loader at all where there is no such split."""
        return self.loader("valid") if self.has_valid else []

    def test_dataloader(self) -> DataLoader[Batch]:
        """Each image of test once."""
        return self.loader("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Each image of test once."""
        return self.loader("test")

    def loader(self, split: str, *, training: bool = False) -> DataLoader[Batch]:
        """Batches of a split.

        Args:
            split: ``train``, ``valid`` or ``test``.
            training: Shuffled training batches; otherwise each image once and in order (under DDP, repeats
                fill up the last ranks).

        Raises:
            UserError: The split has no images.
        """
        dataset = self._dataset(split)
        if not len(dataset):
            raise UserError(
                f"The {split} split has no images. Check data.root and data.sizes, or choose another split."
            )
        rank, ranks = self._ranks()
        batch_size = self.config.batch_size
        sampler: Sampler[int]
        if training:
            sampler = TrainingSampler(len(dataset), batch_size, seed=self.seed, rank=rank, ranks=ranks)
        else:
            batch_size = self.evaluation_batch_size
            sampler = EvaluationSampler(len(dataset), rank=rank, ranks=ranks)
        # For one batch a process is not worth its start.
        workers = self.workers if len(dataset) > batch_size else 0
        return DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            collate_fn=keep_batch,
            num_workers=workers,
            pin_memory=self._on_cuda,
            persistent_workers=workers > 0,
            prefetch_factor=4 if workers > 0 else None,
            worker_init_fn=start_worker if workers > 0 else None,
        )

    @property
    def evaluation_batch_size(self) -> int:
        """Images per device when nothing is learned."""
        size = self.config.eval_batch_size
        return self.config.batch_size * EVALUATION_FACTOR if size == "auto" else size

    @property
    def workers(self) -> int:
        """Loader processes of this rank."""
        if self.config.workers != "auto":
            return self.config.workers
        local_ranks = max(1, int(os.environ.get("LOCAL_WORLD_SIZE", 0)) or self._ranks()[1] // self._nodes)
        return automatic_workers(available_cores() // local_ranks, accelerated=self._accelerated)

    def _dataset(self, split: str) -> FaceDataset:
        if not self._datasets:
            self.setup()
        return self._datasets[split]

    def _ranks(self) -> tuple[int, int]:
        """(rank, number of ranks); (0, 1) outside a trainer."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    @property
    def _nodes(self) -> int:
        return 1 if self.trainer is None else max(1, self.trainer.num_nodes)

    @property
    def _device(self) -> torch.device:
        return torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device

    @property
    def _on_cuda(self) -> bool:
        return self._device.type == "cuda"

    @property
    def _accelerated(self) -> bool:
        return self._device.type != "cpu"


def automatic_workers(cores: int, *, accelerated: bool) -> int:
    """Loader processes for a rank with so many cores.

    A core decodes and resizes some thousand faces a second. A network on the CPU takes far fewer, so that one
    process is enough, and none where there is only one core; an accelerator takes all that it gets.
    """
    if accelerated:
        return min(max(1, cores - 1), MOST_WORKERS)
    return 1 if cores > 1 else 0
