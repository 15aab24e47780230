"""The data module: configuration -> index -> loaders."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Sampler

from gender_lightning.data.dataset import Batch, FaceDataset, keep_batch, start_worker
from gender_lightning.data.framing import Framing
from gender_lightning.data.loading import Loading, choose_loading, memory_for_batches
from gender_lightning.data.pixel_cache import open_cache
from gender_lightning.data.reading import make_data, open_data
from gender_lightning.data.resident import ResidentLoader, bytes_of, stays
from gender_lightning.data.rows.groups import Groups, make_groups
from gender_lightning.data.rows.sampling import Balance, EvaluationSampler, TrainingSampler, batches_done
from gender_lightning.data.rows.selection import check_classes, class_counts
from gender_lightning.data.rows.skipping import Skipped, find_unreadable, refuse_many, without
from gender_lightning.data.sources.annotations import SPLITS, Index
from gender_lightning.data.sources.images import ImageStore
from gender_lightning.errors import UserError
from gender_lightning.job import this_job
from gender_lightning.machine.hardware import available_cores
from gender_lightning.progress import progress_bar

if TYPE_CHECKING:
    from gender_lightning.config.data import DataConfig

EVALUATION_FACTOR = 2  # without gradients and optimizer a batch twice the size fits


class Finder(Protocol):
    """Finds the faces of a data set, and cuts them out of its pictures; can be pickled and forked."""

    def find(self, index: Index, store: ImageStore) -> list[Skipped]:
        """Look at every picture, and return those without a face."""
        ...

    def fingerprint(self, index: Index) -> bytes:
        """Return a hash of everything that determines which parts of these pictures are framed, after `find`."""
        ...

    def __call__(self, picture: NDArray[np.uint8], image_id: bytes) -> NDArray[np.uint8]:
        """Return the part of a picture that is framed: see `dataset.Cut`."""
        ...


class FaceDataModule(pl.LightningDataModule):
    """Faces in batches of uint8, the same whatever the number of workers and ranks.

    The trainer must run with ``use_distributed_sampler=False``: the samplers know the ranks.

    Args:
        config: The ``data`` section.
        seed: Seed of the order of the training batches.
        finder: Finds the faces in the pictures; None: pictures are used as they are.
        device_type: Torch's name (cpu, cuda or mps) for the device that receives the batches where there is no trainer.
        makes_cache: Whether ``data.cache`` may be written; otherwise only an existing cache is used.
        framing: How pictures are framed; None: as the ``data`` section says.
    """

    def __init__(
        self,
        config: DataConfig,
        *,
        seed: int = 1,
        finder: Finder | None = None,
        device_type: str = "cpu",
        makes_cache: bool = True,
        framing: Framing | None = None,
    ) -> None:
        super().__init__()
        self._finder = finder
        self.config = config
        self.seed = seed
        self.device_type = device_type
        self.makes_cache = makes_cache
        self.framing = framing or Framing.of(config)
        self.skipped: list[Skipped] = []
        self._skipped_before: list[Skipped] | None = None
        self._datasets: dict[str, FaceDataset] = {}
        self._groups: Groups | None = None
        self._stays: bool | None = None
        self._place = (0, 0)  # the epoch from which a training continues, and the images of it that were seen

    def prepare_data(self) -> None:
        """Draw the synthetic faces where they do not exist yet; Lightning calls it on rank 0 only."""
        make_data(self.config)

    def skip_as_before(self, skipped: list[Skipped]) -> None:
        """Leave out these images instead of looking for them: a resumed run trains on the same ones."""
        self._skipped_before = skipped

    def setup(self, stage: str | None = None, *, only: str | None = None) -> None:
        """Read the index, choose the rows, check the classes; the second call does nothing.

        With ``on_error=skip`` every image is decoded once, here, and those that do not decode have no row afterwards.
        So every image of a split is in its predictions table exactly once, on any number of ranks and workers,
        and batches are full. Otherwise they would only be found during training, in a worker.

        Args:
            stage: Lightning's name of the stage; not used.
            only: The one split whose images are checked, however many do not decode; None: all splits, of whose
                images at most 1 % may fail to decode.

        Raises:
            UserError: Data are missing or malformed, too many images do not decode, or a split has images of one
                class only.
        """
        if self._datasets:
            return
        index, store = open_data(self.config)
        _check_classes(index)  # before the pictures are looked at, which may take long
        if self.config.on_error == "skip":
            index = self._without_unreadable(index, store, only)
        if self._finder is not None:
            faceless = self._finder.find(index if only is None else index.select(index.split(only)), store)
            self.skipped = [*self.skipped, *faceless]
            index = without(index, faceless)
        _check_classes(index)
        for split in SPLITS:
            part = index.select(index.split(split))
            self._datasets[split] = FaceDataset(part, store, self.framing, self._finder)
        for split in ("train", "valid") if only is None else ():  # the others when they are requested
            self._use_cache(self._datasets[split])

    def state_dict(self) -> dict[str, Any]:
        """The training's position in the order of the batches; the same on every rank."""
        if self.trainer is None:
            return {}
        epochs: Any = self.trainer.fit_loop.epoch_progress.current  # Lightning types it as less than it is
        batches = self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
        inside = epochs.started > epochs.processed
        return {
            "epoch": epochs.processed,
            "done": batches if inside else 0,
            "images": self._images_seen(epochs.processed, batches) if inside else 0,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from that position, which the loader needs when Lightning creates it, before it counts batches."""
        # older files do not count images, and are assumed to have been written with batches of this size
        images = state_dict.get("images", state_dict["done"] * self._global_batch())
        self._place = (state_dict["epoch"], images)

    def batches_done(self) -> int:
        """Number of batches, of their present size, that a training resumed within an epoch has already done."""
        return batches_done(len(self.dataset("train")), self._place[1], self._global_batch())

    def _images_seen(self, epoch: int, batches: int) -> int:
        """Images of the epoch that all ranks have seen when this number of batches counts as done."""
        resumed, before = self._place
        if epoch != resumed or not before:
            return batches * self._global_batch()
        return before + (batches - self.batches_done()) * self._global_batch()

    def _global_batch(self) -> int:
        return self.config.batch_size * self._ranks()[1]

    def _without_unreadable(self, index: Index, store: ImageStore, only: str | None) -> Index:
        rows = index if only is None else index.select(index.split(only))
        known = self._skipped_before
        self.skipped = find_unreadable(rows, store) if known is None else known
        if only is None:
            refuse_many(self.skipped, len(rows))
        return without(index, self.skipped)

    @property
    def has_valid(self) -> bool:
        """Whether there are images to choose the best epoch on."""
        return len(self.dataset("valid")) > 0

    def index(self, split: str) -> Index:
        """The rows of a split after selection, as ``Batch.indices`` counts them."""
        return self.dataset(split).index

    def class_counts(self, split: str) -> tuple[int, int]:
        """(female, male) images of a split."""
        return class_counts(self.index(split), split)

    @property
    def groups(self) -> Groups:
        """The groups by `data.groups`; the two classes if it is empty.

        Raises:
            UserError: The data lack an attribute.
        """
        if self._groups is None:
            self._groups = make_groups(self.index("train"), self.config.groups, self.config.group_minimum)
        return self._groups

    def balance(self) -> Balance | None:
        """The composition of a balanced epoch; None: each image occurs once."""
        if self.config.sampler == "shuffled":
            return None
        train = self.index("train")
        groups = self.groups.of(train) if self.config.sampler == "group_balanced" else train.labels.astype(np.int64)
        return Balance(groups, self.config.sampler_cap)

    def train_dataloader(self) -> DataLoader[Batch] | ResidentLoader:
        """Batches in an order that is a function of (seed, epoch)."""
        loader = self.loader("train", training=True)
        return self._resident(loader, training=True) if self._is_resident() else loader

    def val_dataloader(self) -> DataLoader[Batch] | ResidentLoader | list[DataLoader[Batch]]:
        """Each image of valid once; no loader at all where there is no such split.

        Persistent workers are started here, before the training: one that is forked later shares gigabytes of
        activations and weights, each page of which is copied when the next step writes to it (two seconds for a
        ResNet50).
        """
        if not self.has_valid:
            return []
        loader = self.loader("valid")
        if loader.persistent_workers:
            iter(loader)
        return self._resident(loader, training=False) if self._is_resident() else loader

    def test_dataloader(self) -> DataLoader[Batch]:
        """Each image of test once."""
        return self.loader("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Each image of test once."""
        return self.loader("test")

    def loader(self, split: str, *, training: bool = False, rows: NDArray[np.int64] | None = None) -> DataLoader[Batch]:
        """Batches of a split.

        Args:
            split: ``train``, ``valid`` or ``test``.
            training: Shuffled training batches; otherwise each image once and in order (under DDP, repeats
                fill up the last ranks).
            rows: Int64, shape (M,): only these rows, in this order, on every rank.

        Raises:
            UserError: The split has no images.
        """
        dataset = self.dataset(split)
        if not len(dataset):
            raise UserError(
                f"The {split} split has no images.", "Check data.root and data.sizes, or choose another split."
            )
        self._use_cache(dataset)
        rank, ranks = self._ranks()
        batch_size = self.config.batch_size if training else self.evaluation_batch_size
        sampler: Sampler[int] | list[int]
        if training:
            epoch, images = self._place
            sampler = TrainingSampler(
                len(dataset), batch_size, seed=self.seed, rank=rank, ranks=ranks, epoch=epoch, images=images,
                balance=self.balance(),
            )  # fmt: skip
        else:
            sampler = EvaluationSampler(len(dataset), rank=rank, ranks=ranks) if rows is None else rows.tolist()
        images = len(dataset) if rows is None else len(rows)
        loading = self.loading(batch_size, worth_a_process=images > batch_size, decodes=dataset.cache is None)
        return DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            collate_fn=keep_batch,
            num_workers=loading.workers,
            pin_memory=loading.pin_memory,
            persistent_workers=loading.persistent_workers,
            prefetch_factor=loading.prefetch,
            worker_init_fn=start_worker if loading.workers else None,
        )

    def loading(self, batch_size: int, *, worth_a_process: bool = True, decodes: bool = True) -> Loading:
        """How batches of this size are loaded on this rank; a single batch is not worth starting a process for."""
        _, ranks = self._ranks()
        local_ranks = max(1, int(os.environ.get("LOCAL_WORLD_SIZE", 0)) or ranks // self._nodes)
        return choose_loading(
            workers=self.config.workers if worth_a_process else 0,
            prefetch=self.config.prefetch,
            pin_memory=self.config.pin_memory,
            persistent_workers=self.config.persistent_workers,
            cores=available_cores() // local_ranks,
            device_type=self._device.type,
            batch_bytes=batch_size * 3 * math.prod(self.framing.shape),
            memory=memory_for_batches(local_ranks),
            decodes=decodes,
        )

    def _use_cache(self, dataset: FaceDataset) -> None:
        if self.config.cache is None or dataset.cache is not None or not len(dataset):
            return
        directory = Path(os.path.expanduser(self.config.cache))
        cut = b"" if self._finder is None else self._finder.fingerprint(dataset.index)
        with progress_bar("Filling data.cache") as report:
            dataset.cache = open_cache(
                directory, dataset.index, dataset.store, self.framing, dataset.decode,
                workers=available_cores(), progress=report, make=self.makes_cache, cut=cut,
            )  # fmt: skip

    def _resident(self, loader: DataLoader[Batch], *, training: bool) -> ResidentLoader:
        rank, ranks = self._ranks()
        return ResidentLoader(loader, self._device, rank=rank, ranks=ranks, training=training)

    def _is_resident(self) -> bool:
        """Whether train and valid stay on the device after their first epoch; decided once, the same on all ranks.

        Raises:
            UserError: ``data.resident=true`` is set, but there is not enough memory.
        """
        if self._stays is None:
            needed = bytes_of(self.dataset("train")) + bytes_of(self.dataset("valid"))
            epochs = None if self.trainer is None else self.trainer.max_epochs
            job = this_job()
            sharing = 1 if job is None else job.sharing
            fits = stays(self.config.resident, needed, self._device, epochs=epochs, sharing=sharing)
            alike = None if self.trainer is None else self.trainer.strategy.reduce_boolean_decision
            self._stays = fits if alike is None else alike(fits, all=True)
        return self._stays

    @property
    def evaluation_batch_size(self) -> int:
        """Images per device in evaluation, where no gradients are kept."""
        size = self.config.eval_batch_size
        return self.config.batch_size * EVALUATION_FACTOR if size == "auto" else size

    def dataset(self, split: str) -> FaceDataset:
        """The pictures of a split; reads the index first if that has not been done."""
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
        return torch.device(self.device_type) if self.trainer is None else self.trainer.strategy.root_device


def _check_classes(index: Index) -> None:
    """Refuse a split that has images of one class only."""
    for split in SPLITS:
        part = index.select(index.split(split))
        if len(part):
            check_classes(part, split)
