"""Exported files against the checkpoint, on pictures of many sizes, in every format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gender_lightning import export
from gender_lightning.data.decoding import frame
from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError
from gender_lightning.exporting import checking, files
from gender_lightning.exporting.graph import capture
from gender_lightning.exporting.metadata import card_of, describe
from gender_lightning.inference.predictor import load
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, read_checkpoint
from gender_lightning.overrides import compose, groups

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra `export`")
pytest.importorskip("onnxscript", reason="needs the extra `export`")

SIZES = [(1, 218, 178), (3, 40, 90), (5, 32, 32), (2, 5, 3)]


@pytest.fixture(scope="module")
def exported(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    predictor = load(small_checkpoint, device="cpu")
    folder = tmp_path_factory.mktemp("exported")
    program = capture(predictor.network, predictor.framing)
    metadata = describe(predictor.spec, card_of(predictor.spec, None))
    files.write_onnx(program, folder / "model.onnx", metadata)
    files.write_torch_export(program, folder / "model.pt2", metadata)
    return {"onnx": folder / "model.onnx", "torch_export": folder / "model.pt2"}


def _open(path: Path) -> files.Function:
    return files.open_onnx(path, 1) if path.suffix == ".onnx" else files.open_torch_export(path)


@pytest.mark.parametrize("kind", ["onnx", "torch_export"])
def test_any_batch_of_any_size_as_the_checkpoint(kind: str, exported: dict[str, Path], small_checkpoint: Path) -> None:
    predictor, function = load(small_checkpoint, device="cpu"), _open(exported[kind])
    random, said = np.random.default_rng(2), []
    for count, height, width in SIZES:
        pictures = random.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
        (ours,) = function(pictures.transpose(0, 3, 1, 2).copy())
        expected = [prediction.probability for prediction in predictor.predict(pictures)]
        assert ours.dtype == np.float32 and ours.shape == (count,)
        assert np.abs(ours - expected).max() < 1e-5
        said += expected
    assert np.std(said) > 1e-3, "a network that says the same of everything would agree with anything"


def test_the_command_writes_a_checkpoint_without_a_pickle(
    small_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = export(checkpoint=small_checkpoint, format="safetensors", output=tmp_path / "a.safetensors", images=4)
    assert "difference of the probability from PyTorch's" in capsys.readouterr().out
    ours, theirs = (read_checkpoint(path) for path in (file, small_checkpoint))
    assert ours[0] == theirs[0] and all(torch.equal(ours[1][name], value) for name, value in theirs[1].items())
    pictures = np.random.default_rng(6).integers(0, 256, (2, 40, 30, 3), dtype=np.uint8)
    said = [load(path, device="cpu", faces="none").predict(pictures) for path in (file, small_checkpoint)]
    assert said[0] == said[1]


@pytest.mark.parametrize("kind", ["onnx", "torch_export"])
def test_a_file_says_what_it_is(kind: str, exported: dict[str, Path]) -> None:
    if kind == "onnx":
        metadata = onnxruntime.InferenceSession(exported[kind]).get_modelmeta().custom_metadata_map
    else:
        extra = {"gender_lightning.json": ""}
        torch.export.load(exported[kind], extra_files=extra)
        metadata = json.loads(extra["gender_lightning.json"])
    assert json.loads(metadata["classes"]) == ["female", "male"]
    assert json.loads(metadata["placement"]) == {"height": 218, "width": 178, "eyes": [[69.5, 111.8], [108.8, 111.8]]}
    assert json.loads(metadata["threshold"]) == 0.45 and json.loads(metadata["temperature"]) == 0.4
    assert metadata["backbone"] == "timm/test_resnet" and "perceived" in metadata["card"] and metadata["version"]


def test_the_open_sides_have_names(exported: dict[str, Path]) -> None:
    session = onnxruntime.InferenceSession(exported["onnx"])
    (images,), (probability,) = session.get_inputs(), session.get_outputs()
    assert (images.name, images.type, images.shape) == ("images", "tensor(uint8)", ["batch", 3, "height", "width"])
    assert (probability.name, probability.type, probability.shape) == ("probability", "tensor(float)", ["batch"])


def test_a_wrong_file_does_not_agree(exported: dict[str, Path], checkpoint_of: Callable[..., Path]) -> None:
    other = load(checkpoint_of("timm/test_resnet", 32, temperature=2.0), device="cpu")
    pictures = list(np.random.default_rng(3).integers(0, 256, (5, 60, 50, 3), dtype=np.uint8))
    agreements = checking.compare(_open(exported["onnx"]), other, pictures, [1, 2, 8])
    assert [row.images for row in agreements] == [5, 4, 8]
    assert all(row.largest > checking.TOLERANCE for row in agreements)


def test_a_run_directory_gives_its_newest_card(small_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "model_card.md").write_text("# Measured: 0.97\n")
    assert card_of(load(small_checkpoint, device="cpu").spec, tmp_path) == "# Measured: 0.97\n"


def test_a_network_whose_graph_depends_on_its_data_is_refused(small_checkpoint: Path) -> None:
    predictor = load(small_checkpoint, device="cpu")

    class Moody(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean(dim=(1, 2, 3)) * (1 if images.sum() > 0 else -1)

    predictor.network.net = Moody()
    with pytest.raises(UserError, match=r"timm/test_resnet cannot be exported.*gender_lightning\.load"):
        capture(predictor.network, predictor.framing)


def test_eight_bits_stay_near(exported: dict[str, Path], small_checkpoint: Path, tmp_path: Path) -> None:
    from gender_lightning.exporting.quantization import quantize

    predictor = load(small_checkpoint, device="cpu")
    random = np.random.default_rng(4)
    pictures = [
        np.asarray(frame(random.integers(0, 256, (6, 5, 3), dtype=np.uint8), predictor.framing)) for _ in range(48)
    ]
    faces = np.stack(pictures).transpose(0, 3, 1, 2).copy()
    quantize(exported["onnx"], tmp_path / "int8.onnx", faces)
    exact, rough = _open(exported["onnx"])(faces), _open(tmp_path / "int8.onnx")(faces)
    assert 0 < np.abs(exact - rough).max() < 0.1
    assert (tmp_path / "int8.onnx").stat().st_size < exported["onnx"].stat().st_size
    files.add_onnx_metadata(tmp_path / "int8.onnx", {"quantized": "int8"})
    metadata = onnxruntime.InferenceSession(tmp_path / "int8.onnx").get_modelmeta().custom_metadata_map
    assert metadata["quantized"] == "int8" and json.loads(metadata["threshold"]) == 0.45


@pytest.fixture(scope="module")
def several(small_checkpoint: Path, checkpoint_of: Callable[..., Path]) -> list[Path]:
    return [small_checkpoint, checkpoint_of("timm/test_resnet", 32, zoom=0.8, interpolation="bicubic")]


@pytest.mark.parametrize("kind", ["onnx", "torch_export"])
def test_several_say_their_disagreement_as_predict_does(
    kind: str, several: list[Path], checkpoint_of: Callable[..., Path], tmp_path: Path
) -> None:
    predictor = load([*several, checkpoint_of("timm/test_resnet", 48)], device="cpu", faces="none", min_confidence=0)
    program = capture(predictor.network, predictor.framing)
    made = tmp_path / f"model{files.SUFFIXES[kind]}"
    write = files.write_onnx if kind == "onnx" else files.write_torch_export
    write(program, made, {"card": ""})
    pictures = np.random.default_rng(7).integers(0, 256, (4, 40, 30, 3), dtype=np.uint8)
    expected = [[one.probability, one.disagreement] for one in predictor.predict(pictures)]
    ours = _open(made)(pictures.transpose(0, 3, 1, 2).copy())
    assert ours.dtype == np.float32 and np.abs(ours.T - expected).max() < 1e-5
    assert np.ptp(ours[1]) > 1e-4, "models that agree on everything would agree with anything"
    if kind == "onnx":
        told = [(output.name, output.shape) for output in onnxruntime.InferenceSession(made).get_outputs()]
        assert told == [("probability", ["batch"]), ("disagreement", ["batch"])]


def test_eight_bits_leave_the_disagreement_its_digits(several: list[Path], tmp_path: Path) -> None:
    import onnx

    from gender_lightning.exporting.quantization import quantize

    predictor = load(several, device="cpu", min_confidence=0)
    files.write_onnx(capture(predictor.network, predictor.framing), tmp_path / "both.onnx", {"card": ""})
    faces = np.random.default_rng(8).integers(0, 256, (16, 3, 32, 32), dtype=np.uint8)
    quantize(tmp_path / "both.onnx", tmp_path / "int8.onnx", faces)
    behind, rounded = {"disagreement"}, []
    for node in reversed(onnx.load(str(tmp_path / "int8.onnx")).graph.node):  # from the output to the last layers
        if behind & set(node.output):
            if node.op_type == "DequantizeLinear":
                rounded.append(node.input[0])
            elif node.op_type != "Gemm":
                behind |= set(node.input)
    assert rounded and all(name.startswith("linear") for name in rounded)


# CI exports one network of each family: ResNet18 and EfficientNet-B0 stand for their larger kin.
LARGER_KIN = ("resnet50", "efficientnet_v2_s")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "model",
    [pytest.param(name, marks=pytest.mark.nightly if name in LARGER_KIN else ()) for name in groups()["model"]],
)
def test_every_backbone_exports(model: str, checkpoint_of: Callable[..., Path], tmp_path: Path) -> None:
    predictor = load(checkpoint_of(compose("train", [f"model={model}"])["model"]["name"], 32), device="cpu")
    program = capture(predictor.network, predictor.framing)
    files.write_onnx(program, tmp_path / "model.onnx", {"card": ""})
    pictures = list(np.random.default_rng(5).integers(0, 256, (3, 45, 37, 3), dtype=np.uint8))
    for function in (_open(tmp_path / "model.onnx"), _in_memory(program)):
        for row in checking.compare(function, predictor, pictures, [1, 3]):
            assert row.largest < 1e-5


def _in_memory(program: torch.export.ExportedProgram) -> files.Function:
    model = program.module()
    return lambda images: model(torch.from_numpy(images)).detach().numpy()[None]


def test_pictures_used_as_they_are_are_said_so() -> None:
    spec = ModelSpec("resnet18", Framing(32), placement=None)
    assert json.loads(describe(spec, "")["placement"]) == "as is"
