"""The three networks of MTCNN, and their weights out of the package `mtcnn`.

K. Zhang, Z. Zhang, Z. Li, Y. Qiao: Joint Face Detection and Alignment using Multi-task Cascaded Convolutional
Networks, 2016. The package brings the weights and runs them in TensorFlow; only its weights are used here.
"""

from __future__ import annotations

import importlib
import io
import math
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gender_lightning.errors import UserError


class Proposals(nn.Module):
    """P-Net: proposes windows of 12 x 12 pixels, two pixels apart."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 10, 3), _WidePReLU(10), _Halved(),
            nn.Conv2d(10, 16, 3), nn.PReLU(16),
            nn.Conv2d(16, 32, 3), nn.PReLU(32),
        )  # fmt: skip
        self.shift = nn.Conv2d(32, 4, 1)
        self.face = nn.Conv2d(32, 2, 1)

    def forward(self, pictures: Tensor, least: float) -> tuple[Tensor, Tensor, Tensor]:
        """Find the windows in pictures (B, 3, H, W) whose score is above `least`.

        Returns:
            Places (N, 3), int64: picture, row and column of each window; scores (N,); shifts (N, 4) of their edges.
        """
        seen = self.body(pictures).permute(0, 2, 3, 1)
        weight, bias = self.face.weight.flatten(1), self.face.bias
        assert bias is not None
        # the logit alone, since windows that show no face need neither score nor shift
        logits = seen @ (weight[1] - weight[0]) + (bias[1] - bias[0])
        places = torch.nonzero(logits > math.log(least / (1 - least)))
        found = tuple(places.T)
        return (
            places,
            logits[found].sigmoid(),
            functional.linear(seen[found], self.shift.weight.flatten(1), self.shift.bias),
        )


class Refinement(nn.Module):
    """R-Net: decides which windows, resampled to 24 x 24, are faces."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 28, 3), nn.PReLU(28), _pool(3),
            nn.Conv2d(28, 48, 3), nn.PReLU(48), _pool(3),
            nn.Conv2d(48, 64, 2), nn.PReLU(64),
            _ColumnsFirst(), nn.Linear(576, 128), nn.PReLU(128),
        )  # fmt: skip
        self.shift = nn.Linear(128, 4)
        self.face = nn.Linear(128, 2)

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Map windows (N, 3, 24, 24) to scores (N,) and shifts (N, 4)."""
        seen = self.body(windows)
        return self.face(seen).softmax(1)[:, 1], self.shift(seen)


class Output(nn.Module):
    """O-Net: decides the same at 48 x 48, and places five landmarks."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 32, 3), nn.PReLU(32), _pool(3),
            nn.Conv2d(32, 64, 3), nn.PReLU(64), _pool(3),
            nn.Conv2d(64, 64, 3), nn.PReLU(64), _pool(2),
            nn.Conv2d(64, 128, 2), nn.PReLU(128),
            _ColumnsFirst(), nn.Linear(1152, 256), nn.PReLU(256),
        )  # fmt: skip
        self.shift = nn.Linear(256, 4)
        self.landmarks = nn.Linear(256, 10)
        self.face = nn.Linear(256, 2)

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map windows (N, 3, 48, 48) to scores (N,), shifts (N, 4) and landmarks (N, 10): five x, then five y."""
        seen = self.body(windows)
        return self.face(seen).softmax(1)[:, 1], self.shift(seen), self.landmarks(seen)


class _ColumnsFirst(nn.Module):
    """Flattens in Matlab's order, in which the weights were trained: x, then y, then channel."""

    def forward(self, seen: Tensor) -> Tensor:
        return seen.permute(0, 3, 2, 1).flatten(1)


class _WidePReLU(nn.PReLU):
    """The same for few channels, in half the time: a row of pixels is one vector, not as many vectors of 10 numbers."""

    def forward(self, seen: Tensor) -> Tensor:
        batch, channels, height, width = seen.shape
        rows = seen.permute(0, 2, 3, 1).reshape(batch * height, width * channels)
        return (
            functional.prelu(rows, self.weight.repeat(width)).view(batch, height, width, channels).permute(0, 3, 1, 2)
        )


class _Halved(nn.Module):
    """`_pool(2)` for few channels, in half the time."""

    def forward(self, seen: Tensor) -> Tensor:
        seen = seen.permute(0, 2, 3, 1)
        for side in (1, 2):
            pairs = seen.shape[side] // 2
            pooled = seen.new_empty([*seen.shape[:side], pairs + seen.shape[side] % 2, *seen.shape[side + 1 :]])
            before = (slice(None),) * side
            first, second = (seen[(*before, slice(start, 2 * pairs, 2))] for start in (0, 1))
            torch.maximum(first, second, out=pooled.narrow(side, 0, pairs))
            if seen.shape[side] % 2:
                pooled.select(side, pairs).copy_(seen.select(side, -1))
            seen = pooled
        return seen.permute(0, 3, 1, 2)


def _pool(size: int) -> nn.MaxPool2d:
    return nn.MaxPool2d(size, 2, ceil_mode=True)


def load_networks() -> tuple[Proposals, Refinement, Output]:
    """The networks with their weights, in evaluation mode, on the CPU.

    Raises:
        UserError: The package that holds the weights is not installed.
    """
    networks = (Proposals(), Refinement(), Output())
    for network, file in zip(networks, ("pnet.lz4", "rnet.lz4", "onet.lz4"), strict=True):
        _fill(network, _read_weights(file))
        network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # half the time of NCHW
    return networks


def _read_weights(file: str) -> list[Any]:
    """The arrays of a weight file, in Keras' order and memory layout."""
    try:
        # `import mtcnn` would load TensorFlow
        path = Path(str(metadata.distribution("mtcnn").locate_file(f"mtcnn/assets/weights/{file}")))
    except metadata.PackageNotFoundError:
        path = Path()
    if not path.is_file():
        raise UserError(
            "The face detector's weights are not installed.",
            "Install them (`pip install mtcnn`), or use faces=none for pictures that are cropped already.",
        )
    import joblib

    # not with joblib alone: from Python 3.13 on, the lz4 file that it opens and closes prints a traceback
    frame = importlib.import_module("lz4.frame")
    return list(joblib.load(io.BytesIO(frame.decompress(path.read_bytes()))))


def _fill(network: nn.Module, arrays: list[Any]) -> None:
    """Copy arrays into parameters; both are in the order of definition."""
    parameters = list(network.parameters())
    assert len(parameters) == len(arrays)
    for parameter, array in zip(parameters, arrays, strict=True):
        values = torch.from_numpy(array.copy())
        if values.ndim == 4:
            values = values.permute(3, 2, 0, 1)  # Keras: height, width, in, out
        elif parameter.ndim == 2:
            values = values.T
        parameter.data.copy_(values.reshape(parameter.shape))
