"""Eyes, brows, nose, mouth and beard, drawn on the skin."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from gender_lightning.synthetic.drawing.attributes import has_double_chin, is_mouth_open
from gender_lightning.synthetic.drawing.canvas import (
    Canvas,
    Points,
    curve,
    fill,
    lowered,
    points,
    soft_fill,
    soft_stroke,
    soft_strokes,
)
from gender_lightning.synthetic.drawing.head import EYE_GAP, EYE_Y, Head, ellipse
from gender_lightning.synthetic.drawing.skin import shade
from gender_lightning.synthetic.drawing.traits import Colour

_INK: Colour = (30, 20, 18)


def mix(one: Colour, other: Colour, amount: float) -> Colour:
    """`amount` of the other colour in the one."""
    red, green, blue = (a + (b - a) * amount for a, b in zip(one, other, strict=True))
    return red, green, blue


def paint_eye(canvas: Canvas, head: Head, side: int) -> None:
    """Draws an eye: white, iris, pupil, gloss, lids, lashes."""
    p, picture = head.person, head.picture
    wide = p.eye_size * head.foreshorten(side)
    high = p.eye_size * p.eye_opening * (1 - picture.squint) * (1 - 0.22 * picture.smile)
    x, y = head.x(side * EYE_GAP), EYE_Y + 0.5
    inner, outer = (x - side * wide, y + 1.2 + 0.2 * p.eye_tilt), (x + side * wide, y - p.eye_tilt)
    upper = curve(
        points(
            inner,
            (x - side * 0.45 * wide, y - 0.82 * high),
            (x + side * 0.2 * wide, y - high),
            (x + side * 0.72 * wide, y - 0.55 * high - 0.4 * p.eye_tilt),
            outer,
        )
    )
    lower = curve(
        points(outer, (x + side * 0.5 * wide, y + 0.66 * high), (x - side * 0.2 * wide, y + 0.72 * high), inner)
    )
    lids = np.concatenate([upper, lower])
    light = 0.80 + 0.12 * picture.light_strength
    fill(canvas, lids, (238 * light, 232 * light, 228 * light))
    _paint_iris(canvas, head, x + picture.gaze * 0.3 * wide + 1.2 * head.turn, y - 0.08 * high, (upper, lower))
    soft_stroke(canvas, lowered(upper, 0.9), (60, 44, 42), 1.2, 0.45, 0.5)  # the lid's shadow on the eye
    dark = mix(shade(p.skin, 0.3), _INK, 0.5)
    liner = picture.makeup
    soft_stroke(canvas, upper, mix(dark, _INK, liner), 1.0 + 1.3 * liner + 0.3 * (not p.male), 0.9, 0.3)
    soft_stroke(canvas, lower, mix(shade(p.skin, 0.5), _INK, liner * 0.8), 0.6 + 0.5 * liner, 0.4 + 0.4 * liner, 0.4)
    crease = lowered(upper, -2.0 - 1.2 * p.eye_opening)
    soft_stroke(canvas, crease[4:], shade(p.skin, 0.45), 0.8, 0.55, 0.5)
    if liner > 0.2:
        tip = points(outer, (outer[0] + side * 3.2, outer[1] - 2.4 * liner))
        soft_stroke(canvas, tip, _INK, 1.2, 0.8 * liner, 0.3)
        lashes = [points((a, b), (a + 1.8 * (a - x) / wide, b - 2.8)) for a, b in upper[8:30:4]]
        soft_strokes(canvas, lashes, _INK, 0.5, 0.7 * liner, 0.0)


def _paint_iris(canvas: Canvas, head: Head, x: float, y: float, lids: tuple[Points, Points]) -> None:
    radius = 4.7
    # cut by the lids: between the upper and the lower one at each x
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    ring = np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1)
    one, other = (part[np.argsort(part[:, 0])] for part in lids)
    top = np.interp(ring[:, 0], one[:, 0], one[:, 1])
    bottom = np.interp(ring[:, 0], other[:, 0], other[:, 1])
    ring[:, 1] = np.clip(ring[:, 1], np.minimum(top, bottom), np.maximum(top, bottom))
    iris = head.person.iris
    fill(canvas, ring, shade(iris, 0.55))
    middle = np.array([x, y + 0.3])
    fill(canvas, middle + (ring - middle) * 0.76, iris)
    fill(canvas, middle + (ring - middle) * 0.42, (14, 10, 10))
    spark = -1.3 if head.picture.light_azimuth < 0 else 1.3
    soft_fill(canvas, ellipse(x + spark, y - 1.4, 1.0, 1.0, 10), (255, 255, 255), 0.9, 0.2)


def paint_brow(canvas: Canvas, head: Head, side: int, rng: Generator) -> None:
    """Draws a brow as a soft tapering band with some hairs."""
    p = head.person
    wide = head.foreshorten(side)
    base = EYE_Y - p.brow_height + 1.0
    thick = p.brow_thickness
    line = curve(
        head.at(
            (side * 8.5 * wide, base + 0.7, 0.08),
            (side * 16 * wide, base - 0.45 * p.brow_arch, 0.05),
            (side * 25 * wide, base - 0.9 * p.brow_arch, 0),
            (side * 33 * wide, base + 1.6, -0.1),
        )
    )
    taper = np.interp(np.linspace(0, 1, len(line)), [0, 0.12, 0.5, 1], [0.5, 1.0, 0.9, 0.15])[:, None]
    half = np.array([0, thick / 2]) * taper
    colour = mix(shade(p.hair, 0.62) if p.hair_colour != "gray" else (104, 98, 94), _INK, 0.25)
    outline = np.concatenate([line - half, (line + half)[::-1]])
    soft_fill(canvas, outline, colour, 0.72 + 0.1 * head.picture.makeup, 0.55 - 0.2 * head.picture.makeup)
    hairs = []
    for at in rng.integers(0, len(line) - 4, 7):
        x, y = line[at]
        lift = thick * taper[at, 0]
        hairs.append(points((x, y + 0.4 * lift), (x + side * 2.2, y - 0.65 * lift)))
    soft_strokes(canvas, hairs, colour, 0.5, 0.5, 0.0)


def paint_nose(canvas: Canvas, head: Head) -> None:
    """Draws nostrils, the wings' edges and the shadow below; the relief gives the rest."""
    p, picture = head.person, head.picture
    y, skin = p.nose_tip_y, p.skin
    shadow = shade(skin, 0.42)
    wide = p.nose_width
    under = head.at((-0.75 * wide, y + 4.5, 0.3), (0, y + 6.8, 0.45), (0.75 * wide, y + 4.5, 0.3), (0, y + 4.2, 0.5))
    soft_fill(canvas, curve(under, closed=True), shadow, 0.35 + 0.25 * picture.light_height, 1.2)
    for side in (-1, 1):
        squeeze = head.foreshorten(side)
        x = head.x(side * 0.43 * wide * squeeze, 0.42)
        soft_fill(canvas, ellipse(x, y + 4.2, 0.26 * wide * squeeze, 1.5, 14), shade(skin, 0.22), 0.8, 0.5)
        wing = curve(
            head.at(
                (side * 0.86 * wide * squeeze, y - 3.5, 0.28),
                (side * 1.03 * wide * squeeze, y + 1.5, 0.25),
                (side * 0.8 * wide * squeeze, y + 5, 0.3),
            )
        )
        soft_stroke(canvas, wing, shadow, 1.0, 0.5, 0.7)


