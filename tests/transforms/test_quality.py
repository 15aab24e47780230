"""Blur, resolution and JPEG against torchvision's own functions, image by image."""

from __future__ import annotations

import pytest
import torch
import torchvision.transforms.v2.functional as F
from torch import Tensor
from torchvision.transforms import InterpolationMode

from gender_lightning.transforms import AugmentationSettings, Downscale, GaussianBlur, Jpeg, Parameters, draw_parameters
from gender_lightning.transforms.augment import augment
from gender_lightning.transforms.quality import Quality, cosine_matrix

BILINEAR = InterpolationMode.BILINEAR
TOLERANCE = 0.05  # of 255 levels: float32 in another order


@pytest.fixture
def faces() -> Tensor:
    """Smooth pictures with edges and some noise, whole levels, 40 px (five blocks)."""
    generator = torch.Generator().manual_seed(5)
    coarse = torch.rand(6, 3, 6, 6, generator=generator) * 255
    smooth = F.resize(coarse, [40, 40], BILINEAR)
    return (smooth + torch.randn(6, 3, 40, 40, generator=generator) * 4).round().clamp(0, 255)


def test_blur_is_torchvisions(faces: Tensor) -> None:
    sigma = torch.tensor([0.0, 0.1, 0.5, 1.0, 2.0, 3.0])
    ours = Quality()(faces, Parameters(sigma=sigma))
    assert (ours[0] - faces[0]).abs().max() < TOLERANCE
    for image, face, s in zip(ours[1:], faces[1:], sigma[1:].tolist(), strict=True):
        theirs = F.gaussian_blur(face, [39, 39], [s, s])
        assert (image - theirs).abs().max() < TOLERANCE


def test_loss_of_resolution_is_torchvisions_resize_down_and_up(faces: Tensor) -> None:
    sides = torch.tensor([40, 39, 24, 17, 10, 1])
    ours = Quality()(faces, Parameters(side=sides.float()))
    for image, face, side in zip(ours, faces, sides.tolist(), strict=True):
        theirs = F.resize(F.resize(face, [side, side], BILINEAR, antialias=True), [40, 40], BILINEAR)
        assert (image - theirs).abs().max() < TOLERANCE


def test_blur_comes_before_the_loss_of_resolution(faces: Tensor) -> None:
    ours = Quality()(faces[:1], Parameters(sigma=torch.tensor([1.5]), side=torch.tensor([20.0])))
    theirs = F.resize(F.resize(F.gaussian_blur(faces[:1], [39, 39], [1.5, 1.5]), [20, 20], antialias=True), [40, 40])
    assert (ours - theirs).abs().max() < TOLERANCE


def _pillow(face: Tensor, quality: int) -> Tensor:
    """Through Pillow's JPEG, without the subsampling of colours."""
    import io

    from PIL import Image

    file = io.BytesIO()
    F.to_pil_image(face.to(torch.uint8)).save(file, "JPEG", quality=quality, subsampling=0)
    return F.pil_to_tensor(Image.open(file)).float()


@pytest.mark.parametrize("size", [40, 37])
def test_jpeg_is_pillows(faces: Tensor, size: int) -> None:
    """Within 1.5 of 255 levels on average: libjpeg rounds colours to whole levels before it transforms them.

    So coefficients near a tie are rounded the other way. With rounded colours 0.5 to 0.9 remain, of pixels rounded.
    """
    faces = faces[:, :, :size, :size]
    for quality in (1, 10, 30, 50, 75, 95, 100):
        ours = Quality()(faces, Parameters(quality=torch.full((6,), float(quality))))
        theirs = torch.stack([_pillow(face, quality) for face in faces])
        off = (ours - theirs).abs().mean()
        assert off < 1.5, quality
        lost = (theirs - faces).abs().mean()
        assert quality > 75 or off < 0.25 * lost, "the tolerance would not see a wrong quality"


def test_each_image_has_its_own_quality_and_some_have_none(faces: Tensor) -> None:
    ours = Quality()(faces, Parameters(quality=torch.tensor([0.0, 20, 0, 90, 50, 0])))
    assert (ours[[0, 2, 5]] - faces[[0, 2, 5]]).abs().max() < TOLERANCE
    for row, quality in ((1, 20), (3, 90), (4, 50)):
        assert (ours[row] - _pillow(faces[row], quality)).abs().mean() < 1.5


def test_a_small_picture_is_compressed_at_its_own_size(faces: Tensor) -> None:
    ours = Quality()(faces[:1], Parameters(side=torch.tensor([21.0]), quality=torch.tensor([30.0])))
    small = F.resize(faces[0], [21, 21], BILINEAR, antialias=True).round()
    theirs = F.resize(_pillow(small, 30), [40, 40], BILINEAR)
    assert (ours[0] - theirs).abs().mean() < 0.8
    whole = F.resize(F.resize(_pillow(faces[0], 30), [21, 21], BILINEAR, antialias=True), [40, 40], BILINEAR)
    assert (whole - theirs).abs().mean() > 2


def test_cosines_are_scipys() -> None:
    fft = pytest.importorskip("scipy.fft")
    line = torch.rand(16, generator=torch.Generator().manual_seed(1))
    theirs = [fft.dct(part.numpy(), norm="ortho") for part in (line[:8], line[8:])]
    ours = cosine_matrix(16, line.device) @ line
    torch.testing.assert_close(ours, torch.tensor([*theirs[0], *theirs[1]]))


def test_lost_colours_are_torchvisions_grayscale(faces: Tensor) -> None:
    settings = AugmentationSettings(random_grayscale=0.5)
    p = draw_parameters(settings, torch.arange(6), 3, 40, 40)
    assert p.saturation is not None
    grey = p.saturation == 0
    assert 0 < grey.sum() < 6
    ours = augment(faces, p)
    assert (ours[grey] - F.rgb_to_grayscale(faces[grey], 3)).abs().max() < TOLERANCE
    assert (ours[~grey] - faces[~grey]).abs().max() < TOLERANCE


def test_ranges_and_shares_are_the_documented_ones() -> None:
    settings = AugmentationSettings(
        random_aspect_ratio=(0.5, 2),
        random_grayscale=0.2,
        gaussian_blur=GaussianBlur(0.3, (0.5, 1.5)),
        downscale=Downscale(0.4, 8),
        jpeg=Jpeg(0.6, (20, 29)),
    )
    p = draw_parameters(settings, torch.arange(20000), 7, 64, 64)
    assert p.aspect is not None and p.sigma is not None and p.side is not None and p.quality is not None
    assert p.aspect.log2().mean().item() == pytest.approx(0, abs=0.02)
    assert p.aspect.min() >= 0.5 and p.aspect.max() <= 2
    for values, off, share, low, high in (
        (p.sigma, 0, 0.3, 0.5, 1.5),
        (p.side, 64, 0.4, 8, 64),
        (p.quality, 0, 0.6, 20, 29),
    ):
        on = values[values != off]
        assert len(on) / 20000 == pytest.approx(share, abs=0.02)
        assert low <= on.min() and on.max() <= high
    used = p.quality[p.quality > 0]
    assert used.unique().tolist() == list(range(20, 30))
    assert ((used == 20).float().mean() - 0.1).abs() < 0.02
    small = draw_parameters(settings, torch.arange(4), 7, 8, 8)
    assert small.side is None, "a picture is not enlarged"
