"""The groups and auxiliary attributes that a training uses, gathered from the data before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gender_lightning.config import LossConfig
from gender_lightning.data.datamodule import FaceDataModule
from gender_lightning.data.rows.groups import check_attributes, no_attributes
from gender_lightning.data.sources.annotations import SPLITS, Index
from gender_lightning.evaluation.subgroups.group_metrics import (
    described,
    group_metric_names,
    group_metrics,
    group_sizes,
)
from gender_lightning.models.rows import Table
from gender_lightning.training.losses.loss import GroupShares
from gender_lightning.training.losses.signals import Signals


@dataclass(frozen=True)
class TrainingGroups:
    """Groups and auxiliary attributes of the images, as far as a training uses them.

    Attributes:
        shares: The groups by `data.groups`; without any, the classes for group DRO, and None for other losses.
        groups_of: Group of each image of `train`, `valid` and `test`, int64 (N,); empty without groups.
        class_shares: Share of an epoch of (female, male), if a sampler balances it.
        attribute_names: Names of the auxiliary attributes, A.
        attributes: Auxiliary attributes of the training images, bool (N, A); None without auxiliary attributes.
    """

    shares: GroupShares | None = None
    groups_of: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    class_shares: tuple[float, float] | None = None
    attribute_names: tuple[str, ...] = ()
    attributes: NDArray[np.bool_] | None = None

    def metric_names(self, split: str) -> tuple[str, ...]:
        """Names of the group metrics of a split, for the groups that have images there."""
        if self.shares is None:
            return ()
        there = set(self.groups_of[split].tolist())
        return group_metric_names([name for number, name in enumerate(self.shares.names) if number in there])

    def metrics(self, split: str, table: Table, *, sizes: bool = False) -> dict[str, float]:
        """Accuracy of each group on the rows of a split, and its size if `sizes`; empty without groups."""
        of_images = self.groups_of.get(split)
        if of_images is None or self.shares is None:
            return {}
        of_rows, names = of_images[table.indices], self.shares.names
        found = group_metrics(table.labels, table.logits, of_rows, names)
        return found | group_sizes(of_rows, names) if sizes else found

    def line(self, table: Table) -> str:
        """Describe the accuracy and size of each group on the rows of valid; empty without groups."""
        found = self.metrics("valid", table, sizes=True)
        return described(found, self.shares.names) if found and self.shares else ""

    def signals(self, loss: LossConfig) -> Signals:
        """The groups and attributes that this loss needs with each batch."""
        wanted = loss.name == "group_dro" or loss.group_weights != "none"
        if self.shares is None or not wanted:
            return Signals(attributes=self.attributes)
        return Signals(self.groups_of["train"], len(self.shares.names), self.attributes)

    def described(self) -> dict[str, object]:
        """The entries of run.json: the groups with their sizes in each split, and the auxiliary attributes."""
        found: dict[str, object] = {}
        if self.shares is not None:
            sizes = {
                split: np.bincount(rows, minlength=len(self.shares.names)) for split, rows in self.groups_of.items()
            }
            found["groups"] = [
                {"name": name} | {split: int(counts[number]) for split, counts in sizes.items()}
                for number, name in enumerate(self.shares.names)
            ]
        if self.attribute_names:
            found["auxiliary_attributes"] = list(self.attribute_names)
        return found


def training_groups_of(data: FaceDataModule, loss: LossConfig) -> TrainingGroups:
    """Gather the groups and attributes; nothing if there are no training images.

    Raises:
        UserError: The data lack a named attribute.
    """
    train = data.index("train")
    if not len(train):
        return TrainingGroups()
    balance = data.balance()
    class_shares = None
    if balance is not None:
        female, male = balance.shares(train.labels.astype(np.int64)).tolist()
        class_shares = (female, male)
    names = auxiliary_names(train, loss)
    columns = [train.attribute_names.index(name) for name in names]
    attributes = train.attributes[:, columns] if names else None
    if not data.config.groups and loss.name != "group_dro":
        return TrainingGroups(class_shares=class_shares, attribute_names=names, attributes=attributes)
    groups = data.groups
    of_split = {split: groups.of(data.index(split)) for split in SPLITS}
    counts = np.asarray(groups.counts)
    shares = counts / counts.sum() if balance is None else balance.shares(of_split["train"])
    balanced = GroupShares(groups.names, groups.labels, groups.counts, tuple(shares.tolist()))
    return TrainingGroups(balanced, of_split, class_shares, names, attributes)


def auxiliary_names(train: Index, loss: LossConfig) -> tuple[str, ...]:
    """Names of the auxiliary attributes of a loss.

    Raises:
        UserError: The data lack one of them.
    """
    wanted = loss.auxiliary.attributes
    if wanted == "none" or wanted == [] or loss.auxiliary.weight == 0:
        return ()
    without = "loss.auxiliary.attributes=none"
    if wanted == "all":
        if not train.attribute_names:
            raise no_attributes("loss.auxiliary", without)
        return train.attribute_names
    check_attributes(train, wanted, "loss.auxiliary.attributes", without)
    return tuple(wanted)
