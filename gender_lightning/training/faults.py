"""Failures of a training that are not bugs, reported with what to do: memory, disk, dead workers, nan losses."""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException

from gender_lightning.console import record
from gender_lightning.errors import UserError
from gender_lightning.models.checkpoints.files import read_torch_file
from gender_lightning.runs import Run
from gender_lightning.training.callbacks.finite_loss import NonFiniteLoss
from gender_lightning.training.checkpoint_files import place_of

log = logging.getLogger(__name__)

_DISK = {
    errno.ENOSPC: "Free some space.",
    errno.EDQUOT: "Free some space.",
    errno.EFBIG: "Allow larger files (ulimit -f).",
    errno.EROFS: "Make the disk writable again.",
    errno.EACCES: "Make the directory writable again.",
    errno.EPERM: "Make the directory writable again.",
    errno.EIO: "Check the disk.",
    errno.ENOENT: "Restore the directory.",
    errno.ESTALE: "Reconnect the network disk.",
}
# torch raises a plain RuntimeError with such a text, without a class or code of its own
_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "Cannot allocate memory")
_NOT_REPEATABLE = re.compile(r"(\S+) does not have a deterministic implementation")
_WORKER = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (.*)")


@contextmanager
def explained(run: Run) -> Iterator[None]:
    """Turn such a failure into a UserError that names the last good checkpoint; other errors pass unchanged."""
    try:
        yield
    except (UserError, OSError, MemoryError, RuntimeError, NonFiniteLoss, MisconfigurationException) as error:
        fault = explain(error)
        if fault is None:
            raise
        if isinstance(error, NonFiniteLoss):
            record.error("%s. All of them: %s", error, " ".join(error.image_ids))
        raise UserError(fault.problem, f"{fault.remedy} {_continuation(run)}") from error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and the errors that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def explain(error: BaseException) -> UserError | None:
    """The same failure in words for the user; None if the error is not such a failure."""
    text = str(error)
    # a worker's death can interrupt anything, even the writing of a checkpoint, which then fails on its own
    deaths = (_WORKER.search(str(cause)) for cause in _chain(error))
    if isinstance(error, NonFiniteLoss):
        return UserError(
            f"{error}.",
            "Look at these images, or lower optimizer.lr (trainer.gradient_clip_val and trainer.precision=32-true help "
            "too).",
        )
    if isinstance(error, MisconfigurationException):
        return UserError("Lightning cannot train with this configuration.", f"It says: {' '.join(text.split())}")
    if worker := next(filter(None, deaths), None):
        return _dead_worker(worker[1], worker[2])
    if found := _NOT_REPEATABLE.search(text):
        return UserError(
            f"trainer.deterministic=true: torch has no deterministic {found[1]} for a GPU, which this network needs.",
            "Set trainer.deterministic=false, or choose another model.",
        )
    if isinstance(error, torch.OutOfMemoryError):
        return UserError("The GPU has too little memory for this training.", _SMALLER)
    if isinstance(error, MemoryError) or (
        not isinstance(error, OSError) and any(words in text for words in _NO_MEMORY)
    ):
        return UserError("There is too little memory for this training.", _SMALLER)
    if isinstance(error, OSError) and error.errno in _DISK:
        where = f"{error.filename} cannot be written or read" if error.filename else "A file cannot be written"
        return UserError(f"{where}: {error.strerror}.", _DISK[error.errno])
    if isinstance(error, UserError) and isinstance(error.__cause__, (OSError, RuntimeError)):
        return error  # a checkpoint could not be written
    return None


_SMALLER = (
    "Halve data.batch_size and double trainer.accumulate_grad_batches, which keeps the result, or choose a smaller "
    "data.image_size or model."
)


def _dead_worker(pids: str, how: str) -> UserError:
    process = f"A process that loads images (pid {pids})"
    if "bus error" in how.lower():
        return UserError(
            f"{process} ran out of shared memory.",
            "Give it more (docker run --shm-size=4g), or set data.workers=0.",
        )
    if "killed by signal" in how:
        name = how.partition("signal: ")[2].partition(".")[0] or "a signal"
        return UserError(
            f"{process} was ended from outside ({name}), most often because memory ran out.",
            "Set data.workers=1 or data.prefetch=1, or free memory.",
        )
    return UserError(
        f"{process} ended unexpectedly.",
        "Set data.workers=0 to see why, or data.workers=1 to need less memory.",
    )


def _continuation(run: Run) -> str:
    """The last good checkpoint, and how to continue from it."""
    for file, resume in ((run.last, run.path), (run.previous, run.previous)):
        try:
            place = place_of(read_torch_file(file))
        except UserError as error:
            log.debug("not offered: %s", error)
            continue
        return f"The last good checkpoint is {file} ({place}): train resume={resume} continues from it."
    return "There is no checkpoint yet."
