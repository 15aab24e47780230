"""The checkpoints that a command uses: one, or several whose mean is used like one."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from gender_lightning.errors import UserError
from gender_lightning.evaluation.metric_list import sigmoid
from gender_lightning.inference.domain import Domain, domain_of
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, Network, load_network, read_checkpoint
from gender_lightning.models.checkpoints.files import checkpoint_file
from gender_lightning.models.ensemble import Ensemble
from gender_lightning.models.views import Views
from gender_lightning.runs import Run

if TYPE_CHECKING:
    import pandas as pd

PathLike = str | os.PathLike[str]
Given = PathLike | Iterable[PathLike]
VALID = Path("predictions") / "valid.parquet"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckpointSet:
    """The checkpoints in the order in which they were given.

    Attributes:
        given: Run directories or files; `~` is the home folder.
        views: Whether the network sees several views of a face, see `models.views`.
    """

    given: tuple[Path, ...]
    views: bool = False

    @classmethod
    def of(cls, given: Given | CheckpointSet, faces: str | None = None) -> CheckpointSet:
        """Take one path, or several, and how faces are looked for: only ``tta`` makes a difference.

        Raises:
            UserError: There is none, or one is named twice.
        """
        if isinstance(given, CheckpointSet):
            return replace(given, views=True) if faces == "tta" else given
        several: Iterable[PathLike] = [given] if isinstance(given, str | os.PathLike) else given
        paths = tuple(Path(path).expanduser() for path in several)
        if not paths:
            raise UserError("No checkpoint is given.", "Name one, or several as [A,B,C].", field="checkpoint")
        files = [checkpoint_file(path).resolve() for path in paths] if len(paths) > 1 else []
        if twice := next((path for path, file in zip(paths, files, strict=False) if files.count(file) > 1), None):
            raise UserError(
                f"{twice} is named twice, so that it would count twice in the mean.",
                "Name each checkpoint once.",
                field="checkpoint",
            )
        return cls(paths, faces == "tta")

    def __str__(self) -> str:
        """The paths as a command takes them."""
        return str(self.given[0]) if len(self.given) == 1 else f"[{','.join(map(str, self.given))}]"

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The checkpoint files.

        Raises:
            UserError: A directory has no checkpoint.
        """
        return tuple(map(checkpoint_file, self.given))

    @property
    def is_one(self) -> bool:
        """Whether there is a single checkpoint, which may have a run of its own."""
        return len(self.given) == 1

    @cached_property
    def runs(self) -> tuple[Run | None, ...]:
        """The run that each of them belongs to; None for a file elsewhere."""
        return tuple(map(Run.of, self.given))

    @property
    def run(self) -> Run | None:
        """The run that holds what belongs to this network; None for a file elsewhere, and for a mean."""
        return self.runs[0] if self.is_one else None

    @cached_property
    def domain(self) -> Domain | None:
        """What the checkpoint remembers of its valid split; a mean, of networks or of views, remembers nothing."""
        return domain_of(self.files[0]) if self.is_one and not self.views else None

    def absolute(self) -> CheckpointSet:
        """The same files by their absolute paths, which hold on other machines too."""
        return CheckpointSet(tuple(path.absolute() for path in self.files), self.views)

    def digest(self) -> str:
        """A hash of the files' content, which tells one network, or one mean, from another."""
        digests = []
        for path in self.files:
            with path.open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
        return digests[0] if self.is_one else hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()

    def network(self, device: str | torch.device = "cpu") -> Network:
        """Load the network, or the mean with the temperature and threshold that suit the runs' valid split.

        Raises:
            UserError: A checkpoint is missing or damaged, or the networks cannot be joined.
        """
        network = self._network(device)
        return Views(network).eval() if self.views else network

    def _network(self, device: str | torch.device) -> Network:
        networks = [load_network(path, device) for path in self.files]
        if self.is_one:
            return networks[0]
        ensemble = Ensemble(networks, [str(path) for path in self.given]).eval()
        table = self.mean_on_valid([network.spec for network in networks])
        if table is None:
            log.warning(
                "The checkpoints have no predictions of the same valid images, on which their mean could be "
                "calibrated: its temperature is 1, its threshold 0.5."
            )
            return ensemble
        return ensemble.calibrated(*calibration(table, [network.spec for network in networks]))

    def valid_predictions(self) -> pd.DataFrame | None:
        """The predictions on the runs' valid split, for the mean those of the mean; None if they are missing.

        Raises:
            UserError: A file is not a table of predictions.
        """
        if not self.is_one:
            return self.mean_on_valid([read_checkpoint(path)[0] for path in self.files])
        from gender_lightning.evaluation.predictions import read_predictions

        file = valid_file(self.given[0])
        return None if file is None else read_predictions(file)

    def mean_on_valid(self, specs: list[ModelSpec]) -> pd.DataFrame | None:
        """The predictions of the mean, uncalibrated, from the tables of the members' runs.

        Args:
            specs: The members' specifications.

        Returns:
            A table as of `predictions_table`, with the columns of the first run; None unless all members' tables are
            of the same images with the same labels.
        """
        from gender_lightning.evaluation.predictions import read_predictions

        files = [valid_file(path) for path in self.given]
        tables = [read_predictions(file).sort_values("image_id", ignore_index=True) for file in files if file]
        if len(tables) < len(files) or not all(_same_images(tables[0], table) for table in tables):
            return None
        logits = [
            table["logit"].to_numpy(np.float64) / spec.temperature for table, spec in zip(tables, specs, strict=True)
        ]
        mean = np.mean(logits, axis=0)
        return tables[0].assign(logit=mean, probability=sigmoid(mean))


def calibration(table: pd.DataFrame, specs: list[ModelSpec]) -> tuple[float, float, str]:
    """Temperature, threshold and rule of the threshold for the mean, chosen on valid as `train` chooses them.

    The rule is that of the members, `half` if they differ.
    """
    from gender_lightning.evaluation.metrics import fit_temperature
    from gender_lightning.evaluation.thresholds import choose_threshold

    temperature = fit_temperature(table["logit"].to_numpy(), table["label"].to_numpy())
    rules = {spec.threshold_rule for spec in specs}
    wanted = rules.pop() if len(rules) == 1 else "half"
    chosen = choose_threshold(
        table, temperature, "balanced" if wanted == "balanced" else "worst_group" if wanted == "worst_group" else "half"
    )
    return temperature, chosen.value, chosen.rule


def valid_file(checkpoint: Path) -> Path | None:
    """The run's predictions on valid, if the checkpoint is inside its run directory."""
    folders = [checkpoint] if checkpoint.is_dir() else list(checkpoint.absolute().parents[:2])
    return next((file for folder in folders if (file := folder / VALID).is_file()), None)


def _same_images(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    return len(one) > 0 and one[["image_id", "label"]].equals(other[["image_id", "label"]])
