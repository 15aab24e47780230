"""The default detector on drawn scenes: where the faces are is known, and so is where they were always found."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gender_lightning.inference.faces.face import Box, Face
from gender_lightning.inference.faces.mtcnn import Mtcnn
from gender_lightning.inference.faces.pyramid import Pyramid

EYES = np.array(((219.0, 192.0), (308.0, 186.0)))  # of the photograph, by eye
SIDES = (200, 200, 200, 420, 420, 800, 1400)
EXPECTED = Path(__file__).with_name("scene_boxes.json")


@dataclass(frozen=True)
class Scene:
    """A picture, and the places (N, 2, 2) of the eyes in it."""

    picture: np.ndarray
    eyes: np.ndarray


def scenes(photograph: np.ndarray) -> list[Scene]:
    """The photograph's head several times, of 45 to 400 px and up to 25 degrees, before something blurred."""
    rng = np.random.default_rng(11)
    head = Image.fromarray(photograph).crop((120, 30, 410, 330))
    found = []
    for number, side in enumerate(SIDES):
        width = side if number % 2 else round(1.25 * side)
        small = rng.integers(50, 210, (7, 9, 3), dtype=np.uint8)
        canvas = Image.fromarray(small).resize((width, side), Image.Resampling.BICUBIC)
        eyes = []
        for column in range(1 if side < 400 else 3):
            size = round(side * (rng.uniform(0.6, 0.9) if side < 400 else rng.uniform(0.12, 0.3)))
            angle = float(rng.uniform(-25, 25))
            left = round((width - size) * rng.uniform(0.2, 0.8)) if side < 400 else column * width // 3 + size // 9
            top = round((side - size) * rng.uniform(0, 1))
            turned = head.resize((size, size), Image.Resampling.LANCZOS).convert("RGBA").rotate(angle, Image.BICUBIC)
            canvas.paste(turned, (left, top), turned)
            from_centre = ((EYES - (120, 30)) / (290, 300) - 0.5) @ turn(angle)
            eyes.append((from_centre + 0.5) * size + (left, top))
        found.append(Scene(np.array(canvas), np.array(eyes)))
    return found


def turn(degrees: float) -> np.ndarray:
    """Turns rows of (x, y), y downwards, anticlockwise."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array(((cosine, -sine), (sine, cosine)))


def overlap(first: Box, second: Box) -> float:
    """Intersection over union."""
    width = min(first.left + first.width, second.left + second.width) - max(first.left, second.left)
    height = min(first.top + first.height, second.top + second.height) - max(first.top, second.top)
    shared = max(0, width) * max(0, height)
    return shared / (first.width * first.height + second.width * second.height - shared)


@pytest.fixture(scope="module")
def mtcnn() -> Mtcnn:
    return Mtcnn()


@pytest.fixture(scope="module")
def drawn(hopper: np.ndarray) -> list[Scene]:
    return scenes(hopper)


@pytest.fixture(scope="module")
def together(mtcnn: Mtcnn, drawn: list[Scene]) -> list[list[Face]]:
    return mtcnn.detect_many([scene.picture for scene in drawn])


def test_the_eyes_are_where_they_were_put(drawn: list[Scene], together: list[list[Face]]) -> None:
    for scene, faces in zip(drawn, together, strict=True):
        found = sorted(faces, key=lambda face: face.eyes[0])
        assert len(found) == len(scene.eyes)
        for face, eyes in zip(found, sorted(scene.eyes.tolist()), strict=True):
            distance = np.hypot(*np.subtract(*eyes))
            assert np.abs(np.array(face.eyes) - eyes).max() < 0.15 * distance


def test_the_boxes_are_what_they_always_were(together: list[list[Face]]) -> None:
    """Those of the networks run on each picture alone, on every level from the full resolution."""
    expected = [[Box(*box) for box in of_scene] for of_scene in json.loads(EXPECTED.read_text())]
    overlaps = []
    for faces, boxes in zip(together, expected, strict=True):
        in_order = sorted(faces, key=lambda face: face.box.left)
        overlaps += [overlap(face.box, box) for face, box in zip(in_order, boxes, strict=True)]
    assert min(overlaps) > 0.7 and np.median(overlaps) > 0.92


def test_pictures_together_give_what_each_gives_alone(
    mtcnn: Mtcnn, drawn: list[Scene], together: list[list[Face]]
) -> None:
    for scene, faces in zip(drawn[:4], together, strict=False):
        alone = mtcnn.detect(scene.picture)
        assert [face.box for face in alone] == [face.box for face in faces]
        assert np.allclose([face.eyes for face in alone], [face.eyes for face in faces], atol=0.01)
    assert mtcnn.detect_many([]) == []
    eyes = [scene.eyes[0] for scene in drawn[:3]]
    confirmed = mtcnn.confirm_many([scene.picture for scene in drawn[:3]], eyes)
    elsewhere = mtcnn.confirm_many([drawn[0].picture], [eyes[0] + 90])
    assert elsewhere == [None]
    for face, places in zip(confirmed, eyes, strict=True):
        assert face is not None and np.abs(np.array(face.eyes) - places).max() < 0.15 * np.hypot(*np.subtract(*places))


def test_a_window_is_cut_out_at_any_resolution() -> None:
    """Of a smooth picture a window is the picture there, whichever octave it comes from."""
    y, x = np.mgrid[:400, :600] + 0.5
    picture = np.stack([x / 600 * 255, y / 400 * 255, np.full_like(x, 100)], axis=2).round().astype(np.uint8)
    pyramid = Pyramid([picture, picture[::-1]])
    windows = np.array([[40, 30, 64, 54], [100, 50, 300, 250], [10, 20, 390, 400]], dtype=np.float32)
    rows = [0, 1, 0]
    patches = pyramid.patches(torch.from_numpy(windows), torch.tensor(rows), 24).numpy() * 128 + 127.5
    for (left, top, right, bottom), row, patch in zip(windows.tolist(), rows, patches, strict=True):
        across = left + (np.arange(24) + 0.5) / 24 * (right - left)
        down = top + (np.arange(24) + 0.5) / 24 * (bottom - top)
        assert np.abs(patch[0] - across[None] / 600 * 255).max() < 2.5
        assert np.abs(patch[1] - (down if row == 0 else 400 - down)[:, None] / 400 * 255).max() < 2.5
        assert np.abs(patch[2] - 100).max() < 1
