"""last.ckpt as a file: written whole, the one before kept, read with a message that names what is wrong."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_fabric.plugins.io import CheckpointIO
from torch import Tensor

from gender_lightning.durable import keep_as, publish
from gender_lightning.errors import UserError
from gender_lightning.models.files import KEY, read_torch_file, write_torch_file

_NEEDED = ("state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks", KEY)


class WholeFiles(CheckpointIO):
    """Lightning's reading and writing of checkpoints, by way of `models.files`: atomic, and nothing is executed."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write the file whole or not at all; a UserError where that fails."""
        if not Path(path).parent.is_dir():  # an unmounted disk must not be filled beneath its mount point
            raise UserError(f"{Path(path).parent} is gone.", "Was it removed, or its disk unmounted?")
        write_torch_file(Path(path), checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a file; a UserError where it is damaged."""
        return read_torch_file(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a file."""
        Path(path).unlink(missing_ok=True)


def rotate(fresh: Path, last: Path, previous: Path | None) -> None:
    """Make a file that was written the last checkpoint, and keep the one that was as `previous`."""
    if previous is not None and last.is_file():
        keep_as(last, previous)
    publish(fresh, last)


def place_of(checkpoint: Mapping[str, Any]) -> str:
    """Where in the training a checkpoint is: `epoch 3, step 120`; epochs count from 1."""
    return f"epoch {int(checkpoint['epoch']) + 1}, step {int(checkpoint['global_step'])}"


def check_resumable(
    path: Path, net_state: Mapping[str, Tensor], backbone: str, further: Mapping[str, Tensor] | None = None
) -> None:
    """Refuse a checkpoint that a training of this network cannot go on from, and offer the one before it.

    Args:
        path: last.ckpt, or another.
        net_state: Of the network as it was built, for names and shapes.
        backbone: What it is called.
        further: What else the training keeps: auxiliary heads, weights of groups.

    Raises:
        UserError: It is cut short, damaged, or of something else.
    """
    fault = _fault(path, net_state, backbone)
    if fault is None:
        if further is not None:
            _check_further(path, further)
        return
    previous = path.with_name("previous.ckpt")
    if path != previous and previous.is_file() and _fault(previous, net_state, backbone) is None:
        place = place_of(read_torch_file(previous))
        raise UserError(f"{fault} The checkpoint before it is whole ({place}).", f"Resume from it: resume={previous}")
    raise UserError(f"{fault} There is none before it to resume from.", "Start a new run with another run_dir=...")


def _check_further(path: Path, further: Mapping[str, Tensor]) -> None:
    state = read_torch_file(path)["state_dict"]
    before = {name: value.shape for name, value in state.items() if not name.startswith("net.")}
    if before != {name: value.shape for name, value in further.items()}:
        raise UserError(
            f"{path} is of a training with other auxiliary heads or groups.",
            "Leave loss and data.groups as they were, or start a new run with model.pretrained=<run directory>.",
        )


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
    state = content["state_dict"].items()
    shapes = {name.removeprefix("net."): value.shape for name, value in state if name.startswith("net.")}
    if named != backbone or shapes != {name: value.shape for name, value in net_state.items()}:
        return f"{path} is of another network ({named}) than this run's {backbone}."
    return None
