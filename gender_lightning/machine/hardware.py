"""What this machine has, what `auto` means on it, and what does not fit it. Torch is imported where it is needed."""

from __future__ import annotations

import importlib.util
import os
import random
import re
import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gender_lightning.errors import UserError
from gender_lightning.machine.control_groups import cpu_quota

if TYPE_CHECKING:
    import torch

VISIBLE = "CUDA_VISIBLE_DEVICES"
MIG = "MIG-"  # the beginning of the name of a part of a GPU (multi-instance GPU)
# Compilation takes 30 to 90 s and saves some 10 to 30 ms a step: below this many steps it does not pay.
FEWEST_STEPS_TO_COMPILE = 2000
OLDEST_TO_COMPILE = (7, 0)  # compute capability that Triton needs (torch 2.15, CudaInterface.is_triton_capable)
# Compute capabilities of Jetson modules, whose binary code is their own.
_JETSON = {(5, 3), (6, 2), (7, 2), (8, 7), (11, 0)}
_UNIFIED = {(7, 2), (8, 7)}  # those that run code for other GPUs since CUDA 13.2
_RENAMED = {(10, 1): (11, 0)}  # Thor, in CUDA 13

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
        """The memory format of networks and images."""
        import torch

        return torch.channels_last if self.channels_last else torch.contiguous_format

    def autocast(self) -> torch.autocast:
        """The context in which a network runs; it has no effect in float32."""
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
    steps: int | None = None,
    opens: bool = True,
    prefix: str = "trainer.",
) -> Hardware:
    """Replace every `auto` with the setting that suits the device.

    Args:
        accelerator: The configured value.
        devices: The configured value.
        precision: The configured value.
        compile: The configured value.
        channels_last: The configured value.
        steps: Optimizer steps of the training; None where the number is not known. `compile=auto` compiles for long
            trainings only.
        opens: Whether to open the GPU, which shows that it works. A GPU in exclusive mode is then closed to other
            processes until this one ends, so False is for a process whose children use it.
        prefix: What stands before the fields' names on the command line, for messages: `trainer.` where the trainer
            section holds them, empty for commands such as `predict` with an `accelerator` of their own.

    Raises:
        UserError: The machine lacks the accelerator or cannot use it, has fewer devices, cannot compile, or the
            device does not support that precision.
    """
    kind = _accelerator(accelerator, prefix, opens)
    return Hardware(
        accelerator=kind,
        devices=_devices(kind, devices, prefix),
        precision=_precision(kind, precision, prefix),
        compile=_compile(kind, compile, steps, prefix),
        channels_last=kind != "mps" if channels_last == "auto" else bool(channels_last),
    )


def usable_cores() -> list[int]:
    """Numbers of the cores that this process may use: its affinity mask where there is one (containers, `taskset`)."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def available_cores() -> int:
    """How many cores this process may keep busy: those of its affinity mask, at most its control group's quota."""
    cores, quota = len(usable_cores()), cpu_quota()
    return cores if quota is None else max(1, min(cores, int(quota)))


def cores_to_divide() -> list[int]:
    """Numbers of the cores that the jobs of a sweep share: as many as `available_cores`.

    Where a quota allows fewer than the affinity mask, they are neighbours from a random place on, since other
    containers on the same host may divide its cores in the same way.
    """
    cores, count = usable_cores(), available_cores()
    if count == len(cores):
        return cores
    first = random.randrange(len(cores))
    return sorted((cores + cores)[first : first + count])


