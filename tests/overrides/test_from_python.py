"""Values given in Python reach the configuration as they are; Hydra's own parser is the judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from gender_lightning.errors import UserError
from gender_lightning.overrides import complete, compose
from gender_lightning.overrides.from_python import texts_of

VALUES: tuple[Any, ...] = (
    1, -3, 0.5, 1e-7, 1e300, True, False, None, "plain", "", " blank ", "null", "True", "1e-3", "12", "a,b", "a=b",
    "[a,b]", "it's", 'say "so"', "back\\slash", "ends\\", "é ü", "${name}", "interval(0,1)", "a: b", [1, 2.5, "x y"],
    [], ["null", None], {"a": 1, "b": {"c": "d e"}},
)  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_is_read_back_as_it_was(value: Any) -> None:
    (text,) = texts_of(({"some.field": value},), {})
    override = OverridesParser.create().parse_override(text)
    assert not override.is_sweep_override()
    read = override.value()
    assert (_plain(read) == value and type(read) is type(value)) or _plain(read) == value


def _plain(value: Any) -> Any:
    from hydra.core.override_parser.types import QuotedString

    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def test_paths_and_numbers_of_numpy_are_plain() -> None:
    assert texts_of(({"data.root": Path("a b"), "optimizer.lr": np.float64(0.25)},), {"seed": np.int64(3)}) == [
        "data.root='a b'",
        "optimizer.lr=0.25",
        "seed=3",
    ]


def test_a_mapping_sets_fields_of_its_section_and_leaves_the_others() -> None:
    typed = texts_of(
        ("model=resnet18",), {"data": {"image_size": 48, "sizes": {"train": 8}}, "callbacks": {"ema": {"decay": 0.9}}}
    )
    values = compose("train", complete("train", typed))
    assert values["model"]["name"] == "resnet18"
    assert values["data"]["image_size"] == 48 and values["data"]["sizes"] == {"train": 8, "valid": 400, "test": 400}
    assert (
        values["callbacks"]["ema"] == {"decay": 0.9} and values["callbacks"]["checkpoint"]["monitor"] == "val/accuracy"
    )


def test_anything_else_is_refused() -> None:
    with pytest.raises(UserError, match="neither a string nor a mapping"):
        texts_of((3,), {})  # type: ignore[arg-type]
