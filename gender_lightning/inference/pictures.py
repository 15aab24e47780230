"""Pictures of every kind that a user has, as RGB uint8, with notes on the conversions that were needed."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gender_lightning.data.decoding import ORIENTATION, PILLOW_ERRORS, orientation, upright_rgb
from gender_lightning.errors import UserError
from gender_lightning.inference.faces.reduced import AnyPicture, Reduction, open_reduced, pixels_of

Picture = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image | NDArray[np.uint8] | Tensor

MOST_PIXELS = 178_956_970  # Pillow's limit against decompression bombs; half a GB as RGB
_DEEP_PNG = b"\x10"  # bit depth 16, byte 24 of the file
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Opened:
    """A picture in memory.

    Attributes:
        picture: The upright picture, RGB uint8 (H, W, 3), or a reduced copy of it.
        notes: Conversions that a reader of the result should know about; usually none.
    """

    picture: AnyPicture
    notes: tuple[str, ...] = ()

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The pixels in memory, RGB uint8 (h, w, 3): those of the picture or of its reduced copy."""
        return pixels_of(self.picture)


def open_picture(picture: Picture, name: str | None = None, reduction: Reduction | None = None) -> Opened:
    """Open any kind of picture that a `Predictor` takes.

    Args:
        picture: A path; an encoded picture as bytes or as a binary file, read from its current position; a PIL image;
            an RGB uint8 array (H, W, 3) or tensor (3, H, W).
        name: Names a file in messages; None means its path.
        reduction: How far a large JPEG may be reduced, see `open_reduced`; None to open everything in full.

    Raises:
        UserError: A file is missing, too large or does not decode, or the object is of another kind.

    Example:
        >>> open_picture(np.zeros((2, 3, 3), dtype=np.uint8)).pixels.shape
        (2, 3, 3)
    """
    if isinstance(picture, str | os.PathLike):
        return open_bytes(_read(Path(picture), name), path=name or str(picture), reduction=reduction)
    if isinstance(picture, Image.Image):
        return Opened(upright_rgb(picture), tuple(_notes_of_image(picture)))
    if isinstance(picture, Tensor):
        if picture.ndim != 3 or picture.shape[0] != 3 or picture.dtype != torch.uint8 or 0 in picture.shape:
            raise no_picture(picture)
        return Opened(picture.permute(1, 2, 0).contiguous().cpu().numpy())
    if isinstance(picture, np.ndarray):
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or 0 in picture.shape:
            raise no_picture(picture)
        return Opened(np.ascontiguousarray(picture))
    if isinstance(picture, bytes | bytearray | memoryview):
        return open_bytes(bytes(picture), path="A picture given as bytes", reduction=reduction)
    if hasattr(picture, "read"):
        return _open_file(picture, reduction)
    raise no_picture(picture)


def read_picture(picture: Picture) -> NDArray[np.uint8]:
    """The pixels of any kind of picture that a `Predictor` takes, RGB uint8 (H, W, 3), upright."""
    return open_picture(picture).pixels


def open_bytes(data: bytes, *, path: str, reduction: Reduction | None = None) -> Opened:
    """Decode a picture: JPEG by the fast decoder, every other format by Pillow.

    Args:
        data: The bytes of the file.
        path: Names the picture in messages.
        reduction: See `open_picture`.

    Raises:
        UserError: The bytes are not a picture, are cut off, or hold more than 179 million pixels.
    """
    if not data:
        raise UserError(f"{path} is empty.", "Replace or remove it.")
    notes = tuple(_notes_of_jpeg(data, path) if data[:2] == b"\xff\xd8" else _notes_of_file(data, path))
    return Opened(open_reduced(data, path=path, reduction=reduction), notes)


def _notes_of_jpeg(data: bytes, path: str) -> list[str]:
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return []  # the decoder says what is wrong
    _check_size(height, width, path)
    notes = {"Gray": ["grey"], "CMYK": ["CMYK"], "YCCK": ["CMYK"]}.get(colours, [])
    return notes + (["turned as EXIF says"] if orientation(data) > 1 else [])


def _notes_of_file(data: bytes, path: str) -> list[str]:
    try:
        with Image.open(io.BytesIO(data)) as image:
            _check_size(image.height, image.width, path)
            notes = _notes_of_image(image)
    except PILLOW_ERRORS:
        return []
    deep = data[:8] == _PNG and data[24:25] == _DEEP_PNG and image.mode == "RGB"  # grey says so by its mode
    return notes + (["16-bit"] if deep else [])


def _notes_of_image(image: Image.Image) -> list[str]:
    notes = []
    if image.mode in ("1", "L", "LA", "La"):
        notes.append("grey")
    if image.mode == "CMYK":
        notes.append("CMYK")
    if image.mode.startswith("I") or image.mode == "F":
        notes.append("16-bit" if image.mode.startswith("I;16") else "32-bit")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        notes.append("transparency over white")
    if getattr(image, "n_frames", 1) > 1:
        notes.append("first of several pictures")
    if image.getexif().get(ORIENTATION, 1) not in (0, 1):
        notes.append("turned as EXIF says")
    return notes


def _check_size(height: int, width: int, path: str) -> None:
    if height * width > MOST_PIXELS:
        raise UserError(
            f"{path} has {height * width / 1e6:.0f} million pixels.",
            f"Shrink it below {MOST_PIXELS / 1e6:.0f} million.",
        )


def _read(path: Path, name: str | None) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # a name with a null byte
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f"{name or path} cannot be read: {reason}.", "Check the path.") from error


def _open_file(file: BinaryIO, reduction: Reduction | None) -> Opened:
    """Read an open file or a BytesIO from its current position."""
    name = getattr(file, "name", None)
    path = name if isinstance(name, str) else f"A picture given as {type(file).__name__}"
    try:
        data = file.read()
    except (OSError, ValueError) as error:  # closed, or not valid text
        raise UserError(f"{path} cannot be read: {error}.", 'Open it as open(path, "rb").') from error
    if not isinstance(data, bytes):
        raise UserError(f"{path} was opened as text.", 'Open it as open(path, "rb").')
    if not data and file.seekable() and file.tell() > 0:
        raise UserError(f"{path} has been read or written up to its end.", "Call seek(0) first.")
    return open_bytes(data, path=path, reduction=reduction)


def no_picture(what: Any) -> UserError:
    """The error for an object of a kind that `open_picture` does not take."""
    if isinstance(what, Tensor):
        said = f"a {what.dtype} tensor of shape {tuple(what.shape)}"
    elif isinstance(what, np.ndarray):
        said = f"an array of {what.dtype} of shape {what.shape}"
    elif what is None:
        said = "None (which cv2.imread returns for a file that it cannot read)"
    else:
        said = f"a {type(what).__name__}"
    return UserError(
        f"Got {said} where an image was expected.",
        "Give a path, encoded bytes, a binary file, a PIL image, an RGB uint8 array (H, W, 3) or an RGB uint8 tensor "
        "(3, H, W).",
    )
