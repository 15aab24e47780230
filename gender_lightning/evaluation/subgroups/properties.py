"""Light, sharpness, size and turn of a face, measured on the pictures as the model sees them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

FROM_PIXELS = ("brightness", "contrast", "side_light", "sharpness")
FROM_LANDMARKS = ("face_size", "head_turn", "head_tilt")
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_LAPLACE = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))
_MARGIN = 0.2  # of the side, left out all around: the face is in the middle


@torch.no_grad()
def measure_pixels(images: Tensor) -> Tensor:
    """`FROM_PIXELS` of a batch, over the middle 60 % of each side.

    Args:
        images: uint8 (B, 3, S, S), RGB, on any device.

    Returns:
        float32 (B, 4). brightness: mean luma, 0..1. contrast: its standard deviation, 0..0.5. side_light: mean
        of the picture's right half minus that of the left, over their sum, -1..1. sharpness: energy of the
        Laplacian over the variance of the luma (after Pech-Pacheco et al. 2000, but independent of the contrast);
        0 for a blank picture.
    """
    weights = torch.tensor(_LUMA, device=images.device) / 255
    luma = torch.einsum("bchw,c->bhw", images.float(), weights)
    side = luma.shape[-1]
    margin = int(side * _MARGIN)
    middle = luma[:, margin : side - margin, margin : side - margin]
    half = middle.shape[-1] // 2
    left, right = middle[..., :half].mean((1, 2)), middle[..., -half:].mean((1, 2))
    kernel = torch.tensor(_LAPLACE, device=images.device)[None, None]
    edges = functional.conv2d(middle[:, None], kernel)[:, 0]
    variance = middle.var((1, 2), correction=0)
    sharpness = torch.where(variance > 1e-8, edges.square().mean((1, 2)) / variance.clamp(min=1e-8), 0.0)
    side_light = (right - left) / (right + left).clamp(min=1e-8)
    return torch.stack([middle.mean((1, 2)), variance.sqrt(), side_light, sharpness], dim=1)


def measure_landmarks(landmarks: NDArray[np.int16]) -> dict[str, NDArray[np.float32]]:
    """`FROM_LANDMARKS`, each float32 (N,).

    Args:
        landmarks: (N, 10), pixels x, y of left eye, right eye, nose, left and right corner of the mouth.

    Returns:
        face_size: from the middle of the eyes to that of the mouth, in pixels of the picture. head_turn: how far
        the nose is off the line between those middles, along the eyes' axis, in distances between the eyes; 0 is
        frontal, positive towards the picture's right. head_tilt: of the eyes' axis, degrees, positive clockwise.
        nan where eyes coincide.
    """
    points = landmarks.astype(np.float64).reshape(-1, 5, 2)
    axis = points[:, 1] - points[:, 0]
    distance = np.linalg.norm(axis, axis=1)
    eyes, mouth = points[:, :2].mean(axis=1), points[:, 3:].mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        along = axis / distance[:, None]
        turn = ((points[:, 2] - (eyes + mouth) / 2) * along).sum(axis=1) / distance
        tilt = np.where(distance > 0, np.degrees(np.arctan2(axis[:, 1], axis[:, 0])), np.nan)
    size = np.linalg.norm(mouth - eyes, axis=1)
    found = {"face_size": size, "head_turn": turn, "head_tilt": tilt}
    return {name: values.astype(np.float32) for name, values in found.items()}
