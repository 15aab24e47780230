from __future__ import annotations

import doctest
import io
import multiprocessing
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import gender_lightning
from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError
from gender_lightning.inference import predictor as predictor_module
from gender_lightning.inference.faces.crops import Cropper
from gender_lightning.inference.predictor import Prediction, Predictor, load
from gender_lightning.machine.hardware import resolve_hardware
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoints.checkpoint import Answer, ModelSpec, save_weights, update_spec
from gender_lightning.models.sharing import gpu_errors_after_fork
from gender_lightning.synthetic.faces import synthetic_faces


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("run") / "best.ckpt"
    net = create_backbone("timm/test_efficientnet", image_size=32)
    save_weights(path, net.state_dict(), ModelSpec("timm/test_efficientnet", Framing(32), class_names=("f", "m")))
    return path


@pytest.fixture(scope="module")
def predictor(checkpoint: Path) -> Predictor:
    return load(checkpoint, device="cpu")


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (60, 40, 3), dtype=np.uint8)


def test_every_kind_of_picture_gives_the_same(predictor: Predictor, face: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "face.png"
    Image.fromarray(face).save(file)
    data = file.read_bytes()
    kinds = [
        file, str(file), Image.fromarray(face), face, torch.from_numpy(face).permute(2, 0, 1), data, bytearray(data),
        memoryview(data), io.BytesIO(data), file.open("rb"),
    ]  # fmt: skip
    assert predictor.predict(data) == predictor.predict(io.BytesIO(data)) == predictor.predict(file)
    first = predictor.predict(file)
    assert isinstance(first, Prediction)
    assert 0 <= first.probability <= 1
    for prediction in predictor.predict(kinds, batch_size=2):
        assert prediction.label == first.label
        assert prediction.probability == pytest.approx(first.probability, abs=1e-5)


def test_one_gives_one_and_several_a_list(predictor: Predictor, face: np.ndarray) -> None:
    assert isinstance(predictor.predict(face), Prediction)
    assert len(predictor.predict([face])) == 1
    assert len(predictor.predict(np.stack([face] * 3))) == 3
    assert len(predictor.predict(torch.from_numpy(np.stack([face] * 3)).permute(0, 3, 1, 2))) == 3
    assert predictor.predict([]) == []


def test_any_series_with_an_order_is_taken_a_batch_at_a_time(predictor: Predictor, face: np.ndarray) -> None:
    ahead = []

    def pictures() -> Iterator[np.ndarray]:
        for number in range(5):
            ahead.append(number)
            yield face

    class Watching(Predictor):
        def answers(self, faces: np.ndarray) -> list[Answer]:
            ahead.append(-1)
            return super().answers(faces)

    assert len(Watching(predictor.network).predict(pictures(), batch_size=2)) == 5
    assert ahead == [0, 1, -1, 2, 3, -1, 4, -1]
    for several in ((face, face), iter([face, face]), dict.fromkeys("ab", face).values(), map(np.array, [face, face])):
        assert len(predictor.predict(several)) == 2


def test_preprocessing_travels_with_the_checkpoint(predictor: Predictor, face: np.ndarray) -> None:
    # the default framing is the centred square: what lies outside of it does not matter
    bordered = face.copy()
    bordered[:10] = 0
    bordered[-10:] = 255
    assert predictor.predict(bordered) == predictor.predict(face)


def test_the_label_turns_at_the_threshold(checkpoint: Path, face: np.ndarray) -> None:
    predictor = load(checkpoint, device="cpu")
    probability = predictor.predict(face).probability
    for threshold, label in ((probability, "m"), (min(1.0, probability + 1e-3), "f")):
        predictor.spec = ModelSpec("timm/test_efficientnet", Framing(32), class_names=("f", "m"), threshold=threshold)
        assert predictor.predict(face).label == label


@pytest.mark.parametrize(
    "picture",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), torch.zeros(3, 4, 4), torch.zeros(4, 4, 3), 7, None],
)
def test_what_is_no_picture_is_refused(predictor: Predictor, face: np.ndarray, picture: object) -> None:
    with pytest.raises(UserError, match="^Got .* where an image was expected"):
        predictor.predict(picture)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"^images\[2\]: Got .* where an image was expected"):
        predictor.predict([face, face, picture], batch_size=2)  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ({1, 2}, r"list\(images\)"), ({"a": 1}, r"images.values\(\)"), (b"", "is empty"), (b"text", "does not decode"),
        (io.StringIO("text"), 'open\\(path, "rb"\\)'),
    ],
)  # fmt: skip
def test_what_gives_no_answer_gives_a_sentence(predictor: Predictor, images: object, said: str) -> None:
    with pytest.raises(UserError, match=said):
        predictor.predict(images)  # type: ignore[arg-type]


