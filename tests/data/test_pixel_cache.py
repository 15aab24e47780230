"""A cache holds the loader's pixels, for just these images and this framing; it is whole or not there."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typed_commands import type_in

from gender_lightning.data import pixel_cache
from gender_lightning.data.dataset import FaceDataset
from gender_lightning.errors import UserError

from .conftest import jpeg
from .test_datamodule import assert_same, module

Write = Callable[..., Path]


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures were decoded."""
    decoded = [0]
    decode = FaceDataset.decode

    def counting(self: FaceDataset, rows: Any) -> torch.Tensor:
        decoded[0] += len(rows)
        return decode(self, rows)

    monkeypatch.setattr(FaceDataset, "decode", counting)
    return decoded


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.npy"))


@pytest.mark.parametrize("workers", [0, 1])
def test_pixels_are_the_loaders_and_are_decoded_once(
    celeba: Write, tmp_path: Path, count: list[int], workers: int
) -> None:
    root, cache = celeba(), str(tmp_path / "decoded")
    for _ in range(2):
        data, plain = module(root, cache=cache, workers=workers), module(root)
        before = count[0]
        assert_same(data.train_dataloader(), plain.train_dataloader())  # type: ignore[arg-type]
        assert_same(data.loader("test"), plain.loader("test"))
    assert count[0] - before == 12 + 6, "only the plain module decodes the second time"
    assert len(files(tmp_path / "decoded")) == 3
    assert not list((tmp_path / "decoded").glob("*.tmp"))


@pytest.mark.parametrize(
    "changes", [{"crop": "lower"}, {"zoom": 0.8}, {"image_size": 24}, {"interpolation": "bicubic"}, {"limit": 8}]
)
def test_another_framing_or_index_has_another_file(celeba: Write, tmp_path: Path, changes: dict[str, Any]) -> None:
    root, cache = celeba(), str(tmp_path / "decoded")
    module(root, cache=cache).setup()
    before = files(tmp_path / "decoded")
    data = module(root, cache=cache, **changes)
    assert_same(data.loader("valid"), module(root, **changes).loader("valid"))
    after = files(tmp_path / "decoded")
    assert set(before) < set(after) or (changes == {"limit": 8} and len(after) == 3)  # valid has 6 images anyway


