from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gender_lightning.config import AugmentationConfig, Bce, ModelConfig, OptimizerConfig
from gender_lightning.config.sections import Constant
from gender_lightning.data.dataset import Batch
from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError
from gender_lightning.evaluation.metrics import training_metrics
from gender_lightning.models.checkpoints.checkpoint import KEY, ModelSpec, load_network, read_checkpoint
from gender_lightning.training.callbacks.checkpoints import Checkpoints, Rhythm
from gender_lightning.training.checkpoint_files import WholeFiles
from gender_lightning.training.classifier import GenderClassifier

SIZE = 32
NO_AUGMENTATION: dict[str, Any] = {
    "random_rotation": 0.0,
    "random_horizontal_flip": 0.0,
    "color_jitter": {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0},
    "random_erasing": 0.0,
    "random_scale": [1.0, 1.0],
    "random_translation": 0.0,
    "mixup": 0.0,
    "cutmix": 0.0,
    "extra": {},
    "fill": "reflection",
    "progressive": [],
}
MODEL: dict[str, Any] = {
    "name": "timm/test_resnet",
    "pretrained": False,
    "dropout": 0.0,
    "freeze": "none",
    "layer_decay": 1.0,
    "lr_factor": 1.0,
    "test_time_flip": False,
    "test_time_zooms": [1.0],
    "arguments": {},
}


class Faces(Dataset[Batch]):
    """Bright women and dark men, as noise."""

    def __init__(self, n: int) -> None:
        noise = torch.Generator().manual_seed(n)
        self.labels = torch.arange(n) % 2
        levels = torch.randint(0, 128, (n, 3, SIZE, SIZE), generator=noise)
        self.images = (levels + 127 * (1 - self.labels)[:, None, None, None]).to(torch.uint8)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> Batch:
        raise NotImplementedError

    def __getitems__(self, rows: list[int]) -> Batch:
        return Batch(self.images[rows], self.labels[rows], torch.tensor(rows))


def loader(n: int = 12, batch_size: int = 4) -> DataLoader[Batch]:
    return DataLoader(Faces(n), batch_size, collate_fn=lambda batch: batch)


def classifier(
    model: dict[str, Any] | None = None,
    augmentation: dict[str, Any] | None = None,
    loss: dict[str, Any] | None = None,
    **arguments: Any,
) -> GenderClassifier:
    torch.manual_seed(0)
    return GenderClassifier(
        ModelConfig(**MODEL | (model or {})),
        OptimizerConfig(**{"_target_": "torch.optim.SGD", "lr": 0.05, "weight_decay": 0.01}),
        Constant(name="constant", warmup_epochs=0.0),
        AugmentationConfig(**NO_AUGMENTATION | (augmentation or {})),
        Bce(**{"name": "bce", "label_smoothing": 0.0, "class_weights": "none"} | (loss or {})),
        framing=Framing(SIZE),
        **arguments,
    )


def trainer(tmp_path: Path, **arguments: Any) -> pl.Trainer:
    defaults: dict[str, Any] = {
        "max_epochs": 1,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": tmp_path,
        "num_sanity_val_steps": 0,
    }
    return pl.Trainer(**defaults | arguments)


pytestmark = pytest.mark.filterwarnings("ignore")


def test_it_learns_and_says_so_in_the_names_of_the_vocabulary(tmp_path: Path) -> None:
    model, lightning = classifier(), trainer(tmp_path, max_epochs=6, num_sanity_val_steps=1)
    lightning.fit(model, loader(), loader(10))
    assert {"train/loss", *(f"val/{key}" for key in training_metrics())} <= lightning.callback_metrics.keys()
    assert model.metrics["valid"]["accuracy"] == 1.0
    table = model.table["valid"]
    assert table.indices.tolist() == list(range(10))
    assert np.array_equal(table.labels, np.arange(10) % 2)
    lightning.test(model, loader(6), verbose=False)
    assert set(training_metrics()) == model.metrics["test"].keys()
    assert len(model.table["test"]) == 6
    lightning.predict(model, loader(5), return_predictions=False)
    assert len(model.table["predict"]) == 5


def test_the_loss_of_an_epoch_is_that_of_its_images(tmp_path: Path) -> None:
    model = classifier(
        {"freeze": "backbone"}, loss={"label_smoothing": 0.2, "class_weights": "balanced"}, class_counts=(2, 6)
    )
    model.optimizer = OptimizerConfig(**{"_target_": "torch.optim.SGD", "lr": 1e-12, "weight_decay": 0.0})
    lightning = trainer(tmp_path)
    lightning.fit(model, loader(8, 4))
    faces = Faces(8)
    with torch.no_grad():
        logits = model.eval()(faces.images).double()
    soft = faces.labels * 0.8 + 0.1
    losses = -(soft * torch.sigmoid(logits).log() + (1 - soft) * torch.sigmoid(-logits).log())
    expected = (losses * torch.where(faces.labels == 1, 8 / 12, 8 / 4)).mean()
    assert float(lightning.callback_metrics["train/loss"]) == pytest.approx(float(expected), rel=1e-4)


