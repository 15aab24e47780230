"""Self-contained HTML pages: Jinja2 templates that escape every value, and the few things inserted unescaped.

To add a page, write a template in `templates/` that begins with ``{% extends "base.html.j2" %}`` and fills the
blocks ``title``, ``lead`` (under the heading) and ``content``; `templates/parts.html.j2` has macros for figures,
sortable tables, cards and picture tiles. `render` returns the text. Nothing is loaded from the
network: style and script are in the page, figures are inline SVG, pictures are ``data:`` URIs.
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gender_lightning.reports.style import COLORS, DARK

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_UNKNOWN = "\N{EN DASH}"


@functools.cache
def environment() -> Environment:
    """The Jinja2 environment: undefined names are errors, and everything is escaped unless marked safe."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    created = Environment(
        loader=PackageLoader("gender_lightning.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    created.filters |= {"percent": percent, "number": number}
    created.globals |= {"light": COLORS, "dark": DARK}
    return created


def render(template: str, values: Mapping[str, Any]) -> str:
    """Fill `templates/<template>`; the result ends in a newline."""
    return environment().get_template(template).render(**values).rstrip() + "\n"


def inline_figure(svg: str, alt: str) -> Markup:
    """Embed an SVG from `style.svg` in a page: its colours follow the page's theme, screen readers read `alt`.

    Args:
        svg: The SVG file as text.
        alt: What the figure shows, in a sentence or two.
    """
    from markupsafe import Markup, escape

    text = svg[svg.index("<svg") :]
    for name, color in COLORS.items():
        text = text.replace(color, f"var(--{name})")
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}"', 1))


def data_uri(content: bytes, kind: str = "image/jpeg") -> str:
    """Encode bytes as a ``data:`` URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def without_folders(text: str) -> str:
    """A text in which absolute paths keep their last part alone: a page or a card may be passed on.

    Example:
        >>> without_folders("train data.root=/home/ada/celeba seed=1")
        'train data.root=.../celeba seed=1'
    """
    return re.sub(r"(?<![\w.:/])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'\",=\]]+[/\\])+", ".../", text)


def percent(value: float | None, digits: int = 1) -> str:
    """Format a fraction as a percentage with a thin space, ``94.3 %``; None and nan become an en dash."""
    return _UNKNOWN if value is None or value != value else f"{100 * value:.{digits}f}\u202f%"


def number(value: float | None, digits: int = 3) -> str:
    """Format a number with `digits` decimals; None and nan become an en dash."""
    return _UNKNOWN if value is None or value != value else f"{value:,.{digits}f}"
