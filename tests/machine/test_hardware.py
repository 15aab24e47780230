"""What `auto` means on a GPU, shown with a stubbed `torch.cuda`: no GPU is needed."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from gender_lightning.errors import UserError
from gender_lightning.machine import hardware
from gender_lightning.machine.hardware import (
    available_cores,
    cores_to_divide,
    resolve_hardware,
    runs_on,
    share_cores,
)
from gender_lightning.running import execute

WHEEL = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]  # torch 2.11 for CUDA 13


def stub_gpu(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """A machine with two H100, except for what is changed."""
    found: dict[str, Any] = {
        "is_available": True, "device_count": 2, "init": None, "synchronize": None, "get_arch_list": WHEEL,
        "get_device_capability": (9, 0), "get_device_name": "Stub", "is_bf16_supported": True,
    }  # fmt: skip
    for name, value in (found | changes).items():
        monkeypatch.setattr(torch.cuda, name, _raising(value) if isinstance(value, Exception) else _giving(value))
    monkeypatch.setattr(hardware, "what_compilation_lacks", lambda: None)


def _giving(value: Any) -> Any:
    return lambda *arguments, **options: value


def _raising(error: Exception) -> Any:
    def call(*arguments: Any, **options: Any) -> None:
        raise error

    return call


def test_a_gpu_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    stub_gpu(monkeypatch)
    found = resolve_hardware(devices="auto")
    assert (found.accelerator, found.devices, found.precision) == ("gpu", 2, "bf16-mixed")


@pytest.mark.parametrize(
    ("step", "error"),
    [("init", RuntimeError), ("init", torch.cuda.DeferredCudaCallError), ("synchronize", RuntimeError)],
)
@pytest.mark.parametrize("accelerator", ["auto", "gpu"])
def test_a_gpu_that_torch_lists_and_cannot_use(
    monkeypatch: pytest.MonkeyPatch, accelerator: str, step: str, error: type[Exception]
) -> None:
    reason = "The NVIDIA driver on your system is too old (found version 11040).\nPlease update."
    stub_gpu(monkeypatch, is_available=False, **{step: error(reason)})
    with pytest.raises(UserError, match=r"too old \(found version 11040\)\. Update the NVIDIA driver") as caught:
        resolve_hardware(accelerator=accelerator)
    assert "\n" not in str(caught.value)
    assert resolve_hardware(accelerator="cpu").accelerator == "cpu"


def test_a_gpu_is_left_closed_for_the_processes_that_will_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stub_gpu(monkeypatch, synchronize=RuntimeError("it makes a context, which keeps others out in exclusive mode"))
    assert resolve_hardware(opens=False).accelerator == "gpu"
    with pytest.raises(UserError, match="makes a context"):
        resolve_hardware()


def test_a_gpu_that_torch_has_no_kernels_for(monkeypatch: pytest.MonkeyPatch) -> None:
    stub_gpu(monkeypatch, get_device_capability=(7, 0), is_bf16_supported=False)  # a V100
    with pytest.raises(UserError, match=r"compute capability is 7\.0.*built for sm_75"):
        resolve_hardware()


@pytest.mark.parametrize(
    ("prefix", "field", "advice"),
    [("trainer.", "trainer.accelerator", "trainer=cpu"), ("", "accelerator", "accelerator=cpu")],
)
def test_advice_is_in_the_words_of_the_command(
    monkeypatch: pytest.MonkeyPatch, prefix: str, field: str, advice: str
) -> None:
    stub_gpu(monkeypatch, is_available=False, device_count=0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError) as absent:
        resolve_hardware(accelerator="gpu", prefix=prefix)
    assert str(absent.value) == f"{field}=gpu: this machine has none that torch can use. Use {advice}."
    stub_gpu(monkeypatch, init=RuntimeError("No."))
    with pytest.raises(UserError, match=rf"or compute on the CPU: {advice}\.$") as unusable:
        resolve_hardware(prefix=prefix)
    assert absent.value.field == unusable.value.field == field


@pytest.mark.parametrize(
    ("capability", "built_for", "runs"),
    [
        ((8, 9), WHEEL, True),  # an L40 runs what is made for an A40
        ((7, 0), WHEEL, False), ((6, 0), WHEEL, False),
        ((13, 0), WHEEL, True),  # by PTX
        ((13, 0), ["sm_120"], False),
        ((8, 0), ["sm_86"], False),
        ((9, 0), ["sm_90a"], True), ((10, 0), ["sm_90a"], False),
        ((10, 3), ["sm_100f"], True),
        ((9, 4), ["gfx942"], True), ((9, 0), [], True),  # ROCm; a torch that does not tell
    ],
)  # fmt: skip
def test_which_kernels_run_where(capability: tuple[int, int], built_for: list[str], runs: bool) -> None:
    assert runs_on(capability, built_for) is runs


@pytest.mark.parametrize("cuda", ["12.6", "13.2"])
def test_torch_judges_alike(monkeypatch: pytest.MonkeyPatch, cuda: str) -> None:
    if not hasattr(torch.cuda, "DEVICE_REQUIREMENT_POST_JETSON_SBSA_UNIFICATION"):
        pytest.skip("this torch has another table")
    monkeypatch.setattr(torch.version, "cuda", cuda)
    known = sorted(torch.cuda.DEVICE_REQUIREMENT)
    for code, device in itertools.product(known, known):
        theirs = torch.cuda._code_compatible_with_device(device, code)
        assert runs_on(divmod(device, 10), [f"sm_{code}"], cuda) is theirs, (code, device)


@pytest.mark.parametrize(("steps", "compiles"), [(None, True), (1999, False), (2000, True)])
def test_compilation_must_pay(monkeypatch: pytest.MonkeyPatch, steps: int | None, compiles: bool) -> None:
    stub_gpu(monkeypatch)
    assert resolve_hardware(steps=steps).compile is compiles
    assert resolve_hardware(steps=steps, compile=True).compile
    assert not resolve_hardware(accelerator="cpu", steps=steps).compile


def test_a_container_without_a_compiler_does_not_compile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    probe = hardware.what_compilation_lacks
    stub_gpu(monkeypatch)
    monkeypatch.setattr(hardware, "what_compilation_lacks", probe)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert not resolve_hardware(steps=5000).compile
    with pytest.raises(UserError, match="needs a C compiler"):
        resolve_hardware(compile=True)
    (tmp_path / "gcc").touch(mode=0o755)
    places = {"posix_local": tmp_path / "local", "posix_prefix": tmp_path}  # as with Ubuntu's own Python
    monkeypatch.setattr("sysconfig.get_default_scheme", lambda: "posix_local")
    monkeypatch.setattr("sysconfig.get_path", lambda name, scheme="posix_local": str(places[scheme]))
    with pytest.raises(UserError, match=r"needs Python's headers"):
        resolve_hardware(compile=True)
    (tmp_path / "Python.h").touch()
    assert resolve_hardware(steps=5000).compile and resolve_hardware(compile=True).compile


def test_a_gpu_that_is_too_old_for_triton_is_not_compiled_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GTX 1080 with a torch for CUDA 12.6, which has kernels for it: Inductor refuses it in the first step."""
    probe = hardware.what_compilation_lacks
    stub_gpu(monkeypatch, get_device_capability=(6, 1), get_arch_list=["sm_60", "sm_90"], is_bf16_supported=False)
    monkeypatch.setattr(hardware, "what_compilation_lacks", probe)
    found = resolve_hardware(steps=5000)
    assert (found.compile, found.precision) == (False, "16-mixed")
    with pytest.raises(UserError, match=r"needs a GPU of compute capability 7\.0 or newer.*compile=false"):
        resolve_hardware(compile=True)


