"""last.ckpt as a file: written whole, the one before kept, read with a message that names what is wrong."""

from __future__ import annotations

import io
import logging
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io import CheckpointIO
from torch import Tensor

from gender_lightning.durable import keep_as, publish
from gender_lightning.errors import UserError
from gender_lightning.models.files import KEY, read_torch_file, write_torch_file

log = logging.getLogger(__name__)
_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.Tensor, torch.Size, torch.dtype, torch.device)
_NEEDED = ("state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks", KEY)


class WholeFiles(CheckpointIO):
    """Lightning's reading and writing of checkpoints, by way of `models.files`: atomic, and nothing is executed.

    The state of a callback that could not be read back is left out, with one warning: a resume would fail after hours.
    """

    def __init__(self) -> None:
        self._named: set[str] = set()

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write the file whole or not at all; a UserError where that fails."""
        if not Path(path).parent.is_dir():  # an unmounted disk must not be filled beneath its mount point
            raise UserError(f"{Path(path).parent} is gone.", "Was it removed, or its disk unmounted?")
        states = checkpoint.get("callbacks", {})
        lost = [name for name, state in states.items() if not _reads_back(state)]
        for name in set(lost) - self._named:
            log.warning(
                "The state of the callback %s is not kept for a resume: it holds more than tensors and plain values. "
                "Let its state_dict() return numbers, text, lists, dictionaries and tensors.",
                name.partition("{")[0],
            )
        self._named |= set(lost)
        kept = {name: state for name, state in states.items() if name not in lost}
        write_torch_file(Path(path), {**checkpoint, "callbacks": kept} if lost else checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a file; a UserError where it is damaged."""
        return read_torch_file(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a file."""
        Path(path).unlink(missing_ok=True)


def _reads_back(state: Any) -> bool:
    """Whether `read_torch_file` would accept it: by its types, else by trying."""
    if _is_plain(state):
        return True
    try:
        torch.save(state, file := io.BytesIO())
        file.seek(0)
        torch.load(file, weights_only=True)
    except (pickle.PickleError, AttributeError, TypeError, RuntimeError):  # the first three of what cannot be pickled
        return False
    return True


def _is_plain(value: Any) -> bool:
    if type(value) in (dict, OrderedDict):
        return all(_is_plain(item) for pair in value.items() for item in pair)
    if type(value) in (list, tuple):
        return all(_is_plain(item) for item in value)
    return type(value) in _PLAIN


def rotate(fresh: Path, last: Path, previous: Path | None) -> None:
    """Make a file that was written the last checkpoint, and keep the one that was as `previous`."""
    if previous is not None and last.is_file():
        keep_as(last, previous)
    publish(fresh, last)


def place_of(checkpoint: Mapping[str, Any]) -> str:
    """Where in the training a checkpoint is: `epoch 3, step 120`; epochs count from 1."""
    return f"epoch {int(checkpoint['epoch']) + 1}, step {int(checkpoint['global_step'])}"


def check_resumable(path: Path, net_state: Mapping[str, Tensor], backbone: str) -> None:
    """Refuse a checkpoint that a training of this network cannot go on from, and offer the one before it.

    Args:
        path: last.ckpt, or another.
        net_state: Of the network as it was built, for names and shapes.
        backbone: What it is called.

    Raises:
        UserError: It is cut short, damaged, or of something else.
    """
    fault = _fault(path, net_state, backbone)
    if fault is None:
        return
    previous = path.with_name("previous.ckpt")
    if path != previous and previous.is_file() and _fault(previous, net_state, backbone) is None:
        place = place_of(read_torch_file(previous))
        raise UserError(f"{fault} The checkpoint before it is whole ({place}).", f"Resume from it: resume={previous}")
    raise UserError(f"{fault} There is none before it to resume from.", "Start a new run with another run_dir=...")


def _fault(path: Path, net_state: Mapping[str, Tensor], backbone: str) -> str | None:
    if path.is_file() and not zipfile.is_zipfile(path):  # torch would look for an older form in it
        return f"{path} is damaged, or no checkpoint."
    try:
        content = read_torch_file(path)
    except UserError as error:
        return error.problem
    # torch does not look at the check sums that it writes
    with zipfile.ZipFile(path) as archive:
        try:
            damaged = archive.testzip()
        except (zipfile.BadZipFile, OSError, ValueError):
            damaged = "a part"
    if damaged is not None:
        return f"{path} is damaged: {damaged} does not have its check sum."
    missing = [name for name in _NEEDED if name not in content]
    if missing:
        return f"{path} is not from a training that can be resumed: it has no {', '.join(missing)}."
    named = content[KEY].get("backbone") if isinstance(content[KEY], dict) else None
    shapes = {name.removeprefix("net."): value.shape for name, value in content["state_dict"].items()}
    if named != backbone or shapes != {name: value.shape for name, value in net_state.items()}:
        return f"{path} is of another network ({named}) than this run's {backbone}."
    return None
