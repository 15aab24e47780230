"""Hair: masses outlined by style, filled with strands, lit from above."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from gender_lightning.synthetic.drawing.canvas import (
    HEIGHT,
    SCALE,
    WIDTH,
    Canvas,
    Mask,
    Points,
    curve,
    mask_of,
    soft_fill,
    soften,
    stroke,
)
from gender_lightning.synthetic.drawing.head import Head, ellipse
from gender_lightning.synthetic.drawing.skin import shade

_MARGIN = 48  # canvas pixels around a texture, for cutting it at random
_Controls = list[tuple[float, float, float]]


class Hair:
    """The hair of one picture: what lies behind the neck, and what lies over the face."""

    def __init__(self, head: Head, rng: Generator) -> None:
        """Fixes the style's measures and mixes the textured layer both parts are cut from."""
        self.head, self.rng = head, rng
        p, picture = head.person, head.picture
        self.length = "up" if picture.updo else p.hair_length
        hatted = picture.hat != "none"
        volume = {"bald": 0.0, "buzz": 1.0}.get(self.length, 3.0 + 9.0 * p.hair_volume)
        if p.hair_texture == "curly" and self.length not in ("bald", "buzz", "up"):
            volume = 1.35 * volume + 3
        self.volume = 2.0 if hatted else volume
        stretch = p.hair_volume * 22 + rng.uniform(-3, 3)
        self.end = {"medium": 150.0 + stretch, "long": 192.0 + 2 * stretch}.get(self.length, 0.0)
        self.flare = (2.0 + 13 * p.hair_volume) * (1.5 if p.hair_texture != "straight" else 0.9)
        self.layer = self._mix_layer()

    def paint_back(self, canvas: Canvas) -> None:
        """Draws what hangs behind neck and shoulders, or a bun."""
        w = self.head.person.face_width
        if self.length == "up":
            side = 1 if self.head.person.part > 0 else -1
            knot = ellipse(self.head.x(side * 8, -1.6), self.head.person.skull_top - 4, 17, 15)
            if self.head.person.hair_volume > 0.5 and self.head.picture.hat == "none":
                self._cut(canvas, self._ruffle(knot, 1.0), 0.85)
        if self.end == 0:
            return
        v, flare = self.volume, self.flare
        right: _Controls = [
            (0.0, 70, -1.2),
            (w, 80, -1.1),
            (w + v, 110, -1.1),
            (w + v + 0.4 * flare, 140, -1.1),
            (w + v + flare, self.end - 8, -1.0),
            (w + v - 5, self.end + 3, -1.0),
            (0.0, self.end + 1, -1),
        ]
        self._cut(canvas, self._ruffle(self.head.mirror(right), 1.2), 0.52)

    def shadow(self, canvas: Canvas) -> None:
        """Shades the forehead under the hair."""
        if self.length == "bald":
            return
        for outline in self._front():
            soft_fill(
                canvas,
                outline + np.array([-1.5 * self.head.picture.light_azimuth, 2.5]),
                shade(self.head.person.skin, 0.4),
                0.42,
                1.8,
            )

    def paint_front(self, canvas: Canvas) -> None:
        """Draws crown, curtains and bangs over the face."""
        if self.length == "bald":
            return
        outlines = [self._ruffle(outline, 0.7) for outline in self._front()]
        mask = mask_of(*outlines)
        if self.length == "buzz":
            self._veil(canvas, mask)
            return
        rows = slice(0, self.layer.shape[0])
        cv2.copyTo(self.layer, mask[rows], canvas[rows])
        self._paint_loose_strands(canvas, outlines[0])

    def _veil(self, canvas: Canvas, mask: Mask) -> None:
        """Cropped hair lets the scalp shine through."""
        soft = soften(mask, 1.1)
        rows = slice(0, 150 * SCALE)
        weight = soft[rows, :, None].astype(np.float32) * np.float32(0.78 / 255)
        area = canvas[rows].astype(np.float32)
        canvas[rows] = area + (self.layer[rows] - area) * weight

    def _front(self) -> list[Points]:
        long = self.end > 0
        outlines = [self._curtains() if long else self._crop()]
        person = self.head.person
        if person.bangs and self.head.picture.hat == "none" and not self.head.picture.updo:
            outlines.append(self._bangs())
        return outlines

    def _crop(self) -> Points:
        """Short hair, cropped hair, or hair tied up: around the skull, down to the ears."""
        p, v = self.head.person, self.volume
        w, line, bare = p.face_width, p.hairline, p.receding
        burns = 128.0 if p.sideburns else 114.0
        lift = 0.35 * v if self.length == "short" else 0.0
        right: _Controls = [
            (0.0, p.skull_top - v - lift, -0.95),
            (0.62 * w, p.skull_top + 7 - 0.9 * v, -0.95),
            (0.95 * w + 0.6 * v, 74, -1.0),
            (w + 0.55 * v, 94, -1.05),
            (w + 0.25 * v + 1, 110, -1.1),
            (w - 0.5, burns, -1.0),
            (0.95 * w, burns - 6, -0.97),
            (0.91 * w, 104, -0.95),
            (0.84 * w, 94 - 3 * bare, -0.8),
            (0.68 * w, line + 4 - 15 * bare, -0.55),
            (0.36 * w, line - 1 - 9 * bare, -0.3),
            (0.0, line + 1 - 4 * bare, -0.2),
        ]
        return self.head.mirror(right)

    def _curtains(self) -> Points:
        """Hair that falls from a parting past both cheeks."""
        p, v, flare, end = self.head.person, self.volume, self.flare, self.end
        w, line, top = p.face_width, p.hairline, p.skull_top - self.volume
        gap = 0.42 * p.part * w
        bare = p.receding

        def half(side: int) -> _Controls:
            near = max(0.0, side * p.part)  # the parting is on this side: less forehead covered
            return [
                (side * 0.62 * w, top + 7, -0.95),
                (side * (0.96 * w + 0.75 * v), 72, -1.0),
                (side * (w + v), 98, -1.05),
                (side * (w + v + 0.35 * flare), 130, -1.05),
                (side * (w + v + flare), end - 14, -0.95),
                (side * (w + 0.8 * v + 0.6 * flare), end, -0.95),
                (side * (w - 6), end - 5, -0.8),
                (side * (0.97 * w - 3), min(end - 12, 158), -0.9),
                (side * (0.99 * w), 134, -0.97),
                (side * (0.93 * w), 108, -0.9),
                (side * (0.80 - 0.05 * near) * w, 93 - 2 * near, -0.7),
                (side * 0.52 * w + 0.5 * gap, line + 5 - 8 * near - 6 * bare, -0.4),
            ]

        right, left = half(1), half(-1)
        controls = [(0.0, top, -0.95), *right, (gap, line - 5 - 3 * bare, -0.2), *reversed(left)]
        return curve(self.head.at(*controls), closed=True)

    def _bangs(self) -> Points:
        p = self.head.person
        w, line = p.face_width, p.hairline - 7
        low = 97.5 - 2.5 * abs(p.part)
        lean = 4 * p.part
        teeth = np.linspace(0.82, -0.82, 15)
        edge = [
            (t * w, low - 5 * abs(t) ** 3 + lean * t + float(self.rng.uniform(-2.2, 1.5)), -0.25 - 0.5 * abs(t))
            for t in teeth
        ]
        controls = [
            (-0.88 * w, 88, -0.8),
            (-0.5 * w, line - 6, -0.5),
            (0.5 * w, line - 6, -0.5),
            (0.88 * w, 88, -0.8),
            *edge,
        ]
        return curve(self.head.at(*controls), closed=True)

    def _ruffle(self, outline: Points, amount: float) -> Points:
        """Breaks a smooth outline into locks."""
        texture = self.head.person.hair_texture
        size = amount * {"straight": 0.45, "wavy": 0.8, "curly": 1.5}[texture]
        noise = self.rng.normal(0, size, outline.shape)
        return outline + noise + 0.6 * np.roll(noise, 1, 0)

    def _paint_loose_strands(self, canvas: Canvas, outline: Points) -> None:
        colour = self.head.person.hair
        for at in self.rng.integers(0, len(outline) - 6, 14):
            piece = outline[at : at + 6] + self.rng.normal(0, 0.6, 2)
            if piece[:, 1].max() < 200:
                stroke(canvas, piece, shade(colour, float(self.rng.uniform(0.6, 1.1))), 0.5)

    def _cut(self, canvas: Canvas, outline: Points, light: float) -> None:
        layer = cv2.convertScaleAbs(self.layer, alpha=light)
        rows = slice(0, layer.shape[0])
        cv2.copyTo(layer, mask_of(outline)[rows], canvas[rows])

    def _mix_layer(self) -> Canvas:
        """Strands of the hair's colours over the whole canvas, in the picture's light."""
        p, picture = self.head.person, self.head.picture
        kind = (
            "curly"
            if p.hair_texture == "curly" or self.length == "buzz"
            else (("fall" if self.end else "crown") + p.hair_texture)
        )
        bank = texture_bank()[kind][int(self.rng.integers(2))]
        x = int(self.rng.integers(0, 2 * _MARGIN // 2)) + int(np.clip(24 * self.head.turn * SCALE, -20, 20)) // 2
        x, y = int(np.clip(x, 0, 2 * _MARGIN)), int(self.rng.integers(0, 2 * _MARGIN))
        high = min(HEIGHT, int(max(self.end + 24, 150))) * SCALE  # below there is none
        strands = bank[y : y + high, x : x + WIDTH * SCALE]
        rows, columns = np.linspace(0, 1, 9)[:, None], np.linspace(-1, 1, 7)[None]
        ring = 34 * np.exp(-(((rows - 0.27 - 0.05 * columns**2) / 0.07) ** 2)) * (0.3 + picture.light_strength)
        grid = (
            128 + ring - 46 * np.clip(rows - 0.35, 0, 1) + 34 * picture.light_azimuth * picture.light_strength * columns
        )
        grid = grid - 34 * np.abs(columns) ** 2
        size = (WIDTH * SCALE, HEIGHT * SCALE)
        light = cv2.resize(np.clip(grid, 0, 255).astype(np.uint8), size, interpolation=cv2.INTER_CUBIC)
        index = cv2.addWeighted(strands, 1.0, light[:high], 1.0, -128.0)
        return np.asarray(cv2.LUT(cv2.cvtColor(index, cv2.COLOR_GRAY2RGB), self._ramp()), np.uint8)

    def _ramp(self) -> NDArray[np.uint8]:
        amount = np.arange(256)[:, None] / 128 - 1  # -1 .. 1
        base = np.array(self.head.person.hair)[None]
        dark = base * (1 + 0.72 * np.minimum(amount, 0))
        bright = np.maximum(amount, 0) * (0.55 * base + 30)
        return np.clip(dark + bright, 0, 255).astype(np.uint8)[:, None]


@lru_cache(maxsize=1)
def texture_bank() -> dict[str, list[NDArray[np.uint8]]]:
    """Grey strands about 128 by kind, two of each, a margin larger than the canvas. Made once per process."""
    rng = np.random.default_rng(11)
    high, wide = HEIGHT * SCALE + 2 * _MARGIN, WIDTH * SCALE + 2 * _MARGIN
    y, x = np.mgrid[0:high, 0:wide].astype(np.float32)
    x = (x - wide / 2) / SCALE
    y = (y - _MARGIN) / SCALE - 46
    # a strand is a line of constant coordinate: falling from a parting, or radiating from the crown
    fall = x / (1 - np.exp(-np.maximum(y + 20, 2.0) / 34))
    crown = 60 * np.arctan2(x, 72 - y) + 0.05 * y
    bank: dict[str, list[NDArray[np.uint8]]] = {"curly": [_curls(rng, high, wide) for _ in range(2)]}
    for name, field in (("fall", fall), ("crown", crown)):
        for style, bend in (("straight", 0.8), ("wavy", 3.4)):
            bank[name + style] = [_strands(rng, field, y, bend) for _ in range(2)]
    return bank


def _strands(rng: Generator, field: NDArray[np.float32], y: NDArray[np.float32], bend: float) -> NDArray[np.uint8]:
    phase = rng.uniform(0, 6.28)
    bent = field + bend * np.sin(y / (16 if bend > 1 else 40) + phase + 0.05 * field)
    total = np.zeros(field.shape)
    for period, weight in ((9.0, 20.0), (3.0, 20.0), (1.0, 15.0)):  # locks, strands, single hairs; in pixels
        table = rng.normal(0, 1, 2048)
        total += weight * np.interp(bent / period + 1024, np.arange(2048), table)
    total += 6 * np.sin(y / 19 + bent / 7)
    return np.clip(128 + total, 0, 255).astype(np.uint8)


def _curls(rng: Generator, high: int, wide: int) -> NDArray[np.uint8]:
    noise = rng.normal(0, 1, (high, wide)).astype(np.float32)
    large = cv2.GaussianBlur(noise, (0, 0), 4.5) - cv2.GaussianBlur(noise, (0, 0), 8)
    small = cv2.GaussianBlur(noise, (0, 0), 1.6) - cv2.GaussianBlur(noise, (0, 0), 3.2)
    grey = 122 + 36 * large / large.std() + 22 * small / small.std()
    return np.asarray(np.clip(grey, 0, 255), np.uint8)
