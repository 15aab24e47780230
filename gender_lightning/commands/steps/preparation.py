"""Preparation of a training: anything wrong with the configuration, machine, data or weights is reported here."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import nn

from gender_lightning import building
from gender_lightning.commands.steps.absolute_paths import with_absolute_paths
from gender_lightning.config import Distill, TrainConfig, parse_config
from gender_lightning.config.validation import suggestion
from gender_lightning.data.datamodule import FaceDataModule
from gender_lightning.data.framing import CELEBA, Framing, Placement
from gender_lightning.data.kinds import KINDS
from gender_lightning.data.rows.skipping import SKIPPED, Skipped, read_skipped, write_skipped
from gender_lightning.errors import UserError, UserErrors
from gender_lightning.evaluation.metrics import training_metrics
from gender_lightning.inference.faces.crops import Cropper, FaceSearch
from gender_lightning.inference.faces.located import Located
from gender_lightning.inference.faces.training_faces import placement_of
from gender_lightning.machine.hardware import Hardware
from gender_lightning.models.pooling import make_repeatable
from gender_lightning.models.probe import check_network
from gender_lightning.overrides.of_run import check_drawn
from gender_lightning.plain_files import read_yaml
from gender_lightning.runs import Run, is_first_process, joined_run, to_yaml, write_text
from gender_lightning.training.batch_scaling import follow_batch
from gender_lightning.training.checkpoint_files import check_resumable
from gender_lightning.training.classifier import GenderClassifier
from gender_lightning.training.logs.metrics_csv import read_rows
from gender_lightning.training.losses.teachers import Teachers, load_teachers
from gender_lightning.training.losses.training_groups import TrainingGroups, training_groups_of
from gender_lightning.training.ranks import wait_for_first_process
from gender_lightning.training.trainer import hardware_of, planned_steps

_PLACE = re.compile("path|dir|file")  # in the name of a callback's argument: a place where it writes
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """The parts of a training whose faults can be found before a run directory exists."""

    hardware: Hardware
    data: FaceDataModule
    model: GenderClassifier


def new_run(values: dict[str, Any]) -> tuple[TrainConfig, Parts, Run]:
    """Create a run from the composed configuration.

    Raises:
        UserError: The configuration has a mistake that can be found now; nothing has been written.
    """
    config, values = with_absolute_paths(parse_config(TrainConfig, values), values)
    joined = joined_run(config.run_dir)
    if joined is not None:
        wait_for_first_process(joined)
    parts = prepare(config, None if joined is None else read_skipped(joined.path / SKIPPED))
    run = Run.create(config.run_dir, values, _typed_overrides(), default_name=not _typed("run_dir"))
    _record_skipped(run, parts)
    return config, parts, run


def resume_run(directory: str) -> tuple[TrainConfig, Parts, Run]:
    """Open an earlier run in its own directory, with its own configuration.

    Raises:
        UserError: The run cannot be resumed, or not with these overrides; it has not been changed.
    """
    run = Run.resume(directory, extended=_typed("trainer.max_epochs"))
    wait_for_first_process(run)
    before = run.config()
    values = _configuration_of(run, before)
    parsed = parse_config(TrainConfig, {**values, "resume": str(run.path), "run_dir": str(run.path)})
    config, values = with_absolute_paths(parsed, values)
    _refuse_other_places(config, run)
    if is_first_process() and run.info().get("status") == "done":
        planned, trained = before["trainer"]["max_epochs"], len(read_rows(run.path / "metrics.csv"))
        if config.trainer.max_epochs <= planned:
            limit = ", and let early stopping, trainer.max_steps or trainer.max_time, which ended it, allow more"
            more = limit if 0 < trained < planned else ""
            raise UserError(
                f"The run in {run.path} is finished: it trained for {trained or planned} of {planned} epochs.",
                f"Give a larger trainer.max_epochs{more}.",
                field="trainer.max_epochs",
            )
    skipped_then = before["data"].get("on_error") == "skip"
    skipped = read_skipped(run.path / SKIPPED) if skipped_then else None
    parts = prepare(config, skipped, checkpoint=run.resume_from)
    _record_skipped(run, parts)
    if run.resume_from is None:
        if is_first_process():
            log.info("%s has no checkpoint yet: the training starts from the beginning.", run.path)
    elif is_first_process():
        state = parts.model.state_dict()
        further = {name: value for name, value in state.items() if not name.startswith("net.")}
        check_resumable(run.resume_from, parts.model.net.state_dict(), config.model.name, further)
    _record_changes(run, values)
    return config, parts, run


def prepare(config: TrainConfig, skipped: list[Skipped] | None = None, *, checkpoint: Path | None = None) -> Parts:
    """Open the data and build the model.

    Args:
        config: Configuration of the training.
        skipped: Images that an earlier part of this run, or its first rank, has left out.
        checkpoint: File from which a resumed run will read its weights.

    Raises:
        UserError: The machine, the data or the weights do not fit the configuration.
    """
    hardware = hardware_of(config.trainer)
    transforms = _third_party(config)
    _check_optimizer(config)
    if is_first_process():
        _check_network(config, hardware, config.data.batch_size)
    teachers = _teachers(config)
    data = _open_data(config, skipped)
    groups = training_groups_of(data, config.loss)
    _check_fit(config, data, hardware, groups)
    if groups.shares is not None and is_first_process():
        log.info(data.groups.describe(config.data.group_minimum))
    # once more, now that the length of the training is known, which decides whether compilation pays
    steps = planned_steps(config.trainer, sum(data.class_counts("train")), config.data.batch_size, hardware.devices)
    hardware = hardware_of(config.trainer, steps)
    optimizer, scheduler, said = follow_batch(
        config.optimizer, config.scheduler, global_batch=_global_batch(config, hardware),
        epochs=config.trainer.max_epochs,
    )  # fmt: skip
    if said is not None and is_first_process():
        log.info(said)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    model = GenderClassifier(
        config.model,
        optimizer,
        scheduler,
        config.augmentation,
        config.loss,
        framing=data.framing,
        seed=config.seed,
        class_counts=data.class_counts("train"),
        fetch_weights=checkpoint is None,  # the checkpoint holds them
        transforms=transforms,
        groups=groups,
        teachers=teachers,
    )
    if config.trainer.deterministic and hardware.device_type == "cuda":
        make_repeatable(model.net)
    model.spec = replace(model.spec, placement=_placement(config, data), packages=tuple(config.packages))
    model.channels_last = hardware.channels_last
    model.compile_net = hardware.compile
    return Parts(hardware, data, model)


def _third_party(config: TrainConfig) -> list[nn.Module]:
    """Check the callbacks that the configuration names, and build its augmentations."""
    building.import_packages(config.packages)
    for section in config.callbacks.extra.values():
        building.check(section, building.CALLBACK, allowed=config.packages)
    extra = config.augmentation.extra.values()
    return [building.build(section, building.AUGMENTATION, allowed=config.packages) for section in extra]


def _open_data(config: TrainConfig, skipped: list[Skipped] | None) -> FaceDataModule:
    """The data, made or fetched by the first process and read by all."""
    makes_cache = _may_make_cache(config)
    data = FaceDataModule(config.data, seed=config.seed, finder=_finder(config), makes_cache=makes_cache)
    if skipped is not None:
        data.skip_as_before(skipped)
    if is_first_process():
        data.prepare_data()
    data.setup()
    return data


def _finder(config: TrainConfig) -> Located | None:
    """The finder of faces in the training pictures; None if the pictures are used as they are."""
    search = FaceSearch.of(config)
    if search.faces == "none":
        return None
    return Located(Cropper(Framing.of(config.data), search.faces, search.detector()))


def _placement(config: TrainConfig, data: FaceDataModule) -> Placement | None:
    """Where the faces are in the training pictures; only the first process, which writes checkpoints, measures it."""
    if config.faces != "none":
        return CELEBA
    return placement_of(data, "train") if is_first_process() else None


def _teachers(config: TrainConfig) -> Teachers | None:
    if not isinstance(config.loss, Distill):
        return None
    return load_teachers(config.loss.teacher, Framing.of(config.data), run=Path(config.run_dir))


def _check_optimizer(config: TrainConfig) -> None:
    """Refuse an optimizer that does not exist, or an argument that it does not have."""
    section = config.optimizer.section()
    if not section["weight_decay"]:
        del section["weight_decay"]  # not every optimizer has one
    building.check(section, building.OPTIMIZER, positional=1)


def _check_network(config: TrainConfig, hardware: Hardware, batch_size: int) -> None:
    """Refuse sizes and batches that the network cannot take; see `check_network`."""
    together = config.trainer.sync_batchnorm and hardware.device_type == "cuda" and _ranks(config, hardware) > 1
    for size in sorted({config.data.image_size, *(stage.image_size for stage in config.augmentation.progressive)}):
        check_network(
            config.model.name,
            size,
            arguments=config.model.arguments,
            batch_size=2 if together else batch_size,
            frozen=config.model.freeze == "backbone",
        )


def _ranks(config: TrainConfig, hardware: Hardware) -> int:
    return hardware.devices * config.trainer.num_nodes


def _global_batch(config: TrainConfig, hardware: Hardware) -> int:
    """Number of images in an optimizer step."""
    return config.data.batch_size * _ranks(config, hardware) * config.trainer.accumulate_grad_batches


def _check_limits(config: TrainConfig, data: FaceDataModule, ranks: int) -> Iterator[UserError]:
    """Limits that are a share of too few batches to leave one, which Lightning would only find during the training."""
    sizes = {split: len(data.index(split)) for split in ("train", "valid", "test")}
    evaluated = data.evaluation_batch_size * ranks
    batches = {
        "train": max(1, sizes["train"] // (config.data.batch_size * ranks)),
        "val": math.ceil(sizes["valid"] / evaluated),
        "test": math.ceil(sizes["test"] / evaluated) if config.test else 0,
    }
    for split, count in batches.items():
        field = f"trainer.limit_{split}_batches"
        limit = getattr(config.trainer, f"limit_{split}_batches")
        if isinstance(limit, float) and count and int(count * limit) == 0 and not config.trainer.fast_dev_run:
            yield UserError(
                f"{field}={limit} of {count} {'batch' if count == 1 else 'batches'} is none.",
                f"Set it to a number of batches ({field}=1), or to a larger share.",
                field=field,
            )


def _check_fit(config: TrainConfig, data: FaceDataModule, hardware: Hardware, groups: TrainingGroups) -> None:
    """Refuse a training that would end in an error, or without results, once it is over.

    Raises:
        UserErrors: A split is missing, or a setting monitors a metric that is not measured.
    """
    problems = [*_check_limits(config, data, _ranks(config, hardware))]
    if not len(data.index("train")):
        problems.append(UserError("The train split has no images.", "Check data.root and data.sizes."))
    if config.test and not len(data.index("test")):
        problems.append(
            UserError(
                "The test split has no images.", "Check data.root and data.sizes, or leave the test out: test=false."
            )
        )
    watched = {"callbacks.checkpoint.monitor": config.callbacks.checkpoint.monitor}
    if config.scheduler.name == "plateau":
        watched["scheduler.monitor"] = config.scheduler.monitor
        if not data.has_valid:
            problems.append(
                UserError(
                    "scheduler=plateau monitors the valid split, which has no images.",
                    "Choose another scheduler.",
                    field="scheduler",
                )
            )
    names = [f"val/{name}" for name in (*training_metrics(), *groups.metric_names("valid"))]
    for field, name in watched.items():
        if name not in names:
            problems.append(UserError(f"{field}={name} is not a metric.", suggestion(name, names), field=field))
    if problems:
        raise UserErrors(problems)
    if is_first_process() and len(data.index("train")) <= _ranks(config, hardware):  # one image per device
        _check_network(config, hardware, batch_size=1)


def _refuse_other_places(config: TrainConfig, run: Run) -> None:
    """Keep a run directory, which may be somebody else's, from making us write outside it, unless the path is typed.

    Raises:
        UserErrors: A callback would write elsewhere, or the faces of the run would have to be drawn again.
    """
    typed = {text.partition("=")[0].lstrip("+~") for text in _typed_overrides()}
    if KINDS[config.data.name].make and "data.root" not in typed:
        check_drawn(config.data.model_dump())
    problems = []
    for name, section in config.callbacks.extra.items():
        for argument, value in section.items():
            field = f"callbacks.extra.{name}.{argument}"
            if isinstance(value, str) and _PLACE.search(argument) and field not in typed:
                path = run.path if value == Path(value).name and "dir" not in argument else Path(value).resolve()
                if not path.is_relative_to(run.path.resolve()):
                    problems.append(
                        UserError(
                            f"{field}={value}: a resumed run writes into its own directory only.",
                            f"If you want it to write there, add {field}={value} to the command.",
                            field=field,
                        )
                    )
    if problems:
        raise UserErrors(problems)


def _may_make_cache(config: TrainConfig) -> bool:
    """Whether the cache may be written: a resumed run, which may be somebody else's, must have `data.cache` typed."""
    return config.resume is None or _typed("data.cache")


