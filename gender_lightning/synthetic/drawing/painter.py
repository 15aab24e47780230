"""Paints one face: background, hair, neck, head, features, what is worn; then the camera."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from gender_lightning.synthetic.drawing import features, skin, wardrobe
from gender_lightning.synthetic.drawing.canvas import HEIGHT, SCALE, WIDTH, Canvas, fill, points
from gender_lightning.synthetic.drawing.hair import Hair
from gender_lightning.synthetic.drawing.head import EYE_X, EYE_Y, Head
from gender_lightning.synthetic.drawing.traits import Person, Picture

_LARGE = (WIDTH * SCALE, HEIGHT * SCALE)


def paint(person: Person, picture: Picture) -> tuple[NDArray[np.uint8], NDArray[np.int16]]:
    """Paints a person in a picture.

    Returns:
        The picture (218, 178, 3), RGB, with the eyes where CelebA's alignment puts them; and CelebA's ten
        landmark coordinates (x, y of left eye, right eye, nose, left and right corner of the mouth), left as seen.
    """
    rng = np.random.default_rng(picture.seed)
    head = Head(person, picture)
    canvas = _background(picture, rng)
    hair = Hair(head, rng)
    hair.paint_back(canvas)
    skin.paint_neck(canvas, head)
    wardrobe.paint_clothes(canvas, head)
    wardrobe.paint_necklace(canvas, head)
    for side in (-1, 1):
        skin.paint_ear(canvas, head, side)
    skin.paint_face(canvas, head, _grain(rng))
    _paint_features(canvas, head, rng)
    hair.shadow(canvas)
    wardrobe.paint_glasses(canvas, head)
    hair.paint_front(canvas)
    wardrobe.paint_hat(canvas, head)
    wardrobe.paint_earrings(canvas, head)
    frame = _framing(picture)
    landmarks = np.rint(head.landmarks() @ frame[:, :2].T + frame[:, 2]).astype(np.int16)
    return _photograph(canvas, frame, picture, rng), landmarks.reshape(-1)


def _paint_features(canvas: Canvas, head: Head, rng: Generator) -> None:
    features.paint_nose(canvas, head)
    features.paint_beard(canvas, head, rng)
    features.paint_mouth(canvas, head)
    for side in (-1, 1):
        features.paint_eye(canvas, head, side)
        features.paint_brow(canvas, head, side, rng)


def _background(picture: Picture, rng: Generator) -> Canvas:
    first, second, third = (np.array(colour) for colour in picture.background_colours)
    rows, columns = np.mgrid[0:1:6j, 0:1:5j]
    if picture.background == "plain":
        mix = 0.12 * rng.normal(0, 1, (6, 5))
    elif picture.background == "gradient":
        angle = rng.uniform(0, 6.28)
        mix = 0.5 + 0.7 * ((columns - 0.5) * np.cos(angle) + (rows - 0.5) * np.sin(angle))
    else:
        mix = rng.uniform(-0.3, 1.0, (6, 5))
    small = first + np.clip(mix, 0, 1)[..., None] * (second - first)
    canvas = cv2.resize(np.clip(small, 0, 255).astype(np.uint8), _LARGE, interpolation=cv2.INTER_CUBIC)
    if picture.background == "bars":
        for _ in range(int(rng.integers(1, 5))):
            x, wide, lean = rng.uniform(-10, 180), rng.uniform(3, 40), rng.normal(0, 30)
            colour = tuple(float(c) for c in np.clip(third + rng.normal(0, 20, 3), 0, 255))
            assert len(colour) == 3
            fill(canvas, points((x, -5), (x + wide, -5), (x + wide + lean, 225), (x + lean, 225)), colour)
        canvas = cv2.blur(canvas, (9, 9))
    return np.asarray(canvas, np.uint8)


def _grain(rng: Generator) -> NDArray[np.uint8]:
    bank = skin.noise_bank()
    y, x = int(rng.integers(0, 3 * HEIGHT)), int(rng.integers(0, 3 * WIDTH))
    return bank[y : y + HEIGHT, x : x + WIDTH]


def _framing(picture: Picture) -> NDArray[np.float64]:
    """Roll, zoom and shift about the eyes' middle, (2, 3), in pixels of the final picture."""
    matrix = np.asarray(cv2.getRotationMatrix2D((EYE_X, EYE_Y), picture.roll, picture.zoom), np.float64)
    matrix[:, 2] += picture.shift
    return matrix


def _photograph(canvas: Canvas, frame: NDArray[np.float64], picture: Picture, rng: Generator) -> NDArray[np.uint8]:
    """Frames the canvas, brings it to size, and adds exposure, tint, blur and noise."""
    # halving while warping: a bilinear sample between four canvas pixels is their mean
    matrix = frame / SCALE
    matrix[:, 2] = frame[:, 2] - frame[:, :2].sum(1) * (SCALE - 1) / (2 * SCALE)
    image = cv2.warpAffine(canvas, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if picture.blur > 0.25:
        image = cv2.GaussianBlur(image, (0, 0), picture.blur)
    gain = np.array(picture.tint, np.float32) * picture.exposure
    levels = np.clip(np.arange(256)[:, None] * gain + 0.5, 0, 255)
    image = cv2.LUT(image, levels.astype(np.uint8)[:, None])
    strength = picture.noise / 40
    noise = cv2.convertScaleAbs(_grain(rng), alpha=strength, beta=128 * (1 - strength))
    noisy = cv2.addWeighted(image, 1.0, cv2.cvtColor(noise, cv2.COLOR_GRAY2RGB), 1.0, -128.0)
    return np.asarray(noisy, np.uint8)
