"""Batches are the same for any number of workers and way to start them, and cover a split exactly once."""

from __future__ import annotations

import io
import multiprocessing
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.transforms.v2 import functional as F

from gender_lightning.config.data import CelebaData
from gender_lightning.data.datamodule import FaceDataModule
from gender_lightning.data.dataset import Batch
from gender_lightning.data.rows.skipping import Skipped
from gender_lightning.errors import UserError

from .conftest import MALE, SPLIT, jpeg

Write = Callable[..., Path]
MINI = Path(os.environ.get("CELEBA_MINI", Path(__file__).parents[3] / "shared" / "celeba-mini"))
LOADING: dict[str, Any] = {"prefetch": "auto", "pin_memory": "auto", "persistent_workers": "auto"}


def module(root: Path, **changes: Any) -> FaceDataModule:
    values: dict[str, Any] = {
        "name": "celeba", "root": str(root), "image_size": 32, "batch_size": 4, "eval_batch_size": "auto",
        "workers": 0, **LOADING, "crop": "square", "zoom": 1.0, "interpolation": "bilinear", "fraction": 1.0,
        "limit": None, "seed": 0, "split": "official", "sizes": None,
    }  # fmt: skip
    return FaceDataModule(CelebaData.model_validate({**values, **changes}), seed=1)


@pytest.fixture(params=["fork", "spawn"])
def start_method(request: pytest.FixtureRequest) -> Iterator[str]:
    before = multiprocessing.get_start_method()
    if request.param not in multiprocessing.get_all_start_methods():
        pytest.skip("not on this system")
    multiprocessing.set_start_method(request.param, force=True)
    yield request.param
    multiprocessing.set_start_method(before, force=True)


def test_a_batch_is_what_the_files_hold(celeba: Write) -> None:
    data = module(celeba())
    assert data.class_counts("train") == (8, 4) and data.has_valid
    (batch,) = data.test_dataloader()
    assert batch.images.shape == (6, 3, 32, 32) and batch.images.dtype == torch.uint8
    assert batch.images.is_contiguous() and batch.labels.dtype == batch.indices.dtype == torch.int64
    rows = [row for row, split in enumerate(SPLIT) if split == 2]
    assert batch.labels.tolist() == [int(MALE[row]) for row in rows]
    for image, row in zip(batch.images, rows, strict=True):
        whole = F.pil_to_tensor(Image.open(io.BytesIO(jpeg(row, (30 + row, 40)))))
        side = min(30 + row, 40)
        expected = F.resize(F.center_crop(whole, [side, side]), [32, 32], antialias=True)
        assert (image.int() - expected.int()).abs().max() <= 1


def test_workers_change_nothing(celeba: Write, start_method: str) -> None:
    root = celeba()
    assert_same(module(root).train_dataloader(), module(root, workers=1).train_dataloader())


def test_each_epoch_has_its_order(celeba: Write) -> None:
    loader = module(celeba()).train_dataloader()
    orders = []
    for epoch in (0, 1, 0):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        orders.append(torch.cat([batch.indices for batch in loader]).tolist())
    assert orders[0] == orders[2] != orders[1] and sorted(orders[1]) == list(range(12))


def test_chosen_rows_come_in_their_order(celeba: Write) -> None:
    data = module(celeba(), eval_batch_size=2)
    batches = list(data.loader("test", rows=np.array([4, 0, 3])))
    assert [batch.indices.tolist() for batch in batches] == [[4, 0], [3]]
    assert torch.equal(batches[1].images, data.dataset("test").decode([3]))


def test_a_partial_copy_goes_on_and_says_so(celeba: Write, caplog: pytest.LogCaptureFixture) -> None:
    root = celeba()
    (root / "img_align_celeba" / "000002.jpg").unlink()
    data = module(root)
    assert len(data.index("train")) == 11
    assert "1 of 24 label rows have no image" in caplog.text


def test_a_picture_that_does_not_decode_is_named(celeba: Write) -> None:
    root = celeba()
    path = root / "img_align_celeba" / "000020.jpg"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="000020.jpg does not decode"):
        list(module(root, workers=1, eval_batch_size=2).test_dataloader())


def test_a_split_of_one_class_is_refused(celeba: Write) -> None:
    with pytest.raises(UserError, match="both classes are needed"):
        module(celeba(), limit=1).setup()


def test_a_split_of_one_class_is_refused_before_its_pictures_are_read(celeba: Write) -> None:
    class Tireless:
        def find(self, *_: object) -> list[Skipped]:
            raise AssertionError("the search for faces takes minutes, and comes too early")

        def fingerprint(self, _: object) -> bytes:
            return b""

        def __call__(self, picture: np.ndarray, _: bytes) -> np.ndarray:
            return picture

    data = module(celeba(), limit=1, on_error="skip")
    data = FaceDataModule(data.config, finder=Tireless())
    with pytest.raises(UserError, match="both classes are needed"):
        data.setup(only="test")
    assert data.skipped == []


def test_no_valid_split(celeba: Write) -> None:
    data = module(celeba(), split="images", sizes={"train": 12, "valid": 0, "test": 12})
    assert not data.has_valid and data.val_dataloader() == []


@pytest.mark.skipif(not MINI.is_dir(), reason=f"real faces are not at {MINI} (CELEBA_MINI)")
def test_real_faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    data = module(MINI)
    assert [sum(data.class_counts(split)) for split in ("train", "valid", "test")] == [10_000, 1_427, 1_740]
    assert data.class_counts("valid") == (839, 588)
    assert next(iter(data.val_dataloader())).images.float().std() > 20  # type: ignore[arg-type]


def assert_same(ours: DataLoader[Batch], other: DataLoader[Batch]) -> None:
    for left, right in zip(ours, other, strict=True):
        for mine, theirs in zip(left, right, strict=True):
            assert torch.equal(mine, theirs)


def test_a_forked_worker_starts_where_the_parent_has_threads_of_opencv() -> None:
    import cv2

    from gender_lightning.data.dataset import start_worker

    threads = cv2.getNumThreads()
    cv2.setNumThreads(2)
    cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (31, 31), 5)  # brings the threads up
    worker = multiprocessing.get_context("fork").Process(target=start_worker, args=(0,))
    worker.start()
    worker.join(20)
    stuck = worker.is_alive()
    worker.kill()
    cv2.setNumThreads(threads)
    assert not stuck
