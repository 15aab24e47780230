from __future__ import annotations

import pytest
import torch

from gender_lightning.training.seeding import seed_generators
from gender_lightning.transforms import step_key


def test_of_several_gpus_only_the_own_one_is_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    generators = [torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)]
    monkeypatch.setattr(torch.cuda, "default_generators", generators)
    seed_generators(7, torch.device("cuda", 1))
    assert [generator.initial_seed() for generator in generators] == [1, 7]
    seed_generators(8, torch.device("cuda"))
    assert [generator.initial_seed() for generator in generators] == [8, 7]


@pytest.mark.parametrize("seed", [0, 7, -1, step_key(1, 2), step_key(1, 3), -(2**63), 2**63 - 1])
def test_numbers_are_those_of_manual_seed(seed: int) -> None:
    torch.manual_seed(seed)
    theirs = torch.rand(3), torch.nn.functional.dropout(torch.ones(40), 0.5)
    seed_generators(seed, torch.device("cpu"))
    assert torch.equal(torch.rand(3), theirs[0])
    assert torch.equal(torch.nn.functional.dropout(torch.ones(40), 0.5), theirs[1])
