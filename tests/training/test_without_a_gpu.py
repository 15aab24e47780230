"""What a training step must not do on a GPU, shown with tensors that only claim to be there."""

from __future__ import annotations

import math
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from test_classifier import classifier, loader, trainer
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gender_lightning.config import Bce, Distill, GroupDro, OptimizerConfig
from gender_lightning.config.sections import Focal
from gender_lightning.data.dataset import Batch
from gender_lightning.models.attribute_heads import AttributeHeads
from gender_lightning.models.backbones import create_backbone, forward_train
from gender_lightning.models.checkpoints.checkpoint import Network
from gender_lightning.models.heads import LogitHead
from gender_lightning.overrides import groups
from gender_lightning.training.callbacks.ema import Ema
from gender_lightning.training.callbacks.finite_loss import FiniteLoss
from gender_lightning.training.callbacks.throughput import Throughput
from gender_lightning.training.classifier import GenderClassifier
from gender_lightning.training.losses.loss import Criterion, GroupShares
from gender_lightning.training.losses.signals import Signals
from gender_lightning.training.losses.teachers import Teachers
from gender_lightning.transforms import (
    Augment,
    AugmentationSettings,
    ColorJitter,
    Downscale,
    GaussianBlur,
    Jpeg,
    ProgressiveStage,
    constants,
    mix,
)

EVERYTHING = AugmentationSettings(
    random_rotation=15, random_horizontal_flip=0.5, color_jitter=ColorJitter(0.3, 0.3, 0.3, 0.02), random_erasing=0.25,
    random_scale=(0.8, 1.2), random_translation=0.1, mixup=0.2, cutmix=0.5, progressive=(ProgressiveStage(0.5, 24),),
    random_aspect_ratio=(0.8, 1.25), random_grayscale=0.1, gaussian_blur=GaussianBlur(0.5), downscale=Downscale(0.5, 8),
    jpeg=Jpeg(0.5), fill="mixed",
)  # fmt: skip
SETTINGS: dict[str, Any] = {"label_smoothing": 0.1, "class_weights": "balanced"}
# what only describes a tensor and starts no kernel
VIEWS = (
    "view", "unsqueeze", "select", "slice", "expand", "permute", "unbind", "alias", "detach", "device", "empty",
    "split", "empty_like", "lift_fresh", "t", "transpose", "squeeze", "flatten", "reshape", "_unsafe_view",
)  # fmt: skip


