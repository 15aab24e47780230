"""Pictures of one size at several resolutions, and windows cut out of them: what the detector's networks are shown."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchvision.ops import roi_align

_CELLS = 128  # windows that are cut out at once
_MARGIN = 6  # px around a window of at most twice the side that is asked for
_SAMPLES = 2  # each way, of a pixel of a window: enough for windows of up to twice the side that is asked for


class Pyramid:
    """Pictures of one size with their halves, quarters and so on, each made when it is first needed."""

    def __init__(self, pictures: Sequence[NDArray[np.uint8]]) -> None:
        """Take pictures of one size, RGB uint8 (H, W, 3)."""
        stacked = np.stack(pictures) if len(pictures) > 1 else np.ascontiguousarray(pictures[0])[None]
        tensor = torch.from_numpy(stacked if stacked.flags.writeable else stacked.copy())
        self.height, self.width = tensor.shape[1:3]
        self._octaves = [tensor.permute(0, 3, 1, 2)]

    def __len__(self) -> int:
        return len(self._octaves[0])

    def level(self, height: int, width: int) -> Tensor:
        """The pictures at a smaller size: float32 (B, 3, height, width), about -1..1."""
        octave = math.floor(math.log2(min(self.height / height, self.width / width)) + 1e-9)
        source = self._octave(max(0, octave))
        if source.shape[2:] != (height, width):
            source = _resized(source, height, width)
        return normalised(source)

    def patches(self, windows: Tensor, rows: Tensor, side: int) -> Tensor:
        """Windows of the pictures, averaged down or interpolated up; what lies beyond the edge is grey.

        Each is cut out of the smallest octave that has at least `side` pixels for it.

        Args:
            windows: float32 (N, 4): x1, y1, x2, y2 in pixels.
            rows: int64 (N,): which picture each belongs to.
            side: Side of a patch, px.

        Returns:
            float32 (N, 3, side, side), about -1..1.
        """
        patches = torch.empty((len(windows), 3, side, side)).contiguous(memory_format=torch.channels_last)
        sides = (windows[:, 2:] - windows[:, :2]).amax(1)
        octaves = (sides / side).clamp(min=1).log2().floor().long()
        for octave in sorted(set(octaves.tolist())):
            source = self._octave(octave)
            scale = torch.tensor([source.shape[3] / self.width, source.shape[2] / self.height] * 2)
            for some in torch.split(torch.nonzero(octaves == octave)[:, 0], _CELLS):
                cells, inside = _cells(source, windows[some] * scale, rows[some], 2 * side + _MARGIN)
                places = torch.cat([torch.arange(len(some))[:, None].float(), inside], dim=1)
                patches[some] = roi_align(cells, places, side, sampling_ratio=_SAMPLES, aligned=True)
        return patches

    def _octave(self, octave: int) -> Tensor:
        """uint8 (B, 3, H / 2^octave, W / 2^octave)."""
        while len(self._octaves) <= octave:
            height, width = self._octaves[-1].shape[2:]
            self._octaves.append(_resized(self._octaves[-1], max(1, round(height / 2)), max(1, round(width / 2))))
        return self._octaves[octave]


def _cells(source: Tensor, windows: Tensor, rows: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """The surroundings of each window, so that the rest of a picture need not be converted to numbers of 32 bits.

    Args:
        source: uint8 (B, 3, H, W), channels last.
        windows: float32 (N, 4): x1, y1, x2, y2 in pixels of the source, smaller than a cell.
        rows: int64 (N,): which picture each belongs to.
        side: Side of a cell, px; it is less where the pictures are smaller.

    Returns:
        float32 (N, 3, side, side), about -1..1, none of it beyond the picture; the windows in pixels of their cells.
    """
    pixels = source.permute(0, 2, 3, 1).numpy()
    height, width = (min(side, length) for length in pixels.shape[1:3])
    most = torch.tensor([pixels.shape[2] - width, pixels.shape[1] - height])
    corners = torch.minimum((windows[:, :2].floor().long() - 1).clamp(min=0), most)
    x, y = corners.numpy().T
    views = np.lib.stride_tricks.sliding_window_view(pixels, (height, width), axis=(1, 2))
    cells = torch.from_numpy(np.ascontiguousarray(views.transpose(0, 1, 2, 4, 5, 3)[rows.numpy(), y, x]))
    return normalised(cells.permute(0, 3, 1, 2)), windows - corners.repeat(1, 2)


def normalised(pixels: Tensor) -> Tensor:
    """uint8 to float32 about -1..1, as the weights of the detector were trained."""
    return pixels.float().sub_(127.5).mul_(1 / 128)


def _resized(pixels: Tensor, height: int, width: int) -> Tensor:
    return functional.interpolate(pixels, (height, width), mode="bilinear", antialias=True, align_corners=False)
