"""A zip file read in place through a memory map: no unpacking, no object per entry."""

from __future__ import annotations

import mmap
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gender_lightning.errors import UserError

END, END64, LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
CENTRAL, LOCAL = b"PK\x01\x02", b"PK\x03\x04"
STORED, DEFLATED = 0, 8
LARGE = 0xFFFFFFFF  # the value is in the zip64 field
MOST_BYTES = 1 << 29  # size of one unpacked picture: more is a zip bomb
LONGEST_NAME = 255  # bytes, the limit of file systems; one longer name would widen the column of all names


@dataclass(frozen=True)
class Directory:
    """The archive's files, sorted by base name.

    Attributes:
        names: Shape (N,), dtype ``S``: the part after the last slash.
        table: Shape (N, 5), int64: offset of the local header, bytes in the archive, bytes unpacked, CRC-32,
            compression method (-1: encrypted).
    """

    names: NDArray[np.bytes_]
    table: NDArray[np.int64]

    def find(self, name: bytes) -> NDArray[np.int64]:
        """Rows of the files with this name: shape (0, 5), (1, 5), or more if several folders have one."""
        begin, end = np.searchsorted(self.names, name), np.searchsorted(self.names, name, side="right")
        return self.table[begin:end]


class Archive:
    """Access to a zip's bytes. Safe to pickle and to fork: each process maps the file at its first read."""

    def __init__(self, path: Path) -> None:
        """Read the directory of the archive.

        Raises:
            UserError: The file cannot be read, or is not a complete zip file.
        """
        self.path = path
        self._map: mmap.mmap | None = None
        try:
            self.directory = read_directory(self._mapped())
        except (OSError, struct.error, ValueError, OverflowError) as error:
            raise UserError(
                f"{path} is not a complete zip file ({error}).",
                "Download it again (`gender-lightning data prepare` checks its MD5 sum).",
            ) from error

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_map": None}

    def _mapped(self) -> mmap.mmap:
        if self._map is None:
            with self.path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._map

    def read(self, name: bytes) -> bytes:
        """The unpacked bytes of a file.

        Raises:
            UserError: There is no such file, or it is damaged, encrypted or packed in an unknown way.
        """
        rows = self.directory.find(name)
        label = f"{self.path}:{name.decode(errors='replace')}"
        if not len(rows):
            raise UserError(f"{label} is not in the archive.", "Take labels and images from the same copy of CelebA.")
        if len(rows) > 1:
            raise UserError(f"{label} is in the archive {len(rows)} times.", "Pack it again with each picture once.")
        try:
            return self._unpacked(*(int(value) for value in rows[0]))
        except ValueError as error:
            raise UserError(f"{label} is {error}.", "Download the archive again, or unpack it.") from error

    def _unpacked(self, offset: int, packed: int, size: int, checksum: int, method: int) -> bytes:
        """The bytes of an entry.

        Raises:
            ValueError: The entry is damaged, encrypted, too large or packed in an unknown way; the text says which.
        """
        view = self._mapped()
        if method not in (STORED, DEFLATED):
            raise ValueError("encrypted" if method == -1 else "packed in an unknown way")
        if max(packed, size) > MOST_BYTES:
            raise ValueError(f"{max(packed, size):,} bytes large, more than any picture")
        if view[offset : offset + 4] != LOCAL or offset + 30 > len(view):
            raise ValueError("damaged: its header is missing")
        begin = offset + 30 + sum(struct.unpack_from("<HH", view, offset + 26))
        data = view[begin : begin + packed]
        if method == DEFLATED:
            # never unpacks more than the entry claims, even from a zip bomb
            try:
                data = zlib.decompressobj(-15).decompress(data, size + 1)
            except zlib.error as error:
                raise ValueError(f"damaged ({error})") from error
        if len(data) != size or zlib.crc32(data) != checksum:
            raise ValueError("damaged (wrong checksum)")
        return data


def read_directory(view: mmap.mmap) -> Directory:
    """The central directory (zip64 included).

    Raises:
        ValueError: The archive has none, for example because the file is cut short.
        struct.error: The directory itself is cut short.
    """
    position, end = _central_directory(view)
    names: list[bytes] = []
    rows: list[tuple[int, int, int, int, int]] = []
    while position < end:
        if view[position : position + 4] != CENTRAL:
            raise ValueError("its directory is damaged")
        fields = struct.unpack_from("<HH4xIIIHHH8xI", view, position + 8)
        flags, method, checksum, packed, size, name_length, extra_length, comment_length, offset = fields
        name = view[position + 46 : position + 46 + name_length]
        if LARGE in (packed, size, offset):
            extra = view[position + 46 + name_length : position + 46 + name_length + extra_length]
            size, packed, offset = _large_values(extra, size, packed, offset)
        base = name.rpartition(b"/")[2]
        # leaves out folders, macOS's companion files, and names that no label file can hold
        if base and not base.startswith(b"._") and len(base) <= LONGEST_NAME and b"\0" not in base:
            names.append(base)
            rows.append((offset, packed, size, checksum, -1 if flags & 1 else method))
        position += 46 + name_length + extra_length + comment_length
    array = np.array(names or [b""], dtype=np.bytes_)[: len(names)]
    order = np.argsort(array, kind="stable")
    return Directory(array[order], np.array(rows, dtype=np.int64).reshape(-1, 5)[order])


def _central_directory(view: mmap.mmap) -> tuple[int, int]:
    """Where the central directory begins and ends."""
    end = view.rfind(END, max(0, len(view) - 65557))
    if end < 0:
        raise ValueError("its end is missing")
    size, begin = struct.unpack_from("<II", view, end + 12)
    if view[max(0, end - 20) : max(0, end - 16)] == LOCATOR64:
        (end64,) = struct.unpack_from("<Q", view, end - 12)
        if view[end64 : end64 + 4] != END64:
            raise ValueError("its zip64 end is missing")
        size, begin = struct.unpack_from("<QQ", view, end64 + 40)
    return begin, begin + size


def _large_values(extra: bytes, *values: int) -> tuple[int, int, int]:
    """Take those of (size, packed, offset) that do not fit into 32 bits from the zip64 field."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        if kind == 1:
            wide = iter(struct.unpack_from(f"<{length // 8}Q", extra, position + 4))
            size, packed, offset = (next(wide, -1) if value == LARGE else value for value in values)
            if min(size, packed, offset) < 0:
                break
            return size, packed, offset
        position += 4 + length
    raise ValueError("its directory is damaged")
