"""Faces of a large photograph are looked for in a reduced copy, and come out as they do of the photograph itself."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageOps

from gender_lightning.data.decoding import ORIENTATION, decode, frame
from gender_lightning.data.framing import Framing
from gender_lightning.inference.faces.crops import Choice, Cropper
from gender_lightning.inference.faces.face import Box
from gender_lightning.inference.faces.mtcnn import Mtcnn
from gender_lightning.inference.faces.reduced import Reduced
from gender_lightning.inference.faces.turning import Turning
from gender_lightning.inference.pictures import open_picture

HEIGHT, WIDTH = 3000, 4000  # twelve megapixels


def encoded(pixels: np.ndarray, orientation: int | None = None) -> bytes:
    exif = Image.Exif()
    if orientation is not None:
        exif[ORIENTATION] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


@pytest.fixture(scope="module")
def photograph(hopper: np.ndarray) -> bytes:
    """A large head and a small one, stored on its side."""
    rng = np.random.default_rng(5)
    small = rng.integers(50, 210, (7, 9, 3), dtype=np.uint8)
    canvas = Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    head = Image.fromarray(hopper).crop((120, 30, 410, 330))
    for side, left in ((900, 1000), (160, 3000)):
        canvas.paste(head.resize((side, side), Image.Resampling.LANCZOS), (left, 700))
    return encoded(np.rot90(canvas), 6)


def overlap(first: Box, second: Box) -> float:
    """Intersection over union."""
    width = min(first.left + first.width, second.left + second.width) - max(first.left, second.left)
    height = min(first.top + first.height, second.top + second.height) - max(first.top, second.top)
    shared = max(0, width) * max(0, height)
    return shared / (first.width * first.height + second.width * second.height - shared)


class Counted:
    """The reduced copy of a photograph, and how often the photograph is decoded in full."""

    def __init__(self, data: bytes, cropper: Cropper) -> None:
        opened = open_picture(data, reduction=cropper.reduction).picture
        assert isinstance(opened, Reduced) and opened.reduction == 2
        self.times = 0
        self.picture = replace(opened, whole=self.whole)
        self.decode = opened.whole

    def whole(self) -> np.ndarray:
        self.times += 1
        return self.decode()


@pytest.mark.parametrize("number", range(1, 9))
def test_a_turned_photograph_is_decoded_as_pillow_does(number: int) -> None:
    small = np.random.default_rng(1).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    data = encoded(np.array(Image.fromarray(small).resize((48, 32))), number)
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image)
        reduced = upright.reduce(2)
    assert np.array_equal(decode(data, path=""), np.array(upright))
    found = decode(data, path="", reduction=2).astype(int)
    assert found.shape == (*reduced.size[::-1], 3) and np.abs(found - np.array(reduced)).mean() < 6


def test_faces_come_out_as_of_the_photograph(photograph: bytes) -> None:
    whole = open_picture(photograph).pixels
    assert whole.shape == (HEIGHT, WIDTH, 3)
    cropper = Cropper(Framing(224), "auto", Mtcnn())
    reduced = Counted(photograph, cropper)
    large, small = found = cropper.choices_of([reduced.picture])[0]
    for choice, expected in zip(found, cropper.choices(whole), strict=True):
        assert choice.face is not None and expected.face is not None and choice.note == expected.note
        assert overlap(choice.face.box, expected.face.box) > 0.85
        most = 0.12 * expected.face.eye_distance
        assert np.abs(np.array(choice.face.eyes) - expected.face.eyes).max() < most
    for choices, times in (([large], 0), ([small], 1), ([large, small], 2)):
        crops = cropper._cut(reduced.picture, choices)
        assert reduced.times == times, "the small face alone needs all pixels"
        for choice, crop in zip(choices, crops, strict=True):
            cut = frame(cropper.aligned(whole, choice), cropper.framing).astype(int)
            assert np.abs(cut - crop.pixels).mean() < (2 if len(choices) == 1 and choice is large else 0.01)
            assert choice.face is not None and crop.box == choice.face.box
    few = Cropper(Framing(64), "auto", cropper.detector)
    before = reduced.times
    for choice, crop in zip(found, few._cut(reduced.picture, found), strict=True):
        cut = frame(few.aligned(whole, choice), few.framing).astype(int)
        assert np.abs(cut - crop.pixels).mean() < 2
    assert reduced.times == before, "a network of 64 px sees no more detail than the copy has"


def test_a_photograph_that_is_used_as_it_is_keeps_its_box(photograph: bytes) -> None:
    for size, times in ((64, 0), (1600, 1)):  # the reduced copy has 1500 px
        cropper = Cropper(Framing(size), "auto", Mtcnn())
        reduced = Counted(photograph, cropper)
        (crop,) = cropper._cut(reduced.picture, [Choice(None)])
        assert crop.box == Box(500, 0, 3000, 3000) and reduced.times == times
        expected = frame(open_picture(photograph).pixels, cropper.framing).astype(int)
        assert np.abs(expected - crop.pixels).mean() < 1


def test_a_least_size_means_pixels_of_the_photograph(photograph: bytes) -> None:
    """The heads are 900 and 160 px wide, faces less."""
    for least, reduction, count in ((70, 2, 2), (280, 8, 1)):
        for detector in (Mtcnn(least), Turning(Mtcnn(least))):
            cropper = Cropper(Framing(64), "detect", detector)
            opened = open_picture(photograph, reduction=cropper.reduction).picture
            assert isinstance(opened, Reduced) and opened.reduction == reduction
            whole, copy = cropper.choices_of([open_picture(photograph).pixels, opened])
            assert len(copy) == len(whole) == count


def test_what_is_not_reduced() -> None:
    detector = Mtcnn()
    assert detector.reduction(3000, 4000) == 2 and detector.reduction(6000, 8000) == 4
    assert detector.reduction(2000, 3000) == 1, "its smallest faces would be too small"
    assert detector.reduction(900, 40000) == 1, "a strip"
    assert Mtcnn(min_face=60).reduction(3000, 4000) == 1
    assert Cropper(Framing(64), "none", detector).reduction(3000, 4000) == 1
