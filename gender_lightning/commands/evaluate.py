"""`gender-lightning evaluate`: how good a checkpoint is on any data set, how sure that is, and where it fails."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gender_lightning.commands.steps.evaluation_report import print_evaluation
from gender_lightning.commands.steps.model_looks import measure_corruptions, passes, write_report
from gender_lightning.commands.steps.reporting import set_up_logging
from gender_lightning.config import DataConfig, EvaluateConfig, ExportConfig, RefitConfig, parse_config
from gender_lightning.console import console, shown
from gender_lightning.data.datamodule import FaceDataModule
from gender_lightning.data.kinds import KINDS
from gender_lightning.data.rows.fingerprint import fingerprint_of
from gender_lightning.data.rows.revising import Correction, called_wrong, read_corrections
from gender_lightning.data.rows.skipping import SKIPPED, write_skipped
from gender_lightning.diagnostics.corruption_results import read_corruptions
from gender_lightning.diagnostics.looks import look, maps_at_most
from gender_lightning.errors import UserError
from gender_lightning.evaluation.doubtful import without_doubtful
from gender_lightning.evaluation.evaluating import Subject, evaluate_table
from gender_lightning.evaluation.predictions import predictions_table, write_predictions
from gender_lightning.evaluation.results import Evaluation, TrainingData
from gender_lightning.evaluation.subgroups.fairness import MOST_ATTRIBUTES, fairness_table
from gender_lightning.evaluation.subgroups.properties import FROM_PIXELS, measure_landmarks, measure_pixels
from gender_lightning.evaluation.subgroups.slices import slices_table
from gender_lightning.evaluation.suspects import suspects_table
from gender_lightning.faces_choice import FacesOrViews
from gender_lightning.inference.checkpoints import CheckpointSet
from gender_lightning.inference.faces.crops import FaceSearch
from gender_lightning.inference.faces.located import finder_of
from gender_lightning.inference.logits import predict_split
from gender_lightning.machine.hardware import Hardware, resolve_hardware
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, Network
from gender_lightning.overrides.of_run import check_drawn
from gender_lightning.progress import counting_bar
from gender_lightning.reports.model_card import CardNotes, model_card
from gender_lightning.runs import Run, write_text
from gender_lightning.training.logs.wandb_evaluation import log_evaluation

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setting:
    """The parts of an evaluation.

    Attributes:
        config: The configuration of the command.
        checkpoints: The checkpoint, or several whose mean is evaluated.
        output: The folder for the results.
        network: The network, in evaluation mode.
        data: The data, read and framed for the network.
        hardware: Device and precision.
        corrections: Verdicts of a review by image id; empty without `data.corrections`.
    """

    config: EvaluateConfig
    checkpoints: CheckpointSet
    output: Path
    network: Network
    data: FaceDataModule
    hardware: Hardware
    corrections: Mapping[bytes, Correction]

    @property
    def run(self) -> Run | None:
        """The run that the checkpoint belongs to; None for a file elsewhere, and for several."""
        return self.checkpoints.run

    @property
    def trained(self) -> Run | None:
        """The run that says how the data were used in training; None if that is not known."""
        return run_of_data(self.config.data, self.checkpoints)


def main(values: dict[str, Any]) -> Evaluation:
    """Take the composed config, evaluate, print the table."""
    set_up_logging()
    return evaluate(parse_config(EvaluateConfig, values))


def evaluate(config: EvaluateConfig) -> Evaluation:
    """Predict one split, measure everything, write it all. Never alters the checkpoint."""
    setting = prepare(config)
    dataset = setting.data.dataset(config.split)
    reference = None if config.reference is None else read_corruptions(Path(config.reference))
    steps = len(dataset) + passes(config.corruptions, len(dataset)) + (maps_at_most(dataset) if config.images else 0)
    with counting_bar("evaluating", steps) as advance:
        table = predict(setting, advance)
        disturbed = measure_corruptions(
            setting.network, setting.data, config.split, setting.hardware, mode=config.corruptions,
            reference=reference, seed=config.seed, advance=advance,
        )  # fmt: skip
        looks = look(setting.network, dataset, table, advance) if config.images else None
        evaluation = measure(setting, table)
    if disturbed is not None:
        evaluation = replace(evaluation, further=evaluation.further | disturbed.numbers())
    write(setting, table, evaluation)
    write_report(setting.output, evaluation, table, disturbed, looks)
    if setting.run is not None and (setting.run.is_own if config.wandb == "auto" else config.wandb):
        log_evaluation(setting.run, evaluation, table, setting.output)
    print_evaluation(evaluation)
    console.print(f"written to {shown(setting.output)}", markup=False)
    return replace(evaluation, path=setting.output.absolute())


def prepare(config: EvaluateConfig) -> Setting:
    """Load the network and read the data: what can be wrong is wrong before anything is computed."""
    checkpoints = CheckpointSet.of(config.checkpoint, config.faces)
    network = checkpoints.network()
    run = run_of_data(config.data, checkpoints)
    output = _output(config, checkpoints)
    corrections = (
        {} if config.data.corrections is None else read_corrections(Path(config.data.corrections).expanduser())
    )
    hardware = hardware_as_trained(config, run)
    finder = finder_of(network.spec, search_of(config, run))
    # makes_cache: the run may be of somebody else, so that what it says is not written to
    data = FaceDataModule(
        _framed_as(config.data, network.spec, config.split),
        finder=finder,
        device_type=hardware.device_type,
        makes_cache=False,
        framing=network.spec.framing,
    )
    refuse_to_draw(config, run)
    data.prepare_data()
    data.setup(only=config.split)
    # here, not under inference mode: weights that are converted there have no gradients, which heat maps need
    network = network.to(hardware.device_type).to(memory_format=hardware.memory_format)
    return Setting(config, checkpoints, output, network, data, hardware, corrections)


def predict(setting: Setting, advance: Callable[[int], None]) -> pd.DataFrame:
    """The predictions table of the split, with measured properties as further columns, in one pass."""
    split = setting.config.split
    index = setting.data.index(split)
    batches = setting.data.loader(split)
    done = predict_split(
        setting.network, batches, len(index), setting.hardware, measure=measure_pixels, advance=advance
    )
    if not np.isfinite(done.logits).all():
        raise UserError(
            f"{setting.checkpoints} does not give a number for every image: its training has diverged.",
            "Evaluate another checkpoint, or train again with a lower optimizer.lr.",
        )
    table = predictions_table(index, split, done.logits, setting.network.spec.temperature)
    measured = {name: done.measured[:, column] for column, name in enumerate(FROM_PIXELS)}
    if done.disagreement is not None:
        measured["disagreement"] = done.disagreement
    if index.landmarks is not None:
        measured |= measure_landmarks(index.landmarks)
    return table.assign(**measured)


def measure(setting: Setting, table: pd.DataFrame) -> Evaluation:
    """All numbers of the predictions table."""
    config, run, spec = setting.config, setting.run, setting.network.spec
    subject = Subject(
        checkpoint=str(setting.checkpoints),
        run="" if run is None else run.path.name,
        data=config.data.name,
        split=config.split,
        own_data=is_own_data(config.data, setting.trained),
        model=setting.network.described(),
        temperature=spec.temperature,
        threshold=spec.threshold,
        training_data=_training_data(setting),
    )
    on_valid = setting.checkpoints.valid_predictions()
    trained_with = [name for name in _trained(setting.trained).get("groups") or () if name in table.columns]
    groups = config.groups or trained_with[:MOST_ATTRIBUTES] or None
    evaluation = evaluate_table(subject, table, on_valid, groups=groups, resamples=config.resamples, seed=config.seed)
    numbers, sentence = without_doubtful(table, _called_wrong(setting.corrections, table))
    remarks = [sentence, *evaluation.remarks] if sentence else evaluation.remarks
    return replace(evaluation, further=evaluation.further | numbers, remarks=remarks)


def _called_wrong(corrections: Mapping[bytes, Correction], table: pd.DataFrame) -> NDArray[np.bool_]:
    """The rows of the table whose label a reviewer has called wrong, bool (N,)."""
    ids = np.array([image_id.encode() for image_id in table["image_id"]], dtype=np.bytes_)
    return called_wrong(ids, table["label"].to_numpy(np.int8), corrections)


def write(setting: Setting, table: pd.DataFrame, evaluation: Evaluation) -> None:
    """Every file of the evaluation, each whole or not at all."""
    output = setting.output
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{output} cannot be made ({error.strerror}).", "Choose another place with output=..."
        ) from error
    if setting.data.skipped:
        write_skipped(output / SKIPPED, setting.data.skipped)
    write_predictions(table, output / "predictions.parquet")
    write_text(output / "metrics.json", json.dumps(evaluation.flat(), indent=2) + "\n")
    write_text(output / "evaluation.json", json.dumps(evaluation.to_dict(), indent=2) + "\n")
    write_text(output / "slices.csv", slices_table(evaluation.slices).to_csv(index=False))
    if evaluation.fairness is not None and evaluation.fairness.attributes:
        write_text(output / "fairness.csv", fairness_table(evaluation.fairness).to_csv(index=False))
    write_text(output / "suspects.csv", suspects_table(table).to_csv(index=False))
    run = setting.run
    notes = CardNotes(**setting.config.card.model_dump())
    known = ({}, {}) if run is None else (run.info(), run.config())
    write_text(output / "model_card.md", model_card(evaluation, *known, notes))


def _training_data(setting: Setting) -> TrainingData | None:
    """What the model learned from, where the data at hand are the run's own."""
    if setting.trained is None or not is_own_data(setting.config.data, setting.trained):
        return None
    splits = {split: setting.data.index(split) for split in ("train", "valid", "test")}
    learned = splits["train"]
    if not len(learned):
        return None
    persons = None if learned.identities is None else len(np.unique(learned.identities))
    return TrainingData(len(learned), int(learned.labels.sum()), persons, fingerprint_of(splits))


