"""Writing of exported files, and opening of them as functions from pixels to what they say."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.export import ExportedProgram

from gender_lightning.errors import UserError
from gender_lightning.exporting.graph import INPUT, OUTPUTS, ExportableClassifier
from gender_lightning.models.checkpoints.checkpoint import load_network
from gender_lightning.models.checkpoints.files import SAFETENSORS

# uint8 (B, 3, H, W) to float32 (1, B): the probabilities; of several checkpoints (2, B): the disagreement below them
Function = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
SUFFIXES = {"onnx": ".onnx", "torch_export": ".pt2", "safetensors": SAFETENSORS}
_EXTRA_FILE = "gender_lightning.json"
_PROTOBUF_LIMIT = 2**31 - 2**20  # bytes of one ONNX file, a little below what its format can address


def require_onnx() -> ModuleType:
    """Return onnxruntime, provided that it and the packages that write ONNX are installed.

    Raises:
        UserError: The extra `export` is not installed.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"format=onnx needs {error.name}, which is not installed.",
            "Install it: pip install 'gender-lightning[export]'.",
            field="format",
        ) from error
    module: ModuleType = onnxruntime
    return module


def write_onnx(program: ExportedProgram, path: Path, metadata: Mapping[str, str]) -> None:
    """Translate a captured graph to ONNX and write it as one file.

    Raises:
        UserError: An operator has no translation, or the weights exceed the size limit of a file.
    """
    size = sum(tensor.numel() * tensor.element_size() for tensor in program.state_dict.values())
    if size > _PROTOBUF_LIMIT:
        raise UserError(f"The weights have {size / 1e9:.1f} GB, an ONNX file holds 2.", "Use format=torch_export.")
    names = OUTPUTS[: len(program.graph_signature.user_outputs)]
    try:
        with _quiet():
            written = torch.onnx.export(
                program, dynamo=True, input_names=[INPUT], output_names=names, verbose=False, optimize=True
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise UserError(
            f"This backbone cannot be exported to ONNX: {reason}.", "Use format=torch_export, or another backbone."
        ) from error
    assert written is not None
    written.model.metadata_props.update(metadata)
    written.model.producer_name, written.model.doc_string = "gender_lightning", metadata["card"]
    _name_open_sides(written.model.graph)
    written.save(str(path), external_data=False)


def _name_open_sides(graph: Any) -> None:
    """Replace torch's numbered symbols (s34) by names, which viewers and runtimes show."""
    import onnx_ir as ir

    graph.inputs[0].shape = ir.Shape(["batch", 3, "height", "width"])
    for output in graph.outputs:
        output.shape = ir.Shape(["batch"])


def open_onnx(path: Path, threads: int) -> Function:
    """Open an ONNX file with onnxruntime's CPU provider."""
    onnxruntime = require_onnx()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.stack(session.run(None, {INPUT: images}))

    return run


def add_onnx_metadata(path: Path, metadata: Mapping[str, str]) -> None:
    """Add metadata to an ONNX file in place, keeping existing entries of other names."""
    import onnx

    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, {**{item.key: item.value for item in model.metadata_props}, **metadata})
    onnx.save(model, str(path))


def write_torch_export(program: ExportedProgram, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a captured graph as torch's .pt2, the metadata as JSON in its extra file `gender_lightning.json`."""
    import json

    with _quiet():
        torch.export.save(program, path, extra_files={_EXTRA_FILE: json.dumps(dict(metadata))})


def open_torch_export(path: Path) -> Function:
    """Open a .pt2 file with PyTorch on the CPU."""
    with _quiet():
        return _function(torch.export.load(path).module())


def open_checkpoint(path: Path) -> Function:
    """Open a checkpoint, such as a safetensors file, with PyTorch on the CPU."""
    network = load_network(path)
    return _function(ExportableClassifier(network, network.spec.framing).eval())


def _function(model: nn.Module) -> Function:
    @torch.inference_mode()
    def run(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        said = model(torch.from_numpy(images))
        return torch.stack(said if isinstance(said, tuple) else (said,)).numpy()

    return run


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress log messages and warnings that are meant for torch's own developers."""
    names = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")
    levels = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
