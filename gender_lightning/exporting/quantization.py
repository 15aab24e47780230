"""An ONNX file in 8-bit integers, calibrated on real faces."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gender_lightning.exporting.files import require_onnx
from gender_lightning.exporting.graph import INPUT
from gender_lightning.exporting.resizing import GraphFraming


def quantize(source: Path, target: Path, faces: NDArray[np.uint8], *, batch_size: int = 16) -> None:
    """Write the 8-bit form of an exported file: weights int8 per channel, activations uint8.

    The arithmetic of the resize stays as it is: its weights are exact to 16 bits, and it costs next to nothing.

    Args:
        source: A file of `files.write_onnx`.
        target: Where the 8-bit one goes.
        faces: uint8 (N, 3, S, S), framed: what the ranges of activations are measured on.
        batch_size: Faces that go through the network at once.
    """
    require_onnx()
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        prepared = Path(scratch) / "prepared.onnx"
        # Fuses batch norms into convolutions; symbolic shapes are of no use to it, and it stumbles over the resize's.
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
            nodes_to_exclude=_framing_nodes(source, prepared),
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"CalibMovingAverage": True},  # one odd face does not stretch the range for all
        )


def _framing_nodes(source: Path, prepared: Path) -> list[str]:
    """Names of the nodes before the network, which torch's exporter notes its modules in."""
    import onnx

    framing = {
        node.name
        for node in onnx.load(str(source)).graph.node
        if any(GraphFraming.__name__ in item.value for item in node.metadata_props)
    }
    assert framing, "the resize is a part of the graph"
    return [node.name for node in onnx.load(str(prepared)).graph.node if node.name in framing]


def _reader(faces: NDArray[np.uint8], batch_size: int) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Batches of faces, one after the other."""

        def __init__(self) -> None:
            self.batches: Iterator[NDArray[np.uint8]] = (
                faces[start : start + batch_size] for start in range(0, len(faces), batch_size)
            )

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            batch = next(self.batches, None)
            return None if batch is None else {INPUT: batch}

    return Reader()
