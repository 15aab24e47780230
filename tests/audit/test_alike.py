"""Pairs of pictures that a network sees alike, against a search through all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from gender_lightning.audit import alike
from gender_lightning.audit.alike import alike_finding, alike_pairs, whitened
from gender_lightning.audit.findings import Audit, Finding, to_json
from gender_lightning.data.sources.annotations import Index


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def features(monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    monkeypatch.setattr(alike, "_BLOCK", 7)  # so that pairs lie within a block, and in two
    rng = np.random.default_rng(1)
    single = rng.normal(size=(40, 16))
    return unit(np.concatenate([single, single[:9] + rng.normal(0, 0.05, (9, 16)), single[:1]]))


def test_every_alike_pair_is_found_once_the_most_alike_first(features: np.ndarray) -> None:
    pairs, cosines = alike_pairs(features, 0.9)
    exact = features.astype(np.float64) @ features.astype(np.float64).T
    expected = {(i, j) for i in range(50) for j in range(i + 1, 50) if exact[i, j] >= 0.9}
    assert len(expected) >= 11 and {tuple(pair) for pair in pairs.tolist()} == expected and len(pairs) == len(expected)
    assert np.allclose(cosines, exact[tuple(pairs.T)], atol=1e-5) and (np.diff(cosines) <= 0).all()


def test_no_more_pairs_are_kept_than_asked_for(features: np.ndarray) -> None:
    pairs, cosines = alike_pairs(features, -1.0, most=5)
    assert cosines.tolist() == alike_pairs(features, 0.9)[1][:5].tolist() and len(pairs) == 5
    assert len(alike_pairs(features[:0], 0.5)[0]) == 0


def test_whitened_features_are_scikit_learns_and_tell_copies_from_others_of_their_class() -> None:
    rng = np.random.default_rng(2)
    labels = np.arange(1300) % 2
    single = rng.normal(0, 0.02, (1300, 80)) + np.outer(2 * labels - 1, rng.normal(size=80))
    faces = np.concatenate([single, single[:30] + rng.normal(0, 0.003, (30, 80))]).astype(np.float16)
    found = whitened(faces)
    theirs = PCA(alike.DIMENSIONS, whiten=True, svd_solver="full").fit_transform(faces.astype(np.float64))
    assert np.allclose(found @ found[:50].T, unit(theirs) @ unit(theirs)[:50].T, atol=1e-3)
    plain = unit(faces.astype(np.float32))
    assert (plain[0] @ plain[2:1300:2].T).min() > 0.99  # the class is all that their cosine shows
    assert {tuple(pair) for pair in alike_pairs(found, alike.ALIKE)[0].tolist()} == {(i, 1300 + i) for i in range(30)}


def test_a_handful_of_pictures_or_equal_ones_are_no_trouble() -> None:
    for rows in (0, 1, 2, 9):
        assert np.isfinite(whitened(np.ones((rows, 5), dtype=np.float16))).all()


def test_differing_labels_come_first_then_pairs_across_splits() -> None:
    index = Index(
        image_ids=np.array([b"a", b"b", b"c", b"d", b"e", b"f"]),
        labels=np.array([0, 0, 0, 1, 1, 1], dtype=np.int8),
        partition=np.array([0, 0, 2, 0, 0, 1], dtype=np.int8),
        attributes=np.zeros((6, 0), dtype=np.bool_),
        attribute_names=(),
        identities=np.array([1, 1, 2, 3, 4, 4], dtype=np.int32),
    )
    pairs = np.array([[0, 1], [0, 2], [4, 5], [2, 3], [3, 4]])
    cosines = np.array([0.9999, 0.998, 0.997, 0.996, 0.995], dtype=np.float32)
    found = alike_finding(index, pairs, cosines, np.array([[3, 4], [1, 5]]), 6)
    assert [row[0] for row in found.rows] == [("c", "d"), ("a", "c"), ("e", "f"), ("a", "b")]
    assert found.rows[0][1:] == ("test, train", "female, male", "2, 3", 0.996) and found.rows[3][3] == "1"
    assert (found.count, found.total) == (6, 6)
    assert "4 pairs" in found.said and "1 have both labels, 3 are in two splits" in found.said
    assert "Of the 2 pairs that the hashes have found, 1 reach" in found.said


def test_the_record_has_no_digits_that_were_not_measured() -> None:
    cosine = float(np.float32(0.9321))  # 0.932099997997284
    rows = ((cosine, "a.jpg"),)
    found = Finding("alike", "duplicates", "Seen alike", 1, 2, "pairs", "", ("cosine", "image_id"), rows)
    record = to_json(Audit("celeba", 2, 1, {}, None, (found,)))
    assert record["findings"]["alike"]["rows"] == [{"cosine": 0.9321, "image_id": "a.jpg"}]
