"""What a person wears: clothes, glasses, hats, jewellery."""

from __future__ import annotations

import numpy as np

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
    stroke,
)
from gender_lightning.synthetic.drawing.features import mix
from gender_lightning.synthetic.drawing.head import EYE_GAP, EYE_Y, Head, ellipse
from gender_lightning.synthetic.drawing.skin import shade
from gender_lightning.synthetic.drawing.traits import Colour

_BLACK: Colour = (16, 14, 16)
_WHITE: Colour = (236, 236, 240)


def paint_clothes(canvas: Canvas, head: Head) -> None:
    """Draws what covers the shoulders."""
    kind, colour = head.picture.clothes, head.picture.clothes_colour
    middle, wide = head.x(0, -0.62), head.person.neck_width
    slope = 193 - 1.1 * (wide - 28)
    if kind == "straps":
        for side in (-1, 1):
            strap = points(
                (middle + side * (wide + 12), slope + 3),
                (middle + side * (wide + 17), slope + 5),
                (middle + side * (wide + 12), 240),
                (middle + side * (wide + 2), 240),
            )
            fill(canvas, strap, colour)
        fill(
            canvas,
            curve(
                points((middle - 80, 232), (middle - 38, 213), (middle, 217), (middle + 38, 213), (middle + 80, 232))
            ),
            colour,
        )
        return
    dip = {"crew": 206.0, "v": 232.0, "suit": 236.0, "shirt": 222.0}[kind]
    _body(canvas, middle, wide, slope, dip, colour, soft=kind == "crew")
    if kind == "suit":
        _paint_suit(canvas, head, middle, wide, slope)
    elif kind == "shirt":
        _paint_collar(canvas, middle, wide, slope, shade(colour, 1.12), 222)


def _body(canvas: Canvas, middle: float, wide: float, slope: float, dip: float, colour: Colour, soft: bool) -> None:
    near = 1.0 if soft else 0.55
    neckline = curve(
        points(
            (middle - wide - 1, slope - 4),
            (middle - near * 0.7 * wide, slope + (dip - slope) * 0.7 * near),
            (middle, dip),
            (middle + near * 0.7 * wide, slope + (dip - slope) * 0.7 * near),
            (middle + wide + 1, slope - 4),
        )
    )
    outside = points(
        (middle + wide + 10, slope),
        (middle + 74, slope + 16),
        (middle + 96, 230),
        (middle + 96, 244),
        (middle - 96, 244),
        (middle - 96, 230),
        (middle - 74, slope + 16),
        (middle - wide - 10, slope),
    )
    outline = np.concatenate([neckline, outside])
    fill(canvas, outline, colour)
    soft_stroke(canvas, neckline, shade(colour, 0.5), 1.2, 0.6, 0.6)
    for side in (-1, 1):
        fold = points((middle + side * (wide + 8), slope + 4), (middle + side * 50, 222))
        soft_stroke(canvas, fold, shade(colour, 0.45), 3, 0.4, 3)
        shoulder = points((middle + side * (wide + 14), slope + 5), (middle + side * 72, slope + 19))
        soft_stroke(canvas, shoulder, shade(colour, 1.25), 3, 0.4, 2.5)


def _paint_suit(canvas: Canvas, head: Head, middle: float, wide: float, slope: float) -> None:
    colour = head.picture.clothes_colour
    shirt = (
        _WHITE
        if sum(head.picture.background_colours[2]) > 300
        else mix(_WHITE, head.picture.background_colours[2], 0.4)
    )
    low = 240.0 if head.picture.tie else 226.0
    fill(
        canvas,
        points(
            (middle - wide, slope - 3),
            (middle - 16, 244),
            (middle + 16, 244),
            (middle + wide, slope - 3),
            (middle, 212 if head.picture.tie else low),
        ),
        shirt,
    )
    if head.picture.tie:
        tie = head.picture.tie
        fill(
            canvas, points((middle - 5, 206), (middle + 5, 206), (middle + 7, 244), (middle - 7, 244)), shade(tie, 0.9)
        )
        fill(canvas, points((middle - 6.5, 202), (middle + 6.5, 202), (middle + 4, 212), (middle - 4, 212)), tie)
        stroke(canvas, points((middle - 5, 212), (middle + 5, 212)), shade(tie, 0.5), 0.7)
    _paint_collar(canvas, middle, wide, slope, shirt, 210)
    for side in (-1, 1):
        lapel = points(
            (middle + side * (wide + 3), slope - 3),
            (middle + side * (wide + 9), slope + 10),
            (middle + side * 17, 246),
            (middle + side * 10, 246),
            (middle + side * (wide - 5), slope + 12),
        )
        fill(canvas, lapel, shade(colour, 1.1))
        stroke(canvas, lapel, shade(colour, 0.5), 0.6)


