"""The commands as functions: the same fields, the same checks, typed results, errors as exceptions.

Each function takes the overrides of its command: as strings (``"model=resnet18"``), as mappings from fields to values
(``{"optimizer.lr": 3e-4}``), or as keywords, where a mapping sets the fields of a section
(``data={"root": "faces"}``). Logging, warnings, environment and `sys.argv` of the process are restored afterwards.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gender_lightning.console import shown
from gender_lightning.errors import UserError
from gender_lightning.notebook import as_html
from gender_lightning.running import execute
from gender_lightning.runs import Run

if TYPE_CHECKING:
    import pandas as pd

    from gender_lightning.commands.predict import Predictions
    from gender_lightning.commands.push import Pushed
    from gender_lightning.comparison.result import Comparison
    from gender_lightning.evaluation.results import Evaluation
    from gender_lightning.inference.population import Counts
    from gender_lightning.refitting.result import Refit

Override = str | Mapping[str, Any]
_LEFT_BY_RUNS = ("GENDER_LIGHTNING_RUN_DIR", "PL_GLOBAL_SEED", "PL_SEED_WORKERS")
_LOGGERS = ("", "gender_lightning", "pytorch_lightning", "lightning_fabric", "lightning.pytorch", "PIL")
_FLAGS = ("--config-dir", "-cd")  # the flags that change the configuration


@dataclass(frozen=True)
class Search:
    """A finished search.

    Attributes:
        path: Directory of the sweep, with `trials.csv`, `sweep.html`, `best.yaml` and a run directory per trial.
        best: The best run; with several objectives, the runs of the Pareto front.
        test: Metrics of the best run on the test split; empty with several objectives, or without a test.
    """

    path: Path
    best: tuple[Run, ...]
    test: Mapping[str, float]

    def trials(self) -> pd.DataFrame:
        """One row per trial: state, objectives, epochs, seconds, parameters, error."""
        import pandas as pd

        return pd.read_csv(self.path / "trials.csv")

    def __repr__(self) -> str:
        return f"Search({shown(self.path)!r}, best={list(self.best)})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the best runs with their metrics on valid, and that of test."""
        names = list(self.best[0].metrics()) if self.best else []
        names = [name for name in names if name.startswith("val/")]
        rows = [[shown(run.path), *(f"{run.metrics()[name]:.4f}" for name in names)] for run in self.best]
        tested = "  ".join(f"{name} {value:.4f}" for name, value in self.test.items())
        page = f"Page: {shown(self.path / 'sweep.html')}"
        return as_html(f"Search {shown(self.path)}", ["best run", *names], rows, [*([tested] if tested else []), page])


def train(*overrides: Override, **fields: Any) -> Run:
    """Fit a classifier and test the best checkpoint once, like ``gender-lightning train``.

    A training on several devices runs in separate processes, so that it works from notebooks and from scripts
    without ``if __name__ == "__main__"``.

    Args:
        overrides: Strings, and mappings from fields to values.
        fields: Fields and groups of ``train``.

    Returns:
        The run, with `path`, `metrics()`, `config()` and `info()`; it is accepted wherever a path is.

    Raises:
        UserError: Any mistake in the overrides; it is found before anything is written.

    Example:
        >>> run = train(model="resnet18", data={"image_size": 48}, trainer={"max_epochs": 3}, logger="csv")
        >>> run.metrics()["test/accuracy"]
        0.91
    """
    from gender_lightning.distributed import needs_processes, train_in_processes

    texts = _texts(overrides, fields)
    if needs_processes(texts):
        return train_in_processes(texts)
    run: Run = _call("train", texts)
    return run


def evaluate(*overrides: Override, **fields: Any) -> Evaluation:
    """Measure a checkpoint on any data set, like ``gender-lightning evaluate``.

    Args:
        overrides: Strings, and mappings from fields to values.
        fields: Fields and groups of ``evaluate``, such as `checkpoint`.

    Returns:
        All metrics with their intervals, as in `evaluation.json`.

    Raises:
        UserError: Any mistake in the overrides.

    Example:
        >>> evaluation = evaluate(checkpoint=run, corruptions="none")
        >>> evaluation.metrics["accuracy"].low
        0.88
    """
    evaluation: Evaluation = _call("evaluate", _texts(overrides, fields))
    return evaluation


def compare(*overrides: Override, **fields: Any) -> Comparison:
    """Compare runs, like ``gender-lightning compare``.

    Args:
        overrides: Strings, and mappings from fields to values.
        fields: Fields of ``compare``, such as ``runs=[first, second]``.

    Returns:
        Rows, pairs and the verdict in words, as in `comparison.json`.

    Raises:
        UserError: Any mistake in the overrides.

    Example:
        >>> compare(runs=[first, second]).verdict.headline
        'ResNet18 and GoogLeNet cannot be told apart.'
    """
    comparison: Comparison = _call("compare", _texts(overrides, fields))
    return comparison


def predict(*overrides: Override, **fields: Any) -> Predictions:
    """Predict pictures, folders and videos and write a table, like ``gender-lightning predict``.

    For pictures in memory, see `load`.

    Args:
        overrides: Strings, and mappings from fields to values.
        fields: Fields of ``predict``, such as `checkpoint`, `input` and `output`.

    Returns:
        The `path` of the table and the `counts`; `table()` reads the rows.

    Raises:
        UserError: Any mistake in the overrides; or nothing could be read.
    """
    predictions: Predictions = _call("predict", _texts(overrides, fields))
    return predictions


