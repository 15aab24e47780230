"""Where this package reaches into another one: all such places, so that an upgrade that moves one is noticed at once.

`pyproject.toml` bounds each of these packages from above; a bound is raised once this file passes with the newer one.
"""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from pathlib import Path

import optuna
import pytorch_lightning as pl
from lightning_fabric.utilities.distributed import _destroy_dist_connection
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.strategies.launchers import _SubprocessScriptLauncher
from torch.nn.modules.batchnorm import _BatchNorm

import gender_lightning

# (file, private name): why there is no public way
KNOWN = {
    ("training/trainer_habits.py", "_signal_connector"): "no flag keeps Lightning's signal handlers away",
    ("training/trainer_habits.py", "_broadcast_sigterm_tensor"): "nor the exchange before each batch for their sake",
    ("training/trainer_habits.py", "_iteration_based_training"): "max_steps changes how a checkpoint is resumed",
    ("training/ranks.py", "_SubprocessScriptLauncher"): "starts the ranks; only its watch over them is replaced",
    ("training/ranks.py", "_destroy_dist_connection"): "runs at the exit of a failed rank, and may wait for the others",
    ("sweeps/search/sweep.py", "_trial_id"): "storages know a trial by its id, and Trial shows its number alone",
    ("sweeps/search/trials.py", "_trial_id"): "the same",
    (
        "sweeps/search/storage.py",
        "_file",
    ): "BaseJournalFileLock, the class of a journal's lock, is exported nowhere else",
    ("models/heads.py", "_BatchNorm"): "the common class of all batch norms, SyncBatchNorm included",
}
PRIVATE = re.compile(r"_[A-Za-z]\w*")
PUBLIC = {"_exit", "__future__"}  # os._exit is documented


def reached() -> set[tuple[str, str]]:
    """Private attributes of what is not `self` and not defined in the same file, and private names imported."""
    root, found = Path(gender_lightning.__file__).parent, set()
    for file in root.rglob("*.py"):
        tree = ast.parse(file.read_text())
        nodes = list(ast.walk(tree))
        defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        defined |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and _of_self(node)}
        for node in nodes:
            names = []
            if isinstance(node, ast.Attribute) and not _of_self(node) and node.attr not in defined:
                names = [node.attr]
            elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("gender_lightning"):
                names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            found |= {(str(file.relative_to(root)), name) for name in names if PRIVATE.fullmatch(name)}
    return {(file, name) for file, name in found if name not in PUBLIC}


def _of_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def test_no_other_place_reaches_into_a_library() -> None:
    assert reached() == KNOWN.keys()


def test_the_packages_reached_into_are_bounded_from_above() -> None:
    """torch is not: `_BatchNorm` is the documented base of its batch norms for other libraries too."""
    pyproject = tomllib.loads((Path(gender_lightning.__file__).parents[1] / "pyproject.toml").read_text())
    required = {re.split(r"[\[<>=]", text)[0]: text for text in pyproject["project"]["dependencies"]}
    bounded = ("pytorch-lightning", "optuna", "hydra-core", "omegaconf", "mtcnn")
    assert not [name for name in bounded if "<" not in required[name]]


def test_checkpoints_of_lightning_have_the_entries_that_are_changed() -> None:
    """`training.schedules` and the checkpoint callback adapt them when a run is resumed."""
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", barebones=True)
    loops = trainer.fit_loop.state_dict()
    assert {"epoch_progress", "epoch_loop.batch_progress", "epoch_loop.val_loop.batch_progress"} <= loops.keys()
    for name in ("epoch_loop.batch_progress", "epoch_loop.val_loop.batch_progress"):
        assert {"total", "current", "is_last_batch"} <= loops[name].keys()
        assert {"ready", "started", "processed", "completed"} <= loops[name]["current"].keys()


def test_lightning_has_them() -> None:
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", barebones=True)
    assert callable(trainer._signal_connector.register_signal_handlers)
    assert callable(trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor)
    assert callable(trainer.fit_loop._iteration_based_training)
    assert {"_call_children_scripts", "kill", "launch"} <= set(dir(_SubprocessScriptLauncher))
    set_up = inspect.getsource(_SubprocessScriptLauncher.__init__)
    assert {"procs", "num_processes", "num_nodes"} <= set(re.findall(r"self\.(\w+)", set_up))
    assert "_configure_launcher" in dir(DDPStrategy)
    assert callable(_destroy_dist_connection)
    assert _BatchNorm.__subclasses__()


def test_optuna_has_them() -> None:
    study = optuna.create_study()
    trial = study.ask()
    assert study._storage.get_trial(trial._trial_id).number == trial.number == 0
