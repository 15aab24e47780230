"""Colours that everybody tells apart, figures that a page can hold side by side, pages that escape."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from gender_lightning.reports.page import data_uri, environment, inline_figure, percent, render
from gender_lightning.reports.style import COLORS, CYCLE, DARK, canvas, save, styled, svg

# Machado, Oliveira, Fernandes 2009, severity 1.0, on linear RGB
BLINDNESS = {
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
}


def _linear(color: str) -> np.ndarray:
    levels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def _contrast(one: str, other: str) -> float:
    """WCAG 2's ratio."""
    high, low = sorted((float(_linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@styled
def _figure() -> Figure:
    figure, axes = canvas(2.0)
    axes.plot([0, 1], [0, 1], marker="o", label="a & b")
    axes.set_xlim(0, 0.5)
    axes.legend()
    return figure


@pytest.mark.parametrize("palette", [COLORS, DARK], ids=["light", "dark"])
def test_what_carries_meaning_stands_out_from_the_paper(palette: dict[str, str]) -> None:
    assert all(_contrast(palette[name], palette["paper"]) >= 3 for name in CYCLE)
    assert all(_contrast(palette[name], palette["paper"]) >= 4.5 for name in ("ink", "muted"))
    assert palette.keys() == COLORS.keys()


@pytest.mark.parametrize("kind", BLINDNESS)
@pytest.mark.parametrize("palette", [COLORS, DARK], ids=["light", "dark"])
def test_the_first_colours_differ_for_the_colour_blind(palette: dict[str, str], kind: str) -> None:
    seen = {name: (np.array(BLINDNESS[kind]) @ _linear(palette[name])).clip(0, 1) ** (1 / 2.2) for name in CYCLE[:4]}
    for one, other in itertools.combinations(seen, 2):
        assert np.abs(seen[one] - seen[other]).max() > 0.12, (one, other)


def test_an_svg_is_the_same_each_time_and_shares_no_id_with_another() -> None:
    first, again, second = svg(_figure(), "one"), svg(_figure(), "one"), svg(_figure(), "two")
    assert first == again
    ids = [re.findall(r'\bid="([^"]+)"', text) for text in (first, second)]
    assert len(ids[0]) == len(set(ids[0])) and not set(ids[0]) & set(ids[1])
    for text in (first, second):
        known = set(re.findall(r'\bid="([^"]+)"', text))
        assert set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text)) != set()
        assert {a or b for a, b in re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text)} <= known
        ET.fromstring(text)


def test_a_saved_figure_is_two_whole_files(tmp_path: Path) -> None:
    paths = save(_figure(), tmp_path / "figures", "line")
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["line.png", "line.svg"]
    with Image.open(paths[1]) as picture:
        assert picture.size == (880, 400)
        assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert not any(host in paths[0].read_text() for host in ("w3.org/Graphics", "creativecommons", "matplotlib.org"))


def test_an_inline_figure_takes_its_colours_from_the_page_and_says_what_it_shows() -> None:
    text = inline_figure(svg(_figure(), "one"), 'rises from "0" to 1 & <ends>')
    assert isinstance(text, Markup)
    root = ET.fromstring(text)
    assert root.attrib["aria-label"] == 'rises from "0" to 1 & <ends>' and root.attrib["role"] == "img"
    assert "viewBox" in root.attrib and "width" not in root.attrib
    assert "var(--ink)" in text and not any(color in text for color in COLORS.values())


def test_a_page_escapes_what_it_is_given() -> None:
    nasty = "<script>alert('x')</script>"
    page = render("search.html.j2", {"study": nasty, "summary": nasty, "command": nasty, "plots": [(nasty, nasty)]})
    assert nasty not in page and page.count("&lt;script&gt;") >= 5 and page.endswith("</html>\n")


def test_a_table_cell_escapes_its_text_and_its_value() -> None:
    parts = environment().get_template("parts.html.j2").module
    nasty = '"><img src=x>'
    table = parts.table(nasty, [nasty], [[{"show": nasty, "value": nasty}]])  # type: ignore[attr-defined]
    assert "<img" not in table and table.count("&#34;&gt;&lt;img src=x&gt;") == 4


def test_small_helpers() -> None:
    assert percent(0.9434) == "94.3\u202f%" and percent(None) == percent(float("nan")) == "\u2013"
    assert data_uri(b"\xff\xd8", "image/jpeg") == "data:image/jpeg;base64,/9g="