def _record_skipped(run: Run, parts: Parts) -> None:
    if parts.data.skipped and is_first_process():
        write_skipped(run.path / SKIPPED, parts.data.skipped)
        run.update(skipped=len(parts.data.skipped))


def _record_changes(run: Run, values: dict[str, Any]) -> None:
    """Make the changes from the command line of a resume part of the run's configuration."""
    changes = [text.lstrip("+") for text in _typed_overrides() if not text.startswith("resume=")]
    if changes and is_first_process():
        file = run.path / "overrides.yaml"
        write_text(file, to_yaml([*_list_in(file), *changes]))
        write_text(run.path / "config.yaml", to_yaml(values))


def _list_in(file: Path) -> list[Any]:
    content = read_yaml(file) if file.exists() else []
    return content if isinstance(content, list) else []


def _typed_overrides() -> list[str]:
    from hydra.core.hydra_config import HydraConfig

    return list(HydraConfig.get().overrides.task)


def _typed(field: str) -> bool:
    return any(text.lstrip("+").partition("=")[0] == field for text in _typed_overrides())


def _configuration_of(run: Run, before: dict[str, Any]) -> dict[str, Any]:
    """The configuration that a run had `before`, with the single fields that the command line changes."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    from gender_lightning.overrides import groups

    config = OmegaConf.create(before)
    used, config["packages"] = config.get("packages", []), []  # importing runs code, so only the command line may ask
    menu = groups()
    for override in OverridesParser.create().parse_overrides(_typed_overrides()):
        key = override.key_or_group
        if key in ("resume", "run_dir"):
            continue
        if key in menu:
            raise UserError(
                f"{override.input_line}: a resumed run keeps its choices.",
                "Change single fields only (trainer.max_epochs=20), or start a new run.",
                field=key,
            )
        OmegaConf.update(config, key, override.value())
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    if used and not values["packages"]:
        raise UserError(
            f"The run in {run.path} imports {', '.join(used)}, which the command line does not allow.",
            f"If these packages are yours, add packages=[{','.join(used)}].",
            field="packages",
        )
    return {str(key): value for key, value in values.items()}
