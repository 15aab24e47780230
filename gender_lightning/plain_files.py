"""YAML and JSON files that may come from somebody else, read as plain values or rejected with a clear message.

Neither can run code, but both can exhaust memory or the stack: YAML by nested aliases, both by depth.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gender_lightning.errors import UserError

MOST_BYTES = 1 << 24
_DEPTH = 50
_FOLDERS = ("checkpoints", "predictions", "evaluation")  # of a run directory


def read_yaml(path: Path, *, interpolations: bool = False) -> Any:
    """Read the plain values of a YAML file; aliases are rejected.

    Args:
        path: The file.
        interpolations: Whether `${...}` is let through as text, never to be resolved; otherwise it is rejected.

    Raises:
        UserError: It cannot be read, is not YAML, or contains more than plain values.
    """
    import yaml

    class Plain(yaml.SafeLoader):
        def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
            if self.check_event(yaml.AliasEvent):
                raise ValueError("it has aliases (*)")
            node: yaml.Node | None = super().compose_node(parent, index)
            return node

    def parse(text: str) -> Any:
        try:
            return yaml.load(text, Loader=Plain)
        except yaml.YAMLError as error:
            raise ValueError(" ".join(str(error).split())) from None

    content = _read(path, parse)
    if not interpolations:
        _refuse_interpolations(path, content)
    return content


def read_json(path: Path) -> Any:
    """Read the plain values of a JSON file.

    Raises:
        UserError: It cannot be read, or is not JSON.
    """
    return _read(path, json.loads)


def parse_json(text: str, path: Path) -> Any:
    """The plain values of JSON that stands within another file, which is `path`.

    Raises:
        UserError: It is not JSON, or is nested too deeply.
    """
    return _parsed(path, lambda: text, json.loads)


def _read(path: Path, parse: Callable[[str], Any]) -> Any:
    def text() -> str:
        if not path.is_file():
            raise OSError(None, "there is no such file" if not path.exists() else "it is not a file")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
        return data.decode()

    return _parsed(path, text, parse)


def _parsed(path: Path, text: Callable[[], str], parse: Callable[[str], Any]) -> Any:
    try:
        content = parse(text())
        _check_depth(content)
        return content
    except (OSError, ValueError, RecursionError, OverflowError, TypeError, AttributeError) as error:
        reason = getattr(error, "strerror", None) or (
            "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
        )
        what = "cannot be read" if isinstance(error, OSError) else "is damaged"
        raise UserError(f"{path} {what} ({reason}).", "Restore it, or start a new run.") from None


def _check_depth(content: Any) -> None:
    level = [content]
    for _ in range(_DEPTH):
        level = [item for node in level if isinstance(node, dict | list) for item in _items(node)]
        if not level:
            return
    raise ValueError("it is nested too deeply")


def _items(node: dict[Any, Any] | list[Any]) -> list[Any]:
    return list(node.values()) if isinstance(node, dict) else node


def _refuse_interpolations(path: Path, content: Any) -> None:
    """Reject interpolations: our own files have none, and OmegaConf would look up `${oc.env:...}` on this machine."""
    if isinstance(content, str) and ("${" in content or "\0" in content):
        raise UserError(
            f"{path} holds {content[:80]!r}, which stands for something else.", "Write the value itself in its place."
        )
    if isinstance(content, dict):
        for key, value in content.items():
            _refuse_interpolations(path, key)
            _refuse_interpolations(path, value)
    elif isinstance(content, list):
        for value in content:
            _refuse_interpolations(path, value)


def refuse_links(directory: Path) -> None:
    """Refuse a run directory with links that lead out of it, since it may come from somebody else.

    The W&B folder is not checked: W&B replaces links instead of writing through them.

    Raises:
        UserError: The directory has such a link.
    """
    real = directory.resolve()
    for folder in (directory, *(directory / name for name in _FOLDERS)):
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path.is_symlink() and not path.resolve().is_relative_to(real):
                raise UserError(
                    f"{path} is a link that leads out of the directory.", "Replace it with the file it points to."
                )
