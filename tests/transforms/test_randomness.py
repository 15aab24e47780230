"""Keyed random numbers: right bits, right distributions."""

from __future__ import annotations

import pytest
import torch

from gender_lightning.transforms.randomness import step_key, stream_bits, symmetric_beta, uniforms

stats = pytest.importorskip("scipy.stats")


def test_the_stream_is_splitmix64() -> None:
    # The first outputs for this seed, as published with the algorithm (Rosetta Code's check values).
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    bits = stream_bits(torch.tensor([1234567]), 4)[0].tolist()
    assert [value % 2**64 for value in bits] == expected


def test_numbers_belong_to_an_image_and_a_position() -> None:
    key, indices = step_key(1, 5), torch.tensor([7, 0, 202598])
    together = uniforms(key, indices, 8)
    assert torch.equal(together[2:], uniforms(key, indices[2:], 8))
    assert torch.equal(together[:, 3:5], uniforms(key, indices, 2, start=3))


def test_seeds_steps_and_images_are_unrelated() -> None:
    indices = torch.arange(4000)
    rows = [uniforms(step_key(seed, step), indices, 1)[:, 0] for seed in (0, 1, -3) for step in range(4)]
    rows.append(rows[0].roll(1))
    correlation = torch.corrcoef(torch.stack(rows)).fill_diagonal_(0)
    assert correlation.abs().max() < 0.07  # 4.4 standard deviations


def test_numbers_are_uniform() -> None:
    numbers = uniforms(step_key(1, 0), torch.arange(5000), 4)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    for column in (*numbers.unbind(1), numbers[:1250].flatten()):
        assert stats.kstest(column.numpy(), "uniform").pvalue > 0.001


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.5, 1.0, 4.0])
def test_symmetric_beta_is_a_beta(alpha: float) -> None:
    u, v = uniforms(step_key(2, 3), torch.arange(20000), 2).unbind(1)
    values = symmetric_beta(u, v, alpha)
    assert values.min() >= 0
    assert values.max() <= 1
    # Kolmogorov-Smirnov away from the ends, where float32 rounds a Beta(0.1, 0.1)'s tail to exactly 1.
    points = torch.linspace(1e-4, 1 - 1e-4, 500).double()
    empirical = (values.double() <= points[:, None]).double().mean(1).numpy()
    distance = abs(empirical - stats.beta(alpha, alpha).cdf(points.numpy())).max()
    assert distance < 1.95 / len(values) ** 0.5  # p = 0.001


def test_symmetric_beta_is_finite_at_the_ends() -> None:
    ends = torch.tensor([0.0, 1 - 2.0**-24])
    assert symmetric_beta(ends, ends.flip(0), 0.2).isfinite().all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_draws_the_same_numbers() -> None:
    indices = torch.arange(1000)
    assert torch.equal(uniforms(step_key(1, 2), indices, 38), uniforms(step_key(1, 2), indices.cuda(), 38).cpu())
