"""`gender-lightning evaluate`: predictions and metrics of any checkpoint on any data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gender_lightning.commands.reporting import metrics_table, set_up_logging
from gender_lightning.config import DataConfig, EvaluateConfig, parse_config
from gender_lightning.console import console
from gender_lightning.data.datamodule import FaceDataModule
from gender_lightning.data.skipping import SKIPPED, write_skipped
from gender_lightning.errors import UserError
from gender_lightning.evaluation.metrics import classification_metrics
from gender_lightning.evaluation.predictions import predictions_table, write_predictions
from gender_lightning.inference.logits import predict_logits
from gender_lightning.models.checkpoint import ModelSpec, load_network
from gender_lightning.run_overrides import check_drawn
from gender_lightning.runs import Run, write_text
from gender_lightning.training.hardware import Hardware, resolve_hardware


def main(values: dict[str, Any]) -> None:
    """Take the composed config, evaluate, print the table."""
    set_up_logging()
    evaluate(parse_config(EvaluateConfig, values))


def evaluate(config: EvaluateConfig) -> dict[str, float]:
    """Predict one split, write `predictions.parquet` and `metrics.json`. Never alters the checkpoint."""
    checkpoint = Path(config.checkpoint)
    network = load_network(checkpoint)
    output = _output(config, checkpoint)
    data = FaceDataModule(_framed_as(config.data, network.spec))
    _refuse_to_draw(config, checkpoint)
    data.prepare_data()
    data.setup(only=config.split)
    hardware = _hardware(config, checkpoint)
    index = data.index(config.split)
    logits = predict_logits(network, data.loader(config.split), len(index), hardware)
    metrics = classification_metrics(index.labels, logits, temperature=network.spec.temperature)
    output.mkdir(parents=True, exist_ok=True)
    if data.skipped:
        write_skipped(output / SKIPPED, data.skipped)
    frame = predictions_table(index, config.split, logits, network.spec.temperature)
    write_predictions(frame, output / "predictions.parquet")
    prefix = "val" if config.split == "valid" else config.split
    named = {f"{prefix}/{name}": value for name, value in metrics.items()}
    write_text(output / "metrics.json", json.dumps(named, indent=2) + "\n")
    console.print(metrics_table({f"{config.data.name} {config.split}": metrics}))
    console.print(f"written to {output.absolute()}", markup=False)
    return named


def _refuse_to_draw(config: EvaluateConfig, checkpoint: Path) -> None:
    """Where a run directory, which may be of somebody else, says that faces are, none are drawn."""
    run = Run.of(checkpoint)
    own = run.config().get("data") if run else None
    if config.data.name == "synthetic" and isinstance(own, dict) and own.get("root") == config.data.root:
        check_drawn(own)


def _framed_as(data: DataConfig, spec: ModelSpec) -> DataConfig:
    """The data section with the framing that the weights learned with."""
    framing = {name: getattr(spec, name) for name in ("image_size", "crop", "zoom", "interpolation")}
    return data.model_copy(update=framing)


def _output(config: EvaluateConfig, checkpoint: Path) -> Path:
    if config.output is not None:
        return Path(config.output)
    run = Run.of(checkpoint)
    if run is None:
        raise UserError(f"{checkpoint} lies in no run directory. Say where the results go: output=...")
    output = run.path / "evaluation" / f"{config.data.name}-{config.split}"
    if not output.resolve().is_relative_to(run.path.resolve()):
        raise UserError(f"{output} leads out of the run directory. Say where the results go: output=...")
    return output


def _hardware(config: EvaluateConfig, checkpoint: Path) -> Hardware:
    """The device in the precision that the run tested in, so that its numbers come out again."""
    run = Run.of(checkpoint)
    trainer = run.config().get("trainer") if run else None
    precision = trainer.get("precision") if isinstance(trainer, dict) else None
    if not isinstance(precision, str):
        precision = "auto"
    try:
        return resolve_hardware(accelerator=config.accelerator, precision=precision)
    except UserError:  # trained elsewhere, on a device that computes what this one does not
        return resolve_hardware(accelerator=config.accelerator)