def paint_mouth(canvas: Canvas, head: Head) -> None:
    """Draws lips, and what shows between them when they are apart."""
    p, picture = head.person, head.picture
    smile, full = picture.smile, p.lip_fullness * (1 - 0.2 * picture.smile)
    half, y = head.mouth_half_width(), p.mouth_y
    gap = 5.5 * picture.mouth_open + 1.0 if is_mouth_open(picture) else 0.0
    left, right = half * head.foreshorten(-1), half * head.foreshorten(1)
    corner, middle = y - 2.2 * smile, y + 1.6 * smile - 0.4

    def line(left_y: float, dip: float, middle_y: float) -> Points:
        return curve(
            head.at(
                (-left, corner, 0.15),
                (-0.5 * left, left_y, 0.25),
                (-0.14 * left, middle_y - dip, 0.3),
                (0.14 * right, middle_y - dip, 0.3),
                (0.5 * right, left_y, 0.25),
                (right, corner, 0.15),
            )
        )

    top = line(middle - 0.72 * full, 0.2, middle - 0.98 * full)
    above = line(middle - 0.3 * smile + 0.1, 0.0, middle + 0.5)
    below = line(middle + 0.8 * gap, 0.0, middle + gap + 0.4)
    bottom = line(middle + gap + 0.78 * full, 0.0, middle + gap + 1.08 * full)
    red, green, blue = shade(p.skin, 0.78)
    natural = (min(red * 1.0, 220), green * 0.76, blue * 0.80)
    colour = picture.lipstick or natural
    alpha = 0.88 if picture.lipstick else 0.66
    if gap:
        _paint_teeth(canvas, head, above, below, gap)
    edge = 0.5 if picture.lipstick else 0.9
    soft_fill(canvas, np.concatenate([top, above[::-1]]), shade(colour, 0.80), alpha, edge)
    soft_fill(canvas, np.concatenate([below, bottom[::-1]]), colour, alpha, edge)
    soft_stroke(canvas, above, shade(colour, 0.28), 1.1, 0.85, 0.4)
    gloss = ellipse(head.x(-1, 0.2), middle + gap + 0.55 * full, 0.3 * half, 0.16 * full, 14)
    soft_fill(canvas, gloss, (255, 240, 236), 0.16 + (0.22 if picture.lipstick else 0.0), 0.9)
    shadow = head.at(
        (-0.55 * left, middle + gap + 1.25 * full, 0.1),
        (0, middle + gap + 1.4 * full, 0.12),
        (0.55 * right, middle + gap + 1.25 * full, 0.1),
    )
    soft_stroke(canvas, curve(shadow), shade(p.skin, 0.45), 1.8, 0.35, 1.2)
    for x, side in ((-left, -1), (right, 1)):
        soft_fill(canvas, ellipse(head.x(x + 0.3 * side, 0.05), corner, 1.3, 1.2, 10), shade(p.skin, 0.35), 0.55, 0.7)
    if has_double_chin(p):
        low = head.jaw_y()
        fold = curve(head.at((-20, low - 1, -0.3), (0, low + 7.5, -0.2), (20, low - 1, -0.3)))
        soft_stroke(canvas, fold, shade(p.skin, 0.9), 5, 0.75, 1.5)
        soft_stroke(canvas, lowered(fold, 3), shade(p.skin, 0.4), 1.5, 0.7, 1.0)


