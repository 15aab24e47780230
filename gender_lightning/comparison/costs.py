"""What a network costs: parameters, multiply-adds, and images per second on this machine."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from gender_lightning.benchmarks.timing import Rate, take_turns
from gender_lightning.machine.hardware import Hardware
from gender_lightning.models.checkpoints.checkpoint import Network, load_network
from gender_lightning.models.ensemble import Ensemble


@dataclass(frozen=True)
class Cost:
    """What one decision about one image costs.

    Attributes:
        parameters: Parameters of the network as it decides; auxiliary classifiers of the training do not count.
        gmacs: Billions of multiply-adds in convolutions, linear layers and attention, of all passes.
        passes: Passes through the network: the views of `model.test_time_zooms`, twice with `model.test_time_flip`.
        image_size: Side of the input, px.
    """

    parameters: int
    gmacs: float
    passes: int
    image_size: int


def cost_of(network: Network) -> Cost:
    """Count; nothing is computed, and the network stays as it is."""
    size = network.spec.image_size
    return Cost(
        parameters=count_parameters(network.net),
        gmacs=count_macs(network, torch.empty(1, 3, size, size, dtype=torch.uint8, device="meta")) / 1e9,
        passes=len(network.spec.test_time_zooms) * (1 + network.spec.test_time_flip),
        image_size=size,
    )


def total(costs: Sequence[Cost]) -> Cost:
    """The cost of several networks that all decide about an image."""
    return Cost(
        parameters=sum(cost.parameters for cost in costs),
        gmacs=sum(cost.gmacs for cost in costs),
        passes=max(cost.passes for cost in costs),
        image_size=max(cost.image_size for cost in costs),
    )


def count_parameters(net: nn.Module) -> int:
    """Numbers that are learned, without auxiliary classifiers, which only a training has."""
    auxiliary = tuple(f"{name}." for name in getattr(net, "auxiliary", {}))
    return sum(value.numel() for name, value in net.named_parameters() if not name.startswith(auxiliary))


def count_macs(net: nn.Module, images: torch.Tensor) -> int:
    """Multiply-adds of one forward pass, by torch's own counter (two floating-point operations each).

    Args:
        net: Any network; a copy of it runs on torch's device `meta`, where tensors have shapes alone.
        images: On `meta`.
    """
    shapes = copy.deepcopy(net).to("meta").eval()
    # with gradients: attention's fused inference kernel is unknown to the counter
    with torch.enable_grad(), FlopCounterMode(display=False) as counter:
        shapes(images)
    return int(counter.get_total_flops()) // 2


def inference_rates(
    checkpoints: Mapping[str, Sequence[Path]],
    hardware: Hardware,
    *,
    batch_size: int,
    seconds: float,
    repeats: int,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Rate]:
    """Images per second of each network, in turns: from uint8 images on the device to logits.

    Args:
        checkpoints: Files by any name, several for the mean of their networks; all are loaded at once.
        hardware: Device, precision and memory format; nothing is compiled.
        batch_size: Images at a time.
        seconds: Shortest duration of one measurement.
        repeats: Measurements of each.
        report: Told (done, total) measurements.
    """
    units = {name: _unit(_network(paths), hardware, batch_size) for name, paths in checkpoints.items()}
    device = torch.device(hardware.device_type)
    return take_turns(units, repeats=repeats, seconds=seconds, device=device, report=report)


def _network(paths: Sequence[Path]) -> Network:
    networks = [load_network(path) for path in paths]
    return networks[0] if len(networks) == 1 else Ensemble(networks, list(map(str, paths))).eval()


def _unit(network: Network, hardware: Hardware, batch_size: int) -> Callable[[], int]:
    device, shape = torch.device(hardware.device_type), network.spec.framing.shape
    network = network.to(device).to(memory_format=hardware.memory_format)
    images = torch.randint(0, 256, (batch_size, 3, *shape), dtype=torch.uint8, device=device)

    @torch.inference_mode()
    def infer() -> int:
        with hardware.autocast():
            network(images)
        return batch_size

    return infer
