"""Skin: the face as a height map of Gaussian bumps, lit by one light, with colour laid over it."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from gender_lightning.synthetic.drawing.canvas import (
    HEIGHT,
    SCALE,
    WIDTH,
    Canvas,
    Mask,
    Points,
    fill,
    mask_of,
    points,
    soft_fill,
    soft_stroke,
)
from gender_lightning.synthetic.drawing.head import EYE_Y, Head
from gender_lightning.synthetic.drawing.traits import Colour

_TOP, _BOTTOM = 36, 192  # rows of the picture that a face covers
_Map = NDArray[np.float32]  # (_BOTTOM - _TOP, WIDTH)
_X = np.arange(WIDTH, dtype=np.float32) + 0.5
_Y = np.arange(_TOP, _BOTTOM, dtype=np.float32) + 0.5
# x from the middle, y, depth, sigma x, sigma y, height: a term per bump
_Bump = tuple[float, float, float, float, float, float]


def shade(colour: Colour, amount: float) -> Colour:
    """A colour under more (> 1) or less light; shadows of skin and hair turn redder, lights yellower."""
    red, green, blue = colour
    if amount <= 1:
        return red * amount**0.85, green * amount, blue * amount**1.05
    gain = min(amount - 1, 1)
    return red + (255 - red) * gain, green + (250 - green) * gain, blue + (240 - blue) * gain


def paint_neck(canvas: Canvas, head: Head) -> None:
    """Draws neck, shoulders and chest in skin, and the chin's shadow on them."""
    skin = head.person.skin
    wide = head.person.neck_width
    middle = head.x(0, -0.62)
    slope = 193 - 1.1 * (wide - 28)
    body = points(
        (middle - wide, 140),
        (middle - wide + 1, slope - 12),
        (middle - wide - 6, slope),
        (middle - 74, slope + 19),
        (-30, 236),
        (208, 236),
        (middle + 74, slope + 19),
        (middle + wide + 6, slope),
        (middle + wide - 1, slope - 12),
        (middle + wide, 140),
    )
    fill(canvas, body, shade(skin, 0.84))
    side = np.sign(head.picture.light_azimuth) or 1.0
    strength = 0.2 + 0.5 * abs(head.picture.light_azimuth) * head.picture.light_strength
    soft_stroke(
        canvas,
        points((middle - side * 0.84 * wide, 150), (middle - side * 0.84 * wide, 192)),
        shade(skin, 0.42),
        4,
        strength,
        2,
    )
    chin = head.jaw_y()
    x = head.x(0, -0.2) - 4 * head.picture.light_azimuth
    fall = points(
        (x - wide, 150), (x + wide, 150), (x + 0.7 * wide, chin + 7), (x, chin + 12), (x - 0.7 * wide, chin + 7)
    )
    fall[:, 0] = np.clip(fall[:, 0], middle - 0.9 * wide, middle + 0.9 * wide)  # none beside the neck
    soft_fill(canvas, fall, shade(skin, 0.36), 0.85, 2.2)
    for way in (-1, 1):
        soft_stroke(
            canvas, points((middle + way * wide * 0.75, 178), (middle + way * 5, 213)), shade(skin, 0.5), 1.5, 0.25, 2
        )
        soft_stroke(canvas, points((middle + way * 6, 214), (middle + way * 44, 208)), shade(skin, 0.5), 1.5, 0.3, 1.5)


def paint_ear(canvas: Canvas, head: Head, side: int) -> None:
    """Draws one ear."""
    skin = head.person.skin
    outline = head.ear(side)
    middle = outline.mean(0)
    light = 0.78 + 0.12 * side * head.picture.light_azimuth * head.picture.light_strength
    red, green, blue = shade(skin, light)
    fill(canvas, outline, (red, green * 0.93, blue * 0.92))
    soft_fill(canvas, middle + (outline - middle) * (0.5, 0.62), shade(skin, 0.5), 0.55, 1.0)


def paint_face(canvas: Canvas, head: Head, roughness: Mask) -> Mask:
    """Draws the head's skin in the picture's light; returns the mask of the head on the canvas.

    `roughness` is grey noise about 128, (HEIGHT, WIDTH).
    """
    light = _light(head)
    amplitude = 0.045 * head.person.texture
    light *= 1 + amplitude * (roughness[_TOP:_BOTTOM].astype(np.float32) / 128 - 1)
    lines = cv2.GaussianBlur(_lines(head), (0, 0), 1.1)[_TOP:_BOTTOM]
    light *= 1 - lines.astype(np.float32) * np.float32(0.5 / 255)
    index = np.clip(light * 200, 0, 255).astype(np.uint8)
    layer = cv2.LUT(cv2.cvtColor(index, cv2.COLOR_GRAY2RGB), _ramp(head.person.skin)).astype(np.float32)
    _flush(layer, head)
    _powder(layer, head)
    size = (WIDTH * SCALE, (_BOTTOM - _TOP) * SCALE)
    large = cv2.resize(np.clip(layer, 0, 255).astype(np.uint8), size, interpolation=cv2.INTER_LINEAR)
    mask = mask_of(head.outline())
    rows = slice(_TOP * SCALE, _BOTTOM * SCALE)
    cv2.copyTo(large, mask[rows], canvas[rows])
    return mask