def test_the_same_number_of_other_rows_has_another_name(celeba: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = module(celeba()).dataset("train")
    monkeypatch.setattr(type(dataset.store), "fingerprint", lambda self, ids: b"sizes and times happen to be equal")
    turned = dataset.index.select(np.arange(len(dataset))[::-1])
    names = [pixel_cache.digest(index, dataset.store, dataset.framing) for index in (dataset.index, turned)]
    assert names[0] != names[1]


def test_a_replaced_picture_is_seen(celeba: Write, tmp_path: Path) -> None:
    root, cache = celeba(), str(tmp_path / "decoded")
    module(root, cache=cache).setup()
    (root / "img_align_celeba" / "000001.jpg").write_bytes(jpeg(99, (40, 40)))
    data = module(root, cache=cache)
    assert_same(data.train_dataloader(), module(root).train_dataloader())  # type: ignore[arg-type]


@pytest.mark.parametrize("damage", [b"", b"none", None], ids=["empty", "foreign", "half"])
def test_a_damaged_cache_is_made_again(celeba: Write, tmp_path: Path, damage: bytes | None) -> None:
    root, cache = celeba(), str(tmp_path / "decoded")
    module(root, cache=cache).setup()
    for path in (tmp_path / "decoded").glob("*.npy"):
        path.write_bytes(path.read_bytes()[:-1000] if damage is None else damage)
    assert_same(module(root, cache=cache).loader("valid"), module(root).loader("valid"))


def test_a_worker_maps_the_file_and_is_not_sent_its_pixels(celeba: Write, tmp_path: Path) -> None:
    data = module(celeba(), cache=str(tmp_path / "decoded"))
    dataset = data.loader("train").dataset
    assert isinstance(dataset, FaceDataset) and dataset.cache is not None
    assert isinstance(dataset.cache.array, np.memmap) and not dataset.cache.array.flags.writeable
    assert len(pickle.dumps(dataset.cache)) < 1000
    assert torch.equal(pickle.loads(pickle.dumps(dataset)).__getitems__([3]).images, dataset.decode([3]))


def test_processes_that_start_together_decode_once(celeba: Write, tmp_path: Path) -> None:
    root, log = celeba(), tmp_path / "log"
    module(root).setup()
    decode = FaceDataset.decode

    def slow(self: FaceDataset, rows: Any) -> torch.Tensor:
        with log.open("a") as file:
            file.write("x" * len(rows))
        time.sleep(0.2)
        return decode(self, rows)

    def start() -> None:
        FaceDataset.decode = slow  # type: ignore[method-assign]
        module(root, cache=str(tmp_path / "decoded")).setup()

    processes = [multiprocessing.get_context("fork").Process(target=start) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    assert len(log.read_text()) == 12 + 6


def test_what_a_killed_process_has_left_is_removed(celeba: Write, tmp_path: Path) -> None:
    root, cache = celeba(), tmp_path / "decoded"
    module(root, cache=str(cache)).setup()
    for path in list(cache.glob("*.npy")):
        path.rename(path.with_name(f"{path.stem}-abc.tmp"))
    module(root, cache=str(cache)).setup()
    assert len(files(cache)) == 2 and not list(cache.glob("*.tmp"))


@pytest.mark.parametrize(("number", "said"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "Read-only")])
def test_a_disk_that_takes_nothing(
    celeba: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(pixel_cache, "publish", fail)
    with pytest.raises(UserError, match=f"data.cache=.*cannot be written: {said}.*leave data.cache out"):
        module(celeba(), cache=str(tmp_path / "decoded")).setup()
    assert not list((tmp_path / "decoded").glob("faces-*.npy")) and not list((tmp_path / "decoded").glob("*.tmp"))


def test_too_little_space_is_said_before_anything_is_decoded(
    celeba: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: list[int]
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(UserError, match=r"needs 0\.0 GB, and 0\.0 GB are free"):
        module(celeba(), cache=str(tmp_path / "decoded")).setup()
    assert count[0] == 0


def test_a_place_that_is_no_directory(celeba: Write, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        module(celeba(), cache=str(tmp_path / "file" / "below")).setup()


def test_who_may_not_make_a_cache_uses_one_that_is_there(celeba: Write, tmp_path: Path) -> None:
    root, cache = celeba(), str(tmp_path / "decoded")
    for made in (False, True):
        data = module(root, cache=cache)
        data.makes_cache = False
        dataset = data.loader("train").dataset
        assert isinstance(dataset, FaceDataset) and (dataset.cache is not None) is made
        assert (tmp_path / "decoded").exists() is made
        module(root, cache=cache).setup()


def test_clear_deletes_caches_and_nothing_else(celeba: Write, tmp_path: Path) -> None:
    cache = tmp_path / "decoded"
    module(celeba(), cache=str(cache)).setup()
    kept = {"photo.npy", "faces-32px.npy", "notes.lock"}
    for name in kept:
        (cache / name).touch()
    number, size = pixel_cache.clear(cache)
    assert number == 2 and size > 18 * 3 * 32 * 32
    assert {path.name for path in cache.iterdir()} == kept
    assert pixel_cache.clear(tmp_path / "nowhere") == (0, 0)


def test_clear_is_a_command(celeba: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = tmp_path / "decoded"
    module(celeba(), cache=str(cache)).setup()
    (cache / "photo.npy").touch()
    assert len(files(cache)) == 3
    for count in (2, 0):
        type_in(["data", "cache", "clear", f"data.cache={cache}"], tmp_path / "xdg")
        assert f"Removed {count} files of decoded pictures" in capsys.readouterr().out
        assert files(cache) == ["photo.npy"], "its own files only"
    with pytest.raises(SystemExit):
        type_in(["data", "cache", "clear"], tmp_path / "xdg")
    assert "data.cache=DIR" in capsys.readouterr().err


class Corner:
    """A finder that takes the upper left part of each picture."""

    def __init__(self, share: float) -> None:
        self.share = share

    def find(self, index: Any, store: Any) -> list[Any]:
        return []

    def fingerprint(self, index: Any) -> bytes:
        return f"{self.share} of {len(index)}".encode()

    def __call__(self, picture: Any, image_id: bytes) -> Any:
        return picture[: int(self.share * picture.shape[0]), : int(self.share * picture.shape[1])]


def test_found_faces_are_cached_under_a_name_of_their_own(celeba: Write, tmp_path: Path, count: list[int]) -> None:
    root, cache = celeba(), str(tmp_path / "decoded")
    read = {}
    for share in (0.5, 0.8, 0.5):
        cached, plain = module(root, cache=cache), module(root)
        cached._finder = plain._finder = Corner(share)
        before = count[0]
        read[share] = [batch.images for batch in cached.loader("test")]
        decoded = count[0] - before
        assert_same(cached.loader("test"), plain.loader("test"))
    assert decoded == 0, "the second time"
    assert not torch.equal(read[0.5][0], read[0.8][0])
    assert len(set(files(tmp_path / "decoded"))) == 6
