from __future__ import annotations

import numpy as np

from gender_lightning.data.annotations import Index
from gender_lightning.data.fingerprint import described


def index(names: list[bytes], labels: list[int]) -> Index:
    rows = len(names)
    labelled = np.array(labels, dtype=np.int8)
    return Index(np.array(names), labelled, np.zeros(rows, dtype=np.int8), np.zeros((rows, 0), dtype=np.bool_), ())


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
