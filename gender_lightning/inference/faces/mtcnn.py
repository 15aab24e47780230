"""The default detector: MTCNN in torch, with the weights from the package `mtcnn`. It works offline."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchvision.ops import nms, roi_align

from gender_lightning.inference.faces.face import Box, Face, largest_first
from gender_lightning.inference.faces.mtcnn_nets import load_networks
from gender_lightning.models.sharing import one_thread_after_fork

_WINDOW = 12  # px of P-Net
_STEP = 0.709  # scale from one level of the pyramid to the next: half the area
_SCORES = (0.6, 0.7, 0.9)  # least scores of the three networks; 0.9 misses 1 % of celeba-mini, with few false faces
_OVERLAPS = (0.5, 0.7, 0.7, 0.7)  # within a level, among levels, after R-Net, at the end
# The window of a face that the last network sees, in units of the distance between the eyes: how far its centre is
# below the midpoint of the eyes, and the length of its side (medians over celeba-mini).
_BELOW, _SIDE = 0.33, 2.9
_MOST_WINDOWS = 1000  # windows passed on to R-Net


class Mtcnn:
    """Finds faces and their eyes."""

    def __init__(self, min_face: int | None = None) -> None:
        """Load the weights.

        Args:
            min_face: Side in pixels of the smallest face to look for; None means 20, or for a large picture a fiftieth
                of the side of a square of the same area, so that a panorama is searched as finely as any other.

        Raises:
            UserError: The package that holds the weights is not installed.
        """
        self.min_face = min_face
        self.proposals, self.refinement, self.output = load_networks()

    @torch.inference_mode()
    def detect(self, picture: NDArray[np.uint8]) -> list[Face]:
        """The faces of a picture, RGB uint8 (H, W, 3), the largest first."""
        one_thread_after_fork()
        pixels = torch.from_numpy(picture if picture.flags.writeable else picture.copy()).permute(2, 0, 1)
        windows, scores = self._propose(pixels)
        if not len(windows):
            return []
        best = scores.argsort(descending=True)[:_MOST_WINDOWS]
        image = _normalised(pixels)
        windows = self._refine(image, _squared(windows[best]))
        return self._finish(image, windows) if len(windows) else []

    @torch.inference_mode()
    def confirm(self, picture: NDArray[np.uint8], eyes: NDArray[np.float64]) -> Face | None:
        """The face whose eyes are near these places, (2, 2) of (x, y) in pixels; None if there is none.

        Only the last network runs. On 230 pictures of five kinds, all but two gave the same result as a full search, in
        a fifth to a tenth of the time.
        """
        distance = float(np.hypot(*(eyes[1] - eyes[0])))
        x, y = float(eyes[:, 0].mean()), float(eyes[:, 1].mean()) + _BELOW * distance
        half = _SIDE * distance / 2
        window = torch.tensor([[x - half, y - half, x + half, y + half]], dtype=torch.float32)
        pixels = torch.from_numpy(picture if picture.flags.writeable else picture.copy()).permute(2, 0, 1)
        return next(iter(self._finish(_normalised(pixels), window)), None)

    def _propose(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Windows (N, 4) as x1, y1, x2, y2, and their scores (N,), from all levels of the pyramid."""
        height, width = pixels.shape[1:]
        min_face = self.min_face or max(20, math.isqrt(height * width) // 50)
        scale = _WINDOW / min_face
        windows, scores = [torch.zeros(0, 4)], [torch.zeros(0)]
        while min(height, width) * scale >= _WINDOW:
            size = (round(height * scale), round(width * scale))
            level = functional.interpolate(pixels[None], size, mode="bilinear", antialias=True, align_corners=False)
            found, of_level = _windows(*self.proposals(_normalised(level[0])))
            kept = nms(found, of_level, _OVERLAPS[0])
            windows.append(found[kept] * torch.tensor([width / size[1], height / size[0]] * 2))
            scores.append(of_level[kept])
            scale *= _STEP
        together, of_all = torch.cat(windows), torch.cat(scores)
        kept = nms(together, of_all, _OVERLAPS[1])
        return together[kept], of_all[kept]

    def _refine(self, image: Tensor, windows: Tensor) -> Tensor:
        scores, shifts = self.refinement(_patches(image, windows, 24))
        faces = scores > _SCORES[1]
        moved = _moved(windows[faces], shifts[faces])
        return _squared(moved[nms(moved, scores[faces], _OVERLAPS[2])])

    def _finish(self, image: Tensor, windows: Tensor) -> list[Face]:
        scores, shifts, landmarks = self.output(_patches(image, windows, 48))
        faces = scores > _SCORES[2]
        windows, scores, landmarks = windows[faces], scores[faces], landmarks[faces]
        sides = windows[:, 2:] - windows[:, :2]
        eyes = windows[:, None, :2] + landmarks[:, [0, 5, 1, 6]].view(-1, 2, 2) * sides[:, None]
        boxes = _moved(windows, shifts[faces])
        kept = _without_inner(boxes, scores)
        found = zip(boxes[kept].tolist(), eyes[kept].tolist(), scores[kept].tolist(), strict=True)
        return largest_first([_face(box, both, score) for box, both, score in found])


def _face(box: list[float], eyes: list[list[float]], score: float) -> Face:
    left, top, right, bottom = (round(edge) for edge in box)
    first, second = sorted((x, y) for x, y in eyes)
    return Face(Box(left, top, max(1, right - left), max(1, bottom - top)), (first, second), score)


def _normalised(pixels: Tensor) -> Tensor:
    """Pixels, uint8 (3, H, W), as float32 (1, 3, H, W) in about -1..1, as the weights were trained."""
    return ((pixels.float() - 127.5) / 128)[None]


def _windows(scores: Tensor, shifts: Tensor) -> tuple[Tensor, Tensor]:
    """The windows (N, 4) in pixels of the level that P-Net's output proposes, and their scores (N,)."""
    rows, columns = torch.nonzero(scores > _SCORES[0], as_tuple=True)
    corner = torch.stack([columns, rows], dim=1).float() * 2
    windows = torch.cat([corner, corner + _WINDOW], dim=1)
    return _moved(windows, shifts[:, rows, columns].T), scores[rows, columns]


def _moved(windows: Tensor, shifts: Tensor) -> Tensor:
    """Windows (N, 4) with their edges moved by shifts (N, 4) in units of the windows' sides."""
    sides = (windows[:, 2:] - windows[:, :2]).repeat(1, 2)
    return windows + shifts * sides


def _squared(windows: Tensor) -> Tensor:
    """The squares with the same centres and the longer sides."""
    centre = (windows[:, :2] + windows[:, 2:]) / 2
    half = (windows[:, 2:] - windows[:, :2]).amax(1, keepdim=True) / 2
    return torch.cat([centre - half, centre + half], dim=1)


def _patches(image: Tensor, windows: Tensor, side: int) -> Tensor:
    """Windows of the image, resampled to (N, 3, side, side); grey beyond the edge."""
    patches: Tensor = roi_align(image, [windows], side, aligned=True)
    return patches


def _without_inner(boxes: Tensor, scores: Tensor) -> list[int]:
    """The rows to keep: among boxes that share most of the smaller one's area, the best."""
    kept: list[int] = []
    areas = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
    for row in scores.argsort(descending=True).tolist():
        corner = torch.maximum(boxes[row, :2], boxes[kept, :2])
        shared = (torch.minimum(boxes[row, 2:], boxes[kept, 2:]) - corner).clamp(min=0).prod(1)
        if not kept or bool((shared / torch.minimum(areas[row], areas[kept]) <= _OVERLAPS[3]).all()):
            kept.append(row)
    return kept