def population(*overrides: Override, **fields: Any) -> Counts:
    """Count the faces of a crowd by predicted gender, like ``gender-lightning population``.

    Args:
        overrides: Strings, and mappings from fields to values.
        fields: Fields of ``population``, such as `checkpoint` and `input`.

    Returns:
        The counts of all faces first, then those of each group that is large enough; `table()` gives them as a table.

    Raises:
        UserError: Any mistake in the overrides; or too few faces.
    """
    counted: Counts = _call("population", _texts(overrides, fields))
    return counted


def refit(*overrides: Override, **fields: Any) -> Refit:
    """Fit the last layer of a trained run again, like ``gender-lightning refit``.

    Args:
        overrides: Strings, and mappings from fields to values.
        fields: Fields and groups of ``refit``, such as `checkpoint`, `groups` and `method`.

    Returns:
        What was gained, as in `refit.json`; it is accepted wherever a run is.

    Raises:
        UserError: Any mistake in the overrides; or too few persons.

    Example:
        >>> refit(checkpoint=run, groups=["Wearing_Lipstick"]).verdict()[0]
        'Nothing was gained (no more than chance): the checkpoint keeps the old head (keep=always takes the new one).'
    """
    result: Refit = _call("refit", _texts(overrides, fields))
    return result


def export(*overrides: Override, **fields: Any) -> Path:
    """Write a checkpoint as ONNX, .pt2 or safetensors, like ``gender-lightning export``.

    Args:
        overrides: Strings, and mappings from fields to values.
        fields: Fields of ``export``, such as `checkpoint` and `format`.

    Returns:
        The exported file.

    Raises:
        UserError: Any mistake in the overrides; or the export's outputs differ from those of the checkpoint.
    """
    file: Path = _call("export", _texts(overrides, fields))
    return file


def push(*overrides: Override, **fields: Any) -> Pushed:
    """Publish a checkpoint with its model card on the Hugging Face hub, like ``gender-lightning push``.

    Args:
        overrides: Strings, and mappings from fields to values.
        fields: Fields of ``push``, such as `checkpoint` and `to`.

    Returns:
        The `upload` with its `url` and `revision`; with ``output="folder"``, the `folder`.

    Raises:
        UserError: Any mistake in the overrides; there is no evaluation, no permission or no connection; or the weights
            may not be published. Nothing has been uploaded then.
    """
    pushed: Pushed = _call("push", _texts(overrides, fields))
    return pushed


def search(*overrides: Override, **fields: Any) -> Search:
    """Search hyper-parameters with Optuna, like ``gender-lightning train -m search=...``; each trial is a process.

    Args:
        overrides: Strings, and mappings from fields to values. A range is a string:
            ``"optimizer.lr=interval(1e-4,1e-2)"``.
        fields: Fields and groups of ``train``; ``search={"n_trials": 20}`` sets fields of the search.

    Returns:
        The directory of the search, its trials and its best runs. Calling this again with the same arguments
        continues the search.

    Raises:
        UserError: Any mistake in the overrides; or no trial has finished.
    """
    from gender_lightning.overrides.checking import complete
    from gender_lightning.overrides.of_run import hydra_value
    from gender_lightning.running import check_overrides
    from gender_lightning.sweeps.sweeper import search_directory

    texts = complete("train", ["-m", *_texts(overrides, fields)])
    if not any(text.startswith("search=") for text in texts):
        raise UserError(
            "There is nothing to search.",
            'Name a space ("search=resnet50"), or add a range ("optimizer.lr=interval(1e-4,1e-2)").',
        )
    with _visiting("train", texts):
        check_overrides("train", texts)
        directory = search_directory(texts)
        try:
            execute("train", None, [*texts, f"hydra.sweep.dir={hydra_value(str(directory))}"])
        except SystemExit as stop:
            if stop.code == 130:
                raise KeyboardInterrupt from None
    return _search_of(directory)


def _search_of(directory: Path) -> Search:
    file = directory / "summary.json"
    if not file.is_file():
        raise UserError("No trial has finished.", f"Read the reasons in the trials' log.txt files in {directory}.")
    summary = json.loads(file.read_text())
    best = tuple(Run.open(directory / str(entry["run"])) for entry in summary["best"])
    return Search(directory, best, summary.get("test", {}))


def _texts(overrides: tuple[Override, ...], fields: Mapping[str, Any]) -> list[str]:
    from gender_lightning.overrides.from_python import texts_of

    texts = texts_of(overrides, fields)
    for text in texts:
        if text.startswith("-") and text.partition("=")[0] not in _FLAGS:
            raise UserError(
                f"{text}: flags belong to the command line.", "Leave it out. To run a search, call search()."
            )
    return texts


def _call(verb: str, texts: Sequence[str]) -> Any:
    with _visiting(verb, texts):
        return execute(verb, None, list(texts))


@contextmanager
def _visiting(verb: str, texts: Sequence[str]) -> Iterator[None]:
    """Let a command change the state of the process, and restore it afterwards."""
    from hydra.core.hydra_config import HydraConfig

    root = logging.getLogger()
    handlers, argv = list(root.handlers), list(sys.argv)
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    environment = {name: os.environ.get(name) for name in _LEFT_BY_RUNS}
    root.handlers[:] = []  # a command would close them
    sys.argv[:] = ["gender-lightning", verb, *texts]  # recorded in run.json
    with warnings.catch_warnings():
        # tqdm's, which Optuna imports: it asks for widgets that nothing here draws
        warnings.filterwarnings("ignore", message="IProgress not found")
        try:
            yield
        finally:
            HydraConfig.instance().cfg = None  # otherwise Lightning takes a later training for one under Hydra
            sys.argv[:], root.handlers[:] = argv, handlers
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
            for name, value in environment.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