def test_limited_batches_are_not_mistaken_for_lost_rows(tmp_path: Path) -> None:
    model, lightning = classifier(), trainer(tmp_path, limit_test_batches=2)
    lightning.test(model, loader(12), verbose=False)
    assert len(model.table["test"]) == 8


def test_a_row_that_is_missing_is_an_error(tmp_path: Path) -> None:
    short = DataLoader(Faces(12), 4, sampler=[0, 1, 2, 3, 4, 4], collate_fn=lambda batch: batch)
    with pytest.raises(AssertionError, match="5 images were evaluated of a split of 12"):
        trainer(tmp_path).test(classifier(), short, verbose=False)


def test_the_flip_averages_logits() -> None:
    plain, flipped = classifier().eval(), classifier({"test_time_flip": True}).eval()
    images = Faces(4).images
    with torch.no_grad():
        torch.testing.assert_close(flipped(images), (plain(images) + plain(images.flip(-1))) / 2)


class Recorder(pl.Callback):
    """What is frozen in each epoch, and the backbone's state after it."""

    def __init__(self) -> None:
        self.frozen: list[bool] = []
        self.states: list[dict[str, torch.Tensor]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        self.frozen.append(self._rests(pl_module))

    def _rests(self, pl_module: Any) -> bool:
        parameters = [p for name, p in pl_module.net.named_parameters() if not name.startswith("fc.")]
        return not any(p.requires_grad for p in parameters)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        state = {k: v.clone() for k, v in pl_module.net.state_dict().items() if not k.startswith("fc.")}
        self.states.append(state)


def test_freezing_follows_the_epoch_also_after_a_resume(tmp_path: Path) -> None:
    first, record = classifier({"freeze": 2}), Recorder()
    start = {k: v.clone() for k, v in first.net.state_dict().items() if not k.startswith("fc.")}
    short = trainer(tmp_path, max_epochs=1, callbacks=[record])
    short.fit(first, loader(8), loader(4))
    short.save_checkpoint(tmp_path / "last.ckpt")
    trainer(tmp_path, max_epochs=4, callbacks=[record]).fit(
        classifier({"freeze": 2}), loader(8), loader(4), ckpt_path=tmp_path / "last.ckpt"
    )
    assert record.frozen == [True] * 4 + [False] * 4
    for state in record.states[:2]:  # weights and running statistics
        assert all(torch.equal(value, start[name]) for name, value in state.items())
    assert not any(torch.equal(v, start[n]) for n, v in record.states[2].items() if "running_mean" in n)


def test_with_several_ranks_a_backbone_to_be_thawed_is_spared_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GenderClassifier, "_withholds_gradients", True)
    model = classifier({"freeze": 1})
    start = {k: v.clone() for k, v in model.net.state_dict().items()}
    record = Recorder()
    trainer(tmp_path, max_epochs=2, callbacks=[record]).fit(model, loader(8))
    assert all(torch.equal(value, start[name]) for name, value in record.states[0].items())
    assert not any(record.frozen)  # gradients are there, for DDP to reduce
    assert not all(torch.equal(value, start[name]) for name, value in record.states[1].items())


def test_what_an_image_undergoes_depends_on_seed_epoch_and_image_alone(tmp_path: Path) -> None:
    strong = {"random_rotation": 20.0, "random_horizontal_flip": 0.5, "random_erasing": 0.5}
    model = classifier(augmentation=strong)
    trainer(tmp_path, max_epochs=1).fit(model, loader(8))
    whole = Faces(8).__getitems__(list(range(8)))
    part = Faces(8).__getitems__([5, 2])
    images, targets = model.augmented(whole)
    assert torch.equal(targets, whole.labels.float())
    torch.testing.assert_close(model.augmented(part)[0], images[[5, 2]])


def test_two_trainings_are_the_same_and_so_is_a_resumed_one(tmp_path: Path) -> None:
    def run(epochs: int, resume: Path | None = None) -> tuple[pl.Trainer, dict[str, torch.Tensor]]:
        model = classifier({"dropout": 0.5}, {"random_rotation": 20.0, "mixup": 0.2})
        lightning = trainer(tmp_path, max_epochs=epochs)
        torch.manual_seed(99 if resume else 5)
        lightning.fit(model, loader(8), ckpt_path=resume)
        return lightning, model.net.state_dict()

    one, _ = run(1)
    one.save_checkpoint(tmp_path / "last.ckpt")
    whole = run(2)[1]
    resumed = run(2, tmp_path / "last.ckpt")[1]
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_progressive_resizing(tmp_path: Path) -> None:
    sizes: list[int] = []
    costs: list[tuple[float, float]] = []

    class Costs(pl.Callback):
        def on_train_batch_start(self, *args: Any) -> None:
            costs.append(model.step_costs())

    model = classifier(augmentation={"progressive": [{"until": 0.5, "image_size": 16}]})
    model.net.register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].shape[-1]))
    lightning = trainer(tmp_path, max_epochs=2, num_sanity_val_steps=1, callbacks=[Costs()])
    lightning.fit(model, loader(8), loader(4))
    assert costs == [(0.25, 0.625), (0.25, pytest.approx((0.25 + 2) / 3)), (1, 1), (1, 1)]
    # an epoch is two batches and the validation of one, at the size that the network is learning from
    assert sizes == [16, 16, 16, 16, 32, 32, 32]
    lightning.validate(model, loader(4), verbose=False)
    assert sizes[7:] == [32]
    with pytest.raises(UserError, match=r"augmentation.progressive=\[\]"):
        classifier({"name": "vit_b_32"}, {"progressive": [{"until": 0.5, "image_size": 16}]})


