"""Group DRO is the published update; weights of groups and logit adjustment are their formulas."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gender_lightning.config import Bce, Focal
from gender_lightning.config import GroupDro as Section
from gender_lightning.errors import UserError
from gender_lightning.training.losses.loss import Criterion, GroupShares, log_odds

GROUPS = GroupShares(("female with Hat", "female without Hat", "male"), (0, 0, 1), (25, 175, 200), (1 / 3,) * 3)
SHARED: dict[str, Any] = {"label_smoothing": 0.0, "class_weights": "none"}
LOGITS = torch.tensor([-1.0, 0.5, 2.0, -0.3, 1.5, -2.0])
OF = torch.tensor([0, 1, 2, 2, 1, 1])


def dro(groups: GroupShares = GROUPS, **changes: Any) -> Criterion:
    section = {"name": "group_dro", "step_size": 0.4, "adjustment": 0.0, **SHARED, **changes}
    return Criterion(Section.model_validate(section), (200, 200), groups)


def one_hot(groups: Tensor) -> Tensor:
    return F.one_hot(groups, 3).float()


def labels(groups: Tensor) -> Tensor:
    return (groups == 2).float()


def losses_of(logits: Tensor, groups: Tensor) -> list[list[float]]:
    """Log-loss of each image, by group, from its definition."""
    found: list[list[float]] = [[], [], []]
    for logit, group in zip(logits.tolist(), groups.tolist(), strict=True):
        probability = 1 / (1 + math.exp(-logit))
        found[group].append(-math.log(probability if group == 2 else 1 - probability))
    return found


def published(q: list[float], losses: list[list[float]], step: float, constant: float = 0.0) -> list[float]:
    """Lines 4 and 5 of algorithm 1, for the groups that have images; n is that of GROUPS."""
    moved = [
        weight * math.exp(step * (sum(found) / len(found) + constant / math.sqrt(count))) if found else weight
        for weight, found, count in zip(q, losses, GROUPS.counts, strict=True)
    ]
    return [weight / sum(moved) for weight in moved]


@pytest.mark.parametrize("constant", [0.0, 3.0])
def test_two_steps_are_the_published_ones(constant: float) -> None:
    criterion = dro(adjustment=constant)
    q = [1 / 3] * 3
    for logits, of in ((LOGITS, OF), (LOGITS[2:] * 2, OF[2:])):  # the second step has no image of the first group
        losses = losses_of(logits, of)
        q = published(q, losses, 0.4, constant)
        found = criterion(logits.clone().requires_grad_(), labels(of), one_hot(of))
        # line 6 with images of all groups alike: the gradient of q_g times the loss, times the number of groups
        expected = sum(3 * q[group] * loss for group in range(3) for loss in losses[group]) / len(of)
        assert found.item() == pytest.approx(expected, rel=1e-5)
        criterion.end_step()
        assert criterion.dro is not None and criterion.dro.weights.tolist() == pytest.approx(q, rel=1e-5)


def test_the_weights_of_an_accumulation_are_those_of_its_images_together() -> None:
    whole, parts = dro(), dro()
    total = whole(LOGITS, labels(OF), one_hot(OF))
    pieces = [parts(LOGITS[rows], labels(OF[rows]), one_hot(OF[rows])) for rows in (slice(0, 2), slice(2, 6))]
    assert whole.dro is not None and parts.dro is not None
    torch.testing.assert_close(parts.dro.weights, whole.dro.weights)
    # the first part was weighed before the second was seen: a step's worth of difference, no more
    mean = (2 * pieces[0] + 4 * pieces[1]) / 6
    assert mean.item() == pytest.approx(total.item(), rel=0.15)
    unmoved = [dro(step_size=1e-9) for _ in range(3)]
    rows = [slice(0, 6), slice(0, 2), slice(2, 6)]
    total, *pieces = (it(LOGITS[row], labels(OF[row]), one_hot(OF[row])) for it, row in zip(unmoved, rows, strict=True))
    torch.testing.assert_close((2 * pieces[0] + 4 * pieces[1]) / 6, total)


def test_a_mixed_image_counts_for_both_its_groups() -> None:
    share = torch.tensor([[0.7, 0.0, 0.3], [0.0, 1.0, 0.0]])
    logits = torch.tensor([0.6, -1.0])
    criterion = dro()
    found = criterion(logits, share[:, 2], share)
    female = [math.log1p(math.exp(logit)) for logit in logits.tolist()]
    male = math.log1p(math.exp(-0.6))
    q = published([1 / 3] * 3, [[female[0]], [female[1]], [male]], 0.4)
    expected = (3 * q[0] * 0.7 * female[0] + 3 * q[2] * 0.3 * male + 3 * q[1] * female[1]) / 2
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_shares_of_an_epoch_are_made_up_for() -> None:
    """Images of a group that comes seldom weigh as much more."""
    seldom = GroupShares(GROUPS.names, GROUPS.labels, GROUPS.counts, (1 / 16, 7 / 16, 1 / 2))
    criterion = dro(seldom, step_size=1e-9)
    losses = F.binary_cross_entropy_with_logits(LOGITS, labels(OF), reduction="none")
    factors = torch.tensor([16 / 3, 16 / 21, 2 / 3])[OF]
    torch.testing.assert_close(criterion(LOGITS, labels(OF), one_hot(OF)), (losses * factors).mean())


def test_smoothed_targets_move_weights_and_loss_alike() -> None:
    criterion = dro(label_smoothing=0.2)
    found = criterion(LOGITS, labels(OF), one_hot(OF))
    losses = F.binary_cross_entropy_with_logits(LOGITS, labels(OF) * 0.8 + 0.1, reduction="none")
    q = published([1 / 3] * 3, [losses[group == OF].tolist() for group in range(3)], 0.4)
    assert found.item() == pytest.approx(float((losses * torch.tensor(q)[OF]).mean() * 3), rel=1e-5)


def test_further_logits_of_the_same_images_move_no_weight_and_the_state_is_kept() -> None:
    criterion = dro()
    criterion(LOGITS, labels(OF), one_hot(OF))
    assert criterion.dro is not None
    before = criterion.dro.weights
    criterion(LOGITS * 3, labels(OF), one_hot(OF), observe=False)
    assert criterion.dro.weights.equal(before)
    again = dro()
    again.load_state_dict(criterion.state_dict())
    assert again.dro is not None and again.dro.weights.equal(before)
    assert set(Criterion(Bce.model_validate({"name": "bce", **SHARED}), (1, 1), GROUPS).state_dict()) == set()


def test_balanced_group_weights_make_groups_count_alike() -> None:
    shares = GroupShares(GROUPS.names, GROUPS.labels, GROUPS.counts, (1 / 16, 7 / 16, 1 / 2))
    section = Bce.model_validate({"name": "bce", **SHARED, "group_weights": "balanced"})
    criterion = Criterion(section, (200, 200), shares)
    assert criterion.group_weights is not None
    products = (criterion.group_weights * torch.tensor(shares.shares)).tolist()
    assert products == pytest.approx([1 / 3] * 3), "and the mean weight is one"
    losses = F.binary_cross_entropy_with_logits(LOGITS, labels(OF), reduction="none")
    expected = (losses * criterion.group_weights[OF]).mean()
    torch.testing.assert_close(criterion(LOGITS, labels(OF), one_hot(OF)), expected)


def test_given_group_weights_are_by_name() -> None:
    section = Bce.model_validate({"name": "bce", **SHARED, "group_weights": {"female_with_Hat": 4.0}})
    criterion = Criterion(section, (200, 200), GROUPS)
    assert criterion.group_weights is not None
    assert criterion.group_weights.tolist() == pytest.approx([2.0, 0.5, 0.5])
    wrong = Bce.model_validate({"name": "bce", **SHARED, "group_weights": {"men": 4.0}})
    with pytest.raises(UserError, match="no group men. The groups are female_with_Hat, female_without_Hat, male"):
        Criterion(wrong, (200, 200), GROUPS)


@pytest.mark.parametrize("tau", [1.0, 0.5])
def test_logit_adjustment_is_the_softmax_of_adjusted_logits(tau: float) -> None:
    section = Bce.model_validate({"name": "bce", **SHARED, "logit_adjustment": tau})
    targets = labels(OF)
    two = torch.stack([torch.zeros(6), LOGITS], dim=1) + tau * torch.tensor([0.9, 0.1]).log()
    expected = F.cross_entropy(two, targets.long())
    torch.testing.assert_close(Criterion(section, (900, 100))(LOGITS, targets), expected)
    focal = Focal.model_validate({"name": "focal", "gamma": 0.0, **SHARED, "logit_adjustment": tau})
    torch.testing.assert_close(Criterion(focal, (900, 100))(LOGITS, targets), expected)
    sampled = Criterion(section, (900, 100), class_shares=(0.5, 0.5))
    torch.testing.assert_close(sampled(LOGITS, targets), F.binary_cross_entropy_with_logits(LOGITS, targets))
    assert log_odds((900, 100)) == pytest.approx(-math.log(9))


def test_it_weighs_by_itself() -> None:
    with pytest.raises(ValueError, match="weighs the groups by itself"):
        dro(class_weights="balanced", group_weights="balanced")