class Kernels(TorchDispatchMode):
    """Counts kernels and the bytes that they read and write, and refuses copies from the device to the host."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in ("_to_copy", "copy_"):
            assert result.device.type == "cuda", "the host waits for the device"
        if name not in VIEWS:
            self.counts[name] += 1
            read = [] if name.startswith("new_") else tree_leaves((args, kwargs or {}))
            self.bytes += sum(stored(value) for value in [*read, *tree_leaves(result)] if isinstance(value, Tensor))
            self.bytes -= stored(kwargs["out"]) if kwargs and "out" in kwargs else 0  # it is the result
        return result


def stored(value: Tensor) -> int:
    """Bytes of a tensor, those that it repeats counted once."""
    sides = zip(value.shape, value.stride(), strict=True)
    return value.element_size() * math.prod(side for side, stride in sides if stride)


@pytest.fixture
def on_fake_gpu() -> Iterator[Kernels]:
    """Tensors on a GPU that is not there; `.item()`, `.tolist()`, `bool()` and boolean indexing raise."""
    constants.kept.cache_clear()  # one of an earlier device, or of another mode
    with ExitStack() as stack:
        stack.enter_context(FakeTensorMode())
        yield stack.enter_context(Kernels())
    constants.kept.cache_clear()


@pytest.mark.parametrize("size", [None, 24])
@pytest.mark.parametrize("loss", [Bce(name="bce", **SETTINGS), Focal(name="focal", gamma=2.0, **SETTINGS)])
def test_augmentation_mixing_and_loss_never_wait_for_the_device(
    on_fake_gpu: Kernels, size: int | None, loss: Bce | Focal
) -> None:
    augment = Augment(EVERYTHING, channels_last=True).to("cuda")
    images = torch.empty(8, 3, 32, 32, dtype=torch.uint8, device="cuda")
    indices, labels = (torch.empty(8, dtype=torch.int64, device="cuda") for _ in range(2))
    criterion = Criterion(loss, (3, 5))
    on_fake_gpu.counts.clear()
    augmented = augment(images, indices, 3, size=size)
    mixed, targets = mix(augmented, labels.float(), indices, EVERYTHING, seed=1, step=3)
    assert criterion(mixed.mean((1, 2, 3)), targets).device.type == "cuda"
    assert mixed.is_contiguous(memory_format=torch.channels_last)
    # all of the augmentations at once, most on a few numbers for each image; the host starts each in about 5 us
    assert on_fake_gpu.counts.total() < 550, on_fake_gpu.counts


def test_the_standard_recipe_takes_few_kernels_and_little_traffic(on_fake_gpu: Kernels) -> None:
    jitter = ColorJitter(0.2, 0.2, 0.2, 0.02)
    settings = AugmentationSettings(
        random_rotation=10, random_horizontal_flip=0.5, color_jitter=jitter, random_erasing=0.1,
        random_scale=(0.9, 1.1), random_translation=0.05,
    )  # fmt: skip
    augment = Augment(settings, channels_last=True).to("cuda")
    images = torch.empty(256, 3, 224, 224, dtype=torch.uint8, device="cuda")
    indices = torch.empty(256, dtype=torch.int64, device="cuda")
    for epoch in range(2):  # the first one makes the constants
        on_fake_gpu.counts.clear()
        on_fake_gpu.bytes = 0
        augment(images, indices, epoch)
    # kernels are the host's work; the batch in float32 is 154 MB, so that it passes through memory 31 times
    assert on_fake_gpu.counts.total() <= 162, on_fake_gpu.counts
    assert on_fake_gpu.bytes < 4.81e9


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
@pytest.mark.parametrize("loss", ["bce", "group_dro", "distill"])
def test_no_step_of_any_loss_waits_for_the_device(loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the backward pass, for which torch looks for a real GPU; the teacher's answers are kept."""
    constants.kept.cache_clear()
    sections: dict[str, Any] = {
        "bce": Bce(name="bce", group_weights="balanced", **SETTINGS),
        "group_dro": GroupDro(name="group_dro", step_size=0.1, adjustment=1.0, **SETTINGS | {"class_weights": "none"}),
        "distill": Distill(name="distill", teacher=["a"], weight=0.5, temperature=2.0, **SETTINGS),
    }
    trainer: Any = SimpleNamespace(
        current_epoch=0, fit_loop=SimpleNamespace(total_batch_idx=0, batch_idx=0), accumulate_grad_batches=1,
        train_dataloader=SimpleNamespace(dataset=range(8)), state=SimpleNamespace(fn="fit"), world_size=1,
    )  # fmt: skip
    monkeypatch.setattr(GenderClassifier, "trainer", trainer)
    monkeypatch.setattr(GenderClassifier, "log", lambda *_, **__: None)
    monkeypatch.setattr("gender_lightning.training.classifier.seed_generators", lambda seed, device: None)
    monkeypatch.setattr(Teachers, "_answers", lambda self, images, normalize: images.mean((1, 2, 3)))
    with FakeTensorMode(), torch.device("cuda"):
        module = classifier(augmentation={} if loss == "distill" else {"random_rotation": 9.0, "mixup": 0.2})
        module._device = torch.device("cuda", 0)
        module.criterion = Criterion(sections[loss], (4, 4), GroupShares(("a", "b"), (0, 1), (4, 4), (0.5, 0.5)))
        module.teachers = Teachers([Network(nn.Flatten(), module.spec)]) if loss == "distill" else None
        module.signals, module.attribute_heads = Signals(number=2), AttributeHeads(module.net, 3)
        module.signals.groups, module.signals.attributes = torch.zeros(8, dtype=torch.int64), torch.zeros(8, 3)
        module.on_train_start()
        images, rows = torch.empty(8, 3, 32, 32, dtype=torch.uint8), torch.empty(8, dtype=torch.int64)
        for _ in range(2):  # the first one makes constants
            with Kernels() as kernels:
                assert module.training_step(Batch(images, rows, rows), 0).device.type == "cuda"
                module.criterion.end_step()
    constants.kept.cache_clear()
    assert 60 < kernels.counts.total() < 400, kernels.counts


