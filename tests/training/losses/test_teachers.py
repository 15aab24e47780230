"""A student learns the mean answer of its teachers to the pictures it sees, and the teachers learn nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision.transforms.v2.functional as F
from test_classifier import SIZE, classifier, loader, trainer
from torch import Tensor, nn
from torch.distributions import Bernoulli, kl_divergence

from gender_lightning.config import Distill
from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, Network, save_weights
from gender_lightning.training.losses.loss import Criterion
from gender_lightning.training.losses.teachers import Teachers, load_teachers
from gender_lightning.transforms import Normalize

pytestmark = pytest.mark.filterwarnings("ignore")
LOGITS, TEACHER = torch.tensor([-3.0, 0.2, 5.0, -0.7]), torch.tensor([-1.0, 1.5, 2.0, -4.0])
TARGETS = torch.tensor([0.0, 1.0, 0.0, 1.0])


def section(weight: float = 1.0, temperature: float = 2.0, **others: Any) -> Distill:
    values = {"name": "distill", "teacher": ["a"], "weight": weight, "temperature": temperature}
    return Distill.model_validate({"label_smoothing": 0.0, "class_weights": "none", **values, **others})


@pytest.mark.parametrize("temperature", [1.0, 2.0, 10.0])
def test_the_loss_is_the_divergence_of_bernoullis_times_t_squared(temperature: float) -> None:
    student, teacher = Bernoulli(logits=LOGITS / temperature), Bernoulli(logits=TEACHER / temperature)
    expected = temperature**2 * kl_divergence(teacher, student).mean()
    ours = Criterion(section(1.0, temperature))(LOGITS, TARGETS, None, TEACHER)
    torch.testing.assert_close(ours, expected)
    assert Criterion(section(1.0, temperature))(TEACHER, TARGETS, None, TEACHER).abs() < 1e-6


def test_labels_have_the_rest_of_the_weight_and_class_weights_count_for_both() -> None:
    weight = torch.tensor([0.75, 1.5, 0.75, 1.5])  # two thirds of the images are female
    labels = nn.BCEWithLogitsLoss(weight=weight)(LOGITS, TARGETS * 0.9 + 0.05)
    soft = (4 * kl_divergence(Bernoulli(logits=TEACHER / 2), Bernoulli(logits=LOGITS / 2)) * weight).mean()
    criterion = Criterion(section(0.7, class_weights="balanced", label_smoothing=0.1), (200, 100))
    torch.testing.assert_close(criterion(LOGITS, TARGETS, None, TEACHER), 0.3 * labels + 0.7 * soft)
    torch.testing.assert_close(criterion(LOGITS, TARGETS), labels)


def teacher(seed: int, size: int = SIZE, **spec: Any) -> Network:
    torch.manual_seed(seed)
    net: Any = create_backbone("timm/test_resnet", image_size=size)
    with torch.no_grad():
        for _ in range(20):  # batch norms that have seen something, so that answers differ between pictures
            net.train()(torch.randn(8, 3, size, size))
        net.get_classifier().weight.mul_(20)
    return Network(net, ModelSpec("timm/test_resnet", Framing(size), **spec))


@pytest.fixture
def pixels() -> Tensor:
    return torch.rand(5, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(3))


def test_each_teacher_sees_the_picture_at_its_size_and_in_its_normalisation(pixels: Tensor) -> None:
    first = teacher(1, temperature=1.7, test_time_flip=True)
    second = teacher(2, 48, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    students = Normalize((0.4, 0.5, 0.6), (0.3, 0.2, 0.1))
    ours = Teachers([first, second])(students(pixels), students)
    with torch.no_grad():
        small = first.net(F.normalize(pixels, list(first.spec.mean), list(first.spec.std))) / 1.7
        large = F.resize(pixels, [48, 48], antialias=True)
        expected = (small + second.net(F.normalize(large, [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]))) / 2
    torch.testing.assert_close(ours, expected, atol=1e-3, rtol=1e-4)
    assert expected.std() > 0.05
    assert not ours.requires_grad and not ours.is_inference()


def distilling(teachers: Teachers, augmentation: dict[str, Any] | None = None) -> Any:
    model = classifier(augmentation=augmentation, teachers=teachers)
    model.criterion = Criterion(section(0.5))
    return model


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_teachers_stay_as_they_are_and_outside_of_the_student(tmp_path: Path, precision: str) -> None:
    network = teacher(1)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    model = distilling(Teachers([network]), {"mixup": 0.4, "random_rotation": 10.0})
    model.channels_last = True
    plain = classifier()
    assert model.state_dict().keys() == plain.state_dict().keys()
    weights = model.net.state_dict()
    start = {name: value.clone() for name, value in weights.items()}
    fitted = trainer(tmp_path, precision=precision, accumulate_grad_batches=2)
    fitted.fit(model, loader(12))
    assert any(not torch.equal(start[name], value) for name, value in weights.items())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not network.training and not any(value.requires_grad for value in network.parameters())
    held = [value for group in fitted.optimizers[0].param_groups for value in group["params"]]
    assert not {id(value) for value in held} & {id(value) for value in network.parameters()}
    fitted.save_checkpoint(tmp_path / "last.ckpt")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert saved.keys() == plain.state_dict().keys()


def test_a_compiled_student_has_teachers_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compile = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self, **options: compile(self, backend="eager", **options))
    torch.compiler.reset()
    losses = []
    for compiled in (False, True):
        model = distilling(Teachers([teacher(1, 48)]))
        model.compile_net = compiled
        fitted = trainer(tmp_path, limit_val_batches=0)
        fitted.fit(model, loader(8))
        losses.append(float(fitted.callback_metrics["train/loss"]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    torch.compiler.reset()


def test_a_step_learns_from_the_augmented_batch(tmp_path: Path) -> None:
    seen: list[Tensor] = []
    network = teacher(1)
    network.net.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    model = distilling(Teachers([network]), {"mixup": 0.4, "random_rotation": 30.0})
    views: list[Tensor] = []
    model.net.register_forward_pre_hook(lambda _, inputs: views.append(inputs[0].detach().clone()))
    trainer(tmp_path, limit_val_batches=0).fit(model, loader(8))
    assert len(seen) == 2 and all(torch.allclose(a, b, atol=1e-5) for a, b in zip(seen, views, strict=True))


@pytest.mark.parametrize(("augmentation", "passes"), [(None, 2), ({"mixup": 0.4}, 6), ({"random_rotation": 9.0}, 6)])
def test_pictures_that_never_change_are_answered_once(
    tmp_path: Path, augmentation: dict[str, Any] | None, passes: int
) -> None:
    seen: list[int] = []
    network = teacher(1)
    network.net.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    model = distilling(Teachers([network]), augmentation)
    trainer(tmp_path, max_epochs=3, limit_val_batches=0).fit(model, loader(8))
    assert len(seen) == passes


def test_kept_answers_are_those_of_their_rows(pixels: Tensor) -> None:
    teachers, plain = Teachers([teacher(1)]), Normalize((0.4, 0.5, 0.6), (0.3, 0.2, 0.1))
    expected = teachers(plain(pixels), plain)
    teachers.to(torch.device("cpu"), images=11)
    rows = torch.tensor([7, 0, 3, 9, 4])
    torch.testing.assert_close(teachers(plain(pixels), plain, rows), expected)
    order = torch.tensor([4, 1, 0])
    torch.testing.assert_close(teachers(torch.zeros(3, 3, SIZE, SIZE), plain, rows[order]), expected[order])
    torch.testing.assert_close(teachers(plain(pixels), plain, rows + 1)[1:], expected[1:])  # row 4 + 1 is new


class Brightness(nn.Module):
    """Takes the bright faces for male, against their labels."""

    def forward(self, images: Tensor) -> Tensor:
        return 4 * images.mean((1, 2, 3))


@pytest.mark.parametrize(("weight", "accuracy"), [(1.0, 0.0), (0.0, 1.0)])
def test_a_student_believes_its_teacher_by_the_weight(tmp_path: Path, weight: float, accuracy: float) -> None:
    network = Network(Brightness(), ModelSpec("timm/test_resnet", Framing(SIZE)))
    model = classifier(teachers=Teachers([network]))
    model.criterion = Criterion(section(weight))
    trainer(tmp_path, max_epochs=6).fit(model, loader(), loader(10))
    assert model.metrics["valid"]["accuracy"] == accuracy


# ---- files


def saved(path: Path, network: Network) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_weights(path, network.net.state_dict(), network.spec)
    return path


def test_teachers_are_read_from_files_and_another_crop_is_said(
    tmp_path: Path, pixels: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    first = teacher(1, temperature=0.8)
    second = teacher(2)
    second = Network(second.net, replace(second.spec, framing=Framing(SIZE, "lower")))
    paths = [str(saved(tmp_path / f"{number}.ckpt", it)) for number, it in enumerate((first, second))]
    loaded, normalize = load_teachers(paths, Framing(SIZE)), Normalize()
    images, given = normalize(pixels), Teachers([first, second])
    torch.testing.assert_close(loaded(images, normalize), given(images, normalize))
    (said,) = caplog.messages
    assert "1.ckpt was trained with data.crop=lower" in said


def test_what_cannot_teach_is_refused_in_a_sentence(tmp_path: Path) -> None:
    run = tmp_path / "run"
    own = saved(run / "checkpoints" / "best.ckpt", teacher(1))
    colour = teacher(2)
    grey = saved(tmp_path / "grey.ckpt", Network(colour.net, replace(colour.spec, arguments={"in_chans": 1})))
    for path, said in (
        (tmp_path / "nothing", "does not exist"),
        (tmp_path, "has no checkpoints/best.ckpt"),
        (run, "is the run that is to be trained"),
        (own, "is the run that is to be trained"),
        (grey, "in_chans=1, but pictures have three channels"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            load_teachers([str(path)], Framing(SIZE), run=run)
        assert caught.value.field == "loss.teacher" and caught.value.problem.startswith("loss.teacher: ")
