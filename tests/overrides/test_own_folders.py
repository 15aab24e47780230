"""Configuration folders of one's own: found by every command, by `-m`, by jobs and by suggestions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gender_lightning.errors import UserError, UserErrors
from gender_lightning.overrides import complete, compose, groups
from gender_lightning.overrides.own_folders import folders_of, gathered
from gender_lightning.running import check_overrides
from gender_lightning.sweeps.grid import grid
from gender_lightning.sweeps.jobs import plain_overrides


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    for group, name, text in (
        ("experiment", "mine", "# @package _global_\ndefaults: [{override /model: small}]\nseed: 7\n"),
        ("model", "small", "defaults: [_base, _self_]\nname: resnet18\ndropout: 0.3\n"),
        (
            "data",
            "ours",
            "defaults: [_base, _self_]\nname: folder\nroot: /ours\nsizes: {train: 8, valid: 1, test: 1}\n",
        ),
    ):
        (tmp_path / "my conf" / group).mkdir(parents=True)
        (tmp_path / "my conf" / group / f"{name}.yaml").write_text(text)
    return tmp_path / "my conf"


FORMS: list[Callable[[Path], list[str]]] = [
    lambda folder: ["--config-dir", str(folder)],
    lambda folder: [f"--config-dir={folder}"],
    lambda folder: ["-cd", str(folder)],
    lambda folder: [f"hydra.searchpath=['{folder}']"],
    lambda folder: [f"hydra.searchpath=['file://{folder}']"],
]


@pytest.mark.parametrize("form", FORMS)
def test_each_way_of_naming_one_composes(form: Callable[[Path], list[str]], mine: Path) -> None:
    line = complete("train", [*form(mine), "experiment=mine"])
    check_overrides("train", line)
    values = compose("train", line)
    assert (values["seed"], values["model"]["dropout"], values["model"]["name"]) == (7, 0.3, "resnet18")
    assert folders_of(line) == (mine,)


def test_a_relative_folder_is_found_from_anywhere(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mine.parent)
    line = gathered(["--config-dir", "my conf", "seed=1"])
    monkeypatch.chdir("/")
    assert folders_of(line) == (mine,) and gathered(line) == line


def test_every_command_takes_them(mine: Path) -> None:
    line = complete("data", ["--config-dir", str(mine), "data=ours"])
    check_overrides("data", line)
    assert compose("data", line)["data"]["root"] == "/ours"
    check_overrides("benchmark", complete("benchmark", ["--config-dir", str(mine), "model=small"]))


def test_suggestions_come_from_both_places_and_are_true(mine: Path) -> None:
    for typed, wanted in (("experiment=mind", "'mine'"), ("experiment=dek", "'deck'"), ("model=smal", "'small'")):
        with pytest.raises(UserErrors) as caught:
            check_overrides("train", complete("train", ["--config-dir", str(mine), typed]))
        (said,) = caught.value.messages
        assert f"Did you mean {wanted}?" in said and f"{mine}/" in said
    with pytest.raises(UserErrors) as caught:
        check_overrides("train", complete("train", ["--config-dir", str(mine), "experiment=mine", "optimizer.lr=-1"]))
    assert caught.value.messages == ["optimizer.lr=-1: it should be greater than 0."]


def test_jobs_of_a_sweep_compose_from_them(mine: Path) -> None:
    line = complete("train", ["-m", "--config-dir", str(mine), "experiment=mine,deck", "model=glob(s*)"])
    check_overrides("train", line)
    points = [plain_overrides(point) for point in grid(line[1:])]
    assert [point[1:] for point in points] == [("experiment=mine", "model=small"), ("experiment=deck", "model=small")]
    assert compose("train", points[0])["seed"] == 7, "the job's own command line"


def test_parts_that_choices_share_are_no_choices() -> None:
    assert not any(name.startswith("_") for names in groups().values() for name in names)
    assert ("model=_base",) not in grid(["model=glob(*)"]) and len(grid(["model=glob(*)"])) == len(groups()["model"])
    with pytest.raises(UserErrors, match="model=_base"):
        check_overrides("train", ["model=_base"])


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere does not exist"):
        gathered(["--config-dir", str(tmp_path / "nowhere")])
    with pytest.raises(UserError, match="the folder is missing"):
        gathered(["--config-dir"])
    with pytest.raises(UserError, match=r"Write hydra.searchpath=\[DIR\]"):
        gathered(["hydra.searchpath={a:1}"])


def test_what_a_file_in_them_says_of_hydra_is_refused(mine: Path) -> None:
    (mine / "experiment" / "evil.yaml").write_text("# @package _global_\nhydra: {env: {x: 1}}\n")
    with pytest.raises(UserErrors, match=r"hydra\.env is changed by a file"):
        check_overrides("train", complete("train", ["--config-dir", str(mine), "experiment=evil"]))
