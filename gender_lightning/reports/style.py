"""The common style of all figures: colours, sizes, and conversion to files or parts of a page.

To add a figure, write a function that returns a matplotlib `Figure`, decorate it with `styled`, take colours from
`COLORS` by name, and start with `canvas`. `save` writes it as SVG and PNG; `svg` returns the text that
`page.inline_figure` embeds in a page, where the colours follow its light or dark theme.

Figures are `WIDTH` inches wide so that their text stays readable at the full width of a phone.
Lines differ in marker and dash as well as in colour.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from gender_lightning.durable import writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
R = TypeVar("R")

WIDTH = 4.4  # inches: 317 units of an SVG, about the CSS pixels of a phone
DPI = 200
# On white: the hues of Okabe and Ito, distinguishable with any colour vision, darkened to a contrast of 3 : 1.
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
# The same names for dark pages; `templates/base.html.j2` reads both from here.
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
    """The matplotlib settings for all figures."""
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
    """Decorate a drawing function to use the common style without changing matplotlib's global settings."""

    @functools.wraps(draw)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib as mpl

        with mpl.rc_context(rc()):  # type: ignore[arg-type]
            return draw(*args, **kwargs)

    return in_style


def canvas(height: float = 3.3, width: float = WIDTH) -> tuple[Figure, Axes]:
    """Create an empty figure with one pair of axes, sizes in inches, without pyplot and its global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


@styled
def svg(figure: Figure, name: str) -> str:
    """Render a figure as the text of an SVG file, deterministically.

    Args:
        figure: The figure.
        name: Prefix of its element ids, so that one page can hold several figures.
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
    """Write `<directory>/<name>.svg` and `.png` on a white background, each atomically; return their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    written = []
    for suffix, content in (("svg", svg(figure, name).encode()), ("png", buffer.getvalue())):
        path = directory / f"{name}.{suffix}"
        with writing(path, "wb") as file:
            file.write(content)
        written.append(path)
    return written
