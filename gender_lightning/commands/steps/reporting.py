"""What commands print at their end, and what they keep libraries from printing."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

from rich.table import Table

from gender_lightning.console import console, record, shown
from gender_lightning.errors import UserError
from gender_lightning.evaluation.measure import decimal
from gender_lightning.evaluation.metrics import training_metrics
from gender_lightning.evaluation.subgroups.group_metrics import images_of, is_group_metric
from gender_lightning.runs import Run


class ConsoleHandler(logging.Handler):
    """The bare message, above a progress bar that may be running; a long line is the terminal's to wrap."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message, and the traceback that it carries."""
        try:
            text = record.getMessage()
            if record.exc_info:
                text += "\n" + logging.Formatter().formatException(record.exc_info)
            console.print(text, markup=False, highlight=False, soft_wrap=True)
        except Exception:  # logging's own rule: reporting must not stop the program
            self.handleError(record)


def print_result(run: Run, metrics: Mapping[str, float]) -> None:
    """The final table of a training, and where everything lies."""
    splits = [split for split in ("val", "test") if f"{split}/accuracy" in metrics]
    if splits:
        console.print(metrics_table({split: _of_split(metrics, split) for split in splits}))
    console.print(f"run directory: {shown(run.path)}", markup=False)


def metrics_table(columns: Mapping[str, Mapping[str, float]]) -> Table:
    """One row per metric, one column per split or data set."""
    table = Table()
    table.add_column("metric")
    for name in columns:
        table.add_column({"val": "valid"}.get(name, name), justify="right")
    further = [name for name in next(iter(columns.values())) if is_group_metric(f"val/{name}")]
    for metric in (*training_metrics(), *further):
        table.add_row(metric, *(_shown(values, metric) for values in columns.values()))
    return table


def _shown(values: Mapping[str, float], metric: str) -> str:
    """A metric's value; that of a group with its number of images."""
    if metric not in values:
        return ""
    images = values.get(images_of(metric))
    return decimal(values[metric]) if images is None else f"{decimal(values[metric])} (n = {images:,.0f})"


def refuse_overwriting(path: Path) -> None:
    """What somebody has asked for by name and what lies there already is kept.

    Raises:
        UserError: It is there.
    """
    if path.exists():
        raise UserError(f"output={path}: it exists already.", "Remove it, or choose another output=...")


def set_up_logging() -> None:
    """Our messages on the console, warnings of libraries too, but not their advertisements."""
    handler = ConsoleHandler()
    handler.addFilter(lambda message: message.name != record.name)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("gender_lightning").setLevel(logging.INFO)
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*Consider setting `persistent_workers=True`.*",
        ".*The number of training batches .* is smaller than the logging interval.*",
        ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",
        ".*It is recommended to use .*sync_dist=True.*",
        ".*Experiment logs directory .* exists.*",
        ".*Trying to infer the `batch_size`.*",
        ".*torch.distributed.nn.functional.all_gather is deprecated.*",
        ".*your dataloader is not resumable.*",  # it is: the data module keeps the place
    ):
        warnings.filterwarnings("ignore", message=message)
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    # its remarks about odd metadata and large pictures: what does not decode is an error with the file's name
    warnings.filterwarnings("ignore", module="PIL\\..*")


def _of_split(metrics: Mapping[str, float], split: str) -> dict[str, float]:
    prefix = f"{split}/"
    return {name.removeprefix(prefix): value for name, value in metrics.items() if name.startswith(prefix)}
