"""From the data section to rows and pictures: the one place that knows the kinds of data set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from gender_lightning.data.annotations import Index, read_celeba
from gender_lightning.data.folders import read_folder
from gender_lightning.data.images import FolderStore, ImageStore, open_celeba_images
from gender_lightning.data.selection import random_split, stratified_fraction, stratified_limit, with_images
from gender_lightning.hardware import available_cores
from gender_lightning.progress import progress_bar
from gender_lightning.synthetic.marker import describe_set, is_drawn

if TYPE_CHECKING:
    from gender_lightning.config.data import DataConfig, SyntheticData


def open_data(config: DataConfig) -> tuple[Index, ImageStore]:
    """The rows to use, of all splits, and where their pictures are.

    Raises:
        UserError: Data are missing or malformed.
    """
    root = Path(os.path.expanduser(config.root))
    store: ImageStore
    if config.name == "folder":
        store = FolderStore(root)
        index = read_folder(root, config.sizes.model_dump(), config.seed)
    else:
        index = read_celeba(root)
        store = open_celeba_images(root)
        index = with_images(index, store)
    if config.name == "celeba" and config.split != "official":
        assert config.sizes is not None  # the schema's
        index = random_split(index, config.sizes.model_dump(), config.split, config.seed)
    index = stratified_fraction(index, config.fraction, config.seed)
    if config.limit is not None:
        index = stratified_limit(index, config.limit, config.seed)
    return index, store


def draw_synthetic(config: SyntheticData) -> None:
    """Draw the synthetic faces with a progress bar, unless they are there.

    Raises:
        UserError: The folder holds something else, or cannot be written.
    """
    root = Path(os.path.expanduser(config.root))
    sizes = {split: int(size) for split, size in config.sizes.model_dump().items()}
    if is_drawn(root, describe_set(sizes, config.seed)):
        return
    from gender_lightning.synthetic.faces import draw_faces  # imports OpenCV: for those who draw

    with progress_bar("Drawing faces") as report:
        draw_faces(root, sizes, config.seed, available_cores(), report)
