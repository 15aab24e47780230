"""Checkpoints that are artifacts of W&B: fetched by W&B's client, and kept by version."""

from __future__ import annotations

import logging
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gender_lightning.durable import publish, writing
from gender_lightning.errors import UserError, printable
from gender_lightning.models.checkpoints.remote import Fetched, is_inside, refuse_size
from gender_lightning.wandb_account import describe, logged_in, named_mode

_NAME = re.compile(
    r"(?P<entity>[\w-][\w.-]*)/(?P<project>[\w-][\w. -]*)/(?P<artifact>[\w-][\w.-]*)(?::(?P<alias>[\w-][\w.-]*))?"
)
_VERSION = re.compile(r"v\d{1,9}")
_SUFFIXES = (".ckpt", ".safetensors", ".pt", ".pth")
_OURS = ("best.ckpt", "model.safetensors")  # what trainings log, and what others may
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ArtifactName:
    """The name of an artifact: `entity/project/artifact:alias`, where the alias may be a version."""

    entity: str
    project: str
    artifact: str
    alias: str

    @classmethod
    def parse(cls, text: str) -> ArtifactName:
        """Parse what stands after `wandb://`.

        Raises:
            UserError: It is not such a name.
        """
        found = _NAME.fullmatch(text)
        if found is None:
            raise UserError(
                f"wandb://{printable(text)[:200]} is not the name of an artifact.",
                "Write wandb://entity/project/artifact:alias, such as wandb://me/faces/model-1a2b3c4d:best.",
            )
        return cls(**{**found.groupdict(), "alias": found["alias"] or "latest"})

    def __str__(self) -> str:
        return f"wandb://{self.entity}/{self.project}/{self.artifact}:{self.alias}"

    @property
    def folder(self) -> Path:
        """Where its versions are kept, below W&B's own cache."""
        from wandb.env import get_cache_dir

        return Path(get_cache_dir()) / "gender_lightning" / self.entity / self.project / self.artifact

    def kept(self) -> Fetched | None:
        """The file in the cache, and the version that it is of."""
        noted = self.folder / "aliases" / self.alias
        version = noted.read_text() if noted.is_file() else self.alias
        folder = self.folder / version
        if not _VERSION.fullmatch(version) or not folder.is_dir():
            return None
        files = [file for file in folder.iterdir() if not file.name.startswith(".")]
        return self.at(files[0], version) if files else None

    def at(self, path: Path, version: str) -> Fetched:
        """A file of a version with the name of that version."""
        return Fetched(path, str(ArtifactName(self.entity, self.project, self.artifact, version)))


def fetch_artifact(text: str) -> Fetched:
    """Fetch the checkpoint in the artifact that `wandb://<text>` names; see `remote.fetch`."""
    name = ArtifactName.parse(text)
    kept = name.kept()
    if kept and _VERSION.fullmatch(name.alias):  # what it means never changes
        return kept
    if named_mode("auto") != "online" or not logged_in():
        if kept:
            return kept
        raise UserError(
            f"{name} is not in the cache ({name.folder}), and W&B is offline or nobody is logged in.",
            "Log in with `wandb login`, unset WANDB_MODE, or name a file of this machine.",
        )
    try:
        return _download(name)
    except UserError:
        raise
    except Exception as error:  # W&B's client raises errors of many kinds, of its own and of others
        if kept is None:
            raise UserError(
                f"{name} could not be fetched ({describe(error)}).", "Check the name, your permission and the network."
            ) from error
        log.warning("W&B does not say what %s is now (%s): %s is used.", name, describe(error), kept.pinned)
        return kept


def _download(name: ArtifactName) -> Fetched:
    import wandb

    artifact = wandb.Api().artifact(f"{name.entity}/{name.project}/{name.artifact}:{name.alias}")
    version = str(artifact.version)
    if not _VERSION.fullmatch(version):
        raise UserError(f"{name} has no version that could be kept ({printable(version)[:50]}).", "Name another one.")
    again = ArtifactName(name.entity, name.project, name.artifact, version).kept()
    if again is None:
        again = name.at(_file_of(artifact, name, name.folder / version), version)
    if name.alias != version:
        (name.folder / "aliases").mkdir(exist_ok=True)
        with writing(name.folder / "aliases" / name.alias) as file:
            file.write(version)
    return again


def _file_of(artifact: Any, name: ArtifactName, folder: Path) -> Path:
    """Download the one checkpoint in an artifact into a folder."""
    files = [file for file in artifact.manifest.entries if file.endswith(_SUFFIXES)]
    files = [file for file in files if file in _OURS] or files
    if len(files) != 1:
        listed = ", ".join(printable(file)[:60] for file in files[:5]) or "none"
        raise UserError(f"{name} does not hold one checkpoint, but {len(files)} ({listed}).", "Name another artifact.")
    entry = artifact.get_entry(files[0])
    if not is_inside(files[0]) or entry.ref is not None:  # a reference could be to a file of this machine
        raise UserError(
            f"{printable(files[0])[:60]} in {name} lies elsewhere.", "Name an artifact that holds its file."
        )
    refuse_size(f"{files[0]} in {name}", entry.size)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / Path(files[0]).name
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as scratch:
        fetched = Path(entry.download(root=scratch, skip_cache=True))
        publish(fetched, target)
    return target
