"""The order depends on seed and epoch; ranks share each global batch."""

from __future__ import annotations

import numpy as np
import pytest

from gender_lightning.data.sampling import EvaluationSampler, TrainingSampler, batches_done


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