def _paint_teeth(canvas: Canvas, head: Head, above: Points, below: Points, gap: float) -> None:
    fill(canvas, np.concatenate([above, below[::-1]]), (66, 26, 26))
    teeth = above + np.array([0, min(gap, 4.6) * 0.85])
    teeth[:, 1] = np.minimum(teeth[:, 1], np.interp(teeth[:, 0], below[:, 0], below[:, 1]))
    light = 0.86 + 0.1 * head.picture.light_strength
    keep = slice(5, -5)
    outline = np.concatenate([above[keep], teeth[keep][::-1]])
    soft_fill(canvas, outline, (240 * light, 236 * light, 226 * light), 0.95, 0.35)


def paint_beard(canvas: Canvas, head: Head, rng: Generator) -> None:
    """Draws stubble, moustache, goatee or a full beard."""
    kind = head.picture.beard
    p = head.person
    if kind == "none":
        return
    hair = mix(shade(p.hair, 0.75), _INK, 0.2)
    if kind == "stubble":
        for area in (_jaw_area(head, 0.0), _moustache(head)):
            soft_fill(canvas, area, mix(shade(p.skin, 0.5), (70, 72, 80), 0.35), 0.34, 2.2)
        return
    areas = {
        "full": [_jaw_area(head, 1.5), _moustache(head)],
        "moustache": [_moustache(head)],
        "goatee": [_moustache(head), _chin_area(head)],
    }[kind]
    for area in areas:
        soft_fill(canvas, area, hair, 0.80, 1.3)
    _paint_bristles(canvas, areas, hair, rng)


