"""Verification finds what is broken; the summary counts what was written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from gender_lightning.data.framing import Framing
from gender_lightning.data.inspection import SplitSummary, contact_sheet, image_sizes, summarise, verify
from gender_lightning.data.rows.identical import Fingerprints, Identical, report
from gender_lightning.data.sources.annotations import read_celeba
from gender_lightning.data.sources.images import open_celeba_images

Write = Callable[..., Path]


def test_verify_lists_exactly_the_unreadable(celeba: Write) -> None:
    root = celeba()
    folder = root / "img_align_celeba"
    (folder / "000003.jpg").write_bytes((folder / "000003.jpg").read_bytes()[:200])
    (folder / "000021.jpg").unlink()
    reports: list[tuple[int, int]] = []
    found = verify(read_celeba(root), open_celeba_images(root), workers=2, progress=lambda *at: reports.append(at))
    assert [(image.image_id, image.row) for image in found] == [(b"000003.jpg", 2), (b"000021.jpg", 20)]
    assert reports[-1] == (24, 24)


def test_summary(celeba: Write) -> None:
    root = celeba()
    index, store = read_celeba(root), open_celeba_images(root)
    assert summarise(index) == [
        SplitSummary("train", 8, 4, 4),
        SplitSummary("valid", 4, 2, 2),
        SplitSummary("test", 4, 2, 2),
    ]
    sizes = image_sizes(index, store)
    assert (sizes.images, sizes.width, sizes.height) == (24, (30, 41, 53), (40, 40, 40))
    sheet = contact_sheet(index, store, Framing(20), columns=5, rows=2)
    assert sheet.size == (100, 6 * (40 + 16)) and len(sheet.getcolors(1 << 20)) > 100


def test_copies_are_found_whatever_their_format_and_said_where_they_matter(celeba: Write) -> None:
    root = celeba()
    folder = root / "img_align_celeba"
    index = read_celeba(root)
    train, valid = index.split("train"), index.split("valid")
    first, second, third = (index.image_ids[row].decode() for row in (*train[:2], valid[0]))
    Image.open(folder / first).save(folder / third, format="PNG")  # the same pixels in another file
    (folder / second).write_bytes((folder / first).read_bytes())
    other = index.image_ids[valid[1]].decode()
    Image.fromarray(np.asarray(Image.open(folder / first)).reshape(-1, 20, 3)).save(folder / other, format="PNG")
    fingerprints = Fingerprints(len(index))
    assert verify(index, open_celeba_images(root), workers=2, fingerprints=fingerprints) == []
    assert index.identities is not None
    rows = [train[0], train[1], valid[0]]
    (found,) = fingerprints.groups(index)  # an image of the same bytes and another shape is another one
    assert found == Identical(
        tuple(name.encode() for name in (first, second, third)),
        ("train", "valid"),
        len(set(index.identities[rows].tolist())),
        len(set(index.labels[rows].tolist())),
    )
    said = report([found])
    assert said[0] == "3 images are copies of one another, in 1 group."
    assert said[1].startswith("1 group is in more than one split")
    assert said[2] == f"  {first}, {second}, {third} (train, valid)"
    assert report([]) == []
