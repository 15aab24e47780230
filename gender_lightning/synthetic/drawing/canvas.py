"""Drawing primitives: smooth outlines, soft fills and strokes on a picture at twice its final size."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from gender_lightning.synthetic.drawing.traits import Colour

WIDTH, HEIGHT = 178, 218  # of the final picture; all coordinates below are in its pixels
SCALE = 2  # of the canvas over the final picture: downsampling antialiases
_SHIFT = 4  # fractional bits of OpenCV's coordinates

Points = NDArray[np.float64]  # (N, 2), x and y
Canvas = NDArray[np.uint8]  # (HEIGHT * SCALE, WIDTH * SCALE, 3) RGB
Mask = NDArray[np.uint8]


def points(*pairs: tuple[float, float]) -> Points:
    """Makes an (N, 2) array of (x, y) pairs."""
    return np.array(pairs, np.float64)


def lowered(outline: Points, distance: float) -> Points:
    """The same outline further down."""
    result: Points = outline + np.array([0.0, distance])
    return result


@lru_cache(maxsize=64)
def _spline(n: int, steps: int, closed: bool) -> NDArray[np.float64]:
    """Catmull-Rom as a matrix: control points (n, 2) -> curve."""
    spans = n if closed else n - 1
    t = np.arange(steps) / steps
    weights = 0.5 * np.stack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3])
    matrix = np.zeros((spans * steps + (not closed), n))
    for span in range(spans):
        for k in range(4):
            column = (span + k - 1) % n if closed else min(max(span + k - 1, 0), n - 1)
            matrix[span * steps : (span + 1) * steps, column] += weights[k]
    if not closed:
        matrix[-1, -1] = 1
    return matrix


def curve(controls: Points, steps: int = 8, closed: bool = False) -> Points:
    """A smooth curve through the control points."""
    result: Points = _spline(len(controls), steps, closed) @ controls
    return result


def fixed(outline: Points) -> NDArray[np.int32]:
    """Coordinates as OpenCV's fixed point on the canvas."""
    result: NDArray[np.int32] = np.rint((outline * SCALE + (SCALE - 1) / 2) * (1 << _SHIFT)).astype(np.int32)
    return result


def mask_of(*outlines: Points) -> Mask:
    """A mask (0 or 255) of the whole canvas with the outlines filled."""
    mask = np.zeros((HEIGHT * SCALE, WIDTH * SCALE), np.uint8)
    for outline in outlines:
        cv2.fillPoly(mask, [fixed(outline)], 255, cv2.LINE_8, _SHIFT)
    return mask


def fill(canvas: Canvas, outline: Points, colour: Colour) -> None:
    """Fills an outline with one opaque colour."""
    cv2.fillPoly(canvas, [fixed(outline)], colour, cv2.LINE_AA, _SHIFT)


def stroke(canvas: Canvas, line: Points, colour: Colour, width: float) -> None:
    """Draws an opaque line; `width` in final pixels."""
    thickness = max(1, round(width * SCALE))
    cv2.polylines(canvas, [fixed(line)], False, colour, thickness, cv2.LINE_AA, _SHIFT)


def soft_fill(canvas: Canvas, outline: Points, colour: Colour, alpha: float = 1.0, blur: float = 0.0) -> None:
    """Blends a colour into an outline with soft edges; `blur` is the edge's sigma in final pixels."""
    where = fixed(outline)
    box = _box(where, 3 * blur + 1)
    if box is not None:
        mask = np.zeros((box[3] - box[1], box[2] - box[0]), np.uint8)
        where -= np.array(box[:2], np.int32) << _SHIFT
        cv2.fillPoly(mask, [where], 255, cv2.LINE_AA, _SHIFT)
        _blend(canvas, box, mask, colour, alpha, blur)


def soft_stroke(canvas: Canvas, line: Points, colour: Colour, width: float, alpha: float, blur: float) -> None:
    """Blends a line with soft edges."""
    soft_strokes(canvas, [line], colour, width, alpha, blur)


def soft_strokes(canvas: Canvas, lines: list[Points], colour: Colour, width: float, alpha: float, blur: float) -> None:
    """Blends several lines at once; where they cross they do not add up."""
    if not lines:
        return
    where = fixed(lines[0] if len(lines) == 1 else np.concatenate(lines))
    box = _box(where, 3 * blur + width + 1)
    if box is not None:
        mask = np.zeros((box[3] - box[1], box[2] - box[0]), np.uint8)
        where -= np.array(box[:2], np.int32) << _SHIFT
        pieces = np.split(where, np.cumsum([len(line) for line in lines])[:-1]) if len(lines) > 1 else [where]
        cv2.polylines(mask, pieces, False, 255, max(1, round(width * SCALE)), cv2.LINE_AA, _SHIFT)
        _blend(canvas, box, mask, colour, alpha, blur)


def soften(mask: Mask, sigma: float) -> Mask:
    """Blurs a mask of the canvas nearly as a Gaussian of `sigma` final pixels does, at the cost of a box."""
    size = 2 * max(1, round(2.45 * sigma * SCALE - 1)) + 1  # a stack of radius r has a sigma of (r + 1) / sqrt(6)
    return np.asarray(cv2.stackBlur(mask, (size, size)), np.uint8)


def _box(where: NDArray[np.int32], margin: float) -> tuple[int, int, int, int] | None:
    """The part of the canvas that fixed-point coordinates and a margin in final pixels cover, if any."""
    x, y, wide, high = cv2.boundingRect(where)
    around = int(margin * SCALE) + 1
    x0, y0 = max((x >> _SHIFT) - around, 0), max((y >> _SHIFT) - around, 0)
    x1 = min(((x + wide) >> _SHIFT) + around + 1, WIDTH * SCALE)
    y1 = min(((y + high) >> _SHIFT) + around + 1, HEIGHT * SCALE)
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def _blend(
    canvas: Canvas, box: tuple[int, int, int, int], mask: Mask, colour: Colour, alpha: float, blur: float
) -> None:
    x0, y0, x1, y1 = box
    if blur > 0.35:  # less is not seen after downsampling
        mask = soften(mask, blur)
    weight = mask * np.float32(alpha / 255)
    paint = np.empty((*mask.shape, 3), np.uint8)
    cv2.rectangle(paint, (0, 0), (x1, y1), colour, cv2.FILLED)  # far faster than numpy on a last axis of three
    canvas[y0:y1, x0:x1] = cv2.blendLinear(paint, canvas[y0:y1, x0:x1], weight, 1 - weight)
