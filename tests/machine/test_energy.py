"""Energy from counters: a drawn powercap tree, overflow, and what cannot be read."""

from __future__ import annotations

import ctypes
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gender_lightning.commands.train import measuring_energy
from gender_lightning.machine import energy
from gender_lightning.machine.energy import EnergyMeter, metered, nvml_gpus, rapl_zones
from gender_lightning.machine.hardware import Hardware
from gender_lightning.runs import Run

CPU = Hardware("cpu", 1, "32-true", False, False)


def _zone(root: Path, zone: str, name: str, joules: float) -> Path:
    folder = root / zone
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "max_energy_range_uj").write_text("262143328850\n")
    (folder / "energy_uj").write_text(f"{round(joules * 1e6)}\n")
    return folder


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    """Two sockets as Linux shows them: in a flat list, with parts and with doubles."""
    root = tmp_path / "powercap"
    for socket in (0, 1):
        _zone(root, f"intel-rapl:{socket}", f"package-{socket}", 100.0)
        _zone(root, f"intel-rapl:{socket}:0", "core", 50.0)
        _zone(root, f"intel-rapl:{socket}:1", "dram", 10.0)
    _zone(root, "intel-rapl:2", "psys", 500.0)
    _zone(root, "intel-rapl-mmio:0", "package-0", 100.0)
    (root / "intel-rapl").mkdir()
    return root


def test_each_socket_and_its_memory_count_once(powercap: Path) -> None:
    zones = rapl_zones(powercap)
    assert [zone.path.name for zone in zones] == ["intel-rapl:0", "intel-rapl:0:1", "intel-rapl:1", "intel-rapl:1:1"]
    meter = EnergyMeter(list(zones))
    meter.read()
    (powercap / "intel-rapl:0" / "energy_uj").write_text(f"{3700 * 10**6}\n")
    (powercap / "intel-rapl:1:0" / "energy_uj").write_text(f"{9999 * 10**6}\n")  # the cores are in the package
    meter.read()
    assert meter.watt_hours == {"cpu": pytest.approx(1.0)}  # 3,600 J
    (powercap / "intel-rapl:0" / "energy_uj").write_text(f"{90 * 10**6}\n")  # it has started from 0 again
    meter.read()
    assert meter.watt_hours["cpu"] == pytest.approx((3600 + 262143.32885 - 3700 + 90) / 3600)


def test_what_cannot_be_read_is_not_measured(powercap: Path, tmp_path: Path) -> None:
    assert rapl_zones(tmp_path / "nowhere") == [] and nvml_gpus(0) == []
    zones = rapl_zones(powercap)
    with metered(zones) as meter:
        (powercap / "intel-rapl:1:1" / "energy_uj").unlink()
    assert meter.watt_hours == {}
    assert rapl_zones(powercap) == []  # half of the sockets would be worse than none


def _trained(run: Run, zone: Path, joules: float, **config: Any) -> dict[str, Any]:
    trainer = SimpleNamespace(**{"num_nodes": 1} | config)
    with measuring_energy(run, CPU, SimpleNamespace(trainer=trainer)):  # type: ignore[arg-type]
        (zone / "energy_uj").write_text(f"{round(joules * 1e6)}\n")
    return run.info()


def test_a_run_keeps_its_energy_over_its_parts(powercap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gender_lightning.commands.train.rapl_zones", lambda: rapl_zones(powercap))
    zone = powercap / "intel-rapl:0"
    run = Run(tmp_path)
    run.update(status="running")
    assert _trained(run, zone, 100 + 7200)["energy_wh"] == 2.0
    run.resumed = True
    info = _trained(run, zone, 100 + 7200 + 1800)
    assert info["energy_wh"] == 2.5 and info["energy_parts"] == {"cpu": 2.5}
    # parts that nobody measured make the sum worthless
    other = Run(tmp_path / "other")
    other.path.mkdir()
    other.resumed = True
    assert "energy_wh" not in _trained(other, zone, 20_000)
    other.resumed = False
    assert "energy_wh" not in _trained(other, zone, 30_000, num_nodes=2)


def test_counters_are_read_in_between(powercap: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0

    def count(meter: EnergyMeter) -> None:
        nonlocal read
        read += 1

    monkeypatch.setattr(energy.EnergyMeter, "read", count)
    with metered(rapl_zones(powercap), seconds=0.0):
        while read < 3:
            pass
    assert read >= 4  # and once more at the end


def test_a_gpu_tells_millijoules() -> None:
    def tell(handle: Any, place: Any) -> int:
        place._obj.value = 7_200_000
        return 0

    gpu = energy.NvmlGpu(SimpleNamespace(nvmlDeviceGetTotalEnergyConsumption=tell), ctypes.c_void_p())
    assert gpu.joules() == 7200 and gpu.kind == "gpu"
    older = energy.NvmlGpu(SimpleNamespace(nvmlDeviceGetTotalEnergyConsumption=lambda *_: 3), ctypes.c_void_p())
    with pytest.raises(OSError, match="NVML gives no energy"):
        older.joules()
