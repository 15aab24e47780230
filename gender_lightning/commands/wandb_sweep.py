"""`gender-lightning wandb-sweep`: a search as a file for W&B's own sweeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig

from gender_lightning.commands.steps.reporting import set_up_logging
from gender_lightning.config import WandbSweepConfig, parse_config
from gender_lightning.console import console
from gender_lightning.durable import writing
from gender_lightning.errors import UserError
from gender_lightning.runs import to_yaml
from gender_lightning.sweeps.search.checking import plan_of
from gender_lightning.sweeps.search.wandb_sweep import wandb_sweep

_HEAD = "# Written by `gender-lightning wandb-sweep`. Start it with `wandb sweep FILE`, then `wandb agent`.\n"


def main(values: dict[str, Any]) -> Path:
    """Write the file, and say what to do with it."""
    set_up_logging()
    config = parse_config(WandbSweepConfig, values)
    if config.search is None:
        raise UserError("There is nothing to search.", "Choose search=resnet50 or another.", field="search")
    typed = [text for text in HydraConfig.get().overrides.task if not text.startswith("output=")]
    sweep = wandb_sweep(plan_of(typed))
    path = Path(config.output).expanduser()
    if not path.parent.is_dir():
        raise UserError(f"output={path}: there is no folder {path.parent}.", "Make it first.", field="output")
    with writing(path) as file:
        file.write(_HEAD + "".join(f"# {note}\n" for note in sweep.notes) + to_yaml(sweep.content))
    for note in sweep.notes:
        console.print(note, markup=False)
    console.print(
        f"written to {path}: `wandb sweep {path}` registers it and says how to start its agents", markup=False
    )
    return path