def test_a_file_that_was_just_written_is_to_be_rewound(predictor: Predictor, face: np.ndarray) -> None:
    file = io.BytesIO()
    Image.fromarray(face).save(file, "PNG")
    with pytest.raises(UserError, match=r"BytesIO .* Call seek\(0\) first"):
        predictor.predict(file)


@pytest.mark.parametrize("size", [-1, 0, 2.5, "64", True, None])
def test_a_batch_has_a_size(predictor: Predictor, face: np.ndarray, size: object) -> None:
    with pytest.raises(UserError, match="batch_size="):
        predictor.predict([face], batch_size=size)  # type: ignore[arg-type]


def test_what_cannot_be_read_is_skipped_on_request(predictor: Predictor, face: np.ndarray, tmp_path: Path) -> None:
    several = [face, tmp_path / "nowhere.jpg", None, b"text", face]
    said = predictor.predict(several, batch_size=2, on_error="skip")  # type: ignore[arg-type]
    assert [prediction.status for prediction in said] == ["crop", *["unreadable"] * 3, "crop"]
    assert [prediction.label for prediction in said[1:4]] == [""] * 3 and said[0] == said[4]
    assert "nowhere.jpg" in said[1].note and "None" in said[2].note
    faces = predictor.predict_faces(several, on_error="skip")  # type: ignore[arg-type]
    assert [[face.status for face in of_picture] for of_picture in faces] == [[result.status] for result in said]
    assert predictor.predict(b"text", on_error="skip").status == "unreadable"
    with pytest.raises(UserError, match='"raise" or "skip"'):
        predictor.predict(face, on_error="ignore")  # type: ignore[arg-type]


def test_no_face_is_not_an_uncertain_one(checkpoint: Path) -> None:
    empty = Image.new("L", (600, 500))  # too large for a face crop
    never_sure = load(checkpoint, device="cpu", min_confidence=1.0)
    nothing = never_sure.predict(empty)
    assert (nothing.status, nothing.label, nothing.box, nothing.note) == ("no_face", "", None, "grey")
    assert np.isnan(nothing.probability) and never_sure.predict_faces(empty) == []
    unsure = never_sure.predict(Image.new("L", (178, 218)))
    assert (unsure.status, unsure.label) == ("crop", "uncertain")


