"""Twenty steps of every backbone give the committed losses again: data, augmentation, network, optimizer, schedule."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from loss_curves import BACKBONES, FILE, loss_curve, write_pictures

from gender_lightning.overrides import groups

# Other processors and numbers of threads add in another order: 1e-7 at the first step, and each step makes about ten
# times as much of it until it levels off at some hundredths (measured with GoogLeNet, an Intel against an AMD: 4e-4 at
# the fifth step, 0.05 at most). A real change shows at once, in the first steps.
TOLERANCE = np.array([1e-4] * 2 + [5e-3] * 3 + [0.1] * 15)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("curves") / "pictures"
    write_pictures(root)
    return root


def same(losses: list[float], expected: list[float]) -> bool:
    difference = np.abs(np.array(losses) - np.array(expected))
    return bool((difference <= TOLERANCE * np.abs(expected)).all())


def committed(backbone: str) -> list[float]:
    return json.loads(FILE.read_text())[backbone]


@pytest.mark.parametrize(
    "backbone", [name if name == "resnet18" else pytest.param(name, marks=pytest.mark.slow) for name in BACKBONES]
)
def test_the_committed_curve_comes_out_again(backbone: str, pictures: Path) -> None:
    assert same(loss_curve(backbone, pictures), committed(backbone))


@pytest.mark.slow
def test_the_number_of_threads_does_not_show(pictures: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2 if before == 1 else 1)  # side by side, tests have one each
    try:
        assert same(loss_curve("resnet18", pictures), committed("resnet18"))
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_a_small_change_shows(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gender_lightning.transforms import color

    monkeypatch.setattr(color, "GREY", (0.333, 0.333, 0.334))  # of saturation and contrast alone
    assert not same(loss_curve("resnet18", pictures), committed("resnet18"))


def test_every_backbone_of_the_menu_has_a_curve() -> None:
    assert {*BACKBONES, "timm"} == set(groups()["model"])
    assert all(len(committed(name)) == 20 for name in BACKBONES)
