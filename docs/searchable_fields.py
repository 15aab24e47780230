"""Lets the manual's search lead straight to a field: the name of each is an entry of its index, `train`'s first."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform


class FieldsInIndex(SphinxTransform):
    """Enters every `{#... .field}` of a page."""

    default_priority = 800  # before Sphinx collects the entries

    def apply(self, **_: Any) -> None:
        """Enter them."""
        main = "main" if self.env.docname.endswith("commands/train") else ""
        for node in list(self.document.findall(nodes.inline)):
            if "field" in node["classes"] and node["ids"]:
                entry = ("single", node.astext(), node["ids"][0], main, None)
                node.insert(0, addnodes.index(entries=[entry]))


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_transform(FieldsInIndex)
    return {"parallel_read_safe": True}
