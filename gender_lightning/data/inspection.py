"""Inspect a data set: whether every picture decodes, how many there are of each class, and what they look like."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from gender_lightning.data.decoding import decode, frame
from gender_lightning.data.framing import Framing
from gender_lightning.data.rows.identical import Fingerprints
from gender_lightning.data.rows.selection import class_counts
from gender_lightning.data.sources.annotations import CLASS_NAMES, SPLITS, Index
from gender_lightning.data.sources.images import ImageStore
from gender_lightning.errors import UserError

CHUNK = 64  # images per task: enough to make handing out tasks cheap
SAMPLE = 1000  # images whose size is looked up


@dataclass(frozen=True)
class Unreadable:
    """An image that does not decode, and why."""

    image_id: bytes
    row: int  # its row in the index
    reason: str


@dataclass(frozen=True)
class SplitSummary:
    """Counts of one split; ``identities`` is None where they are unknown."""

    split: str
    female: int
    male: int
    identities: int | None


@dataclass(frozen=True)
class ImageSizes:
    """Width and height in pixels over a sample of images: smallest, median, largest."""

    images: int
    width: tuple[int, int, int]
    height: tuple[int, int, int]


def verify(
    index: Index,
    store: ImageStore,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    fingerprints: Fingerprints | None = None,
) -> list[Unreadable]:
    """Decode every image, in threads: the decoders release Python's lock.

    Args:
        index: The images.
        store: Their files.
        workers: Number of threads.
        progress: Called with (images decoded, images in all).
        fingerprints: Gets the digests of the images that decode.

    Returns:
        The images that do not decode, in the order of the index.
    """
    check = partial(_check, index, store=store, fingerprints=fingerprints)
    chunks = [range(start, min(start + CHUNK, len(index))) for start in range(0, len(index), CHUNK)]
    found: list[Unreadable] = []
    done = 0
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for chunk, unreadable in zip(chunks, pool.map(check, chunks), strict=True):
            found += unreadable
            done += len(chunk)
            if progress is not None:
                progress(done, len(index))
    return found


def _check(index: Index, rows: Sequence[int], store: ImageStore, fingerprints: Fingerprints | None) -> list[Unreadable]:
    unreadable = []
    for row in rows:
        image_id = index.image_ids[row]
        try:
            image = decode(store.read(image_id), path=store.describe(image_id))
            if fingerprints is not None:
                fingerprints.add(row, image)
        except UserError as error:
            unreadable.append(Unreadable(bytes(image_id), row, str(error)))
    return unreadable


def summarise(index: Index) -> list[SplitSummary]:
    """Counts per split and class; splits without images included."""
    summaries = []
    for split in SPLITS:
        identities = None
        if index.identities is not None:
            identities = len(np.unique(index.identities[index.split(split)]))
        summaries.append(SplitSummary(split, *class_counts(index, split), identities))
    return summaries


def image_sizes(index: Index, store: ImageStore, *, sample: int = SAMPLE) -> ImageSizes:
    """Sizes of an evenly spread sample, from the headers alone."""
    rows = np.unique(np.linspace(0, len(index) - 1, min(sample, len(index))).round().astype(np.intp))
    sizes = []
    for image_id in index.image_ids[rows]:
        try:
            with Image.open(io.BytesIO(store.read(image_id))) as image:
                sizes.append(image.size)
        except OSError:
            continue  # `verify` lists the unreadable ones
    if not sizes:
        raise UserError("No image could be read.", "`gender-lightning data verify` says why.")
    table = np.array(sizes)
    low, middle, high = table.min(axis=0), np.median(table, axis=0).astype(int), table.max(axis=0)
    width, height = ((int(low[axis]), int(middle[axis]), int(high[axis])) for axis in (0, 1))
    return ImageSizes(len(sizes), width, height)


def contact_sheet(
    index: Index, store: ImageStore, framing: Framing, *, columns: int = 12, rows: int = 2, seed: int = 0
) -> Image.Image:
    """A sheet of faces as the network sees them: ``rows`` x ``columns`` of each class in each split.

    Images that do not decode are left out.
    """
    side, strip = framing.image_size, 16
    blocks: list[tuple[str, NDArray[np.intp]]] = []
    for split in SPLITS:
        for label, name in enumerate(CLASS_NAMES):
            candidates = index.split(split)
            candidates = candidates[index.labels[candidates] == label]
            if len(candidates):
                order = np.random.default_rng([seed, len(blocks)]).permutation(candidates)
                blocks.append((f"{split}: {name} ({len(candidates):,})", order))
    sheet = Image.new("RGB", (columns * side, len(blocks) * (rows * side + strip)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (title, order) in enumerate(blocks):
        top = number * (rows * side + strip)
        draw.text((4, top + 2), title, fill="black")
        for place, tile in enumerate(_tiles(index, store, framing, order, rows * columns)):
            sheet.paste(tile, (place % columns * side, top + strip + place // columns * side))
    return sheet


def _tiles(index: Index, store: ImageStore, framing: Framing, order: NDArray[np.intp], count: int) -> list[Image.Image]:
    tiles: list[Image.Image] = []
    for image_id in index.image_ids[order]:
        if len(tiles) == count:
            break
        try:
            image = decode(store.read(image_id), path=store.describe(image_id))
        except UserError:
            continue
        tiles.append(Image.fromarray(frame(image, framing)))
    return tiles
