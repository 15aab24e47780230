"""Reading and writing files of weights: atomically, tensors and plain values only, with errors that name the file."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gender_lightning.durable import writing
from gender_lightning.errors import UserError
from gender_lightning.models.checkpoints.remote import fetch, is_remote
from gender_lightning.plain_files import parse_json, read_json

# What torch.load and the unpickler raise for damaged bytes; UnpicklingError says that a foreign type was refused.
_DAMAGE = (
    RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError, ArithmeticError, MemoryError,
    AssertionError, NotImplementedError, struct.error, zlib.error, zipfile.BadZipFile, ImportError,
)  # fmt: skip
KEY = "gender_lightning"  # where our files keep what is needed to use their weights
SAFETENSORS = ".safetensors"
PUBLISHED, PUBLISHED_CONFIG = f"model{SAFETENSORS}", "config.json"  # what `push` writes into a repository


def checkpoint_file(path: Path) -> Path:
    """The checkpoint that ``path`` names, as a file on this machine; `~` is the home folder.

    Args:
        path: A file, a run directory (its best.ckpt), a folder that `push` wrote (its model.safetensors), or
            `hf://...` or `wandb://...`, which is fetched: see `models.checkpoints.remote`.

    Raises:
        UserError: It is a directory without a checkpoint, or cannot be fetched.
    """
    if is_remote(path):
        return fetch(path)
    path = path.expanduser()
    if not path.is_dir():
        return path
    for file in (path / "checkpoints" / "best.ckpt", path / PUBLISHED):
        if file.is_file():
            return file
    raise UserError(f"{path} has no checkpoints/best.ckpt.", "Give a run directory or a checkpoint file.")


def is_safetensors(path: Path) -> bool:
    """Whether a file has the extension of safetensors."""
    return path.suffix == SAFETENSORS


def read_weights_file(path: Path) -> dict[str, Any]:
    """Read a file of `torch.save` or safetensors onto the CPU. Nothing in the file is executed.

    Returns:
        The dictionary in the file. A safetensors file that describes its model, or has the config.json of `push` beside
        it, gives what a checkpoint gives: the description and the `state_dict`.

    Raises:
        UserError: See `read_torch_file`.
    """
    return _read_safetensors(path) if is_safetensors(path) else read_torch_file(path)


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        if not path.is_file():
            raise FileNotFoundError(path) if not path.exists() else IsADirectoryError(None, "it is not a file")
        with safe_open(path, framework="pt", device="cpu") as file:
            described = (file.metadata() or {}).get(KEY)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is not a mapping
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.", "Give a file of weights.") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is damaged, or not a safetensors file.", "Give an intact file.") from error
    if described is not None:
        return {KEY: parse_json(described, path), "state_dict": state}
    beside = path.with_name(PUBLISHED_CONFIG)  # programs that write weights anew drop their metadata
    config = read_json(beside) if beside.is_file() else None
    if isinstance(config, dict) and KEY in config:
        return {KEY: config[KEY], "state_dict": state}
    return state


def write_safetensors(path: Path, state: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
    """Write weights and their description, as JSON in the metadata, so that `path` holds the old or the new file.

    Raises:
        UserError: There is no space, no permission or no such directory.
    """
    from safetensors.torch import save

    # copies: the format has no place for tensors that share memory
    copies = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    try:
        with writing(path, "wb") as file:
            file.write(save(copies, {"format": "pt", KEY: json.dumps(description)}))
    except OSError as error:
        raise UserError(
            f"{path} could not be written: {error.strerror}.", "Free space or choose another place."
        ) from error


def read_torch_file(path: Path, *, mapped: bool = False) -> dict[str, Any]:
    """Read a dictionary that `torch.save` wrote, onto the CPU. Nothing in the file is executed.

    Args:
        path: The file.
        mapped: Whether tensors are read from the file only when they are used, and must be copied to outlive it.

    Raises:
        UserError: The file is missing, unreadable or cut short, holds anything but tensors and plain values,
            is not a dictionary, or unpacks to more than its size.
    """
    try:
        zipped = _check_form(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and zipped)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.", "Give a checkpoint file or a run directory.") from None
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror or error}.", "Check the path.") from error
    except _DAMAGE as error:
        raise UserError(f"{path} is damaged, or not a PyTorch file.", "Give an intact checkpoint.") from error
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} is not a checkpoint: not a PyTorch file, or one that holds more than tensors and plain values (a "
            "pickled module, OmegaConf's objects), which is refused for safety.",
            "If you trust it, convert it where it was made: "
            "torch.save(torch.load(FILE, weights_only=False)['state_dict'], 'weights.pt'), or .state_dict() of a "
            "module.",
        ) from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no dictionary of weights.", "Give a checkpoint or a state dict.")
    return content


def _check_form(path: Path) -> bool:
    """Refuse a file on which torch.load would block, that unpacks to more than its size, or is in its oldest format.

    Returns:
        Whether the file is a zip archive, as all of torch's files since 1.6.
    """
    if not path.is_file():
        raise FileNotFoundError(path) if not path.exists() else IsADirectoryError(None, "it is not a file", str(path))
    with path.open("rb") as file:
        start = file.read(2)
    if start == b"PK":
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > path.stat().st_size:  # torch.save compresses nothing
            raise ValueError("it is packed")
    elif not start.startswith(b"\x80"):  # the start of a pickle, torch's format before 1.6
        raise pickle.UnpicklingError("neither a zip nor a pickle")
    return start == b"PK"


def write_torch_file(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` so that ``path`` always holds either the old or the new file, completely.

    The directory must exist. It is not created here: a training writes in a thread, and must not fill the place
    beneath the mount point of a disk that was unmounted a moment ago.

    Raises:
        UserError: There is no such directory, no space, no permission or no such device.
    """
    try:
        with writing(path, "wb") as file:
            torch.save(content, file)
    except (OSError, RuntimeError) as error:
        # torch's writer hides the file's own error, such as a full disk, in a RuntimeError
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError) and "PytorchStreamWriter" not in str(error):
            raise
        reason = getattr(cause, "strerror", None) or "the device is full or failed"
        raise UserError(f"{path} could not be written: {reason}.", "Free space or choose another place.") from error
