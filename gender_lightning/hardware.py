"""What this machine has, what `auto` means on it, and what does not fit it. Torch is imported where it is asked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gender_lightning.errors import UserError

if TYPE_CHECKING:
    import torch

VISIBLE = "CUDA_VISIBLE_DEVICES"
MIG = "MIG-"  # the beginning of the name of a part of a GPU (multi-instance GPU)

Accelerator = Literal["cpu", "gpu", "mps"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True)
class Hardware:
    """The choices a trainer is built from, with no `auto` left."""

    accelerator: Accelerator
    devices: int
    precision: Precision
    compile: bool
    channels_last: bool

    @property
    def device_type(self) -> str:
        """Torch's name: cpu, cuda or mps."""
        return "cuda" if self.accelerator == "gpu" else self.accelerator

    @property
    def memory_format(self) -> torch.memory_format:
        """Of networks and images."""
        import torch

        return torch.channels_last if self.channels_last else torch.contiguous_format

    def autocast(self) -> torch.autocast:
        """The context in which a network computes; without effect in float32."""
        import torch

        dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(self.precision)
        return torch.autocast(self.device_type, dtype, enabled=dtype is not None)


def resolve_hardware(
    *,
    accelerator: str = "auto",
    devices: int | str = "auto",
    precision: str = "auto",
    compile: bool | str = "auto",
    channels_last: bool | str = "auto",
) -> Hardware:
    """Replace every `auto` by what the device gains from.

    Raises:
        UserError: the machine lacks the accelerator, has fewer devices, or the device cannot compute that precision.
    """
    kind = _accelerator(accelerator)
    return Hardware(
        accelerator=kind,
        devices=_devices(kind, devices),
        precision=_precision(kind, precision),
        # Measured on two EPYC cores: 75 s of compilation and no gain. On a GPU it fuses norm and activation.
        compile=kind == "gpu" if compile == "auto" else bool(compile),
        channels_last=kind != "mps" if channels_last == "auto" else bool(channels_last),
    )


def usable_cores() -> list[int]:
    """Numbers of the cores this process may use: its affinity mask where there is one (containers, `taskset`)."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def available_cores() -> int:
    """How many cores this process may use."""
    return len(usable_cores())


def visible_gpus() -> list[str]:
    """The GPUs that processes can use, under the names that CUDA_VISIBLE_DEVICES gives them.

    CUDA shows a process one MIG instance, however many are named: each of them is for a process of its own.
    """
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    if count and named and all(name.startswith(MIG) for name in named):
        return named
    return named[:count] if named else [str(number) for number in range(count)]


def _accelerator(wanted: str) -> Accelerator:
    import torch

    has = {"cpu": True, "gpu": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return "gpu" if has["gpu"] else "mps" if has["mps"] else "cpu"
    if not has[wanted]:
        there = " or ".join(f"trainer={name}" for name, present in has.items() if present)
        raise UserError(f"trainer.accelerator={wanted}: this machine has none that torch can use. Use {there}.")
    return wanted  # type: ignore[return-value]


def _devices(kind: Accelerator, wanted: int | str) -> int:
    import torch

    there = {"cpu": available_cores(), "gpu": torch.cuda.device_count(), "mps": 1}[kind]
    if wanted == "auto":
        return there if kind == "gpu" else 1
    count = int(wanted)
    if count > there:
        what = {"cpu": "CPU core", "gpu": "GPU", "mps": "device"}[kind] + ("s" if there > 1 else "")
        raise UserError(
            f"trainer.devices={count}: this machine has {there} {what}. Use trainer.devices={there} or fewer."
        )
    return count


def _precision(kind: Accelerator, wanted: str) -> Precision:
    import torch

    if wanted == "auto":
        if kind == "gpu":
            return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
        return "bf16-mixed" if kind == "cpu" and _cpu_computes_bfloat16() else "32-true"
    if wanted == "16-mixed" and kind == "cpu":
        raise UserError("trainer.precision=16-mixed needs a GPU. Use trainer.precision=bf16-mixed or 32-true on a CPU.")
    if wanted != "32-true" and kind == "mps":
        raise UserError(f"trainer.precision={wanted} is not supported on Apple's GPUs. Use trainer.precision=32-true.")
    return wanted  # type: ignore[return-value]


def _cpu_computes_bfloat16() -> bool:
    """Instructions for it, not emulation, which is slower than float32."""
    import torch

    capabilities = torch.backends.cpu.get_cpu_capability()
    if "AVX512" not in capabilities:
        return False
    return bool(torch.cpu.get_capabilities().get("avx512_bf16"))
