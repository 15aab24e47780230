"""Pictures that are hard to learn from: unreadable, tiny, grey, dark, blurred, without a face or with several."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gender_lightning.audit.findings import Finding
from gender_lightning.audit.labels import text_of
from gender_lightning.audit.measuring import NOT_LOOKED_FOR
from gender_lightning.data.decoding import decode
from gender_lightning.data.sources.annotations import CLASS_NAMES, SPLITS, Index
from gender_lightning.data.sources.images import ImageStore
from gender_lightning.errors import UserError

TINY = 48  # px of the short side: below, a face is smaller than what networks of 64 px are shown
GREY = 0.005  # mean distance of a channel from grey, 0..1: JPEG leaves about 0.001 in a grey picture
DARK = 0.12  # mean grey, 0..1
BLURRED = 0.02  # `detail`
_COLUMNS = ("image_id", "split", "label")


def picture_findings(index: Index, store: ImageStore, records: NDArray[np.void]) -> list[Finding]:
    """What the numbers of `measure` say about single pictures.

    Args:
        index: The images.
        store: Their files, for the reason why one does not decode.
        records: Result of `measuring.measure`, in the order of the index.
    """
    read = records["read"]
    short = np.minimum(records["width"], records["height"])
    rules: list[tuple[str, str, NDArray[np.bool_], NDArray[Any], str, str]] = [
        ("tiny", "Tiny pictures", short < TINY, short, "short_side",
         f"The short side has fewer than {TINY} pixels: enlarging adds none."),
        ("grey", "Grey pictures", records["colour"] < GREY, records["colour"].round(4), "colour",
         "They have no colour. That is not a fault, but a model can take it for a sign of one class where grey "
         "pictures are more often of one class."),
        ("dark", "Dark pictures", records["brightness"] < DARK, records["brightness"].round(3), "brightness",
         f"The mean grey is below {DARK:.2f} of white."),
        ("blurred", "Blurred pictures", records["detail"] < BLURRED, records["detail"].round(4), "detail",
         "They have little fine structure at 64 pixels: out of focus, enlarged from few pixels, or smooth by nature. "
         "The number cannot tell which."),
    ]  # fmt: skip
    found = [_unreadable(index, store, ~read)]
    for kind, title, rows, values, name, said in rules:
        found.append(_listed(index, kind, title, rows & read, values, name, said, int(read.sum())))
    looked = read & (records["faces"] != NOT_LOOKED_FOR)
    if looked.any():
        number = records["faces"]
        found.append(
            _listed(
                index, "no_face", "Pictures without a face", looked & (number == 0), number, "faces",
                "The detector finds no face. Detectors miss some, above all in profile, in the dark and behind hands.",
                int(looked.sum()),
            )
        )  # fmt: skip
        found.append(
            _listed(
                index, "several_faces", "Pictures with several faces", looked & (number > 1), -number, "faces",
                "The detector finds more than one face: whose label it is may be unclear. Some are pictures on a wall, "
                "or false finds.", int(looked.sum()),
            )
        )  # fmt: skip
    return found


def _unreadable(index: Index, store: ImageStore, rows: NDArray[np.bool_]) -> Finding:
    reasons = []
    for row in np.flatnonzero(rows).tolist():
        image_id = index.image_ids[row]
        try:
            decode(store.read(image_id), path=store.describe(image_id))
            reason = "it decodes by now"
        except UserError as error:
            reason = error.problem
        reasons.append((*_named(index, row), reason))
    return Finding(
        "unreadable", "pictures", "Pictures that do not decode", len(reasons), len(index), "pictures",
        "Training stops at the first of them, or leaves them out with data.on_error=skip." if reasons else
        "Every picture decodes to its end.", (*_COLUMNS, "reason"), tuple(reasons),
    )  # fmt: skip


def _listed(
    index: Index, kind: str, title: str, rows: NDArray[np.bool_], values: NDArray[Any], name: str, said: str, total: int
) -> Finding:
    """The pictures that match a rule, in ascending order of the value, with the share of each class."""
    chosen = np.flatnonzero(rows)
    chosen = chosen[np.argsort(values[chosen], kind="stable")]
    if len(chosen):
        male, all_male = index.labels[chosen].mean(), index.labels.mean()
        said += f" {100 * male:.0f} % of them are labelled male; of all images {100 * all_male:.0f} %."
    cells = tuple((*_named(index, row), abs(values[row].item())) for row in chosen.tolist())
    return Finding(kind, "pictures", title, len(chosen), total, "pictures", said, (*_COLUMNS, name), cells)


def _named(index: Index, row: int) -> tuple[str, str, str]:
    return text_of(index.image_ids[row]), SPLITS[index.partition[row]], CLASS_NAMES[index.labels[row]]
