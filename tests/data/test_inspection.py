"""Verification finds what is broken; the summary counts what was written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gender_lightning.data.annotations import read_celeba
from gender_lightning.data.framing import Framing
from gender_lightning.data.images import open_celeba_images
from gender_lightning.data.inspection import SplitSummary, contact_sheet, image_sizes, summarise, verify

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