def _ramp(skin: Colour) -> NDArray[np.uint8]:
    """Colours of the skin by light: index 200 is the skin's own."""
    amount = np.arange(256)[:, None] / 200
    base = np.asarray(skin)[None]
    dark = base * np.clip(amount, 0, 1) ** np.array([0.85, 1.0, 1.05])
    bright = np.clip(amount - 1, 0, 1) * (np.array([255, 250, 240]) - base)
    return np.asarray(np.clip(dark + bright, 0, 255), np.uint8)[:, None]


def _bumps(head: Head, bumps: list[_Bump]) -> tuple[NDArray[np.float32], ...]:
    """Separable Gaussians: (columns, their slopes, rows, their slopes), each (K, pixels)."""
    x, y, depth, sx, sy, height = np.array(bumps, np.float32).T[:, :, None]
    u = (_X - (head.x(0) + x + (head.x(0, 1) - head.x(0)) * depth)) / sx
    v = (_Y - y) / sy
    columns, rows = np.exp(-u * u / 2), np.exp(-v * v / 2) * height
    return tuple(np.asarray(a, np.float32) for a in (columns, -u / sx * columns, rows, -v / sy * rows))


def _field(head: Head, bumps: list[_Bump]) -> _Map:
    columns, _, rows, _ = _bumps(head, bumps)
    return rows.T @ columns


def _relief(head: Head) -> list[_Bump]:
    """The face's bumps and hollows."""
    p, smile = head.person, head.picture.smile
    w, far = p.face_width, head.jaw_y()
    terms: list[_Bump] = [
        (0, 114, -0.7, 0.9 * w, 60, 66),
        (0, 84, -0.2, 26, 15, 4),
        (0, 120, 0.2, 4.6, 15, p.nose_height * 0.8),
        (0, p.nose_tip_y - 1, 0.5, 0.62 * p.nose_width, 6, p.nose_height),
        (0, 103, 0.1, 6, 5, -1.2),
        (0, 147, 0.25, 2.2, 3.5, -0.9),
        (0, 166 + 0.5 * (far - 176), 0.1, 9, 2.6, -1.8),
        (0, far - 5, 0.1, 0.75 * p.chin_width + 1, 6, 4.2),
        (0, 158, -0.1, 19, 12, 3.2),
    ]
    for side in (-1, 1):
        terms += [
            (side * 17, EYE_Y - 13, 0.0, 12, 3.6, p.brow_ridge + 0.6),
            (side * 19, EYE_Y, -0.05, 9.5, 6, -4.6),
            (side * 0.68 * p.nose_width, p.nose_tip_y + 1.5, 0.35, 3.0, 3.2, 2.4),
            (side * 28, 127 - 2 * smile, -0.25, 9, 8, p.cheekbone + 2.8 * smile),
            (side * 23, 148, -0.3, 6, 9, -2.0 - 1.2 * smile + 2.2 * p.chubby),
            (side * 33, 96, -0.7, 6, 9, -2.0),
            (side * 19, 157, -0.1, 5, 5, 1.5 * p.chubby - 0.6),
        ]
    return terms


def _light(head: Head) -> _Map:
    """Lambert's law on the relief, over an ambient light, plus a little gloss."""
    columns, column_slopes, rows, row_slopes = _bumps(head, _relief(head))
    zx, zy = rows.T @ column_slopes, row_slopes.T @ columns
    picture = head.picture
    length = 1 / np.sqrt(1 + zx * zx + zy * zy)
    direction = np.array([picture.light_azimuth * 0.8, -picture.light_height, 1.0], np.float32)
    direction /= np.linalg.norm(direction)
    facing = (-zx * direction[0] - zy * direction[1] + direction[2]) * length
    diffuse = np.clip(facing, 0, 1)
    ambient = 0.80 - 0.40 * picture.light_strength
    gloss = (0.10 + 0.10 * head.person.skin_tone) * diffuse**14 * (0.4 + picture.light_strength)
    result: _Map = (ambient * (0.6 + 0.4 * length) + (1.10 - ambient) * diffuse + gloss).astype(np.float32)
    return result


