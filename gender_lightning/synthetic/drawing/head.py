"""Geometry of a turned head in CelebA's aligned frame: where each part of the face lies in the picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gender_lightning.synthetic.drawing.canvas import Points, curve
from gender_lightning.synthetic.drawing.traits import Person, Picture

EYE_X, EYE_Y, EYE_GAP = 89.0, 111.0, 20.0  # middle between the eyes, and half their distance
_DEPTH = 24.0  # pixels between the eyes' plane and the ears', from the side
SIDE = -1.0  # depth of the face's outline; 0 is the eyes, +0.55 the tip of the nose


@dataclass(frozen=True)
class Head:
    """A person in one picture's pose. Faces are aligned by the eyes, so turning moves all the rest."""

    person: Person
    picture: Picture

    @property
    def turn(self) -> float:
        """Sine of the yaw; positive: towards the picture's right."""
        return float(np.sin(np.deg2rad(self.picture.yaw)))

    def x(self, x: float, depth: float = 0.0) -> float:
        """Picture x of a point `x` to the right of the face's middle at `depth`."""
        return EYE_X + x + _DEPTH * depth * self.turn

    def at(self, *triples: tuple[float, float, float]) -> Points:
        """Picture points (N, 2) of (x from the middle, y, depth)."""
        array = np.array(triples, np.float64)
        array[:, 0] += EYE_X + _DEPTH * self.turn * array[:, 2]
        return array[:, :2]

    def foreshorten(self, side: int) -> float:
        """Width of what lies on one side (-1 left, 1 right), against a frontal view."""
        return 1.0 - 0.38 * max(0.0, side * self.turn) + 0.05 * max(0.0, -side * self.turn)

    def mirror(self, right: list[tuple[float, float, float]]) -> Points:
        """A closed curve from the right half's (x, y, depth), from top to bottom."""
        left = [(-x, y, depth) for x, y, depth in reversed(right) if x > 0]
        return curve(self.at(*right, *left), closed=True)

    def outline(self) -> Points:
        """Outline of the bare head, skull included."""
        person = self.person
        w, top, chin, chin_y = person.face_width, person.skull_top, person.chin_width, person.chin_y
        jaw = w * person.jaw
        drop = 2.5 * self.picture.mouth_open  # an open mouth lowers the chin
        return self.mirror(
            [
                (0.0, top, -0.9),
                (0.64 * w, top + 8, -0.95),
                (0.94 * w, 77, -1.0),
                (w, 100, SIDE),
                (0.985 * w, 122, SIDE),
                (0.68 * jaw + 0.32 * w, 140, -0.85),
                (0.95 * jaw, 153 + 0.3 * drop, -0.65),
                (0.49 * jaw + 0.5 * chin + 1.5, chin_y - 9 + drop, -0.2),
                (chin, chin_y - 1.5 + drop, 0.2),
                (0.0, chin_y + drop, 0.25),
            ]
        )

    def jaw_y(self) -> float:
        """Lowest point of the chin."""
        return self.person.chin_y + 2.5 * self.picture.mouth_open

    def ear(self, side: int) -> Points:
        """Outline of an ear."""
        x, depth = side * (self.person.face_width + 1.5), -1.3
        angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
        wide, high = 6.0 * self.foreshorten(-side) * (1 + 0.25 * abs(self.turn)), 13.5
        lean = side * 0.22 * (EYE_Y + 6 - (EYE_Y + 6 + high * np.sin(angle)))
        return np.stack([self.x(x, depth) + wide * np.cos(angle) + lean, 117 + high * np.sin(angle)], 1)

    def landmarks(self) -> Points:
        """Eyes, nose and mouth's corners as CelebA marks them, (5, 2)."""
        person = self.person
        mouth = self.mouth_half_width()
        corner = person.mouth_y - 2.2 * self.picture.smile
        return self.at(
            (-EYE_GAP, EYE_Y, 0),
            (EYE_GAP, EYE_Y, 0),
            (0, person.nose_tip_y, 0.55),
            (-mouth * self.foreshorten(-1), corner, 0.15),
            (mouth * self.foreshorten(1), corner, 0.15),
        )

    def mouth_half_width(self) -> float:
        """Half the mouth's width in a frontal view; a smile widens it."""
        return self.person.mouth_width * (1 + 0.2 * self.picture.smile) - 1.5 * self.picture.mouth_open


@lru_cache(maxsize=32)
def _circle(n: int) -> Points:
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def ellipse(x: float, y: float, wide: float, high: float, n: int = 24) -> Points:
    """An ellipse's outline; `wide` and `high` are its half-axes."""
    outline: Points = _circle(n) * (wide, high) + (x, y)
    return outline