def test_lightnings_checkpoint_reads_as_ours(tmp_path: Path) -> None:
    model, lightning = classifier({"test_time_flip": True}), trainer(tmp_path)
    model.channels_last = True
    lightning.fit(model, loader(4))
    lightning.save_checkpoint(tmp_path / "last.ckpt")
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)[KEY] == model.spec.to_dict()
    spec, state = read_checkpoint(tmp_path / "last.ckpt")
    assert spec == model.spec == ModelSpec("timm/test_resnet", Framing(SIZE), test_time_flip=True)
    assert state.keys() == model.net.state_dict().keys()
    images = Faces(4).images
    with torch.no_grad():
        torch.testing.assert_close(load_network(tmp_path / "last.ckpt")(images), model.eval()(images))


def test_memory_format_and_compilation_leave_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[torch.nn.Module] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **_: compiled.append(self))
    model = classifier()
    names = list(model.state_dict())
    model.channels_last = model.compile_net = True
    layouts: list[bool] = []
    model.net.register_forward_pre_hook(
        lambda _, inputs: layouts.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
    )
    trainer(tmp_path).fit(model, loader(8), loader(4))
    assert compiled == [model.net]
    assert all(layouts)
    assert list(model.state_dict()) == names


@pytest.mark.parametrize("target", ["torch.optim.AdamW", "gender_lightning.training.muon.Muon"])
def test_a_resume_with_channels_last_brings_the_momentums_along(tmp_path: Path, target: str) -> None:
    modules = []
    for channels_last in (False, True):
        module = classifier()
        module.optimizer = OptimizerConfig(**{"_target_": target, "lr": 1e-3})
        module.channels_last = channels_last
        training = trainer(tmp_path, max_epochs=1 + channels_last, limit_val_batches=0)
        resumed = {"ckpt_path": str(tmp_path / "last.ckpt"), "weights_only": True} if channels_last else {}
        training.fit(module, loader(), **resumed)  # type: ignore[arg-type]
        training.save_checkpoint(tmp_path / "last.ckpt")
        modules.append(module)
    states = modules[1].trainer.optimizers[0].state
    momentums = {
        parameter: [value for value in state.values() if getattr(value, "shape", None) == parameter.shape]
        for parameter, state in states.items()
    }
    assert all(momentums.values())
    assert all(value.stride() == parameter.stride() for parameter, own in momentums.items() for value in own)
    assert any(parameter.stride() != parameter.contiguous().stride() for parameter in momentums)


def test_ranks_take_the_buffers_of_the_first_before_a_validation_and_before_a_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DDP is told not to exchange them before each step, as it does by itself."""
    happened: list[str] = []
    model = classifier()
    buffers = [buffer.data_ptr() for buffer in model.net.buffers()]

    def take(tensors: Iterable[Tensor]) -> None:
        assert [tensor.data_ptr() for tensor in tensors] == buffers
        happened.append("taken")

    class Told(pl.Callback):
        def on_before_optimizer_step(self, *_: Any) -> None:
            happened.append("step")

        def on_validation_batch_start(self, *_: Any) -> None:
            happened.append("validation batch")

    monkeypatch.setattr("gender_lightning.training.classifier.take_from_first", take)
    monkeypatch.setattr(GenderClassifier, "_distributed", True)
    saving = Checkpoints(tmp_path / "checkpoints", rhythm=Rhythm(steps=2))
    lightning = trainer(tmp_path, callbacks=[Told(), saving], plugins=[WholeFiles()], enable_checkpointing=True)
    lightning.fit(model, loader(12), loader(8))
    inside = ["step", "step", "taken", "step"]  # a save after the second step
    assert happened == [*inside, "taken", "validation batch", "validation batch", "taken"], "and one of the epoch"
    happened.clear()
    monkeypatch.setattr(GenderClassifier, "_distributed", False)
    trainer(tmp_path, callbacks=[Told()]).fit(model, loader(12), loader(8))
    assert "taken" not in happened
