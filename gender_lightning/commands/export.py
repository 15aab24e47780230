"""`gender-lightning export`: write a checkpoint in another format, and keep the file if it agrees with PyTorch."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from gender_lightning.benchmarks.timing import take_turns
from gender_lightning.commands.evaluate import run_of_data, search_of
from gender_lightning.commands.steps.reporting import refuse_overwriting, set_up_logging
from gender_lightning.config import ExportConfig, parse_config
from gender_lightning.console import console, shown
from gender_lightning.data.dataset import FaceDataset
from gender_lightning.data.kinds import KINDS
from gender_lightning.data.reading import open_data
from gender_lightning.data.sources.annotations import Index
from gender_lightning.data.sources.images import ImageStore
from gender_lightning.durable import publish
from gender_lightning.errors import UserError
from gender_lightning.exporting import checking, files
from gender_lightning.exporting.graph import capture
from gender_lightning.exporting.metadata import card_of, describe
from gender_lightning.inference.checkpoints import CheckpointSet
from gender_lightning.inference.faces.located import Located, finder_of
from gender_lightning.inference.predictor import Predictor, load
from gender_lightning.models.checkpoints.checkpoint import save_weights
from gender_lightning.runs import Run

_DRAWN_SEED = 1
_SPEED_BATCH, _SPEED_REPEATS = 32, 5


@dataclass(frozen=True)
class SampleFaces:
    """The faces that the file is checked on, and where they come from.

    Attributes:
        pictures: Whole pictures, or the faces cut out of them, RGB uint8 (H, W, 3).
        source: Where they come from, in words.
        labelled: The split with its labels; None for drawn faces.
        finder: Cuts the faces out of the pictures of the split; None if these are used whole.
    """

    pictures: list[checking.Picture]
    source: str
    labelled: tuple[Index, ImageStore] | None
    finder: Located | None = None


def main(values: dict[str, Any]) -> Path:
    """Export from the composed configuration."""
    set_up_logging()
    return export(parse_config(ExportConfig, values))


def export(config: ExportConfig) -> Path:
    """Write the file, unless it differs from the checkpoint by more than `checking.TOLERANCE`. Returns its path.

    Raises:
        UserError: The backbone cannot be exported, the file differs from the checkpoint, or it cannot be written.
    """
    if config.format == "onnx":
        files.require_onnx()
    checkpoints = CheckpointSet.of(config.checkpoint)
    predictor = load(checkpoints, device="cpu", min_confidence=0)
    _refuse_several(config, predictor)
    output = _output(config, checkpoints, predictor)
    faces = _faces(config, finder_of(predictor.spec, search_of(config, run_of_data(config.data, checkpoints))))
    with _scratch(output) as folder:
        made = Path(folder) / output.name
        with console.status(f"exporting {predictor.spec.backbone}"):
            _write(config, predictor, made, checkpoints.run)
        _check(config, predictor, made, faces)
        if config.quantize == "int8":
            made = _quantize(config, predictor, made, faces)
        _report_speed(config, predictor, made, faces)
        publish(made, output)
    console.print(f"written to {shown(output)} ({output.stat().st_size / 1e6:.1f} MB)", markup=False)
    return output


def _refuse_several(config: ExportConfig, predictor: Predictor) -> None:
    """Refuse what cannot be done with several checkpoints."""
    if config.format == "safetensors" and len(predictor.network.members) > 1:
        raise UserError(
            "A safetensors file holds the weights of one checkpoint.",
            "Export them one by one, or all of them in one file by format=onnx.",
            field="format",
        )
    if config.quantize == "int8" and len(predictor.framing.parts) > 1:
        raise UserError(
            "quantize=int8 needs checkpoints of one image size and framing, on which the 8-bit ranges are measured.",
            "Leave it out, or export the checkpoints one by one.",
            field="quantize",
        )


def _write(config: ExportConfig, predictor: Predictor, made: Path, run: Run | None) -> None:
    if config.format == "safetensors":
        save_weights(made, predictor.network.net.state_dict(), predictor.spec)
        return
    specs = [member.spec for member in predictor.network.members]
    metadata = describe(predictor.spec, card_of(predictor.spec, run.path if run else None), specs)
    program = capture(predictor.network, predictor.framing)
    if config.format == "onnx":
        files.write_onnx(program, made, metadata)
    else:
        files.write_torch_export(program, made, metadata)


def _output(config: ExportConfig, checkpoints: CheckpointSet, predictor: Predictor) -> Path:
    suffix = files.SUFFIXES[config.format]
    if config.output is None:
        run = checkpoints.run
        if run is None:
            where = "is not inside a run directory" if checkpoints.is_one else "have no run directory of their own"
            raise UserError(
                f"{checkpoints} {where}, so there is no default place for the file.",
                f"Give its path: output=...{suffix}",
                field="output",
            )
        name = predictor.spec.backbone.replace("/", "-") + ("-int8" if config.quantize == "int8" else "")
        return run.path / "exports" / f"{name}{suffix}"
    path = Path(config.output).expanduser()
    if path.is_dir():
        raise UserError(
            f"output={path} is a folder.",
            f"Give the name of the file too: output={path / 'face'}{suffix}",
            field="output",
        )
    refuse_overwriting(path)
    if path.suffix != suffix:
        raise UserError(
            f"output={path}: format={config.format} writes {suffix} files.",
            f"Write output={path}{suffix}",
            field="output",
        )
    return path


def _scratch(output: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder beside the output, so that moving the finished file there is one step."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=".export-", dir=output.parent)
    except OSError as error:
        raise UserError(
            f"{output} cannot be written: {error.strerror}.", "Choose another place: output=...", field="output"
        ) from error


def _faces(config: ExportConfig, finder: Located | None) -> SampleFaces:
    """Faces of the data set, or drawn ones if it is missing."""
    try:
        index, store = open_data(config.data)
        index = index.select(index.split(config.split))
        if len(index):
            pictures = checking.pictures_of(index, store, config.images, finder)
            return SampleFaces(pictures, f"pictures of {config.data.name} {config.split}", (index, store), finder)
        problem = f"The {config.split} split has no images."
    except UserError as error:
        problem = error.problem
    if config.quantize == "int8":
        raise UserError(
            f"{problem} Labelled faces are needed to measure how much accuracy 8 bits cost.",
            "Give data=... data.root=...",
        )
    if KINDS[config.data.name].make is None:
        console.print(f"{problem} Drawn faces are used instead.", markup=False)
    from gender_lightning.synthetic.faces import synthetic_faces

    return SampleFaces(list(synthetic_faces(config.images, _DRAWN_SEED)[0]), "drawn faces", None)


def _check(config: ExportConfig, predictor: Predictor, made: Path, faces: SampleFaces) -> None:
    function = _open(config, made)
    with console.status("comparing with PyTorch"):
        agreements = checking.compare(function, predictor, faces.pictures, config.batch_sizes)
    several = " and the disagreement" if len(predictor.network.members) > 1 else ""
    title = f"{faces.source}, difference of the probability{several} from PyTorch's"
    table = Table("batch", title=title, title_style="")
    for column in ("images", "largest", "mean"):
        table.add_column(column, justify="right")
    for row in agreements:
        table.add_row(str(row.batch_size), str(row.images), f"{row.largest:.1e}", f"{row.mean:.1e}")
    console.print(table)
    worst = max(row.largest for row in agreements)
    if not worst <= checking.TOLERANCE:
        raise UserError(
            f"The probabilities of the exported file differ from the checkpoint's by up to {worst:.2g}, more than the "
            f"allowed {checking.TOLERANCE:g}. The file was not kept.",
            "Try the other format, or other versions of torch and onnx.",
        )


def _quantize(config: ExportConfig, predictor: Predictor, made: Path, faces: SampleFaces) -> Path:
    """Write the 8-bit file, and report its accuracy beside that of the exact one."""
    from gender_lightning.exporting.quantization import quantize

    assert faces.labelled is not None
    index, store = faces.labelled
    target = made.with_name("int8.onnx")
    with console.status("quantising"):
        quantize(made, target, _calibration_faces(config, predictor, faces.finder))
    dataset = FaceDataset(index, store, predictor.framing, faces.finder)
    table = Table("", title=f"{len(index):,} faces of {config.data.name} {config.split}", title_style="")
    for column in ("accuracy", "balanced", "MB"):
        table.add_column(column, justify="right")
    accuracies = {}
    for name, path in (("float32", made), ("int8", target)):
        with console.status(f"accuracy of {name}"):
            balanced, plain = checking.accuracy(_open(config, path), dataset, predictor.spec.threshold)
        accuracies[name] = plain
        table.add_row(name, f"{plain:.4f}", f"{balanced:.4f}", f"{path.stat().st_size / 1e6:.1f}")
    console.print(table)
    loss = accuracies["float32"] - accuracies["int8"]
    console.print(f"8 bits cost {100 * loss:.2f} points of accuracy.")
    measured = {"data": f"{config.data.name} {config.split}", "images": len(index), **accuracies}
    files.add_onnx_metadata(target, {"quantized": "int8", "accuracy": json.dumps(measured)})
    return target


def _calibration_faces(config: ExportConfig, predictor: Predictor, finder: Located | None) -> NDArray[np.uint8]:
    """Framed faces of the train split, uint8 (N, 3, S, S), which the accuracy is not measured on."""
    index, store = open_data(config.data)
    rows = index.split("train")
    if not len(rows):
        raise UserError(
            "The train split has no images, and the ranges for 8 bits are measured on them.",
            "Give data with a train split: data=... data.root=...",
            field="data",
        )
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), config.calibration_images)).round().astype(np.intp)]
    dataset = FaceDataset(index, store, predictor.framing, finder)
    return dataset.__getitems__([int(row) for row in rows]).images.numpy()


def _report_speed(config: ExportConfig, predictor: Predictor, made: Path, faces: SampleFaces) -> None:
    if not config.seconds or config.format == "safetensors":  # which is computed as the checkpoint is
        return
    from gender_lightning.data.decoding import frame_tensor

    framed = [frame_tensor(picture, predictor.framing) for picture in faces.pictures]
    batch = torch.stack([framed[place % len(framed)] for place in range(_SPEED_BATCH)]).contiguous()
    function, pixels = _open(config, made), predictor.framing.views(batch)[0].contiguous().numpy()

    def exported() -> int:
        return len(function(pixels)[0])

    @torch.inference_mode()
    def checkpoint() -> int:
        return len(predictor.network.probability(batch))

    name = "onnxruntime" if config.format == "onnx" else "torch.export"
    with console.status("measuring the speed"):
        rates = take_turns(
            {name: exported, "PyTorch": checkpoint},
            repeats=_SPEED_REPEATS,
            seconds=config.seconds / _SPEED_REPEATS,
            device=torch.device("cpu"),
        )
    ours, theirs = rates[name].median, rates["PyTorch"].median
    console.print(
        f"{name} {ours:,.0f} images/s, PyTorch {theirs:,.0f} images/s ({ours / theirs:.2f} times; batches of "
        f"{_SPEED_BATCH}, float32 PyTorch, {torch.get_num_threads()} threads, medians of {_SPEED_REPEATS})"
    )


def _open(config: ExportConfig, path: Path) -> files.Function:
    if config.format == "onnx":
        return files.open_onnx(path, torch.get_num_threads())
    return files.open_torch_export(path) if config.format == "torch_export" else files.open_checkpoint(path)
