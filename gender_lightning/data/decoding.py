"""Decoding: how bytes become a picture, and a picture becomes the square that a network sees."""

from __future__ import annotations

import importlib
import importlib.util
import io
import struct
import zlib
from functools import cache
from pathlib import PurePath

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError

ORIENTATION = 0x0112  # EXIF tag
_ON_ITS_SIDE = 5  # least value of that tag for which height and width are exchanged
MOST_PIXELS = 120_000_000  # 360 MB as RGB: phones take 108 megapixels, a decompression bomb claims more
# Pillow reads thirty more, some of which are scripts for other programs (EPS is handed to Ghostscript).
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM", "TGA", "JPEG2000", "AVIF", "ICO", "HEIF")
# The file name extensions of these formats: one list for training, evaluation and prediction.
HEIF = frozenset((".heic", ".heif", ".hif"))  # written by phones; read where pillow-heif is installed
PICTURES = HEIF | {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm",
    ".pnm", ".jp2", ".tga", ".avif", ".ico",
}  # fmt: skip
# What Pillow's decoders raise on damaged data (UnidentifiedImageError is an OSError).
PILLOW_ERRORS = (
    OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, ArithmeticError, AttributeError, RuntimeError,
    MemoryError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip


def decode(data: bytes, *, path: str, reduction: int = 1) -> NDArray[np.uint8]:
    """Decode a JPEG, PNG, WebP, BMP or another picture of ``FORMATS``, or the first frame of an animation.

    Grey, palette, CMYK, 16-bit and EXIF orientation are resolved; transparency is laid over white.

    Args:
        data: The file's bytes.
        path: The picture's path, for messages.
        reduction: 2, 4 or 8 to decode a JPEG at that part of its height and width (rounded up), which leaves out most
            of the work; a JPEG of an unusual kind is decoded in full all the same.

    Returns:
        Shape (H, W, 3), RGB, uint8.

    Raises:
        UserError: The bytes are not a picture, or only part of one (a truncated JPEG is an error, never a grey
            area); or the picture has more than ``MOST_PIXELS``, and is not decoded.
    """
    if data[:2] == b"\xff\xd8":
        try:
            # Measured against OpenCV, torchvision.io and Pillow: as fast as the fastest, the same pixels as
            # Pillow, and the only one that also reports data missing before a present end marker.
            height, width = simplejpeg.decode_jpeg_header(data)[:2]
            _check_size(width, height, path)
            least = (-(-height // reduction), -(-width // reduction)) if reduction > 1 else (0, 0)
            image: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "RGB", min_height=least[0], min_width=least[1])
            return _turned(image, orientation(data))
        except UserError:
            raise
        except ValueError as error:
            if "premature end" in str(error).lower():
                raise _undecodable(path, error) from error
            # A lesser complaint (bytes between markers, CMYK variants): Pillow decides.
    try:
        return _decode_with_pillow(data, path)
    except UserError:
        raise
    except PILLOW_ERRORS as error:
        raise _undecodable(path, error) from error


def _undecodable(path: str, error: Exception) -> UserError:
    reason = "it is not a known image format" if isinstance(error, UnidentifiedImageError) else _first_line(error)
    if isinstance(error, UnidentifiedImageError) and why_not(PurePath(path).suffix.lower()):
        return UserError(
            f"{path} does not decode: it is a HEIC picture.",
            "Install its reader: pip install 'gender-lightning[heic]'.",
        )
    return UserError(
        f"{path} does not decode: {reason}.",
        "Replace or remove it (`gender-lightning data verify` lists all such files).",
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().rstrip(".").splitlines()
    return lines[0][:200] if lines else f"the decoder failed ({type(error).__name__})"


def _check_size(width: int, height: int, path: str) -> None:
    """Refuse a decompression bomb by its header, before any memory is taken for it."""
    if width * height > MOST_PIXELS:
        raise UserError(
            f"{path} is not decoded: {width} x {height} pixels are more than the {MOST_PIXELS:,} that are allowed.",
            "Make it smaller, or remove it.",
        )


def claimed_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels by the header alone; (0, 0) for bytes without one, which `decode` refuses."""
    try:
        if data[:2] == b"\xff\xd8":
            height, width = simplejpeg.decode_jpeg_header(data)[:2]
            return width, height
        with _open(data) as image:
            return image.size
    except PILLOW_ERRORS:
        return 0, 0


def _open(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=_formats())


@cache
def _formats() -> tuple[str, ...]:
    """The formats that this Pillow was built with, and HEIF where its plugin is installed."""
    if importlib.util.find_spec("pillow_heif") is not None:
        importlib.import_module("pillow_heif").register_heif_opener()
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@cache
def picture_suffixes() -> frozenset[str]:
    """The file name extensions that can be read on this machine, in lower case."""
    missing = {".avif"} if "AVIF" not in _formats() else set()
    return PICTURES - missing - (HEIF if "HEIF" not in _formats() else frozenset())


def why_not(suffix: str) -> str:
    """How skipped files with this extension could be read; empty where they are not pictures."""
    return "pip install 'gender-lightning[heic]' reads them" if suffix in HEIF - picture_suffixes() else ""


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Height and width of the upright picture, by the header; None if the data are no JPEG."""
    try:
        height, width = simplejpeg.decode_jpeg_header(data)[:2]
    except ValueError:
        return None
    return (width, height) if orientation(data) >= _ON_ITS_SIDE else (height, width)


def orientation(data: bytes) -> int:
    """EXIF's number, 1 to 8, for how the picture of a JPEG must be rotated or mirrored; 1 if it need not be."""
    if b"Exif\x00\x00" not in data[:65536]:
        return 1
    try:
        with _open(data) as image:
            found = image.getexif().get(ORIENTATION, 1)
    except PILLOW_ERRORS:
        return 1  # an unreadable EXIF block does not make the pixels unreadable
    return found if found in range(1, 9) else 1


def _turned(image: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """The upright picture for EXIF's number; photographs that phones take upright are stored on their side."""
    if number >= _ON_ITS_SIDE:
        image = image.swapaxes(0, 1)
    rows = -1 if number in (3, 4, 7, 8) else 1
    columns = -1 if number in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(image[::rows, ::columns])


def _decode_with_pillow(data: bytes, path: str) -> NDArray[np.uint8]:
    with _open(data) as file:
        _check_size(*file.size, path)
        file.load()  # raises on truncated data
        return upright_rgb(file)


def upright_rgb(picture: Image.Image) -> NDArray[np.uint8]:
    """Convert a Pillow image of any mode to RGB uint8 (H, W, 3), writable, rotated as its EXIF says."""
    image: Image.Image = _upright(picture)
    if image.mode.startswith("I") or image.mode == "F":  # 16 or 32 bits of grey: Pillow would clip, not scale
        values = np.nan_to_num(np.asarray(image, dtype=np.float32))
        # 16-bit images have a known scale. The scale of wider numbers is up to the program that wrote them.
        white = 65535.0 if image.mode.startswith("I;16") else _white(float(values.max(initial=0)), image.mode)
        grey = np.clip(values * (255 / white) + 0.5, 0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.array(image.convert("RGB"))


def _white(largest: float, mode: str) -> float:
    """The value of white, judged by the largest value: 1 (floats only), 255, 65535, or the largest itself."""
    scales = (1.0, 255.0, 65535.0) if mode == "F" else (255.0, 65535.0)
    return next((white for white in scales if largest <= white), largest)


def _upright(image: Image.Image) -> Image.Image:
    """The image rotated as its EXIF says, where that can be read."""
    try:
        return ImageOps.exif_transpose(image)
    except PILLOW_ERRORS:
        return image  # an unreadable EXIF block does not make the pixels unreadable


def frame(image: NDArray[np.uint8], framing: Framing) -> NDArray[np.uint8]:
    """Crop, zoom and resize with antialiasing, both up and down.

    Args:
        image: Shape (H, W, 3), uint8.
        framing: What to keep, and the side S of the result.

    Returns:
        Shape (S, S, 3), uint8: what torchvision's ``center_crop`` and ``resize(antialias=True)`` give.
    """
    return frame_tensor(image, framing).permute(1, 2, 0).contiguous().numpy()


def frame_tensor(image: NDArray[np.uint8], framing: Framing) -> torch.Tensor:
    """Do what ``frame`` does, but return shape (3, S, S), uint8, in whatever memory format the resize left it.

    torch's uint8 kernel is three times as fast as Pillow's resize, and within 2/255 of it.
    """
    assert image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8, (image.shape, image.dtype)
    top, left, height, width = framing.box(*image.shape[:2])
    part = np.ascontiguousarray(image[top : top + height, left : left + width])
    if not part.flags.writeable:
        part = part.copy()  # torch has no read-only tensors
    tensor = torch.from_numpy(part).permute(2, 0, 1)
    if height == width == framing.image_size:
        return tensor
    size = (framing.image_size, framing.image_size)
    resized: torch.Tensor = torch.nn.functional.interpolate(
        tensor[None], size, mode=framing.interpolation, antialias=True, align_corners=False
    )
    return resized[0]
