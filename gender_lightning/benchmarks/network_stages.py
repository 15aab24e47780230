"""The bare training step and inference, on tensors that are already on the device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gender_lightning.benchmarks.input_stages import Units
from gender_lightning.benchmarks.timing import Unit, take_turns
from gender_lightning.config import ModelConfig, OptimizerConfig
from gender_lightning.machine.hardware import Hardware, Precision
from gender_lightning.models.backbones import create_backbone, forward_train, normalisation, parameter_groups
from gender_lightning.training.losses.loss import Criterion
from gender_lightning.training.optimizers import make_optimizer
from gender_lightning.transforms import Normalize

PLAIN: Precision = "32-true"  # the common way: float32, contiguous, not compiled


def step_units(
    model: ModelConfig,
    optimizer: OptimizerConfig,
    criterion: Criterion,
    hardware: Hardware,
    *,
    image_size: int,
    batch_size: int,
) -> Units:
    """Forward, backward and optimizer step, as in `train`; common: in float32 with contiguous weights."""
    plain = Hardware(hardware.accelerator, 1, PLAIN, compile=False, channels_last=False)
    ways = (("ours", hardware, True), ("common", plain, False))
    return {
        name: _step(model, optimizer, criterion, how, image_size=image_size, batch_size=batch_size, tuned=tuned)
        for name, how, tuned in ways
    }


def step_rate(
    model: ModelConfig,
    optimizer: OptimizerConfig,
    criterion: Criterion,
    hardware: Hardware,
    image_size: int,
    batch_size: int,
    seconds: float,
) -> Callable[[], float]:
    """A function that measures the training step of `train` for some seconds, and returns images per second."""
    ours = _step(model, optimizer, criterion, hardware, image_size=image_size, batch_size=batch_size)
    device = torch.device(hardware.device_type)
    return lambda: take_turns({"": ours}, repeats=1, seconds=seconds, device=device)[""].median


def inference_units(model: ModelConfig, hardware: Hardware, *, image_size: int, batch_size: int) -> Units:
    """Inference from uint8 images to logits; common: normalised in the loader, float32, `no_grad`."""
    device = torch.device(hardware.device_type)
    ours, common = _network(model, hardware, image_size).eval(), _network(model, None, image_size).to(device).eval()
    normalize = Normalize(*normalisation(model.name, model.pretrained)).to(device)
    levels = torch.randint(0, 256, (batch_size, 3, image_size, image_size), dtype=torch.uint8, device=device)
    normalised = normalize(levels).contiguous()
    layout = hardware.memory_format

    @torch.inference_mode()
    def infer() -> int:
        with hardware.autocast():
            ours(normalize(levels).contiguous(memory_format=layout))
        return batch_size

    @torch.no_grad()
    def infer_common() -> int:
        common(normalised)
        return batch_size

    return {"ours": infer, "common": infer_common}


def _step(
    model: ModelConfig,
    optimizer: OptimizerConfig,
    criterion: Criterion,
    hardware: Hardware,
    *,
    image_size: int,
    batch_size: int,
    tuned: bool = True,
) -> Unit:
    """The step; `tuned` lets cuDNN choose kernels by timing them, as `train` does, which matters on a GPU only."""
    device = torch.device(hardware.device_type)
    net = _network(model, hardware, image_size).train()
    groups = parameter_groups(net, lr=optimizer.lr, weight_decay=optimizer.weight_decay, layer_decay=model.layer_decay)
    updates = make_optimizer(groups, optimizer)
    shape = (batch_size, 3, image_size, image_size)
    images = torch.randn(shape, device=device).contiguous(memory_format=hardware.memory_format)
    labels = torch.randint(0, 2, (batch_size,), device=device).float()
    scaler = torch.amp.GradScaler(device.type, enabled=hardware.precision == "16-mixed")

    def step() -> int:
        with torch.backends.cudnn.flags(enabled=True, benchmark=tuned):
            with hardware.autocast():
                logits, auxiliary = forward_train(net, images)
            loss: Tensor = criterion(logits, labels)
            for weight, others in auxiliary:
                loss = loss + weight * criterion(others, labels)
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        scaler.step(updates)
        scaler.update()
        updates.zero_grad()
        return batch_size

    return step


def _network(model: ModelConfig, hardware: Hardware | None, image_size: int) -> nn.Module:
    """The bare backbone on its device, in its memory format, compiled if configured; its weights are irrelevant."""
    net = create_backbone(model.name, dropout=model.dropout, image_size=image_size, arguments=model.arguments)
    if hardware is None:
        return net
    net = net.to(torch.device(hardware.device_type)).to(memory_format=hardware.memory_format)
    if hardware.compile:
        net.compile(dynamic=False)  # as `train` does
    return net
