"""Building blocks of several corruptions: blurs, zooms and shifts of a batch, equivalent to the published code."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def gaussian_matrix(size: int, sigma: float, truncate: float, boundary: str, device: torch.device) -> Tensor:
    """A one-dimensional Gaussian blur of `size` pixels as a matrix, float32 (size, size): blurred = matrix @ pixels.

    Equivalent to scipy.ndimage.gaussian_filter1d of the same mode; a matrix, since a wide kernel extends several times
    beyond the border.

    Args:
        size: Length of the line in pixels.
        sigma: Standard deviation in pixels; 0 gives the identity.
        truncate: Radius of the kernel in standard deviations.
        boundary: ``nearest`` repeats the last pixel, ``reflect`` mirrors about its outer edge.
        device: Device of the matrix.
    """
    if sigma <= 0:
        return torch.eye(size, device=device)
    radius = int(truncate * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-0.5 * (offsets / sigma).double() ** 2)
    weights /= weights.sum()
    source = torch.arange(size)[:, None] + offsets
    if boundary == "nearest":
        source = source.clamp(0, size - 1)
    else:
        source = source.remainder(2 * size)
        source = torch.where(source >= size, 2 * size - 1 - source, source)
    matrix = torch.zeros(size, size, dtype=torch.float64)
    matrix.scatter_add_(1, source, weights.expand(size, -1).contiguous())
    return matrix.float().to(device)


def gaussian_blur(images: Tensor, sigma: float, truncate: float = 4.0, boundary: str = "nearest") -> Tensor:
    """Apply skimage.filters.gaussian to each channel of square images, float32 (..., S, S)."""
    matrix = gaussian_matrix(images.shape[-1], sigma, truncate, boundary, images.device)
    return matrix @ images @ matrix.T


def disk(radius: float, alias_blur: float) -> Tensor:
    """The kernel of defocus_blur: a disk, slightly blurred; float32 (K, K), of sum 1, K odd."""
    reach = 8 if radius <= 8 else math.ceil(radius)
    line = torch.arange(-reach, reach + 1, dtype=torch.float32)
    inside = (line[:, None] ** 2 + line**2 <= radius**2).float()
    inside /= inside.sum()
    half = 1 if radius <= 8 else 2  # OpenCV's GaussianBlur with 3 x 3 or 5 x 5 taps
    taps = torch.exp(-0.5 * (torch.arange(-half, half + 1) / alias_blur) ** 2)
    taps /= taps.sum()
    padded = F.pad(inside[None, None], (half,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, taps.view(1, 1, -1, 1)), taps.view(1, 1, 1, -1))[0, 0]


def filter_2d(images: Tensor, kernel: Tensor) -> Tensor:
    """Apply cv2.filter2D with its mirrored border (the last pixel is not repeated), float32 (B, C, S, S)."""
    reach = kernel.shape[-1] // 2
    size = images.shape[-1]
    if size > 1:  # a kernel may be wider than a tiny picture, which F.pad rejects
        place = torch.arange(-reach, size + reach, device=images.device).remainder(2 * (size - 1))
        place = torch.where(place >= size, 2 * (size - 1) - place, place)
    else:
        place = torch.zeros(1 + 2 * reach, dtype=torch.long, device=images.device)
    padded = images[..., place, :][..., place]
    weights = kernel.to(images.device).expand(images.shape[1], 1, -1, -1)
    return F.conv2d(padded, weights.contiguous(), groups=images.shape[1])


def motion_blur(images: Tensor, radius: float, sigma: float, angles: Tensor) -> Tensor:
    """Apply ImageMagick's MotionBlurImage: half a Gaussian along a line, with replicated borders.

    Args:
        images: float32 (B, C, S, S).
        radius: Radius in pixels; the line has 2 * ceil(radius) + 1 pixels.
        sigma: Standard deviation in pixels.
        angles: float32 (B,), direction of each line in degrees.
    """
    size, steps = images.shape[-1], 2 * math.ceil(radius) + 1
    along = torch.arange(steps, device=images.device)
    weights = torch.exp(-((along / sigma) ** 2) / 2)
    weights /= weights.sum()
    radians = torch.deg2rad(angles.double().cpu() if images.device.type == "mps" else angles.double())
    # the line runs towards (cos, sin); ImageMagick rounds each step to a whole pixel
    steps_x = torch.ceil(along.to(radians.device) * torch.cos(radians)[:, None] - 0.5).long().to(images.device)
    steps_y = torch.ceil(along.to(radians.device) * torch.sin(radians)[:, None] - 0.5).long().to(images.device)
    line, batch = torch.arange(size, device=images.device), torch.arange(len(images), device=images.device)
    result = torch.zeros_like(images)
    for step in range(steps):
        rows = (line + steps_y[:, step, None]).clamp(0, size - 1)
        columns = (line + steps_x[:, step, None]).clamp(0, size - 1)
        # advanced indices around a slice come first: (B, S, S, C)
        moved = images[batch[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        result += weights[step] * moved.permute(0, 3, 1, 2)
    return result


def clipped_zoom(images: Tensor, factor: float) -> Tensor:
    """Enlarge the centre of each picture by `factor` >= 1 to the full size, bilinearly, float32 (B, C, S, S)."""
    size = images.shape[-1]
    kept = math.ceil(size / factor)
    top = (size - kept) // 2
    enlarged = max(size, round(kept * factor))
    part = images[..., top : top + kept, top : top + kept]
    if enlarged != kept:
        part = F.interpolate(part, (enlarged, enlarged), mode="bilinear", align_corners=True)  # scipy's zoom, order 1
    trim = (enlarged - size) // 2
    return part[..., trim : trim + size, trim : trim + size]


def remap(images: Tensor, x: Tensor, y: Tensor, mode: str) -> Tensor:
    """Sample images bilinearly at pixel positions.

    Args:
        images: float32 (B, C, S, S).
        x: float32 (B, S, S), columns, from 0.
        y: float32 (B, S, S), rows.
        mode: ``reflect`` mirrors about the outer edge of the last pixel, ``mirror`` about its middle.
    """
    size = images.shape[-1]
    corners = mode == "mirror"
    scale, shift = (2 / (size - 1), -1.0) if corners else (2 / size, 1 / size - 1)
    grid = torch.stack((x, y), -1) * scale + shift
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=corners)


def plasma(draws: Tensor, decay: float) -> Tensor:
    """Generate clouds with the diamond-square algorithm on a torus, each scaled to 0..1.

    Args:
        draws: float32 (B, M * M), uniform in -1..1, M a power of two: one number for each pixel, used in the
            order in which the algorithm fills them.
        decay: Each halving of the step divides the amplitude by this.

    Returns:
        float32 (B, M, M).
    """
    count, size = len(draws), math.isqrt(draws.shape[1])
    assert size & (size - 1) == 0
    field = torch.zeros(count, size, size, device=draws.device)
    step, wibble, used = size, 100.0, 0

    def filled(total: Tensor) -> Tensor:
        nonlocal used
        number = total.shape[1] * total.shape[2]
        noise = draws[:, used : used + number].reshape(total.shape)
        used += number
        return total / 4 + wibble * wibble * noise

    while step >= 2:
        half = step // 2
        corners = field[:, ::step, ::step]
        squares = corners + corners.roll(-1, 1)
        field[:, half::step, half::step] = filled(squares + squares.roll(-1, 2))
        middles, corners = field[:, half::step, half::step], field[:, ::step, ::step]
        field[:, ::step, half::step] = filled(middles + middles.roll(1, 1) + corners + corners.roll(-1, 2))
        field[:, half::step, ::step] = filled(middles + middles.roll(1, 2) + corners + corners.roll(-1, 1))
        step, wibble = half, wibble / decay
    field -= field.amin((1, 2), keepdim=True)
    return field / field.amax((1, 2), keepdim=True).clamp_min(1e-12)
