"""Reading a data section: its rows and its pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from gender_lightning.data.kinds import KINDS
from gender_lightning.data.rows.folds import hold_out
from gender_lightning.data.rows.revising import corrected, without_listed
from gender_lightning.data.rows.selection import stratified_fraction, stratified_limit, without_contradictions
from gender_lightning.data.sources.annotations import Index
from gender_lightning.data.sources.attribute_file import with_attributes
from gender_lightning.data.sources.images import ImageStore

if TYPE_CHECKING:
    from gender_lightning.config.data import DataConfig


def open_data(config: DataConfig) -> tuple[Index, ImageStore]:
    """The rows to use, of all splits, and the source of their pictures.

    Raises:
        UserError: Data are missing or malformed.
    """
    index, store = KINDS[config.name].read(config)
    known = index.image_ids
    if config.corrections is not None:
        index = corrected(index, config.corrections)
    if config.folds is not None:
        assert config.fold is not None
        index = hold_out(index, config.folds, config.fold, config.seed)
    if config.drop_contradictions:
        index = without_contradictions(index)  # before any limit, which would hide images of a person
    index = stratified_fraction(index, config.fraction, config.seed)
    if config.limit is not None:
        index = stratified_limit(index, config.limit, config.seed)
    if config.attributes is not None:
        index = with_attributes(index, Path(os.path.expanduser(config.attributes)))
    if config.exclude is not None:
        index = without_listed(index, config.exclude, known)
    return index, store


def make_data(config: DataConfig) -> None:
    """Make data that do not exist yet, if their kind can be made: draw the synthetic faces.

    Raises:
        UserError: The folder holds something else, or cannot be written.
    """
    make = KINDS[config.name].make
    if make is not None:
        make(config)
