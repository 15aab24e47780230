"""Each loss is the published one, with smoothing and weights around it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from gender_lightning.config import Bce, Focal, LossConfig
from gender_lightning.errors import UserError
from gender_lightning.overrides import groups
from gender_lightning.training.losses import loss as losses
from gender_lightning.training.losses.loss import LOSSES, Criterion, balanced_weights, smooth

LOGITS = torch.tensor([-3.0, 0.2, 5.0, -0.7])
TARGETS = torch.tensor([0, 1, 0, 1])


def bce(label_smoothing: float = 0.0, class_weights: str = "none", counts: tuple[int, int] = (1, 1)) -> Criterion:
    values = {"name": "bce", "label_smoothing": label_smoothing, "class_weights": class_weights}
    return Criterion(Bce.model_validate(values), counts)


def test_every_loss_has_a_section_a_function_and_a_file() -> None:
    union = get_args(get_args(LossConfig)[0])
    names = {get_args(section.model_fields["name"].annotation)[0] for section in union}
    assert names == set(LOSSES) == set(groups()["loss"])


def test_plain_is_torchs() -> None:
    assert bce()(LOGITS, TARGETS).equal(nn.BCEWithLogitsLoss()(LOGITS, TARGETS.float()))


def test_smoothing_is_that_of_torchs_two_class_cross_entropy() -> None:
    two_logits = torch.stack([torch.zeros(4), LOGITS], dim=1)
    expected = nn.CrossEntropyLoss(label_smoothing=0.1)(two_logits, TARGETS)
    torch.testing.assert_close(bce(0.1)(LOGITS, TARGETS), expected)
    torch.testing.assert_close(smooth(torch.tensor([0.0, 1.0]), 0.1), torch.tensor([0.05, 0.95]))


def test_class_weights_weigh_by_the_unsmoothed_target() -> None:
    weight = torch.tensor([0.75, 1.5, 0.75, 1.5])  # two thirds of the images are female
    expected = nn.BCEWithLogitsLoss(weight=weight)(LOGITS, smooth(TARGETS.float(), 0.2))
    torch.testing.assert_close(bce(0.2, "balanced", (200, 100))(LOGITS, TARGETS), expected)


def test_a_mixed_target_costs_the_mixture_of_both_labels() -> None:
    logit = torch.tensor([0.8])
    as_male, as_female = bce()(logit, torch.tensor([1])), bce()(logit, torch.tensor([0]))
    torch.testing.assert_close(bce()(logit, torch.tensor([0.3])), 0.3 * as_male + 0.7 * as_female)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0, 3.5])
def test_focal_is_torchvisions(gamma: float) -> None:
    section = Focal(name="focal", gamma=gamma, label_smoothing=0.0, class_weights="none")
    logits = LOGITS.clone().requires_grad_()
    ours = Criterion(section)(logits, TARGETS)
    theirs = sigmoid_focal_loss(logits, TARGETS.float(), alpha=-1, gamma=gamma, reduction="mean")
    torch.testing.assert_close(ours, theirs)
    (gradient,), (expected,) = torch.autograd.grad(ours, logits), torch.autograd.grad(theirs, logits)
    torch.testing.assert_close(gradient, expected)


def test_half_precision_logits_are_computed_in_float32() -> None:
    assert bce()(LOGITS.bfloat16(), TARGETS).dtype == torch.float32


def test_a_loss_with_a_state_fits_in_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a loss to come needs: a function by name that gets the section, and the weights that all losses share."""

    def hinge(logits: Tensor, targets: Tensor, weights: Tensor | None, section: Any) -> Tensor:
        assert weights is None
        return (section.margin - logits * (2 * targets - 1)).clamp(min=0).mean()

    monkeypatch.setattr(losses, "LOSSES", {**LOSSES, "hinge": hinge})
    section: Any = SimpleNamespace(
        name="hinge", margin=1.0, label_smoothing=0.0, class_weights="none", logit_adjustment=0.0
    )
    assert float(Criterion(section)(LOGITS, TARGETS)) == pytest.approx((0 + 0.8 + 6 + 1.7) / 4)


def test_balanced_weights_make_both_classes_count_alike() -> None:
    female, male = balanced_weights((300, 100))
    assert female * 300 == pytest.approx(male * 100)
    assert (female * 300 + male * 100) / 400 == pytest.approx(1.0)
    with pytest.raises(UserError, match="class_weights=none"):
        balanced_weights((0, 5))


def test_balanced_weights_follow_what_the_sampler_draws() -> None:
    section = Bce.model_validate({"name": "bce", "label_smoothing": 0.0, "class_weights": "balanced"})
    # two groups of women and one of men, drawn equally often, of data in which women are fewer
    weights = Criterion(section, (100, 900), class_shares=(2 / 3, 1 / 3)).class_weights
    assert weights == pytest.approx((0.75, 1.5))
    assert Criterion(section, (100, 900)).class_weights == pytest.approx((5.0, 5 / 9))
