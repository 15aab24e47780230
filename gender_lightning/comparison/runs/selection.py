"""Which runs are meant: run directories, directories of sweeps, globs."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gender_lightning.errors import UserError, UserErrors
from gender_lightning.runs import Run

_PRINTED = "Give one that `train` printed at its end."
_DOWN = 4  # levels below a directory that is given, in which runs are looked for


@dataclass(frozen=True)
class Selection:
    """The finished runs that were asked for.

    Attributes:
        runs: Each once, in the order in which they were named.
        left_out: A sentence on each run in a sweep or a glob that is not finished.
        repeated: A sentence on each run that was named itself twice.
    """

    runs: tuple[Run, ...]
    left_out: tuple[str, ...]
    repeated: tuple[str, ...] = ()


def select_runs(wanted: Sequence[str]) -> Selection:
    """Find the runs.

    A run that is named itself must be finished; of a sweep or a glob those that are not are left out, and said so.

    Args:
        wanted: Paths of run directories or of directories above them, or glob patterns.

    Raises:
        UserErrors: A path or pattern leads to no run, or a named run is not finished.
    """
    found: dict[Path, Run] = {}
    left_out: dict[Path, str] = {}
    problems: list[UserError] = []
    repeated: list[str] = []
    for text in wanted:
        try:
            named, directories = _directories(text)
        except UserError as error:
            problems.append(error)
            continue
        for directory in directories:
            run = Run.open(directory)
            unfinished = _unfinished(run)
            if unfinished and named:
                remedy = f"Leave it out, or continue it: gender-lightning train resume={text}."
                problems.append(UserError(f"{text}: {unfinished}.", remedy))
            elif unfinished:
                left_out[directory.resolve()] = f"{directory}: {unfinished}."
            elif directory.resolve() not in found:
                found[directory.resolve()] = run
            elif named:
                repeated.append(f"{text} was named twice; it counts once.")
    if problems:
        raise UserErrors(problems)
    if not found:
        raise UserError(
            f"None of the {len(left_out)} runs is finished: {' '.join(left_out.values())}",
            "Wait for them, or name others.",
        )
    return Selection(tuple(found.values()), tuple(left_out.values()), tuple(repeated))


def _directories(text: str) -> tuple[bool, list[Path]]:
    """Whether a run is named itself, and the run directories that are meant."""
    path = Path(text).expanduser()
    if (path / "run.json").is_file():
        return True, [path]
    if path.is_dir():
        if runs := list(_runs_below(path)):
            return False, runs
        raise UserError(f"{text}: there is no run in this directory.", _PRINTED)
    if path.exists():
        raise UserError(f"{text}: this is a file.", "Give the run directory that it lies in.")
    matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True), key=natural_key)]
    if not glob.has_magic(str(path)):
        raise UserError(f"{text}: there is no such directory.", _PRINTED)
    runs = [run for match in matches if match.is_dir() for run in _runs_below(match)]
    if not runs:
        what = f"nothing but {len(matches)} paths without a run in them" if matches else "nothing"
        raise UserError(f"{text}: this glob matches {what}.", "Check it with `ls`.")
    return False, runs


def _runs_below(directory: Path) -> Iterator[Path]:
    """The directory itself where it is a run, else the runs below it; a run holds no further ones."""
    base = len(directory.parts)
    for folder, subfolders, files in os.walk(directory):
        subfolders.sort(key=natural_key)
        if "run.json" in files:
            yield Path(folder)
            subfolders.clear()
        elif len(Path(folder).parts) - base >= _DOWN:
            subfolders.clear()


def natural_key(text: str) -> list[tuple[int, str]]:
    """Sorts job 10 behind job 9."""
    import re

    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", text)]


def _unfinished(run: Run) -> str | None:
    """What there is to say of a run that has no result; None for one that has."""
    status = run.info().get("status")
    said = {
        "running": "this run has not ended yet",
        "failed": "this run has failed",
        "pruned": "this run was pruned by its search",
        "interrupted": "this run was interrupted",
    }
    return None if status == "done" else said.get(str(status), f"this run is not finished (status {status})")
