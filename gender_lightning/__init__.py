"""Train, tune, compare and use face-gender classifiers on CelebA.

``from gender_lightning import load`` gives a predictor from a checkpoint; `train`, `evaluate`, `compare`, `predict`,
`population`, `refit`, `export`, `push` and `search` are the commands as functions. Nothing heavy is loaded before use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gender_lightning.api import compare as compare
    from gender_lightning.api import evaluate as evaluate
    from gender_lightning.api import export as export
    from gender_lightning.api import population as population
    from gender_lightning.api import predict as predict
    from gender_lightning.api import push as push
    from gender_lightning.api import refit as refit
    from gender_lightning.api import search as search
    from gender_lightning.api import train as train
    from gender_lightning.errors import UserError as UserError
    from gender_lightning.inference.predictor import load as load
    from gender_lightning.runs import Run as Run

    __version__: str

_PLACES = {
    **dict.fromkeys(
        ("train", "evaluate", "compare", "predict", "population", "refit", "export", "push", "search"), "api"
    ),
    "load": "inference.predictor",
    "Run": "runs",
    "UserError": "errors",
}
__all__ = [
    "Run",
    "UserError",
    "__version__",
    "compare",
    "evaluate",
    "export",
    "load",
    "population",
    "predict",
    "push",
    "refit",
    "search",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("gender_lightning")
        except PackageNotFoundError:
            return "0+unknown"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