def _paint_collar(canvas: Canvas, middle: float, wide: float, slope: float, colour: Colour, low: float) -> None:
    for side in (-1, 1):
        flap = points(
            (middle + side * (wide + 1), slope - 9),
            (middle + side * (wide + 5), slope + 1),
            (middle + side * (0.55 * wide + 4), low + 6),
            (middle + side * 2.5, low - 5),
            (middle + side * (wide - 3), slope - 3),
        )
        fill(canvas, flap, colour)
        stroke(canvas, np.concatenate([flap, flap[:1]]), shade(colour, 0.6), 0.6)


def paint_necklace(canvas: Canvas, head: Head) -> None:
    """Draws a chain or pearls, where the neck is bare."""
    picture = head.picture
    if not picture.necklace or picture.clothes not in ("crew", "v", "straps"):
        return
    middle, wide = head.x(0, -0.62), head.person.neck_width
    line = curve(
        points(
            (middle - wide + 1, 190),
            (middle - 0.6 * wide, 200),
            (middle, 205),
            (middle + 0.6 * wide, 200),
            (middle + wide - 1, 190),
        )
    )
    soft_stroke(canvas, lowered(line, 1), shade(head.person.skin, 0.4), 1.2, 0.5, 0.6)
    if picture.seed % 2:
        for x, y in line[::3]:
            fill(canvas, ellipse(x, y, 1.7, 1.7, 10), (232, 226, 216))
    else:
        stroke(canvas, line, (214, 184, 110), 1.0)
        fill(canvas, ellipse(middle, 207, 1.8, 2.4, 10), (226, 200, 130))


def paint_earrings(canvas: Canvas, head: Head) -> None:
    """Draws an earring at each ear that shows."""
    kind = head.picture.earrings
    if kind == "none":
        return
    colour: Colour = (222, 196, 128) if head.picture.seed % 3 else (214, 218, 226)
    for side in (-1, 1):
        if side * head.turn > 0.3:
            continue
        x, y = head.x(side * (head.person.face_width + 2.0), -1.2), 131.5
        if kind == "hoop":
            stroke(canvas, ellipse(x, y + 7, 4.5 * head.foreshorten(-side), 7, 22), shade(colour, 0.6), 1.7)
            stroke(canvas, ellipse(x - 0.3, y + 7, 4.5 * head.foreshorten(-side), 7, 22), colour, 1.0)
        else:
            if kind == "drop":
                stroke(canvas, points((x, y), (x, y + 9)), colour, 0.9)
                fill(canvas, ellipse(x, y + 11, 2.3, 3.8, 14), shade(colour, 0.75))
                fill(canvas, ellipse(x - 0.5, y + 10, 1.1, 2.0, 10), shade(colour, 1.4))
            fill(canvas, ellipse(x, y, 1.8, 1.8, 12), shade(colour, 1.2))


def paint_glasses(canvas: Canvas, head: Head) -> None:
    """Draws spectacles or sunglasses."""
    kind = head.picture.glasses
    if kind == "none":
        return
    frame = _BLACK if kind in ("thick", "sun") or head.picture.seed % 2 else (120, 100, 76)
    width = {"thin": 1.0, "thick": 2.2, "round": 1.3, "sun": 1.6}[kind]
    inner = []
    for side in (-1, 1):
        squeeze = head.foreshorten(side)
        x, y = head.x(side * (EYE_GAP + 0.5), 0.2), EYE_Y + 2.0
        lens = _lens(x, y, 15.0 * squeeze, kind)
        if kind == "sun":
            soft_fill(canvas, lens, (28, 24, 26), 0.93, 0.0)
        else:
            soft_fill(canvas, lens, (255, 255, 255), 0.06, 0.0)
        soft_fill(
            canvas, points((x - 9, y - 7), (x - 3, y - 8), (x - 8, y + 5), (x - 11, y + 5)), (255, 255, 255), 0.16, 0.8
        )
        soft_stroke(canvas, lowered(lens, 1.6), shade(head.person.skin, 0.4), width, 0.3, 0.8)
        stroke(canvas, np.concatenate([lens, lens[:1]]), frame, width)
        inner.append((x - side * 15.0 * squeeze, y - 3))
        arm = points((x + side * 15.0 * squeeze, y - 4), (head.x(side * (head.person.face_width + 1), -1.0), y - 6))
        stroke(canvas, arm, frame, width)
    bridge = curve(points(inner[0], ((inner[0][0] + inner[1][0]) / 2, EYE_Y - 3.5), inner[1]))
    stroke(canvas, bridge, frame, width)