def _flush(layer: _Map, head: Head) -> None:
    """Reddens cheeks, nose and lids; darkens the eyes' hollows and the bags below them."""
    p, picture = head.person, head.picture
    rose = 0.10 + 0.32 * picture.blush
    red: list[_Bump] = [(0, p.nose_tip_y, 0.45, 7, 6, 0.13), (0, 154, 0.1, 16, 6, 0.08)]
    dark: list[_Bump] = []
    for side in (-1, 1):
        red.append((side * 27, 132, -0.25, 9, 8, rose))
        dark += [
            (side * 20, EYE_Y - 3, 0, 11, 6, 0.16 + 0.12 * p.brow_ridge / 3),
            (side * 12, EYE_Y - 1, 0, 4, 4, 0.12),
            (side * 19, EYE_Y + 8, 0, 8, 3, 0.07 + 0.28 * p.bags),
        ]
    redness, shadow = _field(head, red), _field(head, dark)
    layer[..., 1] *= 1 - 0.55 * redness
    layer[..., 2] *= 1 - 0.50 * redness
    light = 1 - np.minimum(shadow, 0.7)
    for channel, share in enumerate((0.8, 1.0, 1.0)):
        layer[..., channel] *= 1 - share * (1 - light)


def _powder(layer: _Map, head: Head) -> None:
    """Eye shadow."""
    if head.picture.makeup > 0:
        amount = 0.75 * head.picture.makeup
        lids: list[_Bump] = [(side * 21, EYE_Y - 5.0, 0, 10, 4.0, amount) for side in (-1, 1)]
        weight = np.minimum(_field(head, lids), 0.85)[..., None]
        tone = np.array(head.picture.eyeshadow, np.float32) * (1.2 - 0.5 * head.person.skin_tone)
        rows = slice(int(EYE_Y) - 22 - _TOP, int(EYE_Y) + 8 - _TOP)
        area = layer[rows]
        area += weight[rows] * (np.minimum(tone, area) - area)


def _lines(head: Head) -> Mask:
    """Folds and wrinkles as white lines on black, (HEIGHT, WIDTH)."""
    p, picture = head.person, head.picture
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    age = float(np.clip((p.age - 30) / 40, 0, 1))
    mouth, nose = head.mouth_half_width(), p.nose_width
    for side in (-1, 1):
        depth = 90 + 90 * age
        fold = (
            (side * (nose + 1), p.nose_tip_y - 1, 0.2),
            (side * (mouth + 2), 146, 0.0),
            (side * (mouth + 4), 156, -0.1),
        )
        _line(mask, head.at(*fold), (0.15 + 0.5 * picture.smile + 0.5 * age) * depth, 2)
        if age > 0.15:
            for k in (-1, 0, 1):
                crow = (side * 33, EYE_Y + 2 * k, -0.5), (side * 38, EYE_Y + 5.5 * k, -0.7)
                _line(mask, head.at(*crow), 170 * age, 1)
        if p.bags > 0.3:
            bag = (side * 12, EYE_Y + 7, 0), (side * 19, EYE_Y + 10.5, 0), (side * 28, EYE_Y + 8, -0.2)
            _line(mask, head.at(*bag), 90 + 140 * p.bags, 1)
    if age > 0.2:
        for row in range(3):
            y = 83 + 5.0 * row
            wrinkle = (-21, y + 1, -0.4), (-8, y - 1, 0), (8, y - 0.6, 0), (21, y + 1, -0.4)
            _line(mask, head.at(*wrinkle), 190 * age, 1)
    _line(mask, head.at((-9, 167, 0.1), (0, 165.5, 0.12), (9, 167, 0.1)), 70, 2)
    return mask


def _line(mask: Mask, line: Points, strength: float, width: int) -> None:
    where = np.rint((line - 0.5) * 16).astype(np.int32)
    cv2.polylines(mask, [where], False, float(min(strength, 255)), width, cv2.LINE_AA, 4)


@lru_cache(maxsize=1)
def noise_bank() -> NDArray[np.uint8]:
    """Grey noise about 128 with pores' grain, (4 * HEIGHT, 4 * WIDTH), to cut pieces from."""
    rng = np.random.default_rng(7)
    fine = rng.normal(0, 1, (4 * HEIGHT, 4 * WIDTH)).astype(np.float32)
    soft = cv2.GaussianBlur(fine, (0, 0), 0.9) * 3
    blotches = cv2.GaussianBlur(fine, (0, 0), 6) * 5
    return np.clip(128 + 26 * (0.6 * fine + 0.7 * soft + blotches), 0, 255).astype(np.uint8)
