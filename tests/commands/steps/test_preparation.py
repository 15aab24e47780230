"""What a training knows of the faces in its pictures before it starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gender_lightning.commands.steps import preparation
from gender_lightning.commands.steps.preparation import prepare
from gender_lightning.config import TrainConfig, TrainerConfig, parse_config
from gender_lightning.data.framing import CELEBA
from gender_lightning.errors import UserError
from gender_lightning.machine.hardware import Hardware
from gender_lightning.models.checkpoints.checkpoint import ModelSpec
from gender_lightning.models.pooling import RepeatablePool2d
from gender_lightning.overrides import compose


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same face twelve times: at one place in `chips`, anywhere in `photographs`."""
    import matplotlib.cbook

    root, rng = tmp_path_factory.mktemp("people"), np.random.default_rng(4)
    with Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as image:
        hopper = image.convert("RGB").resize((170, 200))
    for kind, most in (("chips", 6), ("photographs", 230)):
        for number in range(12):
            canvas = Image.new("RGB", (176, 206) if kind == "chips" else (400, 430), (90, 110, 130))
            canvas.paste(hopper, tuple(int(side) for side in rng.integers(0, most, 2)))
            place = root / kind / ("female", "male")[number % 2] / f"{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            canvas.save(place)
    return root


def prepared(root: Path, *typed: str) -> tuple[ModelSpec, np.ndarray]:
    """The description that checkpoints get, and the training images."""
    texts = ["data=folder", f"data.root={root}", "data.image_size=32", "model=resnet18", "model.name=timm/test_resnet"]
    sizes = "data.sizes={train:8,valid:2,test:2}"
    values = compose(
        "train", [*texts, sizes, "model.pretrained=false", "trainer.accelerator=cpu", "logger=csv", *typed]
    )
    parts = prepare(parse_config(TrainConfig, values))
    train = parts.data.dataset("train")
    return parts.model.spec, train.__getitems__(range(len(train))).images.numpy().astype(float)


def test_the_place_of_the_eyes_is_measured(folders: Path) -> None:
    spec, _ = prepared(folders / "chips")
    assert spec.placement is not None and (spec.placement.height, spec.placement.width) == (206, 176)
    (left_x, left_y), (right_x, right_y) = spec.placement.eyes  # a third of those of the photograph in test_faces
    assert 68 < left_x < 85 and 60 < left_y < 74 and 98 < right_x < 113 and 58 < right_y < 74
    assert ModelSpec.from_dict(spec.to_dict()) == spec


def test_faces_anywhere_are_used_as_they_are_or_aligned_on_request(folders: Path) -> None:
    spec, images = prepared(folders / "photographs")
    assert spec.placement is None
    aligned_spec, aligned = prepared(folders / "photographs", "faces=detect")
    assert aligned_spec.placement == CELEBA
    assert aligned.std(axis=0).mean() < 0.3 * images.std(axis=0).mean(), "the same face in the same place"


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        (["data.image_size=250", "model.name=timm/levit_128s"], r"data\.image_size=240 or 256"),
        (["augmentation.progressive=[{until:0.5,image_size:16}]", "model.name=vgg11"], r"data\.image_size=32"),
        (["data.batch_size=1", "model.name=resnet18"], r"data\.batch_size=2"),
        (["trainer.limit_val_batches=0.1"], r"trainer\.limit_val_batches=0\.1 of 1 batch is none"),
        (["data.batch_size=2", "trainer.limit_train_batches=0.2"], "of 4 batches is none"),
    ],
)
def test_what_a_network_or_lightning_cannot_take_is_a_sentence_before_the_run(
    folders: Path, typed: list[str], problem: str
) -> None:
    with pytest.raises(UserError, match=problem):
        prepared(folders / "chips", *typed)


@pytest.mark.parametrize(("deterministic", "replaced"), [(True, True), (False, False)])
def test_on_gpus_the_rate_follows_their_number_and_pooling_is_repeatable(
    folders: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    deterministic: bool,
    replaced: bool,
) -> None:
    asked: list[int | None] = []

    def hardware_of(config: TrainerConfig, steps: int | None = None) -> Hardware:
        asked.append(steps)
        return Hardware("gpu", 2, "bf16-mixed", True, True)

    monkeypatch.setattr(preparation, "hardware_of", hardware_of)
    root, sizes = f"data.root={folders / 'chips'}", "data.sizes={train:8,valid:2,test:2}"
    typed = ["data=folder", root, sizes, "data.image_size=64", "data.batch_size=2", "model=resnet18", "logger=csv"]
    typed += [
        "trainer.max_epochs=7",
        "model.name=vgg11",
        "model.pretrained=false",
        "optimizer.reference_batch=1",
        "optimizer.lr=0.001",
    ]
    with caplog.at_level("INFO"):
        parts = prepare(parse_config(TrainConfig, compose("train", [*typed, f"trainer.deterministic={deterministic}"])))
    assert parts.model.optimizer.lr == pytest.approx(0.002), "AdamW: the square root of 2 x 2 images"
    assert "A step uses 4 images, but optimizer.lr=0.001 is meant for 1" in caplog.text
    assert asked == [None, 14], "8 images in batches of 2 on 2 devices, 7 times: whether to compile depends on it"
    assert parts.model.compile_net and parts.model.channels_last
    assert any(isinstance(module, RepeatablePool2d) for module in parts.model.net.modules()) is deterministic