def share_cores(processes: int) -> None:
    """Limit the threads of torch in each of these processes to its share of `available_cores`.

    Torch makes a thread for each core of the affinity mask. Under a quota, all of them together soon use up the time
    of a period, and then every one of them stands still. `OMP_NUM_THREADS` takes precedence.

    Args:
        processes: Number of processes on this machine that compute at the same time.
    """
    if processes == 1 and cpu_quota() is None:
        return  # as torch does by itself; commands that need no torch do not wait for its import

    import torch

    threads = max(1, available_cores() // processes)
    if "OMP_NUM_THREADS" not in os.environ and threads < torch.get_num_threads():
        torch.set_num_threads(threads)


def visible_gpus() -> list[str]:
    """The GPUs that processes can use, under the names that CUDA_VISIBLE_DEVICES gives them.

    CUDA shows a process only one MIG instance, however many are named, so each instance is for a separate process.
    """
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    if count and named and all(name.startswith(MIG) for name in named):
        return named
    return named[:count] if named else [str(number) for number in range(count)]


def _accelerator(wanted: str, prefix: str, opens: bool) -> Accelerator:
    import torch

    if wanted in ("auto", "gpu"):
        _check_gpu(prefix, opens)
    has = {"cpu": True, "gpu": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return "gpu" if has["gpu"] else "mps" if has["mps"] else "cpu"
    if not has[wanted]:
        there = " or ".join(_typed(name, prefix) for name, present in has.items() if present)
        raise UserError(
            f"{prefix}accelerator={wanted}: this machine has none that torch can use.",
            f"Use {there}.",
            field=f"{prefix}accelerator",
        )
    return wanted  # type: ignore[return-value]


def _typed(accelerator: str, prefix: str) -> str:
    """How an accelerator is chosen on the command line: `trainer=` takes its settings along."""
    return f"trainer={accelerator}" if prefix == "trainer." else f"{prefix}accelerator={accelerator}"


def _check_gpu(prefix: str, opens: bool) -> None:
    """Refuse a GPU that the driver lists and torch cannot use: a run would fail at its first kernel, or use the CPU.

    Raises:
        UserError: The GPU cannot be used; the message says why.
    """
    import torch

    there = torch.cuda.device_count()  # counted by the driver's management library: works where CUDA does not
    if there == 0:
        return
    device = _own_gpu(there)
    start_gpu(device, opens=opens, cpu=_typed("cpu", prefix), field=f"{prefix}accelerator")
    capability, built_for = torch.cuda.get_device_capability(device), torch.cuda.get_arch_list()
    if not runs_on(capability, built_for, torch.version.cuda):
        raise UserError(
            f"This torch has no kernels for the GPU {torch.cuda.get_device_name(device)}: its compute capability is "
            f"{capability[0]}.{capability[1]}, and torch {torch.__version__} is built for {', '.join(built_for)}.",
            "Install a torch built for it (for older GPUs one with an older CUDA), choose another GPU with "
            f"{VISIBLE}, or compute on the CPU: {_typed('cpu', prefix)}.",
            field=f"{prefix}accelerator",
        )


def start_gpu(device: int, *, opens: bool = True, cpu: str, field: str) -> None:
    """Start CUDA, which shows whether torch can use a GPU that the driver lists.

    Args:
        device: Number of the GPU.
        opens: Whether to open the GPU; see `resolve_hardware`.
        cpu: How the CPU is chosen instead, for the message.
        field: The field that the message is about.

    Raises:
        UserError: The GPU cannot be used; the message says why.
    """
    import torch

    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
        if opens:
            torch.cuda.synchronize(device)  # makes a context, which exclusive mode grants to one process only
    except (RuntimeError, torch.cuda.DeferredCudaCallError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else "CUDA does not start"
        raise UserError(
            f"This machine has a GPU, but torch {torch.__version__} cannot use it: {reason}.",
            f"Update the NVIDIA driver or install a torch built for it (this one is for CUDA {torch.version.cuda}), "
            f"check with nvidia-smi whether another process holds the GPU, or compute on the CPU: {cpu}.",
            field=field,
        ) from error


def _own_gpu(there: int) -> int:
    """The number of the GPU that this process uses."""
    return int(os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or 0) % max(1, there)


def runs_on(capability: tuple[int, int], built_for: list[str], cuda: str | None = None) -> bool:
    """Whether kernels built for these architectures run on a GPU.

    Binary code (`sm_80`) runs on the same major version from its minor version on, `sm_90a` on 9.0 alone and
    `sm_100f` within its family; PTX (`compute_90`) is compiled for any later GPU. Binary code for a Jetson runs on no
    other GPU, nor other code on a Jetson until CUDA 13.2. Source: CUDA C++ Programming Guide, "Application
    Compatibility", and torch 2.15's `torch.cuda.DEVICE_REQUIREMENT`.

    Args:
        capability: Major and minor version of the GPU.
        built_for: The architectures that `torch.cuda.get_arch_list()` names; an empty list, or ROCm's names, rule
            nothing out.
        cuda: The version of CUDA that they were built with, `torch.version.cuda`.
    """
    capability = _RENAMED.get(capability, capability)
    unified = cuda is not None and tuple(int(part) for part in cuda.split(".")) >= (13, 2)
    found = [match for name in built_for if (match := re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", name))]
    if not found:
        return True
    for kind, major, minor, special in (match.groups() for match in found):
        version = _RENAMED.get((int(major), int(minor)), (int(major), int(minor)))
        if special == "a":
            fits = version == capability
        elif kind == "compute" and not special:
            fits = version <= capability
        elif version != capability and _JETSON & {version, capability} and not (unified and capability in _UNIFIED):
            fits = False
        else:
            fits = version[0] == capability[0] and version <= capability
        if fits:
            return True
    return False


def _compile(kind: Accelerator, wanted: bool | str, steps: int | None, prefix: str) -> bool:
    """On a GPU compilation fuses norms and activations; on two EPYC cores it took 75 s and gained nothing."""
    if wanted != "auto":
        if wanted and kind == "gpu" and (lacking := what_compilation_lacks()):
            raise UserError(
                f"{prefix}compile=true needs {lacking}, which this machine does not have.",
                f"Provide it, or train with {prefix}compile=false.",
                field=f"{prefix}compile",
            )
        return bool(wanted)
    long_enough = steps is None or steps >= FEWEST_STEPS_TO_COMPILE
    return kind == "gpu" and long_enough and what_compilation_lacks() is None


def what_compilation_lacks() -> str | None:
    """What `torch.compile` needs for a GPU and does not find here: Triton builds a launcher in C as it goes."""
    import torch

    # builds of torch for CUDA 12 have kernels for older GPUs too, where Inductor would give up in the first step
    capability = torch.cuda.get_device_capability(_own_gpu(torch.cuda.device_count()))
    if torch.version.hip is None and capability < OLDEST_TO_COMPILE:
        return "a GPU of compute capability {}.{} or newer".format(*OLDEST_TO_COMPILE)
    if importlib.util.find_spec("triton") is None:
        return "the package triton"
    named = os.environ.get("CC")
    if not any(shutil.which(compiler) for compiler in ([named] if named else ["gcc", "clang"])):
        return f"the C compiler {named} that CC names" if named else "a C compiler (gcc or clang)"
    # as Triton does: the default of Debian's and Ubuntu's own Python is /usr/local, which has no headers
    scheme = sysconfig.get_default_scheme()
    headers = sysconfig.get_path("include", "posix_prefix" if scheme == "posix_local" else scheme)
    if not (Path(headers) / "Python.h").is_file():
        return "Python's headers (Python.h: the package python3-dev or python3-devel)"
    return None


def _devices(kind: Accelerator, wanted: int | str, prefix: str) -> int:
    import torch

    there = {"cpu": available_cores(), "gpu": torch.cuda.device_count(), "mps": 1}[kind]
    if wanted == "auto":
        return there if kind == "gpu" else 1
    count = int(wanted)
    if count > there:
        what = {"cpu": "CPU core", "gpu": "GPU", "mps": "device"}[kind] + ("s" if there > 1 else "")
        raise UserError(
            f"{prefix}devices={count}: this machine has {there} {what}.",
            f"Use {prefix}devices={there} or fewer.",
            field=f"{prefix}devices",
        )
    return count


def _precision(kind: Accelerator, wanted: str, prefix: str) -> Precision:
    if wanted == "auto":
        if computes_bfloat16("cuda" if kind == "gpu" else kind):
            return "bf16-mixed"
        return "16-mixed" if kind == "gpu" else "32-true"
    if wanted == "16-mixed" and kind == "cpu":
        raise UserError(
            f"{prefix}precision=16-mixed needs a GPU.",
            f"Use {prefix}precision=bf16-mixed or 32-true on a CPU.",
            field=f"{prefix}precision",
        )
    if wanted != "32-true" and kind == "mps":
        raise UserError(
            f"{prefix}precision={wanted} is not supported on Apple's GPUs.",
            f"Use {prefix}precision=32-true.",
            field=f"{prefix}precision",
        )
    return wanted  # type: ignore[return-value]


def computes_bfloat16(device_type: str) -> bool:
    """Whether devices of a type ("cpu", "cuda", "mps") have bfloat16 instructions."""
    import torch

    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device_type == "cpu" and _cpu_computes_bfloat16()


def _cpu_computes_bfloat16() -> bool:
    """Whether this CPU has bfloat16 instructions; emulating them is slower than float32."""
    import torch

    capabilities = torch.backends.cpu.get_cpu_capability()
    if "AVX512" not in capabilities:
        return False
    return bool(torch.cpu.get_capabilities().get("avx512_bf16"))
