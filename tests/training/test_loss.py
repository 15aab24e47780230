"""The loss is torch's, with smoothing and weights as published."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gender_lightning.errors import UserError
from gender_lightning.training.loss import balanced_weights, binary_cross_entropy, smooth

LOGITS = torch.tensor([-3.0, 0.2, 5.0, -0.7])
TARGETS = torch.tensor([0, 1, 0, 1])


def test_plain_is_torchs() -> None:
    assert binary_cross_entropy(LOGITS, TARGETS).equal(nn.BCEWithLogitsLoss()(LOGITS, TARGETS.float()))


def test_smoothing_is_that_of_torchs_two_class_cross_entropy() -> None:
    two_logits = torch.stack([torch.zeros(4), LOGITS], dim=1)
    expected = nn.CrossEntropyLoss(label_smoothing=0.1)(two_logits, TARGETS)
    torch.testing.assert_close(binary_cross_entropy(LOGITS, TARGETS, label_smoothing=0.1), expected)
    torch.testing.assert_close(smooth(torch.tensor([0.0, 1.0]), 0.1), torch.tensor([0.05, 0.95]))


def test_class_weights_weigh_by_the_unsmoothed_target() -> None:
    weight = torch.tensor([0.5, 2.0, 0.5, 2.0])
    expected = nn.BCEWithLogitsLoss(weight=weight)(LOGITS, smooth(TARGETS.float(), 0.2))
    got = binary_cross_entropy(LOGITS, TARGETS, label_smoothing=0.2, class_weights=(0.5, 2.0))
    torch.testing.assert_close(got, expected)


def test_a_mixed_target_costs_the_mixture_of_both_labels() -> None:
    logit = torch.tensor([0.8])
    as_male = binary_cross_entropy(logit, torch.tensor([1]))
    as_female = binary_cross_entropy(logit, torch.tensor([0]))
    mixed = binary_cross_entropy(logit, torch.tensor([0.3]))
    torch.testing.assert_close(mixed, 0.3 * as_male + 0.7 * as_female)


def test_half_precision_logits_are_computed_in_float32() -> None:
    loss = binary_cross_entropy(LOGITS.bfloat16(), TARGETS)
    assert loss.dtype == torch.float32


def test_balanced_weights_make_both_classes_count_alike() -> None:
    female, male = balanced_weights((300, 100))
    assert female * 300 == pytest.approx(male * 100)
    assert (female * 300 + male * 100) / 400 == pytest.approx(1.0)
    with pytest.raises(UserError, match="class_weights=none"):
        balanced_weights((0, 5))
