"""The job on several machines: Ray Data hands chunks of pictures to workers that hold the model.

The pictures and the checkpoint must lie where every machine reads them by the same path. Of a video each worker
decodes the frames that it is given from the file. Rows arrive as workers are done, not in the order of the pictures.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from gender_lightning.building import import_packages
from gender_lightning.errors import UserError
from gender_lightning.hardware import Hardware
from gender_lightning.inference.faces.crops import Cropper
from gender_lightning.inference.stream.items import COLUMNS, Item, Judged, Row
from gender_lightning.inference.stream.local import Judge, Preparation, chunks
from gender_lightning.inference.stream.parts import by_picture
from gender_lightning.inference.stream.video import FrameReader
from gender_lightning.models.checkpoint import load_network

if TYPE_CHECKING:
    import pyarrow as pa

_CHUNK = 128  # pictures of a task: what is done again when a worker dies


def check_installed() -> None:
    """Refuse to begin without Ray.

    Raises:
        UserError: It is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise UserError("engine=ray needs Ray. Install it: pip install 'gender-lightning[ray]'.")


@dataclass(frozen=True)
class RayJob:
    """What every worker is told; travels to all machines."""

    checkpoint: Path
    cropper: Cropper
    hardware: Hardware
    min_confidence: float
    batch_size: int
    chunk: int = _CHUNK
    packages: tuple[str, ...] = ()  # the user's own, which each worker imports

    worker: ClassVar[type[RayWorker]]

    def run(self, items: Iterable[Item], address: str | None, workers: int | str) -> Iterator[list[Judged]]:
        """Predict pictures, a chunk at a time, in any order.

        Args:
            items: Files, and frames of video files. Their names go to Ray's object store, which spills to disk.
            address: Of a cluster; None: the one that is connected already, else this machine.
            workers: Each holds the model once; ``auto``: one per GPU, or per core of the cluster.

        Raises:
            UserError: The cluster cannot be reached or has no room for a worker, or what a worker says.
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
                batch_size=None,  # a block, as it is
                batch_format="pyarrow",
            )
            try:
                tables: Iterable[Any] = data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1)
                for table in tables:
                    yield [Judged(Item(rows[0]["image"], ""), rows) for rows in by_picture(table.to_pylist())]
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
                f"ray.workers={workers}: each takes a {kind} of the cluster, which has {there}. Use "
                f"{'fewer' if there else 'engine=local'}."
            )
        return min(wanted, blocks)


class RayWorker:
    """A process of a cluster that has the model in memory."""

    def __init__(self, job: RayJob) -> None:
        """Load it, once."""
        torch.set_num_threads(1)  # a worker is given one core
        import_packages(job.packages)
        self.preparation = Preparation(job.cropper)
        self.frames = FrameReader()
        self.judge = Judge(load_network(job.checkpoint), job.hardware, job.min_confidence, job.batch_size)

    def __call__(self, block: pa.Table) -> pa.Table:
        """Rows of the pictures of a block."""
        import pyarrow as pa

        rows: list[Row] = []
        named = (Item(**{**row, "path": os.fsdecode(row["path"])}) for row in block.to_pylist())
        for items in chunks((self._with_pixels(item) for item in named), self.judge.batch_size):
            prepared = self.preparation.__getitems__(items)
            rows += [row for picture in self.judge(prepared) for row in picture.rows]
        schema = pa.schema([(name, getattr(pa, kind)()) for name, kind in COLUMNS.items()])
        return pa.Table.from_pylist(rows, schema=schema)

    def _with_pixels(self, item: Item) -> Item:
        """A frame is decoded here; a file is opened later, with all others."""
        if item.frame is None or item.problem:
            return item
        try:
            return replace(item, pixels=self.frames.read(item.path, item.frame))
        except UserError as error:
            return replace(item, problem=str(error))


RayJob.worker = RayWorker


def _import_ray() -> Any:
    """Ray with its data package; untyped, so that types are checked alike with and without it."""
    importlib.import_module("ray.data")
    return importlib.import_module("ray")


def blocks(items: Iterable[Item], size: int) -> Iterator[pa.Table]:
    """Tables of items without their pixels; a path is bytes, since not every one is UTF-8."""
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
    """A cluster, left as it was found."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would call home
    ray = _import_ray()

    if ray.is_initialized():
        yield
        return
    try:
        ray.init(address or "local", include_dashboard=False if address is None else None, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(
            f"ray.address={address}: no cluster answers there ({error}). Start one with ray start."
        ) from error
    ray.data.DataContext.get_current().enable_progress_bars = False  # there is one already
    try:
        yield
    finally:
        ray.shutdown()
