"""Pairs of close hashes, against a search through all pairs."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from gender_lightning.audit.duplicates import FINE_RADIUS, RADIUS, near_pairs


def flipped(word: int, bits: int, rng: np.random.Generator, size: int) -> int:
    for place in rng.choice(size, bits, replace=False).tolist():
        word ^= 1 << place
    return word


def test_every_close_pair_is_found_once() -> None:
    rng = np.random.default_rng(0)
    coarse = [int(word) >> 1 for word in rng.integers(0, 2**64, 150, dtype=np.uint64)]
    fine = [int.from_bytes(rng.bytes(32), "little") for _ in coarse]
    for row in range(100):  # copies at every distance around both radii
        coarse.append(flipped(coarse[row], row % (RADIUS + 4), rng, 63))
        fine.append(flipped(fine[row], (7 * row) % (2 * FINE_RADIUS), rng, 255))
    expected = {
        (i, j)
        for i, j in combinations(range(len(coarse)), 2)
        if (coarse[i] ^ coarse[j]).bit_count() <= RADIUS and (fine[i] ^ fine[j]).bit_count() <= FINE_RADIUS
    }
    words = np.array([np.frombuffer(value.to_bytes(32, "little"), dtype="<u8") for value in fine])
    found = near_pairs(np.array(coarse, dtype=np.uint64), words)
    assert len(expected) > 20 and {(int(i), int(j)) for i, j in found} == expected and len(found) == len(expected)