def test_cores_are_no_more_than_the_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "usable_cores", lambda: list(range(96)))
    for quota, cores in ((None, 96), (8.0, 8), (2.5, 2), (0.5, 1), (200.0, 96)):
        monkeypatch.setattr(hardware, "cpu_quota", lambda quota=quota: quota)
        assert available_cores() == cores


def test_a_sweep_divides_no_more_cores_than_the_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that see 96 / 8 = 12 cores each, and 8 CPUs, would start 7 loader processes each."""
    cores = list(range(4, 100))
    monkeypatch.setattr(hardware, "usable_cores", lambda: cores)
    monkeypatch.setattr(hardware, "cpu_quota", lambda: None)
    assert cores_to_divide() == cores
    monkeypatch.setattr(hardware, "cpu_quota", lambda: 8.0)
    for first, found in ((0, cores[:8]), (93, [*cores[:5], *cores[93:]])):
        monkeypatch.setattr("random.randrange", lambda count, first=first: first)
        assert cores_to_divide() == found


@pytest.mark.parametrize("verb", ["evaluate", "export"])
def test_every_command_keeps_to_the_quota(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, verb: str) -> None:
    monkeypatch.setattr(hardware, "cpu_quota", lambda: 1.0)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    found: list[int] = []
    monkeypatch.setattr("torch.get_num_threads", lambda: 96)
    monkeypatch.setattr("torch.set_num_threads", found.append)
    with pytest.raises(UserError, match="nowhere"):
        execute(verb, None, [f"checkpoint={tmp_path / 'nowhere'}"])
    assert found[:1] == [1]


@pytest.mark.parametrize(
    ("quota", "processes", "there", "threads"),
    [
        (8.0, 1, 96, [8]),
        (8.0, 3, 96, [2]),
        (0.5, 4, 96, [1]),
        (None, 1, 96, []),
        (None, 1, 48, []),
        (None, 2, 96, [48]),
    ],
)
def test_threads_are_no_more_than_the_quota(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, processes: int, there: int, threads: list[int]
) -> None:
    """`there`: torch's own choice, which is one for each of two hyper-threads on some machines."""
    limited: list[int] = []
    monkeypatch.setattr(hardware, "usable_cores", lambda: list(range(96)))
    monkeypatch.setattr(hardware, "cpu_quota", lambda: quota)
    monkeypatch.setattr(torch, "get_num_threads", lambda: there)
    monkeypatch.setattr(torch, "set_num_threads", limited.append)
    monkeypatch.setenv("OMP_NUM_THREADS", "96")
    share_cores(processes)
    assert limited == []
    monkeypatch.delenv("OMP_NUM_THREADS")
    share_cores(processes)
    assert limited == threads
