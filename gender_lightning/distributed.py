"""Training on several devices from Python: the command line runs in a separate process tree.

Lightning starts further ranks by running the program again, which is not possible in a notebook and repeats everything
else that a script does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from gender_lightning.console import console
from gender_lightning.errors import UserError
from gender_lightning.job import job_environment
from gender_lightning.runs import Run, is_first_process

_TOLD = 50  # lines of output that an error shows


def needs_processes(texts: Sequence[str]) -> bool:
    """Whether a training has several processes that torchrun or SLURM has not started already.

    Raises:
        UserError: Any mistake in the overrides.
    """
    if not is_first_process() or os.environ.get("WORLD_SIZE", "1") not in ("", "1"):
        return False
    from gender_lightning.config import TrainerConfig
    from gender_lightning.training.trainer import hardware_of

    trainer: Any = TrainerConfig.model_validate(_composed(texts)["trainer"])
    return trainer.num_nodes > 1 or hardware_of(trainer, opens=False).devices > 1


def train_in_processes(texts: Sequence[str]) -> Run:
    """Run `gender-lightning train` and show what it prints.

    Raises:
        UserError: An override is wrong, or the training stopped with an error that the user can fix.
        RuntimeError: The training crashed.
    """
    from gender_lightning.overrides.of_run import hydra_value

    values = _composed(texts)
    resumed = values["resume"]
    place = Path(str(resumed or values["run_dir"])).expanduser().absolute()
    given = resumed or any(text.startswith("run_dir=") for text in texts)
    more = [] if given else [f"run_dir={hydra_value(str(place))}"]
    command = [sys.executable, "-m", "gender_lightning", "train", *texts, *more]
    with subprocess.Popen(
        command, env=job_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            last = _shown(process.stdout)
            code = process.wait()
        except BaseException:
            process.terminate()  # the training saves a checkpoint before it ends
            raise
    if code == 2:
        raise UserError("\n".join(last))
    if code:
        raise RuntimeError(f"The training ended with exit code {code}:\n" + "\n".join(last))
    return Run.open(place.parent.parent if place.suffix == ".ckpt" else place)


def _shown(lines: IO[str]) -> list[str]:
    """Print each line, and return the last `_TOLD` lines."""
    last: deque[str] = deque(maxlen=_TOLD)
    for line in lines:
        console.print(line.rstrip("\n"), markup=False, highlight=False)
        last.append(line.rstrip("\n"))
    return list(last)


def _composed(texts: Sequence[str]) -> dict[str, Any]:
    from gender_lightning import overrides
    from gender_lightning.running import check_overrides

    texts = overrides.complete("train", texts)
    check_overrides("train", texts)
    with overrides.hydra_at_conf():
        values = overrides.compose("train", texts)
    if values["resume"] is not None and not any(text.startswith("trainer.devices=") for text in texts):
        run = Run.of(Path(str(values["resume"])).expanduser())
        values["trainer"] = values["trainer"] if run is None else run.config()["trainer"]
    return values
