"""`data prepare | verify | summary` on a small folder of faces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gender_lightning.commands.data import main
from gender_lightning.errors import UserError

LOADING: dict[str, Any] = {"prefetch": "auto", "pin_memory": "auto", "persistent_workers": "auto"}


@pytest.fixture
def values(tmp_path: Path) -> dict[str, Any]:
    """The composed config of a folder data set of 12 pictures."""
    for name in ("female", "male"):
        folder = tmp_path / "faces" / name
        folder.mkdir(parents=True)
        for number in range(6):
            picture = np.full((20, 30, 3), 40 * number, dtype=np.uint8)
            Image.fromarray(picture).save(folder / f"{number}.png")
    data = {
        "name": "folder", "root": str(tmp_path / "faces"), "image_size": 32, "batch_size": 4,
        "eval_batch_size": "auto", "workers": 0, **LOADING, "crop": "square", "zoom": 1.0, "interpolation": "bilinear",
        "fraction": 1.0, "limit": None, "seed": 0, "sizes": {"train": 0.5, "valid": 0.25, "test": 0.25},
    }  # fmt: skip
    return {"data": data, "download": False, "output": str(tmp_path / "out")}


def test_summary_counts_and_draws(values: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    main(values, "summary")
    sheet = Image.open(Path(values["output"]) / "contact_sheet.png")
    assert sheet.width > 1000
    assert "Width 30 to 30, median 30 px, height 20 to 20" in capsys.readouterr().out


def test_verify_fails_for_an_unreadable_file(values: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    main(values, "verify")
    assert "All 12 images decode." in capsys.readouterr().out
    (Path(values["data"]["root"]) / "male" / "3.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match="1 of 12 images do not decode"):
        main(values, "verify")
    assert "3.png does not decode" in capsys.readouterr().out


def test_prepare_of_celeba_says_what_is_missing(
    values: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values["data"] |= {"name": "celeba", "root": str(tmp_path / "none"), "split": "official", "sizes": None}
    main(values, "prepare")
    text = capsys.readouterr().out
    assert "Missing: list_attr_celeba.txt, list_eval_partition.txt, img_align_celeba.zip." in text
    assert "drive.google.com" in text
