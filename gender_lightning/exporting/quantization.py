"""Quantisation of an ONNX file to 8-bit integers, calibrated on real faces."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gender_lightning.exporting.files import require_onnx
from gender_lightning.exporting.graph import INPUT, GraphAnswer
from gender_lightning.exporting.resizing import GraphFraming


def quantize(source: Path, target: Path, faces: NDArray[np.uint8], *, batch_size: int = 16) -> None:
    """Write an 8-bit version of an exported file: weights int8 per channel, activations uint8.

    The arithmetic of the resize is not quantised: its weights are exact to 16 bits, and it takes hardly any time. Nor
    is that behind the nets: the entropies in a disagreement differ by less than an 8-bit step.

    Args:
        source: A file that `files.write_onnx` wrote.
        target: Path of the 8-bit file.
        faces: Framed faces, uint8 (N, 3, S, S), on which the ranges of activations are measured.
        batch_size: Number of faces that go through the network at once.
    """
    require_onnx()
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        prepared = Path(scratch) / "prepared.onnx"
        # Fuses batch norms into convolutions. Symbolic shapes are skipped: they do not help, and the resize's fail.
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(target),
            _reader(faces, batch_size),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["Conv", "Gemm", "MatMul", "Add", "MaxPool", "AveragePool", "GlobalAveragePool"],
            nodes_to_exclude=_exact_nodes(source, prepared),
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"CalibMovingAverage": True},  # so that one odd face does not widen the range for all
        )


def _exact_nodes(source: Path, prepared: Path) -> list[str]:
    """Names of the nodes before and behind the nets; torch's exporter records the module of each in its metadata."""
    import onnx

    exact: dict[str, set[str]] = {GraphFraming.__name__: set(), GraphAnswer.__name__: set()}
    for node in onnx.load(str(source)).graph.node:
        for module, names in exact.items():
            if any(module in item.value for item in node.metadata_props):
                names.add(node.name)
    assert all(exact.values()), "resize and calibration are parts of the graph"
    known = set().union(*exact.values())
    return [node.name for node in onnx.load(str(prepared)).graph.node if node.name in known]


def _reader(faces: NDArray[np.uint8], batch_size: int) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Batches of faces, one after another."""

        def __init__(self) -> None:
            self.batches: Iterator[NDArray[np.uint8]] = (
                faces[start : start + batch_size] for start in range(0, len(faces), batch_size)
            )

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            batch = next(self.batches, None)
            return None if batch is None else {INPUT: batch}

    return Reader()