def test_the_guard_sees_what_it_is_there_for(on_fake_gpu: Kernels) -> None:
    values = torch.empty(3, device="cuda")
    for wait in (values[0].item, values.tolist, lambda: bool(values[0]), lambda: values[values > 0], values.cpu):
        with pytest.raises(Exception, match=r"waits for the device|_local_scalar_dense|nonzero"):
            wait()


# ---- optimizers


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("target", ["torch.optim.AdamW", "torch.optim.Adam", "torch.optim.SGD", "timm.optim.Lion"])
def test_no_precision_selects_a_loop_over_the_weights(
    target: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = classifier()
    module.optimizer = OptimizerConfig(**{"_target_": target, "lr": 0.1, "weight_decay": 0.01})
    fake: Any = SimpleNamespace(
        estimated_stepping_batches=10, num_training_batches=5, accumulate_grad_batches=1, precision=precision,
        gradient_clip_val=1.0, world_size=1, datamodule=None,
    )  # fmt: skip
    monkeypatch.setattr(GenderClassifier, "trainer", fake)
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device("cuda"):
            module.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 1))
        monkeypatch.setattr(
            "gender_lightning.training.classifier.parameter_groups", lambda net, **_: [{"params": [*net.parameters()]}]
        )
        group = module.configure_optimizers()["optimizer"].param_groups[0]
    assert group.get("fused") or group.get("foreach")
    assert not (precision == "16-mixed" and group.get("fused")), "its gradients would be clipped while still scaled"


# ---- steps


class Watched(pl.Callback):
    """Calls `enter` before and `leave` after each step but the first two."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch, self.steps = patch, 0

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        def refuse(*_: Any, **__: Any) -> Any:
            raise AssertionError("this takes the host a millisecond in each step")

        if trainer.global_step >= 2:
            self.patch.setattr(traceback, "format_stack", refuse)
            self.patch.setattr(traceback, "extract_stack", refuse)
            self.patch.setattr(nn.Module, "state_dict", refuse)

    def on_before_zero_grad(self, *_: Any) -> None:
        self.steps += 1


class Released(pl.Callback):
    """The last callback of a step."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch

    def on_train_batch_end(self, *_: Any) -> None:
        self.patch.undo()


def test_no_step_formats_a_traceback_or_makes_a_state_dict(tmp_path: Path) -> None:
    patch, steps = pytest.MonkeyPatch(), 0
    watched, ema = Watched(patch), Ema(0.9)
    callbacks = [watched, ema, Throughput(), FiniteLoss(), Released(patch)]
    module = classifier(
        augmentation={"color_jitter": {"brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "hue": 0.1}}
    )
    try:
        trainer(tmp_path, callbacks=callbacks, max_epochs=1, limit_val_batches=0).fit(module, loader(24))
    finally:
        patch.undo()
    assert watched.steps == 6 > steps
    assert ema.weights is not None
    assert ema.weights.updates == 6


# ---- compilation


class Recorder:
    """A backend that keeps every graph and runs it as it is."""

    def __init__(self) -> None:
        self.graphs: list[tuple[bool, tuple[int, ...]]] = []
        self.symbolic = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        shapes = [tuple(value.shape) for value in inputs if isinstance(value, Tensor) and value.dim() == 4]
        images = [shape for shape in shapes if shape[1] == 3 and shape[2] > 7]  # and not the weights of a first layer
        sizes = [size for value in inputs if isinstance(value, Tensor) for size in value.shape]
        self.symbolic += any(not isinstance(size, int) for size in [*sizes, *inputs] if not isinstance(size, Tensor))
        self.graphs.append((torch.is_grad_enabled(), max(images, default=())))
        return graph.forward


@pytest.mark.parametrize(("images", "sizes"), [(12, {4}), (14, {4, 2})], ids=["equal batches", "a smaller last one"])
def test_training_graphs_stay_static_and_evaluation_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: int, sizes: set[int]
) -> None:
    recorder, compile = Recorder(), nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self, **options: compile(self, backend=recorder, **options))
    torch.compiler.reset()
    module = classifier(
        model={"freeze": 1},
        augmentation={"progressive": [{"until": 0.5, "image_size": 16}, {"until": 0.7, "image_size": 24}]},
    )
    # few layers: each of the four graphs takes as long as its network has layers, 1.3 s for that of the other tests
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    module.net = body.append(LogitHead(nn.Linear(4, 1), dropout=0.1))
    module.compile_net = True
    trained = trainer(tmp_path, max_epochs=4, num_sanity_val_steps=0)
    trained.fit(module, loader(images), loader(11, batch_size=8))
    trained.validate(module, loader(11, batch_size=8), verbose=False)
    assert recorder.symbolic == 0
    shapes = [shape for _, shape in recorder.graphs if shape]
    assert {shape[0] for shape in shapes} == sizes, "a validation's batches of 8 and 3 have been compiled too"
    for size in sizes:
        sides = [shape[2] for shape in shapes if shape[0] == size]
        assert sides == [16, 16, 24, 32], "frozen, thawed, and one graph for each further size"
    assert all(training for training, _ in recorder.graphs)
    torch.compiler.reset()


