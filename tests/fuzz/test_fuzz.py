"""Whatever a user is given, it ends in a result or in one sentence: thousands of seeded cases, counted by class."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import fuzz_archives
import fuzz_checkpoints
import fuzz_configs
import fuzz_images
import fuzz_labels
import fuzz_networks
import numpy as np
import pytest
from fuzz_harness import Case, Rng, judge, shown

SEED = 20261125
PARTS: dict[str, Callable[[Rng, float, Path], Iterator[Case]]] = {
    "images": fuzz_images.cases,
    "labels": fuzz_labels.cases,
    "archives": fuzz_archives.cases,
    "checkpoints": fuzz_checkpoints.cases,
    "configs": fuzz_configs.cases,
    "networks": fuzz_networks.cases,
}
pytestmark = pytest.mark.filterwarnings("ignore")


def _run(part: str, share: float, folder: Path) -> int:
    place = folder / part
    place.mkdir()
    counts = judge(PARTS[part](np.random.default_rng([SEED, len(part)]), share, place))
    sys.stdout.write(shown(counts) + "\n")
    return sum(counts.values())


@pytest.mark.parametrize("part", PARTS)
def test_a_share_of_the_cases(part: str, tmp_path: Path) -> None:
    assert _run(part, 0.04, tmp_path) > 50


@pytest.mark.slow
@pytest.mark.nightly
def test_all_cases(tmp_path: Path) -> None:
    assert sum(_run(part, 1.0, tmp_path) for part in PARTS) >= 5000


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.25, pytest.param(1.0, marks=pytest.mark.nightly)])
def test_command_lines(share: float) -> None:
    counts = judge(fuzz_configs.typed(np.random.default_rng(SEED), share))
    sys.stdout.write(shown(counts) + "\n")
    assert sum(counts.values()) > 100 * share
