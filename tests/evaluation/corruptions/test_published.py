"""The fifteen corruptions against the published formulas, with the same random numbers."""

from __future__ import annotations

import numpy as np
import published
import pytest
import scipy.stats
import torch
from torch import Tensor

from gender_lightning.evaluation.corruptions import catalogue, digital, filters
from gender_lightning.evaluation.corruptions.catalogue import CORRUPTIONS, corrupt
from gender_lightning.evaluation.corruptions.randomness import Draws
from gender_lightning.evaluation.corruptions.severity import PUBLISHED, SEVERITIES, Scale

SEED = 5
INDICES = torch.tensor([7, 123456])
FIFTEEN = [name for name, it in CORRUPTIONS.items() if it.group != "face"]
every_severity = pytest.mark.parametrize("severity", SEVERITIES)


def _pictures(size: int) -> Tensor:
    """Smooth colours with edges, black and white pixels and noise: uint8 (2, 3, S, S)."""
    rng = np.random.default_rng(size)
    small = torch.from_numpy(rng.uniform(0, 1, (2, 3, 7, 7)).astype(np.float32))
    picture = torch.nn.functional.interpolate(small, (size, size), mode="bicubic")
    picture[:, :, size // 3 : size // 2, size // 4 : size // 2] = 1.0
    picture[:, :, -3:, :5] = 0.0
    picture += torch.from_numpy(rng.normal(0, 0.03, picture.shape).astype(np.float32))
    return (picture.clamp(0, 1) * 255).to(torch.uint8)


def _ours(name: str, severity: int, size: int) -> np.ndarray:
    disturbed = corrupt(name, severity, _pictures(size), INDICES, seed=SEED)
    assert disturbed.dtype == torch.uint8 and disturbed.shape == (2, 3, size, size)
    return disturbed.permute(0, 2, 3, 1).numpy().astype(np.int64)


def _theirs(images: list[np.ndarray]) -> np.ndarray:
    return np.floor(np.clip(np.stack(images), 0, 1) * 255 + 1e-3).astype(np.int64)


def _inputs(size: int) -> np.ndarray:
    return _pictures(size).permute(0, 2, 3, 1).numpy() / 255.0


def _draws(name: str) -> Draws:
    return Draws(SEED, CORRUPTIONS[name].number, INDICES)


def _last(channels_first: Tensor) -> np.ndarray:
    return channels_first.movedim(1, -1).double().numpy()


def _close(ours: np.ndarray, theirs: np.ndarray, levels: int = 1, share: float = 0.0) -> None:
    """At most `levels` apart, but for a share of the values; and no drift."""
    apart = np.abs(ours - theirs)
    assert (apart > levels).mean() <= share, f"{apart.max()} levels apart, {(apart > levels).mean():.2%} of values"
    assert abs((ours - theirs).mean()) < 0.1


@every_severity
@pytest.mark.parametrize("size", [32, 64])
def test_noises(size: int, severity: int) -> None:
    draws = _draws("gaussian_noise")
    c = PUBLISHED[size]["gaussian_noise"][severity - 1]
    noise = _last(draws.normal(3, size, size))
    pairs = zip(_inputs(size), noise, strict=True)
    _close(_ours("gaussian_noise", severity, size), _theirs([published.gaussian_noise(x, c, n) for x, n in pairs]))
    draws = _draws("impulse_noise")
    c = PUBLISHED[size]["impulse_noise"][severity - 1]
    flips, salts = _last(draws.uniform(3, size, size)), _last(draws.uniform(3, size, size))
    expected = [published.impulse_noise(*both) for both in zip(_inputs(size), [c, c], flips, salts, strict=True)]
    _close(_ours("impulse_noise", severity, size), _theirs(expected), levels=0)


@every_severity
@pytest.mark.parametrize("size", [32, 64])
def test_shot_noise_inverts_scipys_distribution(size: int, severity: int) -> None:
    c = PUBLISHED[size]["shot_noise"][severity - 1]
    uniform = _last(_draws("shot_noise").uniform(3, size, size))
    expected = scipy.stats.poisson.ppf(uniform, _inputs(size) * c) / c
    expected[_inputs(size) == 0] = 0
    _close(_ours("shot_noise", severity, size), _theirs(list(expected)), levels=0, share=1e-5)


@every_severity
@pytest.mark.parametrize("size", [32, 64, 224])
def test_defocus_blur(size: int, severity: int) -> None:
    c = PUBLISHED[size]["defocus_blur"][severity - 1]
    _close(_ours("defocus_blur", severity, size), _theirs([published.defocus_blur(x, c) for x in _inputs(size)]))


@every_severity
@pytest.mark.parametrize("size", [32, 64])
def test_glass_blur(size: int, severity: int) -> None:
    _check_glass_blur(size, severity)


def test_glass_blur_of_a_large_picture() -> None:
    _check_glass_blur(224, 5)


def _check_glass_blur(size: int, severity: int) -> None:
    sigma, reach, rounds = PUBLISHED[size]["glass_blur"][severity - 1]
    inner = size - 2 * reach
    moves = _draws("glass_blur").integers(rounds, inner, inner, 2, low=-reach, high=reach).numpy()
    pairs = zip(_inputs(size), moves, strict=True)
    expected = [published.glass_blur(x, (sigma, reach, rounds), m) for x, m in pairs]
    _close(_ours("glass_blur", severity, size), _theirs(expected))


@every_severity
@pytest.mark.parametrize("size", [32, 64, 224])
def test_motion_blur(size: int, severity: int) -> None:
    c = PUBLISHED[size]["motion_blur"][severity - 1]
    angles = _draws("motion_blur").uniform(low=-45, high=45).double().tolist()
    expected = [published.magick_motion(x, *c, angle) for x, angle in zip(_inputs(size), angles, strict=True)]
    _close(_ours("motion_blur", severity, size), _theirs(expected))


@every_severity
@pytest.mark.parametrize("size", [64, 224])
def test_zoom_blur(size: int, severity: int) -> None:
    factors = published.ZOOMS[size][severity - 1]()
    _close(_ours("zoom_blur", severity, size), _theirs([published.zoom_blur(x, factors) for x in _inputs(size)]))


@every_severity
@pytest.mark.parametrize("size", [32, 224])
def test_snow(size: int, severity: int) -> None:
    c, draws = PUBLISHED[size]["snow"][severity - 1], _draws("snow")
    noise = draws.normal(1, size, size)[:, 0].double().numpy()
    angles = draws.uniform(low=-135, high=-45).double().tolist()
    expected = [published.snow(x, c, n, a) for x, n, a in zip(_inputs(size), noise, angles, strict=True)]
    # a flake right at the threshold is there in float64 and not in float32
    _close(_ours("snow", severity, size), _theirs(expected), levels=2, share=1e-3)


@every_severity
@pytest.mark.parametrize("size", [32, 48])
def test_fog(size: int, severity: int) -> None:
    c, side = Scale.of(size).parameters("fog", severity), 1 << (size - 1).bit_length()
    numbers = _draws("fog").uniform(side * side, low=-1, high=1).double().numpy()
    expected = [published.fog(x, c, n) for x, n in zip(_inputs(size), numbers, strict=True)]
    _close(_ours("fog", severity, size), _theirs(expected))


@every_severity
def test_frost_is_the_published_blend_of_a_drawn_texture(severity: int) -> None:
    from gender_lightning.evaluation.corruptions.weather import frost_texture

    texture = _last(frost_texture(64, _draws("frost")))
    keep, add = PUBLISHED[64]["frost"][severity - 1]
    _close(
        _ours("frost", severity, 64), _theirs([keep * x + add * t for x, t in zip(_inputs(64), texture, strict=True)])
    )
    assert 0.3 < texture.mean() < 0.7 and texture.std() > 0.1 and texture.min() >= 0 and texture.max() <= 1
    assert not np.allclose(texture[0], texture[1])


@every_severity
@pytest.mark.parametrize("size", [32, 64])
def test_brightness_and_contrast(size: int, severity: int) -> None:
    for name, formula in (("brightness", published.brightness), ("contrast", published.contrast)):
        c = PUBLISHED[size][name][severity - 1]
        _close(_ours(name, severity, size), _theirs([formula(x, c) for x in _inputs(size)]))


@every_severity
@pytest.mark.parametrize("size", [32, 64, 224])
def test_elastic_transform(size: int, severity: int) -> None:
    c = tuple(part * size for part in PUBLISHED[size]["elastic_transform"][severity - 1])
    draws = _draws("elastic_transform")
    moves = draws.uniform(3, 2, low=-c[2], high=c[2]).numpy()
    noise = draws.uniform(2, size, size, low=-1, high=1).double().numpy()
    expected = [published.elastic_transform(x, c, m, n) for x, m, n in zip(_inputs(size), moves, noise, strict=True)]
    # OpenCV rounds where it samples to 1/32 of a pixel: some levels at the picture's hard edges
    _close(_ours("elastic_transform", severity, size), _theirs(expected), levels=4, share=0.02)


@every_severity
@pytest.mark.parametrize("size", [32, 64, 224])
def test_pixelate_and_jpeg_are_pillows(size: int, severity: int) -> None:
    c = PUBLISHED[size]["pixelate"][severity - 1]
    _close(_ours("pixelate", severity, size), _theirs([published.pixelate(x, c) for x in _inputs(size)]), levels=0)
    c = PUBLISHED[size]["jpeg_compression"][severity - 1]
    expected = _theirs([published.jpeg_compression(x, c) for x in _inputs(size)])
    _close(_ours("jpeg_compression", severity, size), expected, levels=1)


@pytest.mark.parametrize(("radius", "blur"), [(0.3, 0.4), (3, 0.1), (8, 0.5), (10, 0.5)])
def test_the_disk_is_the_published_one(radius: float, blur: float) -> None:
    assert np.allclose(filters.disk(radius, blur).numpy(), published.disk(radius, blur), atol=1e-6)


def test_a_blur_wider_than_the_picture_is_scipys() -> None:
    noise = np.random.default_rng(1).uniform(-1, 1, (20, 20))
    for mode in ("nearest", "reflect"):
        ours = filters.gaussian_blur(torch.from_numpy(noise).float()[None], 30.0, 3.0, mode)[0].numpy()
        assert np.allclose(ours, published.skimage_gaussian(noise, 30.0, mode, 3.0), atol=1e-5)


def test_every_published_corruption_has_five_severities_of_its_set() -> None:
    assert len(FIFTEEN) == 15
    for table in PUBLISHED.values():
        assert sorted(table) == sorted(FIFTEEN) and all(len(values) == 5 for values in table.values())


@pytest.mark.parametrize(
    ("size", "name"),
    [(224, "imagenet-c"), (64, "tiny-imagenet-c"), (32, "cifar-10-c"), (112, "tiny-imagenet-c x 1.75"),
     (128, "imagenet-c x 0.57")],
)  # fmt: skip
def test_an_image_size_takes_the_nearest_published_set(size: int, name: str) -> None:
    assert Scale.of(size).name == name


def test_lengths_between_the_published_sizes_are_scaled() -> None:
    narrow = filters.disk(4 * 128 / 224, 0.5)
    blurred = catalogue.CORRUPTIONS["defocus_blur"].function(
        _pictures(128).float() / 255, (4, 0.5), Scale.of(128), _draws("defocus_blur")
    )
    assert torch.equal(blurred, filters.filter_2d(_pictures(128).float() / 255, narrow))
    assert digital.box_matrix(4, 2).tolist() == [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]