@pytest.mark.slow
@pytest.mark.parametrize("choice", sorted(groups()["model"]))
def test_every_network_of_the_menu_is_one_graph(choice: str) -> None:
    from gender_lightning.config import TrainConfig, parse_config
    from gender_lightning.overrides import compose

    model = parse_config(TrainConfig, compose("train", [f"model={choice}"])).model
    recorder = Recorder()
    torch.compiler.reset()
    with torch.device("meta"):
        net = create_backbone(model.name, image_size=96, arguments=model.arguments).train()
        net.compile(backend=recorder, dynamic=False, fullgraph=True)
        logits, auxiliary = forward_train(net, torch.empty(4, 3, 96, 96))  # as a training step calls it
    assert logits.shape == (4,)
    assert len(auxiliary) == (2 if choice == "googlenet" else 0)
    assert len(recorder.graphs) == 1
    assert recorder.symbolic == 0
    torch.compiler.reset()


def test_an_augmented_batch_is_one_graph_for_all_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    torch.compiler.reset()
    constants.kept.cache_clear()
    augment = Augment(EVERYTHING, channels_last=True).to("meta")
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which does not know this device
    augment._batch = torch.compile(augment._augmented, backend=recorder, dynamic=False, fullgraph=True)  # type: ignore[method-assign]
    images, indices = torch.empty(8, 3, 32, 32, dtype=torch.uint8, device="meta"), torch.empty(8, dtype=torch.int64)
    for epoch in range(3):
        assert augment(images, indices.to("meta"), epoch).shape == images.shape
    assert len(recorder.graphs) == 1
    constants.kept.cache_clear()
    torch.compiler.reset()


@pytest.mark.parametrize(
    ("device", "extra", "asked"), [("cuda", [], [{"dynamic": False}]), ("cpu", [], []), ("cuda", [nn.Identity()], [])]
)
def test_batches_are_compiled_for_a_gpu_with_static_sizes(
    device: str, extra: list[nn.Module], asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[dict[str, Any]] = []
    monkeypatch.setattr(torch, "compile", lambda function, **options: compiled.append(options) or function)
    with FakeTensorMode():
        Augment(EVERYTHING, extra=extra).to(device).compile_batches()
    assert compiled == asked


def test_the_graph_of_a_batch_computes_what_the_kernels_do() -> None:
    torch.compiler.reset()
    augment = Augment(replace(EVERYTHING, random_erasing=0.0), channels_last=True)
    compiled = torch.compile(augment._augmented, backend="eager", dynamic=False)
    images = torch.randint(256, (4, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    arguments = images, torch.arange(4), torch.tensor(5), None
    torch.testing.assert_close(compiled(*arguments), augment._augmented(*arguments), atol=1e-5, rtol=0)
    torch.compiler.reset()
