from __future__ import annotations

import hashlib

import numpy as np

from gender_lightning.data.rows.fingerprint import described
from gender_lightning.data.sources.annotations import Index


def index(names: list[bytes], labels: list[int]) -> Index:
    rows = len(names)
    labelled = np.array(labels, dtype=np.int8)
    return Index(
        np.array(names, dtype=np.bytes_),
        labelled,
        np.zeros(rows, dtype=np.int8),
        np.zeros((rows, 0), dtype=np.bool_),
        (),
    )


def test_other_rows_have_another_fingerprint_in_any_order_the_same() -> None:
    train, valid = index([b"a", b"b", b"c"], [0, 1, 1]), index([b"d"], [0])
    found = described({"train": train, "valid": valid})
    assert (found["train"], found["valid"], len(found["fingerprint"])) == (3, 1, 64)
    again = described({"train": index([b"c", b"a", b"b"], [1, 0, 1]), "valid": valid})
    assert again == found
    others = [
        described({"train": index([b"a", b"b", b"c"], [0, 1, 0]), "valid": valid}),
        described({"train": index([b"a", b"b", b"x"], [0, 1, 1]), "valid": valid}),
        described({"train": index([b"a", b"b"], [0, 1]), "valid": index([b"c", b"d"], [1, 0])}),
    ]
    assert len({one["fingerprint"] for one in [found, *others]}) == 4


def test_the_fingerprint_is_the_hash_of_the_sorted_rows() -> None:
    rows = index([b"b.jpg", b"a/long name.jpg", b"\xc3\xa4.jpg", b"b.jpg", b"c"], [1, 0, 1, 0, 1])
    text = b"train\na/long name.jpg 0\nb.jpg 0\nb.jpg 1\nc 1\n\xc3\xa4.jpg 1\nvalid\n\n"
    assert described({"train": rows, "valid": index([], [])})["fingerprint"] == hashlib.sha256(text).hexdigest()
