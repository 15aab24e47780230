"""Every kind of picture decodes as Pillow decodes it, half of one never does; framing is torchvision's."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F
from PIL import Image, ImageOps

from gender_lightning.data.decoding import FORMATS, decode, frame, picture_suffixes, why_not
from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError

from .conftest import jpeg

PICTURE = Image.open(io.BytesIO(jpeg(3, (37, 53)))).convert("RGB")


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(PICTURE, "JPEG", exif=exif)


@pytest.mark.parametrize(
    "data",
    [
        encoded(PICTURE, "JPEG"),
        encoded(PICTURE, "JPEG", progressive=True),
        encoded(PICTURE.convert("L"), "JPEG"),
        encoded(PICTURE, "PNG"),
        encoded(PICTURE.quantize(16), "PNG"),
        encoded(PICTURE, "WEBP", lossless=True),
        encoded(PICTURE, "BMP"),
        turned(),
        encoded(PICTURE, "JPEG") + b"bytes after the end",
    ],
)
def test_decodes_as_pillow(data: bytes) -> None:
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    np.testing.assert_array_equal(decode(data, path="a"), expected)


def test_cmyk_decodes_as_pillow() -> None:
    data = encoded(PICTURE.convert("CMYK"), "JPEG")
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(decode(data, path="a").astype(int) - expected).max() <= 1


def test_sixteen_bits_are_scaled() -> None:
    grey = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    image = decode(encoded(Image.fromarray(grey), "PNG"), path="a")
    np.testing.assert_array_equal(image[..., 1].ravel(), np.arange(256))


def test_transparency_lies_over_white() -> None:
    image = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    image.putpixel((1, 2), (10, 20, 30, 255))
    decoded = decode(encoded(image, "PNG"), path="a")
    assert decoded[2, 1].tolist() == [10, 20, 30] and decoded[0, 0].tolist() == [255] * 3


WHOLE = jpeg(1, (60, 80))
DAMAGED = {
    "cut": WHOLE[: len(WHOLE) // 2],
    "cut, with an end marker": WHOLE[: len(WHOLE) // 2] + b"\xff\xd9",
    "without its end": WHOLE[:-2],
    "header only": WHOLE[:20],
    "cut png": encoded(PICTURE, "PNG")[:-300],
    "cut webp": encoded(PICTURE, "WEBP")[:-50],
    "cut bmp": encoded(PICTURE, "BMP")[:-50],
    "text": b"<html>quota</html>",
    "nothing": b"",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_picture_is_an_error_with_its_path(name: str) -> None:
    with pytest.raises(UserError, match=r"faces/000042.jpg does not decode: .+\. Replace"):
        decode(DAMAGED[name], path="faces/000042.jpg")


@pytest.mark.parametrize("size", [16, 33, 100])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_framing_is_torchvisions(size: int, interpolation: str) -> None:
    image = np.asarray(PICTURE)
    mode = F.InterpolationMode(interpolation)
    whole = torch.from_numpy(image.copy()).permute(2, 0, 1)
    for crop, zoom, kept in (("square", 1.0, (37, 37)), ("none", 1.0, (53, 37)), ("square", 0.8, (30, 30))):
        expected = F.resize(F.center_crop(whole, list(kept)), [size, size], mode, antialias=True)
        ours = frame(image, Framing(size, crop, zoom, interpolation))  # type: ignore[arg-type]
        assert ours.shape == (size, size, 3) and ours.dtype == np.uint8
        assert np.abs(ours.astype(int) - expected.permute(1, 2, 0).numpy()).max() <= 1


def test_framing_is_within_two_of_pillow() -> None:
    ours = frame(np.asarray(PICTURE), Framing(20, "none"))
    pillow = np.asarray(PICTURE.resize((20, 20), Image.Resampling.BILINEAR))
    assert np.abs(ours.astype(int) - pillow).max() <= 2


def test_a_frame_of_the_same_size_is_the_crop() -> None:
    np.testing.assert_array_equal(frame(np.asarray(PICTURE), Framing(37)), np.asarray(PICTURE)[8:45])


def test_the_lower_square_lies_halfway_to_the_lower_edge() -> None:
    np.testing.assert_array_equal(frame(np.asarray(PICTURE), Framing(37, "lower")), np.asarray(PICTURE)[12:49])
    assert Framing(37, "lower").box(218, 178) == (30, 0, 178, 178)  # of CelebA's frame: 20 px are cut above in a square
    assert Framing(37, "lower").box(100, 180) == Framing(37, "square").box(100, 180)


@pytest.mark.parametrize(
    ("white", "mode"), [(1.0, "F"), (255.0, "F"), (65535.0, "F"), (3e6, "F"), (255, "I"), (65535, "I")]
)
def test_grey_of_32_bits_has_whatever_scale_its_program_used(white: float, mode: str) -> None:
    ramp = np.linspace(0, 1, 64).reshape(8, 8)
    buffer = io.BytesIO()
    Image.fromarray((ramp * white).astype(np.float32 if mode == "F" else np.int32)).save(buffer, "TIFF")
    found = decode(buffer.getvalue(), path="deep.tif")
    assert np.abs(found[..., 0].astype(float) - ramp * 255).max() <= 1


def test_icons() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 10, 30)).save(buffer, "ICO")
    assert decode(buffer.getvalue(), path="a.ico").reshape(-1, 3).mean(0).tolist() == [200, 10, 30]


def test_every_ending_is_of_a_format_that_is_read() -> None:
    """Pillow's own table is the oracle: a folder is not searched for what then does not decode."""
    Image.init()
    formats = {Image.registered_extensions().get(suffix) for suffix in picture_suffixes() - {".hif", ".jfif"}}
    assert formats <= set(FORMATS) | {"MPO"}


def test_heic() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    picture = np.zeros((64, 48, 3), np.uint8)
    picture[:32] = (220, 40, 40)
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(picture)).save(buffer, quality=95)
    found = decode(buffer.getvalue(), path="a.heic")
    assert found.shape == picture.shape and np.abs(found.astype(int) - picture).mean() < 5
    assert ".heic" in picture_suffixes() and why_not(".heic") == ""


def test_heic_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gender_lightning.data.decoding._formats", lambda: ("JPEG", "PNG"))
    picture_suffixes.cache_clear()
    try:
        assert ".heic" not in picture_suffixes() and ".jpg" in picture_suffixes()
        with pytest.raises(UserError, match=r"a HEIC picture\. .*pip install 'gender-lightning\[heic\]'"):
            decode(b"\0\0\0\x18ftypheic" + bytes(64), path="photos/a.HEIC")
    finally:
        picture_suffixes.cache_clear()
