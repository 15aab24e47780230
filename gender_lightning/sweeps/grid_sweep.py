"""The sweep over a grid: a job for every point."""

from __future__ import annotations

import queue
import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from gender_lightning.console import console, shown
from gender_lightning.errors import UserError
from gender_lightning.plain_files import refuse_links
from gender_lightning.sweeps.board import Board
from gender_lightning.sweeps.jobs import Job, JobResult, fork_servers, run_job
from gender_lightning.sweeps.pool import work_off
from gender_lightning.sweeps.processes import Children
from gender_lightning.sweeps.slots import Slot

_PLACE = "hydra.sweep.dir"


def run_grid(
    points: Sequence[tuple[str, ...]],
    devices: Sequence[int],
    slots: Sequence[Slot],
    directory: Path,
    *,
    fork: bool = False,
) -> int:
    """Run every point as a job of its own and print how they ended.

    Args:
        points: The overrides of each job.
        devices: The number of devices that each job uses; 0 stands for all devices of its slot.
        slots: One for each worker.
        directory: The directory of the sweep; it must not exist.
        fork: Start the jobs from a fork server, if this system supports one.

    Returns:
        The exit code: 0, 1 when a job failed, 130 when the sweep was interrupted.

    Raises:
        UserError: The directory exists, or cannot be made.
    """
    allocate(directory)
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    shared = set.intersection(*(set(point) for point in points))
    for number, point in enumerate(points):
        varied = tuple(text for text in point if text not in shared)
        waiting.put(Job(number, point, directory / str(number), devices=max(1, devices[number]), varied=varied))
    results: list[JobResult] = []
    board = Board(f"{len(points)} jobs", total=len(points), workers=len(slots))

    def work(slot: Slot, children: Children) -> None:
        while not children.stopping.is_set():
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                return
            board.started(job.number, _told(job))
            result = run_job(job, slot, children)
            results.append(result)
            board.ended(job.number, result.status, result.metrics.get("val/accuracy"), result.error)

    with fork_servers(slots, devices, wanted=fork) as servers, board.shown():
        children = Children(servers)
        interrupted = work_off(slots, lambda slot: work(slot, children), children, board.refresh)
    results.sort(key=lambda result: result.job.number)
    _print(results, directory)
    if interrupted:
        return 130
    return int(any(result.status != "done" for result in results))


def allocate(directory: Path, *, again: bool = False) -> None:
    """Make the directory of a sweep.

    Args:
        directory: The directory to make.
        again: Whether it may exist, because the same search continues.

    Raises:
        UserError: It exists, cannot be made, or contains links that lead out of it.
    """
    remedy = f"Choose another with {_PLACE}=..."
    try:
        directory.mkdir(parents=True, exist_ok=again)
    except FileExistsError:
        raise UserError(f"The sweep directory {directory} exists already.", remedy, field=_PLACE) from None
    except OSError as error:
        problem = f"The sweep directory {directory} cannot be made ({error.strerror})."
        raise UserError(problem, remedy, field=_PLACE) from None
    refuse_links(directory)


def _told(job: Job) -> str:
    """The overrides in which a job differs from the others; for a single job, all of them."""
    return shlex.join(job.varied or job.overrides)


def _print(results: Sequence[JobResult], directory: Path) -> None:
    table = Table("job", "varied fields", "status", "valid accuracy", "test accuracy")
    for result in results:
        scores = (result.metrics.get(f"{split}/accuracy") for split in ("val", "test"))
        cells = ["-" if score is None else f"{score:.4f}" for score in scores]
        table.add_row(str(result.job.number), escape(_told(result.job)), result.status, *cells)
    console.print(table)
    console.print(f"sweep directory: {shown(directory)}", markup=False)
