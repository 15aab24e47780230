"""Ratios, shares and advice, by hand."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from gender_lightning.benchmarks.summary import (
    Measurement,
    Where,
    advice,
    kept_by_training,
    kept_while_training,
    sentences,
    table,
)
from gender_lightning.benchmarks.timing import Rate
from gender_lightning.reports.benchmark_chart import draw_chart


def measured(stage: str, ours: float, common: float | None = None, where: Where = "per core") -> Measurement:
    backbone = "resnet50" if stage in ("step", "train", "inference") else None
    other = None if common is None else Rate((common,))
    return Measurement(stage, backbone, where, Rate((ours,)), other)


def trained(ours: tuple[float, ...], bare: tuple[float, ...]) -> Measurement:
    return Measurement("train", "resnet50", "CPU", Rate(ours), None, seconds_beside=5.0, bare=Rate(bare))


def test_ratio_is_ours_over_common() -> None:
    assert measured("loader", 2000, 250).ratio == 8
    assert measured("loader", 2000).ratio is None
    assert measured("loader", 2000, 250).to_dict()["median"] == {"ours": 2000, "common": 250}


def test_training_is_compared_with_the_bare_step_right_before_it() -> None:
    # the machine slowed down from pair to pair; each pair agrees
    assert kept_while_training([trained((45, 36, 18), (50, 40, 20))]) == {"resnet50": pytest.approx(0.9)}
    assert kept_while_training([measured("step", 50)]) == {}


def test_training_keeps_less_for_what_its_epoch_needs_beside_the_steps() -> None:
    # 4900 images: 100 s of steps and 5 s beside, against 98 s of bare steps
    assert kept_by_training([trained((49,), (50,))], images=4900) == {"resnet50": pytest.approx(98 / 105)}


def test_on_a_cpu_the_dearest_stage_is_named() -> None:
    cheap = [measured("loader", 2000), measured("augmentation", 1000), measured("step", 40, where="CPU")]
    (sentence,) = advice(cheap, workers=1, cores=2)
    # 0.5 ms and 1 ms and 50 ms of a core for each image
    assert sentence.startswith("resnet50: step takes 97% of a core's time per image")
    assert "data.image_size" in sentence
    (sentence,) = advice([*cheap[:1], measured("augmentation", 5), cheap[2]], workers=1, cores=2)
    assert sentence.startswith("resnet50: augmentation takes 80%") and "augmentation=light" in sentence


def test_on_a_gpu_the_loader_is_named_where_it_brings_too_little() -> None:
    fast = [measured("augmentation", 50_000, where="GPU"), measured("step", 5000, where="GPU")]
    (sentence,) = advice([measured("loader", 2000), *fast], workers=2, cores=3)
    assert "2 workers deliver 4,000 images/s, the GPU could take 4,545" in sentence and "data.workers" in sentence
    (sentence,) = advice([measured("loader", 2000), *fast], workers=3, cores=4)
    assert "the step is the bottleneck" in sentence


def test_without_its_stages_no_advice() -> None:
    assert advice([measured("step", 40, where="CPU")], workers=1, cores=2) == []


def test_the_table_shows_every_figure() -> None:
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(table([measured("startup", 4.5, 3.0), measured("loader", 2345, 250), measured("step", 41.26)]))
    text = console.export_text()
    for figure in ("4.50 s", "3.00 s", "1.50", "2,345", " 250 ", "9.38", "41.3", "images/s", "resnet50"):
        assert figure in text


def test_sentences_begin_with_the_shares() -> None:
    assert sentences({"resnet50": 0.961}, {"resnet50": 0.9}, 10_000, ["x"]) == [
        "resnet50: real training keeps 96.1% of the bare step's images/s, and 90.0% over epochs of 10,000 images with "
        "checkpoints and a batch of validation.",
        "x",
    ]


def test_the_chart_grows_with_its_rows(tmp_path: Path) -> None:
    rows = [measured("startup", 4.5, 3.0), measured("loader", 2345, 250), measured("step", 41.26, 20)]
    draw_chart(rows[:2], tmp_path / "one.png", "title")
    draw_chart(rows, tmp_path / "two.png", "title")
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "two.png") as two:
        assert one.format == "PNG" and one.width == two.width and one.height < two.height
        assert len(two.convert("RGB").getcolors(1 << 24) or ()) > 10
