"""Reading and writing of last.ckpt: complete or not at all, with the previous file kept, and faults named in words."""

from __future__ import annotations

import io
import logging
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io import CheckpointIO
from torch import Tensor

from gender_lightning.durable import keep_as, publish
from gender_lightning.errors import UserError
from gender_lightning.models.checkpoints.files import KEY, read_torch_file, write_torch_file

log = logging.getLogger(__name__)
_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.Tensor, torch.Size, torch.dtype, torch.device)
_REMEDY = "Name another checkpoint."
_NEEDED = ("state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks", KEY)


class WholeFiles(CheckpointIO):
    """Lightning's reading and writing of checkpoints through `models.checkpoints.files`: atomic, and nothing is executed.

    A callback's state that could not be read back is left out with a warning, since a resume would fail otherwise.
    """

    def __init__(self) -> None:
        self._taken: list[dict[str, Any]] | None = None
        self._named: set[str] = set()  # callbacks with a warning already

    @contextmanager
    def taking(self) -> Iterator[list[dict[str, Any]]]:
        """Collect what Lightning saves in the block, in a list (empty on other ranks), without writing it."""
        taken: list[dict[str, Any]] = []
        self._taken = taken
        try:
            yield taken
        finally:
            self._taken = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write the file completely or not at all.

        Raises:
            UserError: The file cannot be written.
        """
        checkpoint = self._readable(checkpoint)
        if self._taken is not None:
            self._taken.append(checkpoint)
            return
        with still_there(Path(path).parent):
            write_torch_file(Path(path), checkpoint)

    def _readable(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        states = checkpoint.get("callbacks", {})
        lost = {name for name, state in states.items() if not _reads_back(state)}
        for name in lost - self._named:
            log.warning(
                "The state of the callback %s is not saved for a resume: it holds more than tensors and plain values. "
                "Let its state_dict() return numbers, text, lists, dictionaries and tensors.",
                name.partition("{")[0],
            )
        self._named |= lost
        kept = {name: state for name, state in states.items() if name not in lost}
        return {**checkpoint, "callbacks": kept} if lost else checkpoint

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a file onto the CPU.

        Raises:
            UserError: The file is damaged.
        """
        return read_torch_file(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a file."""
        Path(path).unlink(missing_ok=True)


def _reads_back(state: Any) -> bool:
    """Whether `read_torch_file` would accept the value, judged by its types or, if they do not tell, by a try."""
    if _is_plain(state):
        return True
    try:
        torch.save(state, file := io.BytesIO())
        file.seek(0)
        torch.load(file, weights_only=True)
    except (pickle.PickleError, AttributeError, TypeError, RuntimeError):  # the first three if it cannot be pickled
        return False
    return True


def _is_plain(value: Any) -> bool:
    if type(value) in (dict, OrderedDict):
        return all(_is_plain(item) for pair in value.items() for item in pair)
    if type(value) in (list, tuple):
        return all(_is_plain(item) for item in value)
    return type(value) in _PLAIN


@contextmanager
def still_there(directory: Path) -> Iterator[None]:
    """Refuse to write into a directory that is gone: an unmounted disk must not be filled beneath its mount point."""
    gone = UserError(f"{directory} is gone.", "Check whether it was removed, or whether its disk was unmounted.")
    if not directory.is_dir():
        raise gone
    try:
        yield
    except (UserError, OSError) as error:
        if not directory.is_dir():  # by now
            raise gone from error
        raise


def rotate(fresh: Path, last: Path, previous: Path | None) -> None:
    """Make a newly written file the last checkpoint, and keep the former one as `previous`."""
    if previous is not None and last.is_file():
        keep_as(last, previous)
    publish(fresh, last)


def place_of(checkpoint: Mapping[str, Any]) -> str:
    """The place of a checkpoint in its training, such as `epoch 3, step 120`; epochs count from 1."""
    return f"epoch {int(checkpoint['epoch']) + 1}, step {int(checkpoint['global_step'])}"


def check_resumable(
    path: Path, net_state: Mapping[str, Tensor], backbone: str, further: Mapping[str, Tensor] | None = None
) -> None:
    """Refuse a checkpoint from which a training of this network cannot continue, and offer the one before it.

    Args:
        path: last.ckpt, or another checkpoint.
        net_state: State of the newly built network, for names and shapes.
        backbone: Name of that network.
        further: State that the training has besides the network (auxiliary heads, weights of groups); None: any.

    Raises:
        UserError: The checkpoint is cut short, damaged, or of another network.
    """
    try:
        content = _check(path, net_state, backbone)
    except UserError as error:
        previous = path.with_name("previous.ckpt")
        place = None if path == previous else _place_if_resumable(previous, net_state, backbone)
        if place is None:
            found, remedy = "There is none before it to resume from.", "Start a new run with another run_dir=..."
        else:
            found, remedy = f"The checkpoint before it is intact ({place}).", f"Resume from it: resume={previous}"
        raise UserError(f"{error.problem} {found}", remedy, field="resume") from error
    kept = {name: value.shape for name, value in content["state_dict"].items() if not name.startswith("net.")}
    if further is not None and kept != {name: value.shape for name, value in further.items()}:
        raise UserError(
            f"{path} was written by a training with other auxiliary heads or groups.",
            "Leave loss and data.groups as they were, or start a new run with model.pretrained=<run directory>.",
            field="resume",
        )


def _place_if_resumable(path: Path, net_state: Mapping[str, Tensor], backbone: str) -> str | None:
    if not path.is_file():
        return None
    try:
        return place_of(_check(path, net_state, backbone))
    except UserError:
        return None


def _check(path: Path, net_state: Mapping[str, Tensor], backbone: str) -> dict[str, Any]:
    """Read a checkpoint.

    Raises:
        UserError: A training of this network cannot continue from it.
    """
    if path.is_file() and not zipfile.is_zipfile(path):  # torch would look for an older format in it
        raise UserError(f"{path} is damaged, or not a checkpoint.", _REMEDY)
    content = read_torch_file(path)
    with zipfile.ZipFile(path) as archive:  # torch does not check the checksums that it writes
        try:
            damaged = archive.testzip()
        except (zipfile.BadZipFile, OSError, ValueError):
            damaged = "a part"
    if damaged is not None:
        raise UserError(f"{path} is damaged: the checksum of {damaged} is wrong.", _REMEDY)
    missing = [name for name in _NEEDED if name not in content]
    if missing:
        raise UserError(f"{path} cannot be resumed: it lacks {', '.join(missing)}.", _REMEDY)
    named = content[KEY].get("backbone") if isinstance(content[KEY], dict) else None
    state = content["state_dict"].items()
    shapes = {name.removeprefix("net."): value.shape for name, value in state if name.startswith("net.")}
    if named != backbone or shapes != {name: value.shape for name, value in net_state.items()}:
        raise UserError(f"{path} holds another network ({named}) than this run's {backbone}.", _REMEDY)
    return content
