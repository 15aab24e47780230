"""What a run directory says of its run, read back as plain values."""

from __future__ import annotations

import copy
import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gender_lightning.console import shown
from gender_lightning.errors import UserError
from gender_lightning.notebook import as_html
from gender_lightning.plain_files import read_json, read_yaml

if TYPE_CHECKING:
    import pandas as pd

# Types of the fields read from run.json, which may come from somebody else.
_KINDS: dict[str, Any] = {
    "status": str,
    "seconds": (int, float),
    "resumed": list,
    "wandb_id": str,
    "wandb_project": str,
    "wandb_entity": str,
    "first_batch": str,
    "first_step": str,
    "error": str,
}
_SPLITS = {"val": "valid", "test": "test"}  # by the first part of the names in metrics.json


class Record:
    """A run directory as it is read.

    Attributes:
        path: The directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def info(self) -> dict[str, Any]:
        """The content of `run.json`; empty before the first `update`."""
        file = self.path / "run.json"
        content = read_json(file) if file.is_file() else {}
        if not isinstance(content, dict):
            raise UserError(f"{file} is not the record of a run.", "Restore it, or start a new run.")
        for name, kind in _KINDS.items():
            if content.get(name) is not None and not isinstance(content[name], kind):
                raise UserError(
                    f"{file} is damaged ({name} is {content[name]!r:.60}).", "Restore it, or start a new run."
                )
        if not re.fullmatch(r"[\w-]{0,64}", content.get("wandb_id") or ""):  # it becomes a part of file names
            raise UserError(f"{file} is damaged (wandb_id is not a W&B run id).", "Restore it, or start a new run.")
        return content

    def config(self) -> dict[str, Any]:
        """The content of `config.yaml` as plain dicts and scalars."""
        file = self.path / "config.yaml"
        content = _parsed(file, _stamp(file))
        if not isinstance(content, dict):
            raise UserError(f"{file} holds no configuration.", "Restore it, or start a new run.")
        return copy.deepcopy(content)

    def metrics(self) -> dict[str, float]:
        """The content of `metrics.json`: `val/accuracy`, `test/accuracy` ...; empty where it is not written yet."""
        file = self.path / "metrics.json"
        content = read_json(file) if file.is_file() else {}
        if not isinstance(content, dict):
            raise UserError(f"{file} holds no metrics.", "Restore it, or start a new run.")
        return content

    def curve(self) -> pd.DataFrame:
        """The rows of `metrics.csv`: one per epoch, with `train/loss`, `val/accuracy` ..."""
        import pandas as pd

        file = self.path / "metrics.csv"
        if not file.is_file():
            raise UserError(f"{file} does not exist.", "It is written at the end of the first epoch.")
        return pd.read_csv(file)

    def __fspath__(self) -> str:
        """The directory, so that a run can be given wherever a path can."""
        return str(self.path)

    def __repr__(self) -> str:
        return f"Run({shown(self.path)!r})"

    def _repr_html_(self) -> str:
        """What a notebook shows: where the run is, how it ended, and its metrics."""
        metrics, info = self.metrics(), self.info()
        splits = [split for split in _SPLITS if any(name.startswith(f"{split}/") for name in metrics)]
        names = dict.fromkeys(name.partition("/")[2] for name in metrics)
        rows = [[name, *(_number(metrics.get(f"{split}/{name}")) for split in splits)] for name in names]
        state = f"{info.get('status', 'not started')}, {info.get('seconds', 0):,.0f} s"
        return as_html(f"Run {shown(self.path)}", ["metric", *map(_SPLITS.__getitem__, splits)], rows, [state])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


@functools.lru_cache(maxsize=4)
def _parsed(file: Path, stamp: tuple[int, ...] | None) -> Any:
    """Read a YAML file once per command, since several parts of a command need its content."""
    return read_yaml(file)


def _stamp(file: Path) -> tuple[int, ...] | None:
    """Modification time, size and inode, which change when a file is rewritten; None if it does not exist."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
