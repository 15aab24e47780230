"""Only what was tested on the same images can be compared."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import reduce

import numpy as np

from gender_lightning.comparison.runs.reading import RunResult
from gender_lightning.errors import UserError

_SHOWN = 6
_REFUSED = (
    "Evaluate all on the same data (gender-lightning evaluate, then evaluation=NAME), or compare on the images that "
    "all share: images=common."
)


def on_the_same_images(runs: Sequence[RunResult], mode: str) -> tuple[list[RunResult], str | None]:
    """The runs on the images that they share, and a sentence where these are not all of each run's.

    Args:
        runs: With tables sorted by image.
        mode: `same` refuses runs that were tested on different images; `common` takes those that all share.

    Raises:
        UserError: The images differ, none is shared, or one name stands for different pictures.
    """
    groups = _by_images(runs)
    if len(groups) > 1 and mode == "same":
        raise UserError(_refusal(groups), _REFUSED)
    kept = list(runs)
    note = None
    if len(groups) > 1:
        shared = reduce(np.intersect1d, [_ids(run) for run in runs])
        if not len(shared):
            raise UserError("No image was tested by all runs.", "Evaluate them on the same data, or name fewer runs.")
        kept = [run.with_table(run.table[np.isin(_ids(run), shared)].reset_index(drop=True)) for run in runs]
        most = max(len(run.table) for run in runs)
        note = f"The runs were tested on different images; compared are the {len(shared):,} (of up to {most:,}) shared."
    _check_labels(kept)
    return kept, note


def _by_images(runs: Sequence[RunResult]) -> list[list[RunResult]]:
    """Runs with equal sets of images together, the largest group first."""
    groups: dict[str, list[RunResult]] = {}
    for run in runs:
        digest = hashlib.sha256("\n".join(run.table["image_id"]).encode()).hexdigest()
        groups.setdefault(digest, []).append(run)
    return sorted(groups.values(), key=len, reverse=True)


def _refusal(groups: Sequence[Sequence[RunResult]]) -> str:
    first = set(groups[0][0].table["image_id"])
    parts = [f"{_names(groups[0])} on {len(first):,} images"]
    for group in groups[1:]:
        ids = set(group[0].table["image_id"])
        parts.append(f"{_names(group)} on {len(ids):,}, {len(ids & first):,} of them among the former")
    return f"The runs were tested on different images, so that they cannot be compared: {'; '.join(parts)}."


def _check_labels(runs: Sequence[RunResult]) -> None:
    first = runs[0]
    for run in runs[1:]:
        persons = (run.table["identity"] != first.table["identity"]).fillna(False)  # where both are known
        different = int(((run.labels != first.labels) | persons.to_numpy(dtype=np.bool_)).sum())
        if different:
            raise UserError(
                f"{run.name} and {first.name} disagree about the label or person of {different:,} images of the same "
                "name: they were tested on different pictures.",
                "Evaluate both on the same data.",
            )


def _names(group: Sequence[RunResult]) -> str:
    shown = ", ".join(run.name for run in group[:_SHOWN])
    return shown + (f" and {len(group) - _SHOWN} more" if len(group) > _SHOWN else "")


def _ids(run: RunResult) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    return run.table["image_id"].to_numpy(dtype=object)
