"""The formulas of ImageNet-C in NumPy, SciPy, OpenCV and Pillow, one image at a time: the oracle.

After Hendrycks and Dietterich 2019 and the programs they published. Random numbers come in as arguments.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

Array = np.ndarray[Any, Any]


def skimage_gaussian(x: Array, sigma: float, mode: str = "nearest", truncate: float = 4.0) -> Array:
    """skimage.filters.gaussian is SciPy's filter, channel by channel."""
    sigmas = (sigma, sigma, 0)[: x.ndim]
    return gaussian_filter(x, sigmas, mode=mode, truncate=truncate)


def disk(radius: float, alias_blur: float) -> Array:
    line = np.arange(-8, 9) if radius <= 8 else np.arange(-radius, radius + 1)
    x, y = np.meshgrid(line, line)
    kernel = np.array(x**2 + y**2 <= radius**2, dtype=np.float32)
    kernel /= kernel.sum()
    return cv2.GaussianBlur(kernel, (3, 3) if radius <= 8 else (5, 5), sigmaX=alias_blur)


def clipped_zoom(x: Array, factor: float) -> Array:
    size = x.shape[0]
    kept = int(np.ceil(size / factor))
    top = (size - kept) // 2
    x = zoom(x[top : top + kept, top : top + kept], (factor, factor, 1), order=1)
    trim = (x.shape[0] - size) // 2
    return x[trim : trim + size, trim : trim + size]


