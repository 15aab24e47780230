"""What is timed is the real work: the same pictures, the same augmentations, in the common way and in ours."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from gender_lightning.benchmarks import drawn_pictures, input_stages, network_stages
from gender_lightning.benchmarks.common import CommonDataset, common_transform
from gender_lightning.benchmarks.faces import batches, some_faces
from gender_lightning.config import BenchmarkConfig, parse_config
from gender_lightning.data.dataset import FaceDataset
from gender_lightning.data.framing import Framing
from gender_lightning.data.sources.annotations import read_celeba
from gender_lightning.data.sources.images import FolderStore, ZipStore
from gender_lightning.inference.faces.crops import Cropper
from gender_lightning.inference.faces.reduced import Reduced
from gender_lightning.inference.pictures import open_picture
from gender_lightning.machine.hardware import Hardware
from gender_lightning.overrides import compose
from gender_lightning.training.losses.loss import Criterion
from gender_lightning.transforms import Augment, AugmentationSettings, ColorJitter, GaussianBlur, Jpeg, Normalize

SIZE = 32
STRONG = AugmentationSettings(
    random_rotation=20,
    random_horizontal_flip=0.5,
    color_jitter=ColorJitter(0.3, 0.3, 0.3, 0.05),
    random_erasing=0.2,
    random_scale=(0.8, 1.2),
    random_translation=0.1,
)


@pytest.fixture(params=["folder", "zip"])
def dataset(tiny_celeba: Path, tmp_path: Path, request: pytest.FixtureRequest) -> FaceDataset:
    folder = tiny_celeba / "img_align_celeba"
    if request.param == "folder":
        return FaceDataset(read_celeba(tiny_celeba), FolderStore(folder), Framing(SIZE))
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"img_align_celeba/{file.name}")
    return FaceDataset(read_celeba(tiny_celeba), ZipStore(tmp_path / "faces.zip"), Framing(SIZE))


def test_both_ways_see_the_same_faces(dataset: FaceDataset) -> None:
    """Without augmentation they differ by how PIL and torch round a resize alone."""
    with some_faces(dataset, 20) as faces:
        assert len(set(faces.rows)) == len(faces.paths) == 20
        ours = dataset.__getitems__(list(faces.rows))
        assert ours.labels.tolist() == list(faces.labels)
        common = CommonDataset(faces.paths, faces.labels, common_transform(AugmentationSettings(), SIZE, "square"))
        theirs = torch.stack([common[position][0] for position in range(20)])
    # torchvision resizes before it cuts the square out, which moves the picture by a fraction of a pixel
    assert (Normalize()(ours.images) - theirs).abs().mean() < 0.05


def test_the_common_way_does_the_whole_list() -> None:
    names = [type(step).__name__ for step in common_transform(STRONG, SIZE, "square").transforms]
    assert names == [
        "Resize", "CenterCrop", "RandomAffine", "RandomHorizontalFlip", "ColorJitter", "ToTensor", "Normalize",
        "RandomErasing",
    ]  # fmt: skip
    names = [
        type(step).__name__
        for step in common_transform(AugmentationSettings(random_rotation=5), SIZE, "none").transforms
    ]
    assert names == ["Resize", "RandomRotation", "ToTensor", "Normalize"]
    quality = AugmentationSettings(random_grayscale=0.1, gaussian_blur=GaussianBlur(0.2), jpeg=Jpeg(1.0, (1, 1)))
    steps = common_transform(quality, SIZE, "square").transforms
    assert [type(step).__name__ for step in steps[2:5]] == ["RandomApply", "RandomApply", "RandomGrayscale"]
    picture = Image.effect_noise((SIZE, SIZE), 50).convert("RGB")
    assert np.asarray(steps[3](picture)).std() < np.asarray(picture).std()
    affine = common_transform(STRONG, SIZE, "square").transforms[2]
    assert affine.degrees == [-20.0, 20.0] and affine.translate == (0.1, 0.1) and affine.scale == (0.8, 1.2)
    assert affine.interpolation == transforms.InterpolationMode.BILINEAR


@pytest.mark.parametrize("stage", ["decode", "loader", "pipeline", "augmentation"])
def test_a_unit_does_a_batch(dataset: FaceDataset, stage: str) -> None:
    augment = Augment(STRONG)
    with some_faces(dataset, 10) as faces:
        units = {
            "decode": lambda: input_stages.decode_units(faces, 4),
            "loader": lambda: input_stages.loader_units(faces, 4, augment),
            "pipeline": lambda: input_stages.pipeline_units(faces, 4, augment),
            "augmentation": lambda: input_stages.augmentation_units(faces, 4, augment, torch.device("cpu")),
        }[stage]()
        assert {name: unit() for name, unit in units.items()} == {"ours": 4, "common": 4}


def test_faces_are_found_in_drawn_pictures() -> None:
    """In a crop its one face, which is not framed as CelebA does; in a photograph its four."""
    cropper = Cropper(Framing(SIZE), "auto")
    # one face of the first photograph is found at some sizes of the search only
    crops, (_, photograph) = drawn_pictures.crops(4), drawn_pictures.photographs(2)
    for data in crops:
        pixels = open_picture(data).pixels
        assert pixels.shape == (200, 200, 3)
        assert [crop.status for crop in cropper.crops(pixels)] == ["face"]
    opened = open_picture(photograph, reduction=cropper.reduction).picture
    assert isinstance(opened, Reduced) and (opened.height, opened.width) == (3000, 4000)
    assert len(cropper.crops_of([opened])[0]) == 4
    units = input_stages.faces_units(crops, Framing(SIZE))
    assert {name: unit() for name, unit in units.items()} == {"ours": 4, "common": 4}


def test_batches_go_round() -> None:
    turns = batches(5, 3)
    assert [next(turns) for _ in range(3)] == [[0, 1, 2], [3, 4, 0], [1, 2, 3]]


@pytest.mark.parametrize("name", ["resnet18", "googlenet"])
def test_a_step_learns_and_inference_does_not(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = parse_config(BenchmarkConfig, compose("benchmark", [f"model={name}", "optimizer=sgd", "loss=focal"]))
    torch.manual_seed(1)  # other weights can be surer of a wrong answer
    nets: list[torch.nn.Module] = []
    create = network_stages.create_backbone
    monkeypatch.setattr(network_stages, "create_backbone", lambda *a, **k: nets.append(create(*a, **k)) or nets[-1])
    hardware = Hardware("cpu", 1, "bf16-mixed", compile=False, channels_last=True)

    def total() -> list[float]:
        return [sum(float(p.detach().double().abs().sum()) for p in net.parameters()) for net in nets]

    criterion = Criterion(config.loss)
    losses: list[float] = []
    criterion.register_forward_hook(lambda module, inputs, loss: losses.append(float(loss.detach())))
    tuned: list[bool] = []
    criterion.register_forward_hook(lambda *_: tuned.append(torch.backends.cudnn.benchmark))
    units = network_stages.step_units(
        config.model, config.optimizer, criterion, hardware, image_size=SIZE, batch_size=4
    )
    before = total()
    assert {key: unit() for key, unit in units.items()} == {"ours": 4, "common": 4}
    assert (tuned[0], tuned[-1], torch.backends.cudnn.benchmark) == (True, False, False), "ours as `train` does"
    assert criterion.section.name == "focal" and len(losses) >= 2 and max(losses) < 0.6, "cross-entropy begins at 0.69"
    assert all(now != then for now, then in zip(total(), before, strict=True))
    nets.clear()
    units = network_stages.inference_units(config.model, hardware, image_size=SIZE, batch_size=4)
    before = total()
    assert {key: unit() for key, unit in units.items()} == {"ours": 4, "common": 4}
    assert total() == before and not any(net.training for net in nets)
