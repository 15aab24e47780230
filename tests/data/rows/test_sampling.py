"""The order depends on seed and epoch; ranks share each global batch."""

from __future__ import annotations

import numpy as np
import pytest

from gender_lightning.data.rows.sampling import Balance, EvaluationSampler, TrainingSampler, batches_done


def batches(length: int, size: int, ranks: int, epoch: int = 0) -> list[list[int]]:
    """Each step's images over all ranks, sorted."""
    samplers = [TrainingSampler(length, size, seed=5, rank=rank, ranks=ranks) for rank in range(ranks)]
    for sampler in samplers:
        sampler.set_epoch(epoch)
    orders = [list(sampler) for sampler in samplers]
    assert {len(order) for order in orders} == {len(samplers[0])}
    steps = range(0, len(samplers[0]), size)
    return [sorted(row for order in orders for row in order[step : step + size]) for step in steps]


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_see_together_what_one_process_sees(ranks: int) -> None:
    assert batches(50, 8 // ranks, ranks, epoch=3) == batches(50, 8, 1, epoch=3)
    assert [len(step) for step in batches(50, 8, 1)] == [8] * 6


def test_epochs_and_seeds_differ_and_repeat() -> None:
    assert batches(50, 8, 1, epoch=1) == batches(50, 8, 1, epoch=1) != batches(50, 8, 1, epoch=2)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_resumed_epoch_has_the_rest_of_its_batches_and_the_next_all(ranks: int) -> None:
    for rank in range(ranks):
        whole, rest = (
            TrainingSampler(50, 8 // ranks, seed=5, rank=rank, ranks=ranks, epoch=2, images=seen) for seen in (0, 32)
        )
        assert list(rest) == list(whole)[4 * 8 // ranks :] and len(rest) == len(whole)
        for sampler in (whole, rest):
            sampler.set_epoch(3)
        assert list(rest) == list(whole)


@pytest.mark.parametrize(("size", "left"), [(4, 4), (5, 3), (6, 3), (18, 1), (30, 1)])
def test_an_epoch_resumed_with_another_batch_has_the_images_that_are_left(size: int, left: int) -> None:
    whole = TrainingSampler(50, 8, seed=5, epoch=2)
    rest = TrainingSampler(50, size, seed=5, epoch=2, images=32)
    assert list(rest) == list(np.random.default_rng([5, 2]).permutation(50)[32 : 32 + min(18, left * size)])
    assert set(rest).isdisjoint(list(whole)[:32])
    assert batches_done(50, 32, size) == 50 // size - left


@pytest.mark.parametrize("length", [5, 6, 8])
def test_a_split_smaller_than_a_global_batch_is_used_whole(length: int) -> None:
    (step,) = batches(length, 8, 2)
    assert set(step) == set(range(length)) and len(step) == length + length % 2


@pytest.mark.parametrize("length", [1, 7, 12])
def test_evaluation_covers_every_row(length: int) -> None:
    orders = [list(EvaluationSampler(length, rank=rank, ranks=3)) for rank in range(3)]
    assert len({len(order) for order in orders}) == 1
    assert set(np.concatenate(orders).tolist()) == set(range(length))
    assert list(EvaluationSampler(length)) == list(range(length))


GROUPS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [600, 290, 110]))


def counted(balance: Balance, epochs: int = 1) -> np.ndarray:
    """How often each row comes in so many epochs."""
    rows = [TrainingSampler(1000, 1, seed=5, epoch=epoch, balance=balance) for epoch in range(epochs)]
    return np.bincount(np.concatenate([list(sampler) for sampler in rows]) % 1000, minlength=1000)


@pytest.mark.parametrize(
    ("cap", "expected"),
    [
        (5.0, [1000 / 3] * 3),
        (2.0, [390, 390, 220]),  # the third would come three times each; the others share what that leaves
        (1.0, [600, 290, 110]),
    ],
)
def test_groups_have_the_same_share_of_an_epoch_up_to_the_cap(cap: float, expected: list[float]) -> None:
    balance = Balance(GROUPS, cap)
    counts = counted(balance)
    assert counts.sum() == 1000, "an epoch stays as long"
    assert np.abs(np.bincount(GROUPS, counts) - expected).max() <= 1
    for group, total in enumerate(expected):
        mean = total / (group == GROUPS).sum()
        assert set(counts[group == GROUPS]) <= {np.floor(mean), np.ceil(mean)}
        assert mean <= cap + 1e-9
    assert balance.shares(GROUPS) == pytest.approx(np.array(expected) / 1000)


def test_no_image_of_a_large_group_is_left_out_for_good() -> None:
    counts = counted(Balance(GROUPS, 5.0), epochs=20)
    assert counts.min() >= 2 and counts.sum() == 20_000


def test_a_balanced_epoch_is_a_function_of_seed_and_epoch_and_its_repetitions_differ() -> None:
    balance = Balance(GROUPS, 5.0)
    one, same, next_epoch, other = (
        list(TrainingSampler(1000, 10, seed=seed, epoch=epoch, balance=balance))
        for seed, epoch in ((5, 2), (5, 2), (5, 3), (6, 2))
    )
    assert one == same and one != next_epoch and one != other
    assert len(set(one)) == 1000, "what keys the augmentation comes once"
    assert {row // 1000 for row in one if GROUPS[row % 1000] == 2} == {0, 1, 2, 3}


@pytest.mark.parametrize("ranks", [1, 2])
def test_ranks_and_resumes_have_the_same_balanced_epoch(ranks: int) -> None:
    balance = Balance(GROUPS, 5.0)
    one = list(TrainingSampler(1000, 8, seed=5, epoch=2, balance=balance))
    parts = [
        list(TrainingSampler(1000, 8 // ranks, seed=5, rank=rank, ranks=ranks, epoch=2, images=64, balance=balance))
        for rank in range(ranks)
    ]
    steps = [
        sorted(row for part in parts for row in part[step : step + 8 // ranks])
        for step in range(0, 936 // ranks, 8 // ranks)
    ]
    assert steps == [sorted(one[step : step + 8]) for step in range(64, 1000, 8)]
