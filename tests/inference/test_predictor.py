from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gender_lightning
from gender_lightning.errors import UserError
from gender_lightning.inference.predictor import Prediction, Predictor, load
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoint import ModelSpec, save_weights


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("run") / "best.ckpt"
    net = create_backbone("timm/test_efficientnet", image_size=32)
    save_weights(path, net.state_dict(), ModelSpec("timm/test_efficientnet", 32, class_names=("f", "m")))
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
    kinds = [file, str(file), Image.fromarray(face), face, torch.from_numpy(face).permute(2, 0, 1)]
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
        predictor.spec = ModelSpec("timm/test_efficientnet", 32, class_names=("f", "m"), threshold=threshold)
        assert predictor.predict(face).label == label


@pytest.mark.parametrize(
    "picture",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), torch.zeros(3, 4, 4), torch.zeros(4, 4, 3), 7],
)
def test_what_is_no_picture_is_refused(predictor: Predictor, picture: object) -> None:
    with pytest.raises(UserError, match="where an image was expected"):
        predictor.predict([picture])  # type: ignore[list-item]


def test_files_that_do_not_read_are_named(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.jpg"):
        predictor.predict(tmp_path / "nowhere.jpg")
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(UserError, match=r"text\.jpg"):
        predictor.predict(tmp_path / "text.jpg")


def test_a_device_that_is_not_there_is_named(checkpoint: Path) -> None:
    with pytest.raises(UserError, match="device=cpu"):
        load(checkpoint, device="nonsense")


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
    save_weights(path, create_backbone("resnet18", image_size=32).state_dict(), ModelSpec("resnet18", 32))
    code = (
        "import sys, numpy; from gender_lightning import load\n"
        "load(sys.argv[1]).predict(numpy.zeros((9, 9, 3), numpy.uint8))\n"
        "heavy = {'hydra', 'omegaconf', 'pytorch_lightning', 'lightning', 'pydantic', 'wandb', 'pandas', 'timm'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
