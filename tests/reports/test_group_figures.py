"""What figures of groups show: each attribute once, nothing that rests on a few images, no line where there is none."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gender_lightning.evaluation.measure import Measure
from gender_lightning.evaluation.results import Slice
from gender_lightning.evaluation.statistics.proportions import clopper_pearson
from gender_lightning.evaluation.subgroups.fairness import AttributeGap, Fairness, Gap
from gender_lightning.evaluation.subgroups.group_words import in_words
from gender_lightning.reports.comparison_figures import LONGEST_NAME, short_names
from gender_lightning.reports.figures import errors_by_fifth
from gender_lightning.reports.group_figures import corruption_curves, forest_rows, gaps
from gender_lightning.synthetic.drawing.attributes import NAMES as ATTRIBUTES


def made(name: str, difference: float) -> Slice:
    nothing = Measure(math.nan, math.nan, math.nan)
    accuracy, gap = Measure(0.9, 0.8, 0.95), Measure(difference, difference - 0.1, difference + 0.1)
    return Slice(name, "other", name, "other images", 90, 30, 40, False, accuracy, nothing, nothing, 0.9, gap, 0.1, 0.1)


def test_a_forest_shows_the_worse_value_of_an_attribute_once() -> None:
    pair = [made("Young=1", 0.04), made("Young=0", -0.04), made("dark", -0.02), made("female Young=0", -0.07)]
    lonely = replace(made("Mustache=0", -0.5), rest_small=True)
    small = replace(made("Bald=1", -0.4), small=True)
    assert [row.name for row in forest_rows([*pair, lonely, small])] == ["female Young=0", "Young=0", "dark"]


def test_no_text_of_the_gaps_is_cut_off() -> None:
    gap, none = Gap(0.05, -0.15, 0.2, 0.1), Gap(math.nan, math.nan, math.nan, math.nan)
    longest = sorted(ATTRIBUTES, key=lambda name: len(in_words(f"{name}=1")))[-12:]
    rows = [AttributeGap(name, 60, gap, gap, Measure(0.05, 0.0, 0.2), True) for name in longest]
    figure = gaps(Fairness(none, {}, rows, None, [], [], None))
    assert figure is not None
    figure.draw_without_rendering()
    (axes,) = figure.axes
    for text in (axes.xaxis.label, *axes.get_yticklabels()):
        box = text.get_window_extent()
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, text.get_text()


def test_one_severity_is_points_and_several_are_lines() -> None:
    rows = [("clean", "clean", 0, 0.95), ("fog", "weather", 3, 0.8), ("snow", "weather", 3, 0.7)]
    table = pd.DataFrame(rows, columns=["corruption", "group", "severity", "accuracy"])
    (axes,) = corruption_curves(table, "weather").axes
    lines = [line for line in axes.get_lines() if line.get_linestyle() != "None"]
    assert len(lines) == 1 and lines[0].get_xdata()[0] == pytest.approx(0.95)  # clean alone, upright
    more = pd.concat([table, table.assign(severity=4, accuracy=0.6).iloc[1:]])
    (axes,) = corruption_curves(more, "weather").axes
    assert [list(line.get_xdata()) for line in axes.get_lines()] == [[0, 3, 4]] * 2


def test_errors_by_fifth_are_rates_with_intervals() -> None:
    values = np.arange(500.0)
    wrong = values < 60  # all in the lowest fifth
    figure = errors_by_fifth({"brightness": values, "blank": np.zeros(500)}, wrong, np.arange(500))
    axes, blank, *_ = figure.axes
    points = [line for line in axes.get_lines() if line.get_marker() == "o"]
    assert [line.get_ydata()[0] for line in points] == [60, 0, 0, 0, 0]
    bars = [line for line in axes.get_lines() if line.get_marker() == "None" and len(set(line.get_xdata())) == 1]
    assert list(bars[0].get_ydata()) == pytest.approx([100 * end for end in clopper_pearson(60, 100)])
    assert not [line for line in blank.get_lines() if line.get_marker() == "o"]


def test_long_labels_go_into_a_key() -> None:
    assert short_names(["ResNet18", "VGG19"]) == (["ResNet18", "VGG19"], "")
    names, key = short_names(["ResNet18 " + "lr=0.1 " * 20, "VGG19"])
    assert names == ["1", "2"] and key.splitlines()[1] == "2  VGG19" and len(key.splitlines()[0]) < 3 * LONGEST_NAME


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("female Heavy_Makeup=0", "women without heavy make-up"), ("Eyeglasses=1", "faces with glasses"),
        ("male No_Beard=1", "men without a beard"), ("dark", "dark pictures"), ("Mine=1", "faces with Mine=1"),
        ("female Young=0 Smiling=1", "women not labelled young and who smile"), ("odd", "odd"),
    ],
)  # fmt: skip
def test_slices_are_named_in_english(name: str, words: str) -> None:
    assert in_words(name) == words


def test_every_attribute_of_celeba_has_words() -> None:
    assert len(ATTRIBUTES) == 40
    assert [name for name in ATTRIBUTES if name != "Male" and "=" in in_words(f"{name}=1")] == []