def _lens(x: float, y: float, wide: float, kind: str) -> Points:
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    power = 1.0 if kind == "round" else 0.62  # a superellipse: squarer below 1
    high = 12.5 if kind in ("round", "sun") else 9.8
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([x + wide * np.sign(cos) * np.abs(cos) ** power, y + high * np.sign(sin) * np.abs(sin) ** power], 1)


def paint_hat(canvas: Canvas, head: Head) -> None:
    """Draws a beanie, a cap or a brimmed hat over crown and hairline."""
    kind, colour = head.picture.hat, head.picture.hat_colour
    if kind == "none":
        return
    p = head.person
    w, top = p.face_width, p.skull_top
    side_y = {"beanie": 90.0, "cap": 86.0, "brim": 80.0}[kind]
    crown = top - (16 if kind == "brim" else 7)
    right = [
        (0.0, crown, -0.95),
        (0.62 * w, crown + 6, -0.95),
        (w + 3, 68, -1.0),
        (w + 4, side_y, -1.0),
        (0.7 * w, side_y - 7, -0.5),
        (0.0, side_y - 9, -0.2),
    ]
    dome = head.mirror(right)
    soft_fill(canvas, lowered(dome, 5), shade(p.skin, 0.3), 0.5, 2.5)
    fill(canvas, dome, colour)
    x = head.x(0, -0.9)
    light = head.picture.light_azimuth
    soft_fill(canvas, ellipse(x + 14 * light, 60, 20, 13), shade(colour, 1.25), 0.45, 6)
    for side in (-1, 1):
        soft_stroke(
            canvas, points((x + side * (w - 5), 62), (x + side * (w - 3), side_y - 6)), shade(colour, 0.4), 4, 0.5, 2.2
        )
    _paint_brim(canvas, head, kind, side_y)


def _paint_brim(canvas: Canvas, head: Head, kind: str, side_y: float) -> None:
    colour, w, x = head.picture.hat_colour, head.person.face_width, head.x(0, -0.5)
    if kind == "beanie":
        line = curve(
            head.at(
                (-w - 3, side_y - 4, -1),
                (-0.6 * w, side_y - 11, -0.5),
                (0, side_y - 13, -0.2),
                (0.6 * w, side_y - 11, -0.5),
                (w + 3, side_y - 4, -1),
            )
        )
        soft_stroke(canvas, lowered(line, -6), shade(colour, 0.45), 1.2, 0.7, 0.6)
        ribs = [points((x, y - 5), (x, y + 3)) for x, y in line[1::2]]
        soft_strokes(canvas, ribs, shade(colour, 0.55), 0.8, 0.4, 0.0)
    elif kind == "cap":
        x = head.x(0, 0.4)
        visor = curve(
            points(
                (x - 0.86 * w, side_y - 8),
                (x, side_y - 15),
                (x + 0.86 * w, side_y - 8),
                (x + 0.7 * w, side_y + 1),
                (x, side_y + 7),
                (x - 0.7 * w, side_y + 1),
            ),
            closed=True,
        )
        soft_fill(canvas, lowered(visor, 6), shade(head.person.skin, 0.3), 0.55, 3)
        fill(canvas, visor, shade(colour, 0.72))
        soft_fill(canvas, lowered(visor, -2), shade(colour, 1.1), 0.4, 2)
    else:
        soft_fill(canvas, ellipse(x, side_y - 1, w + 24, 10), shade(head.person.skin, 0.3), 0.5, 3)
        fill(canvas, ellipse(x, side_y - 6, w + 26, 11, 40), shade(colour, 0.8))
        soft_fill(canvas, ellipse(x, side_y - 3, w + 10, 5), shade(colour, 0.45), 0.5, 2)
        stroke(
            canvas,
            curve(points((x - w - 2, side_y - 13), (x, side_y - 9), (x + w + 2, side_y - 13))),
            shade(colour, 0.4),
            4,
        )
