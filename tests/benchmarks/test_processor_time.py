"""The figures in processor time are those of the standard recipe and of a network that takes nearly none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from gender_lightning.benchmarks import processor_time
from gender_lightning.benchmarks.processor_time import STANDARD, augmentation, main
from gender_lightning.config import TrainConfig, parse_config
from gender_lightning.models.backbones import create_backbone
from gender_lightning.overrides import compose
from gender_lightning.training.sections import augmentation_settings


def test_the_recipe_is_the_standard_one() -> None:
    chosen = parse_config(TrainConfig, compose("train", ["augmentation=standard"])).augmentation
    assert augmentation_settings(chosen) == STANDARD


def test_the_empty_network_is_a_backbone() -> None:
    net = create_backbone("timm/empty_network", image_size=32)
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2,)
    assert sum(parameter.numel() for parameter in net.parameters()) == 3


def test_parts_are_lines_of_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed: list[str] = []

    def trained(overrides: tuple[str, ...], folder: Path) -> list[list[float]]:
        typed.extend(overrides)
        return [[9.0, 9.0, 10], [0.5, 0.1, 10], [0.4, 0.2, 10]]

    monkeypatch.setattr(processor_time, "trained", trained)
    main(["step", "data", "data-cache", "--root", str(tmp_path)])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == {"part": "step", "us_per_step": 20000.0}
    assert lines[1]["us_per_image_48"] == 200.0 and lines[1]["us_loading_64"] == 50.0
    assert lines[2]["part"] == "data-cache"
    assert sum(text.startswith("data.cache=") for text in typed) == 2
    threads = torch.get_num_threads()
    try:
        assert 0 < augmentation(tmp_path, (16,))["us_per_image_16"] < 1e6
    finally:
        torch.set_num_threads(threads)
