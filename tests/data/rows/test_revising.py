"""`data.exclude` and `data.corrections`: train and valid change as the files say, test never does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gender_lightning.config import DataCommandConfig, parse_config
from gender_lightning.data.reading import open_data
from gender_lightning.data.rows.contradictions import contradicted, fewest_wrong
from gender_lightning.data.sources.annotations import Index
from gender_lightning.errors import UserError
from gender_lightning.overrides import compose
from tests.data.conftest import MALE, SPLIT, names

OF_TRAIN, OF_VALID, OF_TEST = "000001.jpg", "000014.jpg", "000024.jpg"


@pytest.fixture
def opened(celeba: Callable[..., Path]) -> Callable[..., Index]:
    root = celeba()

    def read(**fields: Path | int) -> Index:
        typed = [f"data.{name}={path}" for name, path in fields.items()]
        return open_data(parse_config(DataCommandConfig, compose("data", [f"data.root={root}", *typed])).data)[0]

    return read


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_excluded_images_leave_train_and_valid_but_never_test(
    opened: Callable[..., Index], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [OF_TRAIN, OF_VALID, OF_TEST, "other.jpg"]
    as_csv = written(tmp_path / "a.csv", "split,image_id\n" + "".join(f"x,{name}\n" for name in ids))
    as_text = written(tmp_path / "a.txt", "\r\n".join(ids))
    for file in (as_csv, as_text):
        with caplog.at_level(logging.WARNING):
            index = opened(exclude=file)
        kept = [name.decode() for name in index.image_ids]
        assert kept == [name for name in names() if name not in (OF_TRAIN, OF_VALID)]
        said = "2 images (train 1, valid 1) left out; 1 of test are listed too and stay; 1 of the listed are not in"
        assert said in caplog.text
        caplog.clear()


def test_what_a_limit_has_left_out_is_not_called_unknown(
    opened: Callable[..., Index], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limited = {name.decode() for name in opened(limit=2).image_ids}
    gone = next(name for name, split in zip(names(), SPLIT, strict=True) if name not in limited and split == 0)
    file = written(tmp_path / "a.txt", f"{gone}\nother.jpg")
    with caplog.at_level(logging.WARNING):
        assert {name.decode() for name in opened(limit=2, exclude=file).image_ids} == limited
    assert "0 images left out; 1 of the listed were left out before" in caplog.text
    assert "1 of the listed are not in these data" in caplog.text


def test_labels_called_wrong_are_reversed_unless_they_have_changed_since(
    opened: Callable[..., Index], tmp_path: Path
) -> None:
    assert [SPLIT[0], SPLIT[13], SPLIT[23]] == [0, 1, 2]
    assert MALE[0] and not MALE[13] and not MALE[23] and not MALE[1]
    rows = [
        f"{OF_TRAIN},male,wrong,t", f"{OF_VALID},male,wrong,t",  # its label is female by now
        f"{OF_TEST},female,wrong,t", "000002.jpg,,wrong,t", "000003.jpg,female,cannot tell,t",
    ]  # fmt: skip
    file = written(tmp_path / "corrections.csv", "image_id,label,verdict,time\n" + "\n".join(rows))
    index = opened(corrections=file)
    expected = np.array(MALE, dtype=np.int8)
    expected[0], expected[1] = 0, 1
    np.testing.assert_array_equal(index.labels, expected)
    left = opened(exclude=file).image_ids.tolist()
    assert [name for name in names() if name.encode() not in left] == [OF_TRAIN, "000002.jpg", "000003.jpg", OF_VALID]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "picture\nx.jpg\n", "has no column image_id"),
        ("b.csv", "image_id,verdict\nx.jpg,maybe\n", "row 2: a verdict is one of right, wrong, cannot tell"),
        ("d.csv", "image_id,verdict,verdict\nx.jpg,right,wrong\n", "d.csv has two columns verdict"),
        ("none.csv", None, "there is no such file"),
        ("c.csv", "image_id,verdict\n" + "x" * 200_000 + ",wrong\n", "is no CSV file"),
    ],
)
def test_a_bad_file_is_refused_with_its_name(
    opened: Callable[..., Index], tmp_path: Path, name: str, text: str | None, said: str
) -> None:
    if text is not None:
        written(tmp_path / name, text)
    with pytest.raises(UserError, match=said) as caught:
        opened(corrections=tmp_path / name)
    assert name in str(caught.value) and caught.value.field == "data.corrections"


def test_contradictions_are_those_of_a_count_by_hand() -> None:
    rng = np.random.default_rng(0)
    identities, labels = rng.integers(0, 60, 300), (rng.random(300) < 0.2).astype(np.int8)
    expected, images, persons = np.zeros(300, dtype=bool), 0, 0
    for person in set(identities.tolist()):
        rows = np.flatnonzero(identities == person)
        males, females = rows[labels[rows] == 1], rows[labels[rows] == 0]
        if len(males) and len(females):
            images, persons = images + min(len(males), len(females)), persons + 1
            for side, other in ((males, females), (females, males)):
                expected[side] = len(side) <= len(other)
    np.testing.assert_array_equal(contradicted(labels, identities), expected)
    assert fewest_wrong(labels, identities) == (images, persons)
    assert not contradicted([], []).size and fewest_wrong([], []) == (0, 0)
