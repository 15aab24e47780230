"""The registry of data kinds, with everything that is known about each `data=<kind>`.

A new kind is a record here with its reader, its section in `config/data.py`, and a file in `conf/data/`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gender_lightning.config.data import CelebaData, FolderData, SyntheticData
from gender_lightning.data.framing import CELEBA, Placement
from gender_lightning.data.rows.selection import random_split, with_images
from gender_lightning.data.sources.annotations import Index, read_celeba
from gender_lightning.data.sources.folders import read_folder
from gender_lightning.data.sources.images import FolderStore, ImageStore, open_celeba_images
from gender_lightning.machine.hardware import available_cores
from gender_lightning.progress import progress_bar
from gender_lightning.synthetic.marker import describe_set, is_drawn


@dataclass(frozen=True)
class DataKind:
    """What the program knows about a kind of data.

    Attributes:
        name: The kind's name, in `data=<name>` and in the section's `name`.
        schema: Schema of its section.
        read: Reads, for a section, the rows of all splits before any selection, and their pictures.
        shown: What a sentence calls the data: "measured on the test split of ...".
        about: What the data are and what may be done with them, for a model card.
        label: What the label is, for a model card.
        forbids: Why weights that have learned from the data may not simply be published; empty where nothing does.
        make: Makes the data where they do not exist yet; None: only their owner can.
        same_everywhere: Whether two copies in different folders are the same data.
        placement: Where faces lie in the pictures; None: it differs between data sets of this kind.
        labels: Reads the rows where the pictures may be missing; None: the labels are the places of the pictures.
    """

    name: str
    schema: type[Any]
    read: Callable[[Any], tuple[Index, ImageStore]]
    shown: str
    about: str
    label: str
    forbids: str = ""
    make: Callable[[Any], None] | None = None
    same_everywhere: bool = False
    placement: Placement | None = None
    labels: Callable[[Any], Index] | None = None


def root_of(config: Any) -> Path:
    """The folder of a data section, with `~` resolved."""
    return Path(os.path.expanduser(config.root))


def _read_celeba(config: CelebaData) -> tuple[Index, ImageStore]:
    index, store = _read_celeba_layout(config)
    return _split(index, config), store


def _split(index: Index, config: CelebaData) -> Index:
    if config.split == "official":
        return index
    assert config.sizes is not None  # the schema sees to it
    return random_split(index, config.sizes.model_dump(), config.split, config.seed)


def _read_celeba_layout(config: CelebaData | SyntheticData) -> tuple[Index, ImageStore]:
    root = root_of(config)
    index = read_celeba(root)
    store = open_celeba_images(root)
    return with_images(index, store), store


def _read_folder(config: FolderData) -> tuple[Index, ImageStore]:
    root = root_of(config)
    return read_folder(root, config.sizes.model_dump(), config.seed), FolderStore(root)


def _draw(config: SyntheticData) -> None:
    """Draw the faces with a progress bar, unless they are there.

    Raises:
        UserError: The folder holds something else, or cannot be written.
    """
    sizes = {split: int(size) for split, size in config.sizes.model_dump().items()}
    if is_drawn(root_of(config), describe_set(sizes, config.seed)):
        return
    from gender_lightning.synthetic.faces import draw_faces  # imports OpenCV, needed for drawing only

    with progress_bar("Drawing faces") as report:
        draw_faces(root_of(config), sizes, config.seed, available_cores(), report)


_KINDS = (
    DataKind(
        "celeba",
        CelebaData,
        _read_celeba,
        shown="CelebA",
        about="CelebA (Liu et al. 2015): celebrities from the web, cropped and aligned, labelled by annotators. CelebA "
        "may be used for non-commercial research only, and its images may not be redistributed; weights trained on it "
        "should be treated as subject to the same restrictions. The people in it did not consent; they are famous, "
        "mostly young and mostly light-skinned, and were photographed at their best.",
        label="`Male`",
        forbids="CelebA may be used for non-commercial research only, and so should weights that have learned from it",
        same_everywhere=True,
        placement=CELEBA,
        labels=lambda config: _split(read_celeba(root_of(config)), config),
    ),
    DataKind(
        "synthetic",
        SyntheticData,
        _read_celeba_layout,
        shown="the drawn faces",
        about="Faces drawn by this package. They depict no real person, no third party's licence applies to them, and "
        "they say nothing about how the model performs on photographs.",
        label="the sex that the face was drawn with",
        make=_draw,
        placement=CELEBA,
        labels=lambda config: read_celeba(root_of(config)),
    ),
    DataKind(
        "folder",
        FolderData,
        _read_folder,
        shown="the folder",
        about="A folder of the user's own images. Their licence, and whether the people in them consented, is not "
        "known to this package: the owner must add it here.",
        label="the name of the folder that an image was in",
    ),
)
KINDS: Mapping[str, DataKind] = {kind.name: kind for kind in _KINDS}


def words_of(name: str) -> DataKind:
    """The record of a kind; for one that this version does not know, a record that says so.

    The name may come from a file of another version or of somebody else, so it is never refused.
    """
    return KINDS.get(name) or DataKind(
        name,
        object,
        _unreadable,
        shown=f"data of the kind '{name}'",
        about=f"Data of the kind '{name}', which this version of the package does not know. Their owner must describe "
        "them here.",
        label="not known to this version of the package",
    )


def _unreadable(config: Any) -> tuple[Index, ImageStore]:
    raise AssertionError("an unknown kind of data is described, never read")