def _trained(run: Run | None) -> dict[str, Any]:
    """The data section that the run trained with."""
    section = {} if run is None else run.config().get("data", {})
    assert isinstance(section, dict)
    return section


def search_of(config: EvaluateConfig | ExportConfig | RefitConfig, run: Run | None) -> FaceSearch:
    """How faces are looked for in a data set, also where the command does not say.

    The run's own data are used as in training, CelebA and drawn faces as they are. Another folder's pictures may be of
    any kind: they are treated as `predict` treats them.

    Raises:
        UserError: The command says how, but no faces are looked for in these data.
    """
    typed = FaceSearch(config.faces or "auto", config.face_model, config.min_face, config.rotate)
    return typed if config.faces is not None else search_in(config.data, run, typed)


def search_in(data: DataConfig, run: Run | None, typed: FaceSearch | None = None) -> FaceSearch:
    """How to look for faces in a data set if the command does not set `faces`; see `search_of`.

    Args:
        data: The data set.
        run: The run of the checkpoint, if it has one.
        typed: The settings of the detector that the command gives; None for none.
    """
    typed = typed or FaceSearch()
    if run is not None and is_own_data(data, run):
        trained = run.config()
        if typed == FaceSearch():
            return FaceSearch(**{"faces": "none"} | {name: trained[name] for name in asdict(typed) if name in trained})
        faces: FacesOrViews = trained.get("faces", "none")
    else:
        faces = "auto" if KINDS[data.name].placement is None else "none"
    if faces == "none" and typed != FaceSearch():
        raise UserError(
            "face_model, min_face and rotate have no effect: the pictures of these data are used as they are.",
            "Add faces=auto or faces=detect, or leave them out.",
            field="faces",
        )
    return replace(typed, faces=faces)


