"""What holds for every corruption: independent of the batch, growing with severity, uint8 or float alike."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from gender_lightning.data.framing import Framing
from gender_lightning.evaluation.corruptions.catalogue import CORRUPTIONS, GROUPS, corrupt
from gender_lightning.evaluation.corruptions.faces import FacePlace
from gender_lightning.evaluation.corruptions.randomness import Draws

every = pytest.mark.parametrize("name", list(CORRUPTIONS))


@pytest.fixture(scope="module")
def faces() -> Tensor:
    """uint8 (6, 3, 48, 48), smooth."""
    rng = np.random.default_rng(0)
    small = torch.from_numpy(rng.uniform(0.1, 0.9, (6, 3, 6, 6)).astype(np.float32))
    return (torch.nn.functional.interpolate(small, (48, 48), mode="bicubic").clamp(0, 1) * 255).to(torch.uint8)


@every
def test_an_image_is_disturbed_alike_in_any_batch(faces: Tensor, name: str) -> None:
    indices = torch.tensor([3, 0, 99, 4, 17, 2_000_000])
    whole = corrupt(name, 3, faces, indices, seed=1)
    order = torch.tensor([4, 1, 5])
    part = corrupt(name, 3, faces[order], indices[order], seed=1)
    apart = (whole[order].int() - part.int()).abs()
    # matrix products of another size may round the last bit otherwise
    assert apart.max() <= 1 and (apart > 0).float().mean() < 1e-3
    alone = corrupt(name, 3, faces[2:3], indices[2:3], seed=1)
    assert (alone.int() - whole[2:3].int()).abs().max() <= 1


@every
def test_floats_give_the_same_as_bytes(faces: Tensor, name: str) -> None:
    indices = torch.arange(6)
    floats = corrupt(name, 2, faces.float() / 255, indices)
    assert floats.dtype == torch.float32 and floats.min() >= 0 and floats.max() <= 1
    assert torch.equal((floats * 255).round().to(torch.uint8), corrupt(name, 2, faces, indices))
    assert faces.dtype == torch.uint8


@every
def test_the_worst_severity_changes_more_than_the_mildest(faces: Tensor, name: str) -> None:
    indices = torch.arange(6)
    change = [(corrupt(name, s, faces, indices).float() - faces.float()).abs().mean().item() for s in (1, 5)]
    # the published severities trade elastic's affine part for its wobble, and dim what frost brightens
    if name in ("elastic_transform", "frost"):
        assert min(change) > 0
    else:
        assert 0 < change[0] < change[1]


FIXED = {"defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression", "low_resolution"}
RANDOM = [name for name in CORRUPTIONS if name not in FIXED]


@pytest.mark.parametrize("name", RANDOM)
def test_seed_and_image_decide(faces: Tensor, name: str) -> None:
    same = faces[:1].expand(4, -1, -1, -1)
    several = torch.cat([corrupt(name, 3, same, torch.arange(start, start + 4)) for start in (0, 4, 8)])
    assert len(torch.unique(several, dim=0)) > 1
    one, other = (corrupt(name, 3, faces, torch.arange(6), seed=seed) for seed in (1, 2))
    assert not torch.equal(one, other)


def test_there_are_fifteen_and_seven_of_faces_with_numbers_of_their_own() -> None:
    counts = {group: sum(corruption.group == group for corruption in CORRUPTIONS.values()) for group in GROUPS}
    assert counts == {"noise": 3, "blur": 4, "weather": 4, "digital": 4, "face": 7}
    assert len({corruption.number for corruption in CORRUPTIONS.values()}) == 22


def test_mask_and_sunglasses_cover_mouth_and_eyes_whatever_the_framing() -> None:
    white = torch.full((8, 3, 90, 90), 200, dtype=torch.uint8)
    for framing in (Framing(90), Framing(90, zoom=0.8), Framing(90, crop="none")):
        place = FacePlace.of(framing)
        eye = (int(place.eyes * 90), int((place.middle - place.apart) * 90))
        mouth = (int((place.eyes + 0.57 * (place.chin - place.eyes)) * 90), int(place.middle * 90))
        for name, covered, free in (("sunglasses", eye, mouth), ("mask", mouth, eye)):
            changed = (corrupt(name, 3, white, torch.arange(8), framing=framing) != 200).any(1)
            assert changed[:, covered[0], covered[1]].all(), (name, framing)
            assert not changed[:, free[0], free[1]].any(), (name, framing)


def test_the_place_of_the_face_is_celebas() -> None:
    place = FacePlace.of(Framing(178))  # the square starts 20 px below the top
    assert (place.middle, place.eyes, place.apart, place.aspect) == (0.5, 91 / 178, 20 / 178, 1.0)


def test_side_light_darkens_one_side() -> None:
    grey = torch.full((16, 3, 40, 40), 128, dtype=torch.uint8)
    lit = corrupt("side_light", 4, grey, torch.arange(16)).float()
    left, right = lit[..., :8].mean((1, 2, 3)), lit[..., -8:].mean((1, 2, 3))
    assert (torch.maximum(left, right) > 105).all() and (torch.minimum(left, right) < 60).all()
    assert (left < right).any() and (left > right).any()


def test_the_draws_have_the_distributions_they_name() -> None:
    draws = Draws(3, 1, torch.arange(4))
    assert scipy.stats.kstest(draws.normal(20_000).reshape(-1).numpy(), "norm").pvalue > 0.001
    levels = torch.full((4, 20_000), 180.0)
    counts = draws.poisson(levels, 12.0)
    mean = 180 / 255 * 12
    assert counts.mean().item() == pytest.approx(mean, abs=0.06)
    assert counts.var().item() == pytest.approx(mean, rel=0.04)
    whole = draws.integers(20_000, low=-3, high=3)
    assert sorted(whole.unique().tolist()) == [-3, -2, -1, 0, 1, 2]
    assert Draws(3, 1, torch.tensor([2])).uniform(5).tolist()[0] == Draws(3, 1, torch.arange(4)).uniform(5)[2].tolist()
