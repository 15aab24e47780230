"""Prediction on several machines: Ray Data hands chunks of pictures to workers that hold the model.

Every machine must be able to read the pictures and the checkpoint at the same path. A worker reads its frames of a
video from the file. Rows arrive as the workers finish, not in the order of the pictures.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from gender_lightning.building import import_packages
from gender_lightning.errors import UserError
from gender_lightning.inference.checkpoints import CheckpointSet
from gender_lightning.inference.faces.crops import Cropper
from gender_lightning.inference.stream.items import Item, PredictedPicture, Row, columns_of
from gender_lightning.inference.stream.local import Classifier, FaceCrops, chunks
from gender_lightning.inference.stream.parts import by_picture
from gender_lightning.inference.stream.video import FrameReader
from gender_lightning.machine.hardware import Hardware

if TYPE_CHECKING:
    import pyarrow as pa

_CHUNK = 128  # pictures in a task, which is repeated if its worker dies


def check_installed() -> None:
    """Refuse to start without Ray.

    Raises:
        UserError: Ray is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise UserError(
            "engine=ray needs Ray, which is not installed.",
            "Install it: pip install 'gender-lightning[ray]'.",
            field="engine",
        )


@dataclass(frozen=True)
class RayJob:
    """The settings that every worker needs; sent to all machines."""

    checkpoints: CheckpointSet
    cropper: Cropper
    hardware: Hardware
    min_confidence: float
    batch_size: int
    max_disagreement: float | None = None
    chunk: int = _CHUNK
    packages: tuple[str, ...] = ()  # the user's own packages, which each worker imports

    worker: ClassVar[type[RayWorker]]

    def run(self, items: Iterable[Item], address: str | None, workers: int | str) -> Iterator[list[PredictedPicture]]:
        """Predict pictures, a chunk at a time, in any order.

        Args:
            items: Files, and frames of video files. Their names are kept in Ray's object store, which spills to disk.
            address: Address of a cluster; None means the one that is connected already, or else this machine.
            workers: Number of workers, each with a copy of the model; ``auto`` is one per GPU, or per core, of the
                cluster.

        Raises:
            UserError: The cluster cannot be reached or has no room for a worker, or a worker raised it.
        """
        ray = _import_ray()

        with _connected(address):
            parts = [ray.put(block) for block in blocks(items, self.chunk)]
            if not parts:
                return
            resources: dict[str, float] = ray.cluster_resources()
            number = self._number_of(workers, resources, len(parts))
            data = ray.data.from_arrow_refs(parts).map_batches(
                self.worker,
                fn_constructor_args=(self,),
                compute=ray.data.ActorPoolStrategy(size=number),
                num_cpus=1,
                num_gpus=1 if self.hardware.device_type == "cuda" else None,
                batch_size=None,  # a whole block
                batch_format="pyarrow",
            )
            try:
                tables: Iterable[Any] = data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1)
                for table in tables:
                    yield [PredictedPicture(Item(rows[0]["image"], ""), rows) for rows in by_picture(table.to_pylist())]
            except ray.exceptions.RayError as error:
                if isinstance(cause := getattr(error, "cause", None), UserError):
                    raise cause from None
                raise

    def _number_of(self, workers: int | str, resources: dict[str, float], blocks: int) -> int:
        kind = "GPU" if self.hardware.device_type == "cuda" else "CPU"
        there = int(resources.get(kind, 0))
        wanted = there if workers == "auto" else int(workers)
        if not 0 < wanted <= there:
            raise UserError(
                f"ray.workers={workers}: each of them takes a {kind} of the cluster, which has {there}.",
                "Use fewer workers." if there else "Use engine=local.",
                field="ray.workers",
            )
        return min(wanted, blocks)


class RayWorker:
    """A process of a cluster that holds the model in memory."""

    def __init__(self, job: RayJob) -> None:
        """Load the model, once."""
        torch.set_num_threads(1)  # a worker is given one core
        import_packages(job.packages)
        self.crops = FaceCrops(job.cropper)
        self.frames = FrameReader()
        network = job.checkpoints.network()
        self.classifier = Classifier(
            network, job.hardware, job.min_confidence, job.batch_size, max_disagreement=job.max_disagreement
        )

    def __call__(self, block: pa.Table) -> pa.Table:
        """The rows of the pictures of a block."""
        import pyarrow as pa

        rows: list[Row] = []
        named = (Item(**{**row, "path": os.fsdecode(row["path"])}) for row in block.to_pylist())
        for items in chunks((self._with_pixels(item) for item in named), self.classifier.batch_size):
            batch = self.crops.__getitems__(items)
            rows += [row for picture in self.classifier(batch) for row in picture.rows]
        columns = columns_of(rows[0] if rows else None)
        schema = pa.schema([(name, getattr(pa, kind)()) for name, kind in columns.items()])
        return pa.Table.from_pylist(rows, schema=schema)

    def _with_pixels(self, item: Item) -> Item:
        """The item with the pixels of its frame; a picture is opened later, with all others."""
        if item.frame is None or item.problem:
            return item
        try:
            return replace(item, pixels=self.frames.read(item.path, item.frame))
        except UserError as error:
            return replace(item, problem=str(error))


RayJob.worker = RayWorker


def _import_ray() -> Any:
    """Ray with its data package; untyped, so that type checking gives the same result with and without it."""
    importlib.import_module("ray.data")
    return importlib.import_module("ray")


def blocks(items: Iterable[Item], size: int) -> Iterator[pa.Table]:
    """Tables of items without their pixels; a path is stored as bytes, since not every path is valid UTF-8."""
    import pyarrow as pa

    schema = pa.schema(
        {"name": pa.string(), "path": pa.binary(), "frame": pa.int64(), "second": pa.float64(), "problem": pa.string()}
    )
    named = (
        {
            "name": item.name,
            "path": os.fsencode(os.path.abspath(item.path)),
            "frame": item.frame,
            "second": item.second,
            "problem": item.problem,
        }
        for item in items
    )
    while some := list(islice(named, size)):
        yield pa.Table.from_pylist(some, schema)


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """Connect to a cluster for the duration of the block, unless one is connected already."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray sends usage statistics otherwise
    ray = _import_ray()

    if ray.is_initialized():
        yield
        return
    try:
        ray.init(address or "local", include_dashboard=False if address is None else None, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(
            f"ray.address={address}: no cluster answers there ({error}).",
            "Start one with `ray start`.",
            field="ray.address",
        ) from error
    ray.data.DataContext.get_current().enable_progress_bars = False  # the command shows its own
    try:
        yield
    finally:
        ray.shutdown()
