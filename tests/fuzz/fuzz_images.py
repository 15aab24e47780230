"""Pictures: of every format and mode, damaged, lying about their size, or none at all."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from fuzz_harness import Case, Rng, damaged
from PIL import Image

from gender_lightning.data.decoding import decode, frame
from gender_lightning.data.framing import Framing
from gender_lightning.data.sources.images import FolderStore

HUGE = 30_000
_EVIL_EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/tmp/pwned) (w) file closefile\nshowpage\n%%EOF\n"


def cases(rng: Rng, share: float, folder: Path) -> Iterator[Case]:
    """About 2,100 cases at a share of 1."""
    pictures = list(_pictures())
    for name, data in pictures:
        yield Case(f"image, {name.partition(' ')[0]}", partial(_see, data))
    for name, data in _oddities():
        yield Case(f"image, {name}", partial(_see, data))
    yield from _files(folder)
    for _ in range(round(2000 * share)):
        name, data = pictures[int(rng.integers(0, len(pictures)))]
        yield Case("image, damaged", partial(_see, damaged(data, rng)))
    for _ in range(round(100 * share)):
        yield Case("image, random bytes", partial(_see, rng.bytes(int(rng.integers(1, 400)))))


def _see(data: bytes, crop: str = "square") -> None:
    image = decode(data, path="faces/1.jpg")
    assert image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
    assert frame(image, Framing(32, crop)).shape == (32, 32, 3)  # type: ignore[arg-type]


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _pictures() -> Iterator[tuple[str, bytes]]:
    small = np.random.default_rng(1).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    rgb = Image.fromarray(small).resize((37, 53))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "x" * 500
    for form in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "TGA"):
        yield f"{form}", encoded(rgb, form)
    for mode in ("L", "CMYK", "YCbCr"):
        yield f"JPEG {mode}", encoded(rgb.convert(mode), "JPEG", exif=exif)
    yield "JPEG progressive", encoded(rgb, "JPEG", progressive=True, exif=exif)
    for mode in ("1", "L", "LA", "P", "RGBA"):
        yield f"PNG {mode}", encoded(rgb.convert(mode), "PNG")
    for mode in ("L", "LA", "RGBA", "CMYK", "I;16", "F", "LAB"):
        picture = Image.fromarray(np.zeros((9, 9), np.uint16)) if mode == "I;16" else _converted(rgb, mode)
        yield f"TIFF {mode}", encoded(picture, "TIFF")
    for mode in ("RGBA", "L"):
        yield f"WEBP {mode}", encoded(rgb.convert(mode), "WEBP")
    yield "PNG 16 bits", encoded(Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20) * 160), "PNG")
    yield "one pixel", encoded(Image.new("RGB", (1, 1)), "PNG")
    yield "one pixel high", encoded(Image.new("L", (5000, 1)), "JPEG")
    frames = [rgb, rgb.rotate(90), rgb.rotate(180)]
    for form in ("GIF", "WEBP", "PNG"):
        yield f"animated {form}", encoded(rgb, form, save_all=True, append_images=frames, duration=40)
    for tag in range(9):
        turned = Image.Exif()
        turned[0x0112] = tag
        yield "EXIF", encoded(rgb, "JPEG", exif=turned)
        yield "EXIF", encoded(rgb, "PNG", exif=turned)


def _converted(image: Image.Image, mode: str) -> Image.Image:
    if mode == "F":
        return Image.fromarray(np.full((9, 9), np.nan, np.float32))
    return Image.new("LAB", (9, 9)) if mode == "LAB" else image.convert(mode)


def _oddities() -> Iterator[tuple[str, bytes]]:
    rgb = Image.new("RGB", (64, 64), "red")
    png, jpeg = encoded(rgb, "PNG"), encoded(rgb, "JPEG")
    yield "empty", b""
    for text in (
        b"<!DOCTYPE html><html>quota</html>",
        b"hello",
        "\N{SNOWMAN}".encode(),
        b"\xff\xd8\xff",
        b"\x89PNG\r\n",
    ):
        yield "text", text
    yield "program (EPS)", _EVIL_EPS
    yield "program (SVG)", b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>"
    yield "program (PDF)", b"%PDF-1.4\n1 0 obj<</OpenAction<</S/Launch/F(sh)>>>>endobj"
    for width, height in ((HUGE, HUGE), (65_535, 65_535), (1, 65_535), (0, 0), (0xFFFFFFFF, 2)):
        size = struct.pack(">II", width, height)
        header = b"IHDR" + size + png[24:29]
        yield "huge header (PNG)", png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]
        if width < 65_536:
            place = jpeg.index(b"\xff\xc0") + 5
            yield "huge header (JPEG)", jpeg[:place] + struct.pack(">HH", height, width) + jpeg[place + 4 :]
        bmp = encoded(rgb, "BMP")
        yield "huge header (BMP)", bmp[:18] + struct.pack("<II", width, height) + bmp[26:]
        gif = encoded(rgb, "GIF")
        yield "huge header (GIF)", gif[:6] + struct.pack("<HH", width & 0xFFFF, height & 0xFFFF) + gif[10:]
    yield "decompression bomb", _bomb(HUGE, HUGE)
    yield "decompression bomb", encoded(Image.new("1", (12_000, 11_000)), "PNG")
    yield "decompression bomb", _text_bomb(png)


def _bomb(width: int, height: int) -> bytes:
    """A PNG of 900 million black pixels in a megabyte or so."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer, row = zlib.compressobj(1), bytes(1 + width // 8)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _text_bomb(png: bytes) -> bytes:
    text = b"Comment\0\0" + zlib.compress(bytes(1 << 28))
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    return png[:33] + chunk + png[33:]


def _files(folder: Path) -> Iterator[Case]:
    """What stands where a picture should: a pipe would be waited for, a device never ends."""
    import os

    os.mkfifo(folder / "pipe.jpg")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "folder.jpg").mkdir()
    with (folder / "sparse.jpg").open("wb") as file:
        file.truncate(1 << 40)
    (folder / "right.png").write_bytes(encoded(Image.new("RGB", (9, 9)), "JPEG"))
    store = FolderStore(folder)
    for name in (*sorted(os.listdir(folder)), "missing.jpg", "a\0b.jpg"):
        kind = "wrong extension" if name == "right.png" else "no plain file"
        yield Case(f"image, {kind}", partial(_read, store, name))


def _read(store: FolderStore, name: str) -> None:
    _see(store.read(name.encode()))
