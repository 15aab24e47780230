"""Checkpoints named by the place where they are published: `hf://user/name` and `wandb://entity/project/artifact`.

They are fetched by the services' own clients into a cache, used from there without a network, and read as data only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gender_lightning.errors import UserError

# one slash where the name has been a Path, which keeps no empty part
_NAME = re.compile(r"(hf|wandb):/{1,2}(.*)", re.DOTALL)
MOST_BYTES = 8 * 10**9  # twice the largest weights of timm


class Fetched(NamedTuple):
    """A file in the cache, and the name that always means this very file."""

    path: Path
    pinned: str


def is_remote(name: str | Path) -> bool:
    """Whether a name is that of a published checkpoint, rather than a path."""
    return _NAME.match(str(name)) is not None


def fetch(name: str | Path) -> Path:
    """The local copy of a published checkpoint.

    Args:
        name: `hf://user/name[@revision][/file]` with a branch, tag or commit without slashes, by default the main
            branch and model.safetensors; or `wandb://entity/project/artifact[:alias]`, by default `latest`.

    Raises:
        UserError: The name is malformed or means nothing, there is no permission to read it, it is too large, or it is
            neither in the cache nor can be fetched.
    """
    return _fetched(name).path


def pinned(name: str | Path) -> str:
    """The name with the commit or version that it means now; raises what `fetch` raises."""
    return _fetched(name).pinned


def _fetched(name: str | Path) -> Fetched:
    found = _NAME.match(str(name))
    assert found is not None, name
    service, rest = found.groups()
    fetcher: Callable[[str], Fetched]
    if service == "hf":
        from gender_lightning.models.checkpoints.hugging_face import fetch_from_hub as fetcher
    else:
        from gender_lightning.models.checkpoints.wandb_artifacts import fetch_artifact as fetcher
    return fetcher(rest)


def refuse_size(name: str, size: int | None) -> None:
    """Refuse a file that is announced to be larger than any checkpoint.

    Args:
        name: The file in messages.
        size: Its size in bytes; None: not announced.

    Raises:
        UserError: It is larger than `MOST_BYTES`, or its size is not known.
    """
    if size is None or size > MOST_BYTES:
        told = "does not say how large it is" if size is None else f"has {size / 1e9:,.1f} GB"
        raise UserError(
            f"{name} {told}, and only files of up to {MOST_BYTES / 1e9:.0f} GB are fetched.",
            "Name the file of a checkpoint.",
        )


def is_inside(file: str) -> bool:
    """Whether the name of a file in somebody else's collection leads to no place outside of it."""
    parts = file.split("/")
    return file.isprintable() and "\\" not in file and ":" not in file and not {"", ".", ".."} & set(parts)
