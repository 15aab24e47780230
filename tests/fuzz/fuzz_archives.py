"""Zip files: damaged, encrypted, doubled, overlapping, larger inside than outside."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from fuzz_harness import Case, Rng, damaged

from gender_lightning.data.sources.images import ZipStore

NAMES = [b"1.jpg", b"2.jpg", b"3.jpg", b"evil.jpg", b"passwd"]


def packed(files: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, data in files:
                archive.writestr(name, data)
    return file.getvalue()


def cases(rng: Rng, share: float, folder: Path) -> Iterator[Case]:
    """About 830 cases at a share of 1."""
    plain = [(f"img_align_celeba/{number}.jpg", rng.bytes(200)) for number in (1, 2, 3)]
    whole = [packed(plain), packed(plain, zipfile.ZIP_DEFLATED), packed([("a/", b""), *plain])]
    for name, data in _oddities(plain):
        yield Case(f"zip, {name}", partial(_read, folder, data))
    for number in range(round(800 * share)):
        yield Case("zip, damaged", partial(_read, folder, damaged(whole[number % len(whole)], rng)))


def _oddities(plain: list[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    for name in ("../../evil.jpg", "/etc/passwd", "..\\evil.jpg", "C:\\evil.jpg", "a/\0/1.jpg", "/", "x" * 60_000):
        yield "a name that leads out", packed([(name, b"evil"), *plain])
    yield "nested", packed([("1.jpg", packed(plain)), ("inner.zip", packed(plain))])
    yield "a name twice", packed([*plain, *plain])
    yield "empty", b""
    yield "empty", packed([])
    yield "text", b"<!DOCTYPE html><html>quota</html>"
    yield "cut", packed(plain)[:-30]
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        yield "another packing", packed(plain, method)
    data = packed(plain, zipfile.ZIP_DEFLATED)
    yield "encrypted", _patched(data, 8, struct.pack("<H", 1))
    yield "a bomb", packed([("1.jpg", bytes(1 << 28)), *plain], zipfile.ZIP_DEFLATED)
    yield "a bomb that lies", _patched(packed([("1.jpg", bytes(1 << 26))], zipfile.ZIP_DEFLATED), 24, b"\x10\0\0\0")
    for size in (0, 1, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF):
        for field in (20, 24, 42):  # packed size, size, offset
            yield "a size that lies", _patched(data, field, struct.pack("<I", size))
    yield "overlapping", _overlapping(data)
    yield "zip64", _zip64(data, 2**64 - 1)
    yield "zip64", _zip64(data, 2**63)
    many = [(f"{number}.jpg", b"") for number in range(20_000)]
    yield "a long name among many", packed([("x" * 65_000, b""), *many])


def _patched(data: bytes, field: int, value: bytes) -> bytes:
    """Every entry of the directory with another value at a place."""
    changed, place = bytearray(data), data.find(b"PK\x01\x02")
    while place >= 0:
        changed[place + field : place + field + len(value)] = value
        place = data.find(b"PK\x01\x02", place + 4)
    return bytes(changed)


def _overlapping(data: bytes) -> bytes:
    first = data.find(b"PK\x01\x02")
    return _patched(data, 42, data[first + 42 : first + 46])


def _zip64(data: bytes, size: int) -> bytes:
    """An end that points to another end with absurd numbers."""
    end = data.rfind(b"PK\x05\x06")
    end64 = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 3, 3, size, size)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, end, 1)
    return data[:end] + end64 + locator + data[end:]


def _read(folder: Path, data: bytes) -> None:
    path = folder / "images.zip"
    path.write_bytes(data)
    store = ZipStore(path)
    there = store.exists(np.array(NAMES))
    sizes = [len(store.read(name)) for name, exists in zip(NAMES, there, strict=True) if exists]
    assert sum(sizes) <= 1 << 29
    assert sorted(item.name for item in folder.iterdir()) == ["images.zip"]  # nothing is unpacked
