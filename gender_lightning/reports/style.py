"""One look for every figure: colours, sizes, and how a figure becomes files or part of a page.

Write a figure as a function that returns a matplotlib `Figure`, decorate it with `styled`, take colours from
`COLORS` by their names, and start with `canvas`. `save` writes it as SVG and PNG; `svg` gives the text that
`page.inline_figure` puts into a page, where the colours follow the page's light or dark.

Figures are `WIDTH` inches wide so that their text is still readable when a phone shows them over its whole width.
Lines differ in marker and dash as well as in colour.
"""

from __future__ import annotations

import functools
import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
R = TypeVar("R")

WIDTH = 4.4  # inches: 317 units of an SVG, about the CSS pixels of a phone
DPI = 200
# On white: Okabe and Ito's hues, which people with any colour vision tell apart, darkened to 3 : 1 against paper.
COLORS = {
    "ink": "#1b2430",
    "muted": "#5b6673",
    "grid": "#dfe3e8",
    "paper": "#ffffff",
    "blue": "#0072b2",
    "orange": "#c9500a",
    "green": "#00825f",
    "purple": "#a8528a",
    "sky": "#3a87b8",
    "gold": "#946f00",
    "grey": "#818b96",
    "band": "#cfe0ec",
}
# The same names on a dark page; `templates/base.html.j2` takes both from here.
DARK = {
    "ink": "#e7ecf1",
    "muted": "#a3aeba",
    "grid": "#303a45",
    "paper": "#12171d",
    "blue": "#56b4e9",
    "orange": "#f08a4b",
    "green": "#35c99b",
    "purple": "#e29ac8",
    "sky": "#8fd0f5",
    "gold": "#e6bd3d",
    "grey": "#8d98a4",
    "band": "#1f3a4c",
}
CYCLE = ("blue", "orange", "green", "purple", "gold", "sky", "grey")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
FEMALE, MALE = "orange", "blue"  # names of colours: the same two for the classes everywhere
_FONTS = ["DejaVu Sans"]


def rc() -> dict[str, Any]:
    """Matplotlib's settings for all figures."""
    from cycler import cycler

    ink, muted = COLORS["ink"], COLORS["muted"]
    return {
        "figure.dpi": DPI, "savefig.dpi": DPI, "figure.facecolor": COLORS["paper"], "axes.facecolor": "none",
        "font.family": _FONTS, "font.size": 9, "axes.titlesize": 9.5, "axes.labelsize": 9,
        "xtick.labelsize": 8, "ytick.labelsize": 8, "legend.fontsize": 8, "axes.titlelocation": "left",
        "text.color": ink, "axes.labelcolor": ink, "axes.titlecolor": ink, "xtick.color": muted, "ytick.color": muted,
        "xtick.labelcolor": ink, "ytick.labelcolor": ink, "axes.edgecolor": muted,
        "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8,
        "axes.grid": True, "axes.axisbelow": True, "grid.color": COLORS["grid"], "grid.linewidth": 0.7,
        "lines.linewidth": 1.8, "lines.markersize": 4.5, "legend.frameon": False,
        "axes.prop_cycle": cycler(color=[COLORS[name] for name in CYCLE]),
        "svg.fonttype": "none",  # text stays text: small, sharp, and in the reader's own font
    }  # fmt: skip


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw in the common style, leaving matplotlib's own settings as they were."""

    @functools.wraps(draw)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib as mpl

        with mpl.rc_context(rc()):  # type: ignore[arg-type]
            return draw(*args, **kwargs)

    return in_style


def canvas(height: float = 3.3, width: float = WIDTH) -> tuple[Figure, Axes]:
    """An empty figure of that size in inches with one pair of axes; no pyplot: nothing global, no display."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


@styled
def svg(figure: Figure, name: str) -> str:
    """The figure as the text of an SVG file, the same for the same figure.

    Args:
        figure: What `canvas` began.
        name: Of the figure; its element ids begin with it, so that a page can hold several.
    """
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = re.sub(r"<!DOCTYPE.*?>\s*|<metadata>.*?</metadata>\s*", "", buffer.getvalue(), flags=re.DOTALL)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text)
    return text.replace("'DejaVu Sans'", "system-ui, 'DejaVu Sans', sans-serif")


@styled
def save(figure: Figure, directory: Path, name: str) -> list[Path]:
    """Write `<directory>/<name>.svg` and `.png`, on white, each whole or not at all."""
    directory.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    written = []
    for suffix, content in (("svg", svg(figure, name).encode()), ("png", buffer.getvalue())):
        path = directory / f"{name}.{suffix}"
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_bytes(content)
        temporary.replace(path)
        written.append(path)
    return written