def test_arrays_of_opencv_are_noticed_once(checkpoint: Path) -> None:
    faces = synthetic_faces(12, seed=3)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(checkpoint, device="cpu").predict(faces)
    exchanged = load(checkpoint, device="cpu")
    with pytest.warns(UserWarning, match="likely BGR") as told:
        exchanged.predict(faces[..., ::-1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exchanged.predict(torch.from_numpy(faces).flip(-1).permute(0, 3, 1, 2))
    assert len(told) == 1 and told[0].filename == __file__
    images = [Image.fromarray(face) for face in faces[..., ::-1]]  # whose order Pillow knows
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(checkpoint, device="cpu").predict(images)


def test_threads_and_forked_processes_share_a_predictor(checkpoint: Path, tmp_path: Path) -> None:
    model = load(checkpoint, device="cpu")
    files = [tmp_path / f"{number}.png" for number in range(4)]
    for file, drawn in zip(files, synthetic_faces(4, seed=2)[0], strict=True):
        Image.fromarray(drawn[:200]).save(file)  # not of CelebA's shape: the detector is asked
    before = torch.get_num_threads()
    torch.set_num_threads(2)  # OpenMP's threads, which a fork loses: the forked process waited for them for ever
    try:
        expected = model.predict(files)
        with ThreadPoolExecutor(2) as threads:
            threaded = list(threads.map(model.predict, files))
        with multiprocessing.get_context("fork").Pool(2) as pool:
            forked = pool.map_async(model.predict, files).get(timeout=60)
    finally:
        torch.set_num_threads(before)
    wanted = [prediction.probability for prediction in expected]
    for got in (threaded, forked):
        assert [prediction.box for prediction in got] == [prediction.box for prediction in expected]
        assert np.allclose([prediction.probability for prediction in got], wanted, atol=1e-5)


class OnGpu:
    """Stands for a network on a GPU: CUDA's answer to a forked process is this error, raised in whatever is tried."""

    spec = ModelSpec("timm/test_resnet", Framing(32))

    def __init__(self) -> None:
        self.where = torch.device("cuda", 0)
        self.home = os.getpid()

    def eval(self) -> OnGpu:
        return self

    def parameters(self) -> Iterator[object]:
        return iter([SimpleNamespace(device=self.where)])

    def cpu(self) -> OnGpu:
        self.where = torch.device("cpu")
        return self

    def to(self, device: torch.device) -> OnGpu:
        if os.getpid() != self.home:
            raise RuntimeError("Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, ...")
        self.where = device
        return self


def test_a_forked_process_is_told_that_it_has_no_gpu() -> None:
    """As `Pool.map` sends it; a process that died of the weights was replaced for ever, and the call hung."""
    model = Predictor(OnGpu(), Cropper(Framing(32), "none"))  # type: ignore[arg-type]
    assert model.device == torch.device("cuda", 0)
    sent = pickle.loads(pickle.dumps(model))
    assert sent.device == model.device == model.network.where and sent.network.where.type == "cpu"
    face = np.zeros((40, 40, 3), np.uint8)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        answer = pool.map_async(model.predict, [face, face])
        with pytest.raises(UserError, match=r"cuda:0 in a forked process \(Cannot re-init.*\"spawn\"") as told:
            answer.get(timeout=60)
    assert told.value.remedy.count("load(...)") == 1
    with pytest.raises(RuntimeError, match="^out of order$"), gpu_errors_after_fork(torch.device("cuda")):
        raise RuntimeError("out of order")  # here no process was forked


def test_the_examples_run(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("best.ckpt").write_bytes(checkpoint.read_bytes())
    drawn = synthetic_faces(2, seed=1)[0]
    probabilities = [load("best.ckpt", device="cpu").predict(face).probability for face in drawn]
    for name, row in zip(("a.jpg", "b.jpg"), np.argsort(probabilities), strict=True):
        Image.fromarray(drawn[row]).save(name)
    update_spec(Path("best.ckpt"), class_names=("female", "male"), threshold=float(np.mean(probabilities)))
    ran = doctest.testmod(predictor_module)
    assert ran.attempted >= 6 and ran.failed == 0


def test_files_that_do_not_read_are_named(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.jpg"):
        predictor.predict(tmp_path / "nowhere.jpg")
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(UserError, match=r"text\.jpg"):
        predictor.predict(tmp_path / "text.jpg")


def test_a_device_that_is_not_there_is_named(checkpoint: Path) -> None:
    with pytest.raises(UserError, match="device=cpu"):
        load(checkpoint, device="nonsense")


def test_a_gpu_without_kernels_is_left_alone(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("device_count", 1), ("init", None), ("synchronize", None)):
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_80"])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 0))  # a V100
    assert load(checkpoint).device.type == "cpu"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 9))
    assert predictor_module._device("auto").type == "cuda"


@pytest.mark.parametrize("step", ["init", "synchronize"])
@pytest.mark.parametrize("error", [RuntimeError, torch.cuda.DeferredCudaCallError])
def test_a_gpu_that_torch_cannot_use_is_said_as_by_the_commands(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: type[Exception]
) -> None:
    def fail(*_: object) -> None:
        raise error("The NVIDIA driver on your system is too old.\nPlease update.")

    for name, value in (("device_count", 1), ("init", None), ("synchronize", None)):
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    monkeypatch.setattr(torch.cuda, step, fail)
    said = []
    for use in (lambda: load(checkpoint), lambda: resolve_hardware(prefix="")):
        with pytest.raises(
            UserError, match=r"has a GPU, but torch .* cannot use it: The NVIDIA .* is too old\."
        ) as told:
            use()
        said.append(told.value)
    assert said[0].problem == said[1].problem
    assert (said[0].field, said[1].field) == ("device", "accelerator")
    assert "device='cpu'" in said[0].remedy and "accelerator=cpu" in said[1].remedy
    assert load(checkpoint, device="cpu").device.type == "cpu"


def test_the_package_offers_load_and_version() -> None:
    assert gender_lightning.load is load
    assert isinstance(gender_lightning.__version__, str)
    assert {"load", "__version__"} <= set(dir(gender_lightning))
    with pytest.raises(AttributeError, match="nothing"):
        gender_lightning.nothing  # noqa: B018


def test_the_package_alone_imports_no_torch() -> None:
    code = "import sys, gender_lightning; gender_lightning.__version__; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_predictor_needs_no_training_libraries(tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    save_weights(path, create_backbone("resnet18", image_size=32).state_dict(), ModelSpec("resnet18", Framing(32)))
    code = (
        "import sys, numpy; from gender_lightning import load\n"
        "load(sys.argv[1]).predict(numpy.zeros((9, 9, 3), numpy.uint8))\n"
        "heavy = {'hydra', 'omegaconf', 'pytorch_lightning', 'lightning', 'pydantic', 'wandb', 'pandas', 'timm'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
