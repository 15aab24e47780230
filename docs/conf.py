"""How Sphinx builds the manual: `make docs`. Nothing is fetched, and a warning is an error."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from generated_pages import write_pages  # noqa: E402

from gender_lightning import __version__  # noqa: E402

project = "gender_lightning"
author = "the contributors"
release = __version__
extensions = [
    "myst_parser",  # pages in Markdown
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",  # Google's form of docstrings
    "sphinx_copybutton",
    "searchable_fields",  # beside this file
]
source_suffix = {".md": "markdown"}
default_role = "code"  # what stands between single backticks in a docstring
nitpicky = False

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_use_rtype = False

copybutton_exclude = ".linenos, .gp, .go, .c1"  # neither prompts, nor answers, nor the words beside a command

html_theme = "pydata_sphinx_theme"
html_title = "gender_lightning"
html_static_path = ["_static"]
html_css_files = ["manual.css"]
html_search_scorer = str(HERE / "search_order.js")
html_copy_source = False
html_show_sourcelink = False
html_sidebars: dict[str, list[str]] = {
    "index": [],
    "results": [],
    "limits": [],
    "gallery/index": [],
    "reference/generated/changelog": [],
}
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "show_nav_level": 1,
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
copyright = "the contributors. Apache License 2.0; every face in this manual is drawn by the program"

write_pages(HERE)
