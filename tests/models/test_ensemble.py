"""Several networks as one, against numpy and numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gender_lightning.data.decoding import frame
from gender_lightning.data.framing import Framing, Placement, SideBySide
from gender_lightning.errors import UserError
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, Network
from gender_lightning.models.ensemble import Ensemble, joined_spec, mutual_information

SMALL, LOWER, LARGE = Framing(32), Framing(32, "lower"), Framing(48, zoom=0.8)


def network(seed: int, framing: Framing, **spec: object) -> Network:
    torch.manual_seed(seed)
    net = create_backbone("timm/test_resnet", image_size=framing.image_size)
    return Network(net, ModelSpec("timm/test_resnet", framing, **spec)).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("framings", [(SMALL, SMALL), (SMALL, LARGE, LOWER)])
@torch.inference_mode()
def test_the_logit_is_the_mean_of_the_calibrated_logits_of_single_networks(framings: tuple[Framing, ...]) -> None:
    members = [
        network(seed, framing, temperature=0.5 + seed, test_time_flip=seed == 1)
        for seed, framing in enumerate(framings)
    ]
    pictures = np.random.default_rng(1).integers(0, 256, (3, 109, 89, 3), dtype=np.uint8)

    def seen(framing: Framing) -> torch.Tensor:
        return torch.from_numpy(np.stack([frame(picture, framing) for picture in pictures])).permute(0, 3, 1, 2)

    alone = np.stack([one(seen(one.spec.framing)).numpy() / one.spec.temperature for one in members])
    mean = Ensemble(members, ["a", "b", "c"][: len(members)]).eval()
    images = seen(mean.spec.framing)
    assert np.allclose(mean(images), alone.mean(axis=0), atol=1e-6)
    answers = mean.calibrated(1.7, 0.4, "half").answers(images)
    assert np.allclose([a.probability for a in answers], 1 / (1 + np.exp(-alone.mean(axis=0) / 1.7)), atol=1e-6)
    p = 1 / (1 + np.exp(-alone.astype(np.float64)))
    entropy = lambda x: -x * np.log(x) - (1 - x) * np.log(1 - x)  # noqa: E731
    expected = entropy(p.mean(axis=0)) - entropy(p).mean(axis=0)
    assert np.allclose([a.disagreement for a in answers], expected, atol=1e-6)
    assert [a.disagreement for a in members[0].answers(seen(members[0].spec.framing))] == [None] * 3


def test_mutual_information_by_hand() -> None:
    # 0.9 and 0.1: ln 2 - H(0.9) = 0.6931 - 0.3251; certain and opposed: ln 2; agreed, however unsure: 0
    p = torch.tensor([[0.9, 1.0, 0.6, 0.0], [0.1, 0.0, 0.6, 0.0]])
    by_hand = [math.log(2) + 0.9 * math.log(0.9) + 0.1 * math.log(0.1), math.log(2), 0.0, 0.0]
    assert by_hand[0] == pytest.approx(0.3680642, abs=1e-6)
    assert torch.allclose(mutual_information(p), torch.tensor(by_hand), atol=1e-6)


def test_framings_side_by_side_are_the_framings_themselves() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (218, 178, 3), dtype=np.uint8)
    joined = SideBySide.join([SMALL, LARGE, LOWER, SMALL])
    assert (
        joined.parts == (LARGE, SMALL, LOWER)
        and joined.shape == (48, 112)
        and joined.box(218, 178) == LARGE.box(218, 178)
    )
    pixels = torch.from_numpy(frame(picture, joined)).permute(2, 0, 1)
    for view, part in zip(joined.views(pixels), joined.parts, strict=True):
        assert np.array_equal(view.permute(1, 2, 0), frame(picture, part))
    assert SideBySide.join([SMALL, SMALL]) == SMALL and SMALL.views(pixels)[0] is pixels


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"class_names": ("no", "yes")}, "b tells no and yes apart, a female and male."),
        ({"placement": Placement(100, 100, ((30, 40), (70, 40)))}, "b was trained on pictures with the faces at other"),
    ],
)
def test_what_cannot_be_joined_is_said(change: dict[str, object], said: str) -> None:
    specs = [ModelSpec("resnet18", SMALL), ModelSpec("resnet18", LARGE, **change)]  # type: ignore[arg-type]
    with pytest.raises(UserError, match=said):
        joined_spec(specs, ["a", "b"])


def test_the_mean_is_named_by_its_members() -> None:
    specs = [ModelSpec(name, SMALL) for name in ("resnet18", "vgg19", "resnet18")]
    assert joined_spec(specs, ["a", "b", "c"]).backbone == "2 x resnet18 + vgg19"
