"""Seeding of the random generators of a training, once per step."""

from __future__ import annotations

import torch


def seed_generators(seed: int, device: torch.device) -> None:
    """Do the same as `torch.manual_seed`, but for the CPU and one device only.

    `torch.manual_seed` also records a traceback for each kind of accelerator that this process does not use, which
    takes 0.7 ms.

    Args:
        seed: Any 64-bit integer, signed or not.
        device: The device of the network.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    elif device.type != "cpu":
        torch.manual_seed(seed)
