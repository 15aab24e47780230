"""The wheel brings `conf/` along, and finds it from any directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("wheel")
    if uv := shutil.which("uv"):
        command = [uv, "build", "--wheel", "--quiet", "--out-dir", str(place), str(SOURCE)]
    else:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(place), str(SOURCE)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        pytest.skip(f"no wheel can be built here: {result.stderr.strip()[-300:]}")
    (file,) = place.glob("*.whl")
    return file


@pytest.mark.slow
def test_an_installed_wheel_finds_its_configuration(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:  # a pure wheel is its folder
        archive.extractall(site)
    packed = site / "gender_lightning" / "conf"
    configs = {path.relative_to(SOURCE / "conf") for path in (SOURCE / "conf").rglob("*.yaml")}
    assert {path.relative_to(packed) for path in packed.rglob("*.yaml")} == configs
    assert (site / "hydra_plugins" / "gender_lightning_sweeper" / "__init__.py").is_file()
    assert not (site / "hydra_plugins" / "__init__.py").exists(), "a namespace that other packages share"
    where = ["-c", "import gender_lightning; print(gender_lightning.__file__)"]
    show = ["-m", "gender_lightning", "train", "--cfg", "job", "model=timm"]
    for arguments, expected in ((where, str(site)), (show, "timm/resnet50d")):
        environment = {**os.environ, "PYTHONPATH": str(site)}
        command = [sys.executable, *arguments]
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        assert expected in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["site"], "--cfg writes nothing"
