"""A small CelebA on disk, written here and read by the code under test."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROWS = 24
MALE = [row % 3 == 0 for row in range(ROWS)]
SPLIT = [0 if row < 12 else 1 if row < 18 else 2 for row in range(ROWS)]


def jpeg(seed: int, size: tuple[int, int] = (30, 40), **options: object) -> bytes:
    """A smooth picture as JPEG: noise would not survive the compression."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def names() -> list[str]:
    return [f"{row + 1:06d}.jpg" for row in range(ROWS)]


@pytest.fixture
def celeba(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write a CelebA of 24 images: official or Kaggle's layout; returns its root."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def write(*, kaggle: bool = False, end: str = "\n", zeros: bool = False, images: bool = True) -> Path:
        root = tmp_path / "celeba"
        root.mkdir()
        no = "0" if zeros else "-1"
        attributes = [[no if row % 2 else "1", "1" if MALE[row] else no, "1"] for row in range(ROWS)]
        if kaggle:
            lines = ["image_id,Bald,Male,Young"] + [",".join([n, *a]) for n, a in zip(names(), attributes, strict=True)]
            (root / "list_attr_celeba.csv").write_bytes((end.join(lines) + end).encode())
            lines = ["image_id,partition"] + [f"{n},{s}" for n, s in zip(names(), SPLIT, strict=True)]
            (root / "list_eval_partition.csv").write_bytes((end.join(lines) + end).encode())
        else:
            lines = [str(ROWS), "Bald Male Young "]
            lines += [f"{n} " + " ".join(f"{v:>2}" for v in a) for n, a in zip(names(), attributes, strict=True)]
            (root / "list_attr_celeba.txt").write_bytes((end.join(lines) + end).encode())
            lines = [f"{n} {s}" for n, s in zip(names(), SPLIT, strict=True)]
            (root / "list_eval_partition.txt").write_bytes((end.join(lines) + end).encode())
            lines = [f"{n} {row // 3 + 7}" for row, n in enumerate(names())]
            (root / "identity_CelebA.txt").write_bytes((end.join(lines) + end).encode())
        if images:
            folder = root / "img_align_celeba" / ("img_align_celeba" if kaggle else "")
            folder.mkdir(parents=True)
            for row, name in enumerate(names()):
                (folder / name).write_bytes(jpeg(row, (30 + row, 40)))
        return root

    return write
