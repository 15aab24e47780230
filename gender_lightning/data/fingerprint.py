"""What tells one data set from another: a digest of its rows, and their numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from gender_lightning.data.annotations import Index


def fingerprint_of(splits: Mapping[str, Index]) -> str:
    """SHA-256 of all splits' image names, labels and splits, in hexadecimal; the order of the rows does not matter."""
    digest = hashlib.sha256()
    for split, index in splits.items():
        rows = sorted(zip(index.image_ids.tolist(), index.labels.tolist(), strict=True))
        digest.update(split.encode() + b"\n" + b"\n".join(b"%s %d" % row for row in rows) + b"\n")
    return digest.hexdigest()


def described(splits: Mapping[str, Index]) -> dict[str, Any]:
    """The fingerprint, and the number of images of each split, for `run.json` and dashboards."""
    return {"fingerprint": fingerprint_of(splits), **{split: len(index) for split, index in splits.items()}}