def magick_motion(x: Array, radius: float, sigma: float, angle: float) -> Array:
    """MotionBlurImage of ImageMagick 6: kernel and offsets as in its effect.c, the border repeated."""
    width = 2 * int(np.ceil(radius)) + 1
    kernel = np.exp(-(np.arange(width) ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    point_x, point_y = width * np.sin(np.deg2rad(angle)), width * np.cos(np.deg2rad(angle))
    length = np.hypot(point_x, point_y)
    result = np.zeros(x.shape)
    rows, columns = np.mgrid[: x.shape[0], : x.shape[1]]
    for step in range(width):
        dx, dy = int(np.ceil(step * point_y / length - 0.5)), int(np.ceil(step * point_x / length - 0.5))
        row, column = np.clip(rows + dy, 0, x.shape[0] - 1), np.clip(columns + dx, 0, x.shape[1] - 1)
        result += kernel[step] * x[row, column]
    return result


def plasma_fractal(size: int, decay: float, numbers: Array) -> Array:
    """Diamond-square on a torus, all of a step's squares, then its diamonds in two halves; numbers in -1..1."""
    field = np.zeros((size, size))
    step, wibble, used = size, 100.0, 0

    def draw() -> float:
        nonlocal used
        used += 1
        return wibble * wibble * float(numbers[used - 1])

    while step >= 2:
        half = step // 2

        def at(row: int, column: int) -> float:
            return float(field[row % size, column % size])

        for r in range(0, size, step):
            for c in range(0, size, step):
                field[r + half, c + half] = (
                    at(r, c) + at(r + step, c) + at(r, c + step) + at(r + step, c + step)
                ) / 4 + draw()
        for top, left in ((0, half), (half, 0)):
            for r in range(top, size, step):
                for c in range(left, size, step):
                    field[r, c] = (at(r - half, c) + at(r + half, c) + at(r, c - half) + at(r, c + half)) / 4 + draw()
        step, wibble = half, wibble / decay
    field -= field.min()
    return field / field.max()


def gaussian_noise(x: Array, c: float, noise: Array) -> Array:
    return x + c * noise


def impulse_noise(x: Array, c: float, flips: Array, salts: Array) -> Array:
    out = x.copy()
    out[(flips <= c) & (salts <= 0.5)] = 1
    out[(flips <= c) & (salts > 0.5)] = 0
    return out


def defocus_blur(x: Array, c: Any) -> Array:
    return np.stack([cv2.filter2D(x[..., d].copy(), -1, disk(*c)) for d in range(3)], -1)


def glass_blur(x: Array, c: Any, moves: Array) -> Array:
    size, reach = x.shape[0], c[1]
    x = np.uint8(skimage_gaussian(x, c[0]) * 255 + 1e-3)
    for passed in range(c[2]):
        for a, h in enumerate(range(size - reach, reach, -1)):
            for b, w in enumerate(range(size - reach, reach, -1)):
                dx, dy = moves[passed, a, b]
                # NumPy's views make a copy of what was meant as a swap
                x[h, w], x[h + dy, w + dx] = x[h + dy, w + dx], x[h, w]
    return skimage_gaussian(x / 255.0, c[0])


def zoom_blur(x: Array, c: Any) -> Array:
    return (x + sum(clipped_zoom(x, factor) for factor in c)) / (len(c) + 1)


def snow(x: Array, c: Any, noise: Array, angle: float) -> Array:
    layer = clipped_zoom((c[0] + c[1] * noise)[..., None], c[2])
    layer[layer < c[3]] = 0
    layer = np.uint8(np.clip(layer, 0, 1) * 255) / 255
    layer = np.round(magick_motion(layer, c[4], c[5], angle) * 255) / 255
    grey = cv2.cvtColor(x.astype(np.float32), cv2.COLOR_RGB2GRAY)[..., None]
    scene = c[6] * x + (1 - c[6]) * np.maximum(x, grey * 1.5 + 0.5)
    return scene + layer + np.rot90(layer, k=2)


def fog(x: Array, c: Any, numbers: Array) -> Array:
    size, brightest = x.shape[0], x.max()
    side = 1 << (size - 1).bit_length()
    x = x + c[0] * plasma_fractal(side, c[1], numbers)[:size, :size, None]
    return x * brightest / (brightest + c[0])


def brightness(x: Array, c: float) -> Array:
    x = rgb_to_hsv(x)
    x[..., 2] = np.clip(x[..., 2] + c, 0, 1)
    return hsv_to_rgb(x)


def contrast(x: Array, c: float) -> Array:
    mean = x.mean((0, 1), keepdims=True)
    return (x - mean) * c + mean


def elastic_transform(x: Array, c: Any, moves: Array, noise: Array) -> Array:
    """c in pixels; moves (3, 2); noise (2, S, S) in -1..1."""
    size = x.shape[0]
    middle, half = np.float32((size, size)) // 2, size // 3
    before = np.float32([middle + half, [middle[0] + half, middle[1] - half], middle - half])
    matrix = cv2.getAffineTransform(before, before + moves.astype(np.float32))
    x = cv2.warpAffine(x.astype(np.float32), matrix, (size, size), borderMode=cv2.BORDER_REFLECT_101)
    dx, dy = (skimage_gaussian(n, c[1], "reflect", 3.0) * c[0] for n in noise)
    rows, columns = np.mgrid[:size, :size]
    return np.stack(
        [map_coordinates(x[..., d], (rows + dy, columns + dx), order=1, mode="reflect") for d in range(3)], -1
    )


def jpeg_compression(x: Array, c: int) -> Array:
    file = io.BytesIO()
    Image.fromarray(np.uint8(np.round(x * 255))).save(file, "JPEG", quality=c)
    return np.asarray(Image.open(file)) / 255


def pixelate(x: Array, c: float) -> Array:
    size = x.shape[0]
    picture = Image.fromarray(np.uint8(np.round(x * 255)))
    picture = picture.resize((int(size * c), int(size * c)), Image.Resampling.BOX)
    return np.asarray(picture.resize((size, size), Image.Resampling.BOX)) / 255


ZOOMS: dict[int, list[Callable[[], Array]]] = {
    224: [
        lambda: np.arange(1, 1.11, 0.01), lambda: np.arange(1, 1.16, 0.01), lambda: np.arange(1, 1.21, 0.02),
        lambda: np.arange(1, 1.26, 0.02), lambda: np.arange(1, 1.31, 0.03),
    ],
    64: [lambda stop=stop: np.arange(1, stop, 0.01) for stop in (1.06, 1.11, 1.16, 1.21, 1.26)],  # type: ignore[misc]
}  # fmt: skip