def _paint_bristles(canvas: Canvas, areas: list[Points], hair: Colour, rng: Generator) -> None:
    edge = np.concatenate(areas)
    for light in (0.7, 1.12):
        starts = edge[rng.integers(0, len(edge), 50)] + rng.normal(0, 0.8, (50, 2))
        ends = starts + rng.normal((0, 2.6), (0.8, 0.5), (50, 2))
        soft_strokes(canvas, list(np.stack([starts, ends], 1)), shade(hair, light), 0.5, 0.45, 0.0)


def _moustache(head: Head) -> Points:
    p = head.person
    y, mouth = p.nose_tip_y + 7.0, head.mouth_half_width()
    lip = p.mouth_y - 0.85 * p.lip_fullness - 1.6 * (1 - head.picture.smile)
    low = p.mouth_y + 1 - 2 * head.picture.smile
    left, right = (mouth + 1) * head.foreshorten(-1), (mouth + 1) * head.foreshorten(1)
    return curve(
        head.at(
            (-left, low, 0.05),
            (-0.6 * left, y + 2, 0.15),
            (0, y, 0.25),
            (0.6 * right, y + 2, 0.15),
            (right, low, 0.05),
            (0.5 * right, lip + 1, 0.15),
            (0, lip + 0.5, 0.2),
            (-0.5 * left, lip + 1, 0.15),
        ),
        closed=True,
    )


def _chin_area(head: Head) -> Points:
    low = head.jaw_y()
    top = _below_lips(head)
    wide = 15.0
    return curve(
        head.at(
            (-wide, top - 10, 0),
            (-0.55 * wide, top + 1, 0.1),
            (0, top, 0.12),
            (0.55 * wide, top + 1, 0.1),
            (wide, top - 10, 0),
            (wide + 1, low - 8, 0),
            (0.7 * wide, low + 1, 0.05),
            (0, low + 2.5, 0.1),
            (-0.7 * wide, low + 1, 0.05),
            (-wide - 1, low - 8, 0),
        ),
        closed=True,
    )


def _below_lips(head: Head) -> float:
    gap = 5.5 * head.picture.mouth_open + 1.0 if is_mouth_open(head.picture) else 0.0
    return head.person.mouth_y + gap + 1.15 * head.person.lip_fullness + 2.5


def _jaw_area(head: Head, over: float) -> Points:
    """The jaw from ear to ear, open around the lips; `over`: how far it stands out."""
    p = head.person
    w, jaw, chin, low = p.face_width, p.face_width * p.jaw, p.chin_width, head.jaw_y()
    mouth, lips = head.mouth_half_width(), _below_lips(head)
    right = [
        (0.0, lips, 0.1),
        (0.6 * mouth, lips - 1, 0.08),
        (mouth + 2.5, lips - 9, 0.0),
        (mouth + 6, 148.0, -0.1),
        (0.84 * w, 139.0, -0.6),
        (0.9 * w, 112.0, -0.95),
        (0.985 * w, 112.0, -1.0),
        (0.68 * jaw + 0.32 * w + over, 140.0, -0.85),
        (0.95 * jaw + over, 153.0, -0.65),
        (0.49 * jaw + 0.5 * chin + 1.5 + over, low - 9, -0.2),
        (chin + over, low - 1 + over, 0.05),
        (0.0, low + 1 + over, 0.1),
    ]
    return head.mirror(right)
