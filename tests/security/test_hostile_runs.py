"""A run directory, an experiment or a sweep of somebody else runs no code and writes nothing outside of its place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from gender_lightning import building, overrides
from gender_lightning.building import CALLBACK, OPTIMIZER, PRUNER, SAMPLER, Kind
from gender_lightning.commands import evaluate
from gender_lightning.commands.steps import preparation
from gender_lightning.config import EvaluateConfig, TrainConfig, parse_config
from gender_lightning.config.location import conf_dir
from gender_lightning.errors import UserError
from gender_lightning.evaluation.predictions import write_predictions
from gender_lightning.inference.checkpoints import CheckpointSet
from gender_lightning.overrides import composing
from gender_lightning.overrides.of_run import check_drawn, with_data_of_run
from gender_lightning.plain_files import refuse_links
from gender_lightning.runs import Run, to_yaml

ALL = (OPTIMIZER, CALLBACK, SAMPLER, PRUNER)
_HANDLER = "torch.distributed.elastic.multiprocessing.subprocess_handler.SubprocessHandler"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The directory of a run that was cut off."""
    path = tmp_path / "received"
    (path / "checkpoints").mkdir(parents=True)
    (path / "checkpoints" / "last.ckpt").write_bytes(b"")
    (path / "run.json").write_text(json.dumps({"status": "interrupted"}))
    (path / "overrides.yaml").write_text("[]\n")
    values = overrides.compose("train", ["data=folder", f"data.root={tmp_path}", "logger=csv"])
    (path / "config.yaml").write_text(to_yaml({**values, "run_dir": str(path)}))
    return Run(path)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the command line of a resume says."""
    overrides_typed: list[str] = []
    monkeypatch.setattr(preparation, "_typed_overrides", lambda: overrides_typed)
    monkeypatch.setattr(preparation, "prepare", lambda *given: pytest.fail("it went on"))
    return overrides_typed


def change(run: Run, field: str, value: Any) -> None:
    values = run.config()
    node = values
    *path, last = field.split(".")
    for part in path:
        node = node[part]
    node[last] = value
    (run.path / "config.yaml").write_text(to_yaml(values))


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.noun)
@pytest.mark.parametrize(
    "target",
    [
        _HANDLER,  # its constructor starts a program
        "os.system",
        "builtins.exec",
        "builtins.eval",
        "subprocess.Popen",
        "torch.hub.load",
        "torch.load",
        "torch.jit.load",
        "torch.utils.cpp_extension.load",
        "torch.utils.cpp_extension.load_inline",
        "torch.package.PackageImporter",
        "torch.serialization.os.system",
        "torch.optim.optimizer.functools.partial",
        "torch.optim.optimizer.torch.load",
        "torch.optim.Optimizer.__init__.__globals__",
        "torch.optim.swa_utils.Module",
        "optuna.samplers.os.system",
        "optuna.pruners._base.abc.ABC",
        "optuna.samplers.TPESampler.__class__",
        "optuna.__main__",
        "optuna.cli.main",
        "optuna.storages.JournalStorage",
        "pytorch_lightning.Trainer",
        "pytorch_lightning.callbacks.os.system",
        "pytorch_lightning.callbacks.callback.Any",
        "pytorch_lightning.loggers.CSVLogger",
        "timm.create_model",
        "timm.optim.create_optimizer_v2",
        "gender_lightning.__main__.main",
        "pytorch_lightning.callbacks.Callback.__class__",
        "torch.optim.lr_scheduler.LambdaLR",
        "pytorch_lightning.callbacks",
        "torch.optim",
        "",
        ".",
        "..",
        "torch.optim.",
    ],
)
def test_a_target_is_of_its_kind_or_nothing(target: str, kind: Kind) -> None:
    with pytest.raises(UserError):
        building.build({"_target_": target}, kind)


def test_a_class_that_starts_programs_is_not_reached_inside_another(tmp_path: Path) -> None:
    canary = tmp_path / "pwned"
    evil = {
        "_target_": _HANDLER,
        "entrypoint": "touch",
        "args": [str(canary)],
        "env": {},
        "stdout": None,
        "stderr": None,
        "local_rank_id": 0,
        "numa_options": None,
    }
    for section in (evil, {"_target_": "optuna.pruners.PatientPruner", "wrapped_pruner": evil, "patience": 1}):
        with pytest.raises(UserError, match="is not a pruner of"):
            building.build(section, PRUNER)
    with pytest.raises(UserError, match="is not a callback of"):
        building.build({"_target_": "pytorch_lightning.callbacks.LambdaCallback", "on_fit_start": [evil]}, CALLBACK)
    assert not canary.exists()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("callbacks.extra", {"x": {"_target_": "os.system", "command": "true"}}, "is not a callback of"),
        ("optimizer._target_", "os.system", "is not an optimizer of"),
        ("data.root", "${oc.env:HOME}", "stands for something else"),
        ("name", "../../evil", "letters, digits"),
        ("model.arguments", {"checkpoint_path": "evil.pth"}, "is not for the user to give"),
    ],
)
def test_a_config_of_a_run_names_no_code(
    run: Run, typed: list[str], monkeypatch: pytest.MonkeyPatch, field: str, value: Any, message: str
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(preparation, "_typed_overrides", lambda: typed)
    monkeypatch.setattr(preparation.FaceDataModule, "setup", lambda self: None)
    monkeypatch.setattr(preparation, "_check_fit", lambda *given: None)
    monkeypatch.setattr(preparation.FaceDataModule, "class_counts", lambda self, split: (1, 1))
    change(run, field, value)
    with pytest.raises(UserError, match=message):
        preparation.resume_run(str(run.path))


@pytest.mark.parametrize(
    "text", ["x: !!python/object/apply:os.system ['touch {}']", "x: !!python/name:os.system", "a: &a [1]\nb: [*a, *a]"]
)
def test_yaml_builds_no_objects_and_has_no_aliases(run: Run, tmp_path: Path, text: str) -> None:
    canary = tmp_path / "pwned"
    (run.path / "config.yaml").write_text(text.format(canary))
    with pytest.raises(UserError, match="is damaged"):
        run.config()
    assert not canary.exists()


def test_a_resumed_run_writes_into_its_own_directory(run: Run, typed: list[str], tmp_path: Path) -> None:
    field = "callbacks.extra.x.dirpath"
    change(
        run, "callbacks.extra", {"x": {"_target_": "pytorch_lightning.callbacks.ModelCheckpoint", "dirpath": "/etc"}}
    )
    with pytest.raises(UserError, match=f"{field}=/etc: a resumed run writes into its own directory"):
        preparation.resume_run(str(run.path))
    typed.append(f"{field}={tmp_path}")  # who types it means it
    change(run, "callbacks.extra.x.dirpath", str(tmp_path))
    preparation._refuse_other_places(TrainConfig.model_validate(run.config()), run)


def test_a_run_draws_no_faces_where_it_says(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    with pytest.raises(UserError, match="faces are no longer in"):
        check_drawn({"name": "synthetic", "root": str(place), "sizes": {"train": 10**9}})
    values = overrides.compose("evaluate", [f"checkpoint={run.path}", f"data.root={place}"])
    change(run, "data", {**values["data"], "name": "synthetic"})
    with pytest.raises(UserError, match="faces are no longer in"):
        evaluate.refuse_to_draw(parse_config(EvaluateConfig, values), run)
    assert not place.exists()


def test_what_a_data_section_says_stays_data(run: Run) -> None:
    for section in ({"name": "celeba,folder"}, {"name": "../x"}, {"name": "celeba", "x=1 hydra.run.dir": "/"}, {1: 2}):
        (run.path / "config.yaml").write_text(to_yaml({"data": section}))
        with pytest.raises(UserError, match="has no data section"):
            with_data_of_run([f"checkpoint={run.path}"])


@pytest.mark.parametrize("name", ["log.txt", "checkpoints", "checkpoints/last.ckpt", "predictions", "config.yaml"])
def test_links_that_lead_out_are_not_followed_on_a_resume(run: Run, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    target = outside if "." not in name else outside / "file"
    path = run.path / name
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.symlink_to(target)
    with pytest.raises(UserError, match="is a link that leads out"):
        Run.resume(str(run.path))
    path.unlink()
    path.symlink_to(run.path / "run.json")  # inside: as W&B has them
    refuse_links(run.path)


def test_a_planted_temporary_link_is_not_written_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pandas as pd

    victim = tmp_path / "victim"
    victim.write_text("mine")
    run = tmp_path / "run"
    run.mkdir()
    monkeypatch.setattr("secrets.token_hex", lambda size: "ab" * size)  # a random name that was guessed
    (run / ".test.parquet.abababab").symlink_to(victim)
    with pytest.raises(FileExistsError):
        write_predictions(pd.DataFrame({"a": [1]}), run / "test.parquet")
    assert victim.read_text() == "mine"


def test_results_of_an_evaluation_do_not_leave_through_a_link(run: Run, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (run.path / "evaluation").symlink_to(tmp_path / "outside")
    values = overrides.compose("evaluate", [f"checkpoint={run.path}", "data=celeba"])
    with pytest.raises(UserError, match="leads out of the run directory"):
        evaluate._output(parse_config(EvaluateConfig, values), CheckpointSet.of(run.path))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("wandb_id", "../../../evil", "wandb_id is not a W&B run id"),
        ("status", ["done"], "status is"),
        ("seconds", "long", "seconds is"),
    ],
)
def test_a_record_that_points_elsewhere_is_refused(run: Run, field: str, value: Any, message: str) -> None:
    (run.path / "run.json").write_text(json.dumps({field: value}))
    with pytest.raises(UserError, match=message):
        run.info()


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A conf/ of one's own with an experiment of somebody else."""
    folder = tmp_path / "conf"
    shutil.copytree(conf_dir(), folder)
    monkeypatch.setattr(composing, "conf_dir", lambda: folder)
    for cached in (composing._menu_of, composing.fields_with):
        cached.cache_clear()
    yield folder / "experiment" / "evil.yaml"
    for cached in (composing._menu_of, composing.fields_with):
        cached.cache_clear()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hydra: {callbacks: {x: {_target_: os.system, command: 'true'}}}", "hydra.callbacks is changed by a file"),
        ("hydra: {launcher: {_target_: os.system}}", "hydra.launcher is changed by a file"),
        ("hydra: {sweeper: {_target_: os.system}}", "hydra.sweeper._target_ is changed by a file"),
        ("hydra: {job_logging: {handlers: {x: {(): os.system}}}}", "hydra.job_logging is changed by a file"),
        ("hydra: {env: {x: 1}}", "hydra.env is changed by a file"),
        ("x: !!python/object/apply:os.system ['true']", "A file of conf/ cannot be read"),
        ("optimizer: {lr: -1}", "optimizer.lr=-1"),
        ("callbacks: {extra: 3}", "callbacks.extra"),
    ],
)
def test_an_experiment_names_no_code(experiment: Path, text: str, message: str) -> None:
    experiment.write_text(f"# @package _global_\n{text}\n")
    with pytest.raises(UserError, match=message):
        overrides.check("train", ["experiment=evil"])


def test_a_journal_that_is_damaged_is_told(tmp_path: Path) -> None:
    from gender_lightning.sweeps.search.storage import open_storage
    from gender_lightning.sweeps.search.study import open_study

    journal = tmp_path / "journal.log"
    settings = parse_config(TrainConfig, overrides.compose("train", ["search=resnet18"])).search
    for text in ('{"op_code": 99}\n', '{"op_code": 4}\n', "[1]\n", '{"op_code":0,"worker_id":"x"}\n'):
        journal.write_text(text)
        with pytest.raises(UserError, match="damaged"):
            open_study(settings, open_storage(str(journal)), None, (), tmp_path)  # type: ignore[arg-type]


def test_a_checkpoint_of_a_run_is_read_without_code(run: Run, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "pwned",))

    torch.save({"state_dict": Evil()}, run.last)
    from gender_lightning.models.checkpoints.checkpoint import load_network

    with pytest.raises(UserError, match="refused for safety"):
        load_network(run.last)
    assert not (tmp_path / "pwned").exists()
