"""One pass over all pictures: what each looks like in a few numbers, kept so that a killed audit continues.

Numbers are kept by the digest of the file's bytes: a picture that is replaced is measured again, one that is renamed
is not.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dctn

from gender_lightning.data.decoding import decode
from gender_lightning.data.rows.identical import pixel_digest
from gender_lightning.data.sources.annotations import Index
from gender_lightning.data.sources.images import ImageStore
from gender_lightning.durable import writing
from gender_lightning.errors import UserError
from gender_lightning.inference.faces.face import Detector

log = logging.getLogger(__name__)

CACHE = "pictures.npy"
NOT_LOOKED_FOR = -1  # in `faces`
_SIDE = 32  # px, of the grey thumbnail that the hashes are made of
_DETAIL_SIDE = 64  # px, at which fine detail is measured, so that large and small pictures can be compared
_CHUNK = 64  # pictures per task
_SAVE_SECONDS = 10.0
_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)
RECORD = np.dtype(
    [
        ("digest", "S16"),  # of the file's bytes, blake2b
        ("pixels", "S16"),  # digest of the decoded picture, as `data verify` compares it
        ("read", "?"),  # whether it decodes; nothing below holds where it does not
        ("width", "<i4"), ("height", "<i4"),
        ("brightness", "<f4"),  # mean grey, 0..1
        ("colour", "<f4"),  # mean distance of the channels from grey, 0..1
        ("detail", "<f4"),  # share of the variance that is in fine structure
        ("hash", "<u8"),  # 63 bits: signs of the lowest frequencies (Zauner 2010)
        ("fine_hash", "<u8", 4),  # 255 bits: signs of a 16 x 16 block of frequencies
        ("faces", "<i2"),  # number that the detector finds
    ]
)  # fmt: skip


def measure(
    index: Index,
    store: ImageStore,
    cache: Path,
    *,
    detector: Detector | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> NDArray[np.void]:
    """Measure every picture, in threads; what `cache` holds already is not measured again.

    Args:
        index: The images.
        store: Their files.
        cache: File that keeps the numbers; its directory must exist.
        detector: Counts the faces; None: `faces` is `NOT_LOOKED_FOR`.
        workers: Number of threads.
        progress: Called with (pictures done, pictures in all).

    Returns:
        Shape (N,), dtype `RECORD`, in the order of the index.
    """
    known = {bytes(record["digest"]): record for record in _kept(cache)}
    records = np.zeros(len(index), dtype=RECORD)
    done, saved = 0, time.monotonic()
    tasks = [range(start, min(start + _CHUNK, len(index))) for start in range(0, len(index), _CHUNK)]
    with ThreadPoolExecutor(max(1, workers)) as pool:
        results = pool.map(lambda rows: [_of(index.image_ids[row], store, detector, known) for row in rows], tasks)
        try:
            for rows, found in zip(tasks, results, strict=True):
                for row, record in zip(rows, found, strict=True):
                    records[row] = record
                done += len(rows)
                progress(done, len(index))
                if time.monotonic() - saved > _SAVE_SECONDS:
                    _keep(cache, records[:done], known)
                    saved = time.monotonic()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    _keep(cache, records, {})
    return records


def _of(
    image_id: bytes, store: ImageStore, detector: Detector | None, known: dict[bytes, np.void]
) -> np.void | NDArray[np.void]:
    try:
        data = store.read(image_id)
    except UserError:
        return np.zeros((), dtype=RECORD)
    digest = hashlib.blake2b(data, digest_size=16).digest()
    before = known.get(digest.rstrip(b"\0"))
    if before is not None and (detector is None or not before["read"] or before["faces"] != NOT_LOOKED_FOR):
        return before
    record = np.zeros((), dtype=RECORD)
    record["digest"] = digest
    try:
        picture = decode(data, path=store.describe(image_id))
    except UserError:
        return record
    _fill(record, picture)
    record["faces"] = NOT_LOOKED_FOR if detector is None else min(len(detector.detect(picture)), 32_767)
    return record


def _fill(record: NDArray[np.void], picture: NDArray[np.uint8]) -> None:
    """Measure one picture, RGB uint8 (H, W, 3)."""
    record["read"], record["pixels"] = True, pixel_digest(picture)
    record["height"], record["width"] = picture.shape[:2]
    small = _resized(picture, _DETAIL_SIDE)
    grey = small @ _GREY
    record["brightness"] = grey.mean() / 255
    record["colour"] = np.abs(small - grey[..., None]).mean() / 255
    record["detail"] = _detail(grey)
    halved = grey.reshape(_SIDE, 2, _SIDE, 2).mean(axis=(1, 3))
    frequencies = dctn(halved, norm="ortho")
    record["hash"] = _signs(frequencies[:8, :8])[0]
    record["fine_hash"] = _signs(frequencies[:16, :16])


def _resized(picture: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """The whole picture as float32 (side, side, 3) in 0..255, antialiased."""
    tensor = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]
    resized = torch.nn.functional.interpolate(tensor, (side, side), mode="bilinear", antialias=True)
    values: NDArray[np.float32] = resized[0].permute(1, 2, 0).numpy().astype(np.float32)
    return values


def _detail(grey: NDArray[np.float32]) -> float:
    """Variance of the Laplacian (Pech-Pacheco et al. 2000) over the variance of the picture; 0 where nothing varies."""
    inner = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    return float(laplacian.var() / variance) if (variance := float(grey.var())) > 1 else 0.0


def _signs(block: NDArray[np.float32]) -> NDArray[np.uint64]:
    """A bit per frequency but the mean: whether it is above the median; in words of 64 bits."""
    values = block.ravel()[1:]
    bits = np.append(values > np.median(values), False)
    return np.packbits(bits).view("<u8")


def _kept(cache: Path) -> Iterator[np.void]:
    """The records of an earlier audit; none where the file is missing, damaged or of another version."""
    if not cache.is_file():
        return
    try:
        records = np.load(cache, allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, MemoryError, TypeError) as error:
        log.info("%s is unreadable (%s): all pictures are measured again.", cache, error)
        return
    if records.ndim == 1 and records.dtype == RECORD:
        yield from records[records["digest"] != b""]


def _keep(cache: Path, records: NDArray[np.void], known: dict[bytes, np.void]) -> None:
    """Write the records so far, and those of an earlier audit that it has not come to yet."""
    own = set(records["digest"].tolist())
    earlier = [record for digest, record in known.items() if digest not in own]
    both = np.concatenate([records, np.array(earlier, dtype=RECORD)]) if earlier else records
    with writing(cache, "wb") as file:
        np.save(file, both)