def run_of_data(data: DataConfig, checkpoints: CheckpointSet) -> Run | None:
    """The run by whose training these data are treated: one that was trained on them, else the first that is known."""
    runs = [run for run in checkpoints.runs if run is not None]
    return next((run for run in runs if is_own_data(data, run)), runs[0] if runs else None)


def is_own_data(data: DataConfig, run: Run | None) -> bool:
    """Whether the model was trained on these data; a copy of CelebA is CelebA, and without a run it is assumed."""
    if run is None:
        return True
    trained = _trained(run)
    if trained.get("name") != data.name:
        return False
    return KINDS[data.name].same_everywhere or Path(str(trained.get("root"))).absolute() == Path(data.root).absolute()


def refuse_to_draw(config: EvaluateConfig | RefitConfig, run: Run | None) -> None:
    """Where a run directory, which may be of somebody else, says that faces are, none are drawn."""
    own = run.config().get("data") if run else None
    if KINDS[config.data.name].make and isinstance(own, dict) and own.get("root") == config.data.root:
        check_drawn(own)


def _framed_as(data: DataConfig, spec: ModelSpec, split: str) -> DataConfig:
    """The data section with the framing of the training, and without changes to the images that are evaluated.

    An evaluation on test keeps `exclude` and `corrections`, which never change that split, on record.
    """
    framing = asdict(spec.framing)
    return data.model_copy(update=framing if split == "test" else framing | {"exclude": None, "corrections": None})


def _output(config: EvaluateConfig, checkpoints: CheckpointSet) -> Path:
    run = checkpoints.run
    if config.output is not None:
        return Path(config.output)
    if run is None:
        where = "lies in no run directory" if checkpoints.is_one else "have no run directory of their own"
        raise UserError(f"{checkpoints} {where}.", "Say where the results go: output=...")
    output = run.path / "evaluation" / f"{config.data.name}-{config.split}"
    if not output.resolve().is_relative_to(run.path.resolve()):
        raise UserError(f"{output} leads out of the run directory.", "Say where the results go: output=...")
    return output


def hardware_as_trained(config: EvaluateConfig | RefitConfig, run: Run | None) -> Hardware:
    """The device in the precision that the run tested in, so that its numbers come out again."""
    trainer = run.config().get("trainer") if run else None
    precision = trainer.get("precision") if isinstance(trainer, dict) else None
    if not isinstance(precision, str):
        precision = "auto"
    try:
        return resolve_hardware(accelerator=config.accelerator, precision=precision, prefix="")
    except UserError:  # trained elsewhere, on a device that computes what this one does not
        return resolve_hardware(accelerator=config.accelerator, prefix="")
