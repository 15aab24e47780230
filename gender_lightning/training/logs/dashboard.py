"""A saved view of the runs in W&B, with the charts that a project of ours has: `make dashboards`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from gender_lightning.errors import UserError
from gender_lightning.training.logs.wandb_place import PROJECT
from gender_lightning.wandb_account import logged_in

NAME = "gender_lightning"
_EPOCH, _STEP = "epoch", "trainer/global_step"
# Charts over epochs and over steps: title, and the keys that are drawn.
LEARNING = (
    ("accuracy, valid", ("val/accuracy",)),
    ("loss", ("train/loss", "val/loss")),
    ("recall, valid", ("val/recall_male", "val/recall_female")),
    ("AUROC, valid", ("val/auroc",)),
)
STEPS = (
    ("learning rate", ("lr",)),
    ("norm of the gradients", ("train/gradient_norm",)),
    ("training loss", ("train/loss_step",)),
)
SPEED = ("images per second", ("images_per_second",))
TESTED = ("test/accuracy", "test/recall_male", "test/recall_female")
SEARCHED = ("model.name", "optimizer.lr", "optimizer.weight_decay", "loss.label_smoothing", "data.batch_size")
COLUMNS = (
    "summary:val/accuracy", "summary:test/accuracy", "config:model.name", "config:data.name", "config:data_set.train",
)  # fmt: skip


def view(entity: str, project: str) -> Any:
    """The view, still to be saved.

    Args:
        entity: User or team in W&B.
        project: Project of the runs.

    Raises:
        UserError: wandb-workspaces is not installed.
    """
    try:
        import wandb_workspaces.reports.v2 as wr
        import wandb_workspaces.workspaces as ws
    except ImportError as error:
        raise UserError(
            f"Dashboards need {error.name}, which is not installed.",
            "Install it: pip install 'gender-lightning[dashboards]'.",
        ) from error

    def lines(charts: Sequence[tuple[str, tuple[str, ...]]], x: str) -> list[Any]:
        return [wr.LinePlot(title=title, x=x, y=[*keys]) for title, keys in charts]

    columns = [wr.ParallelCoordinatesPlotColumn(metric=wr.Config(name)) for name in SEARCHED]
    target = wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric("val/accuracy"))
    sections = [
        ws.Section(name="Learning", panels=lines(LEARNING, _EPOCH), is_open=True),
        ws.Section(name="Test", panels=[wr.BarPlot(title="test, once per run", metrics=[*TESTED])], is_open=True),
        ws.Section(name="Optimisation", panels=[*lines(STEPS, _STEP), *lines([SPEED], _EPOCH)]),
        ws.Section(
            name="Searches",
            panels=[
                wr.ParallelCoordinatesPlot(columns=[*columns, target]),
                wr.ParameterImportancePlot(with_respect_to="val/accuracy"),
            ],
        ),
        ws.Section(
            name="Pictures",
            panels=[
                wr.MediaBrowser(media_keys=["train/augmented_batch"]),
                wr.WeavePanelSummaryTable(table_name="val/worst_faces"),
            ],
        ),
    ]
    return ws.Workspace(
        entity=entity,
        project=project,
        name=NAME,
        sections=sections,
        runset_settings=ws.RunsetSettings(pinned_columns=[*COLUMNS]),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Save the view in W&B; the exit code is 2 if nobody is logged in or the extra is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("entity", help="user or team in W&B")
    parser.add_argument("--project", default=PROJECT, help="project of the runs")
    chosen = parser.parse_args(arguments)
    try:
        made = view(chosen.entity, chosen.project)
        if not logged_in():
            raise UserError("Nobody is logged in to W&B.", "Log in with `wandb login`.")
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    made.save()  # says where it is


if __name__ == "__main__":
    main()
