"""The notebooks run from the installed package, and what is committed of them is small, clean and complete."""

from __future__ import annotations

import ast
import base64
import importlib
import os
import re
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs pip install 'gender-lightning[notebooks]'")

ROOT = Path(__file__).parent.parent
FACES = Path(os.environ.get("CELEBA_MINI", ROOT.parent / "shared/celeba-mini"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]
MOST_BYTES = 500_000
A_MACHINES_PATH = re.compile(r"(?<![\w.])/(home|root|tmp|Users|private|var|work|mnt|opt|usr|workspace)/|[A-Z]:\\Users")


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def text_of(output: Any) -> str:
    if output.output_type == "stream":
        return str(output.text)
    return "\n".join(str(value) for kind, value in output.get("data", {}).items() if not kind.startswith("image/"))


def chosen(notebook: Any) -> dict[str, Any]:
    """The names that the first code cell sets, with their values; it must hold nothing else."""
    values = {}
    for statement in ast.parse(code_cells(notebook)[0].source).body:
        assert isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
        values[statement.targets[0].id] = ast.literal_eval(statement.value)
    return values


def execute(notebook: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run all cells in a folder of their own; a cell that fails raises with its traceback."""
    nbclient = pytest.importorskip("nbclient", reason="needs pip install 'gender-lightning[notebooks]'")
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(folder / ".jupyter"))
    work = folder / "work"
    work.mkdir()
    nbclient.NotebookClient(
        notebook, kernel_name="python3", timeout=None, resources={"metadata": {"path": str(work)}}
    ).execute()


def test_there_are_five() -> None:
    assert NAMES == [
        "01_explore_data", "02_train_and_read_a_run", "03_tune", "04_evaluate_and_compare", "05_use_a_model",
    ]  # fmt: skip


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_what_it_imports_of_the_package_exists(path: Path) -> None:
    """Without running it: a name that has moved is found by the quick tests."""
    typed = [cell for cell in code_cells(read(path)) if not cell.source.startswith("%%")]
    code = "\n".join(re.sub(r"(?m)^\s*[!%].*$", "", cell.source) for cell in typed)
    for statement in ast.walk(ast.parse(code)):
        if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("gender_lightning"):
            module = importlib.import_module(str(statement.module))
            assert [alias.name for alias in statement.names if not hasattr(module, alias.name)] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_it_is_committed_with_small_outputs(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert path.stat().st_size < MOST_BYTES
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "not run from top to bottom"
    pictures = [kind for output in outputs(notebook) for kind in output.get("data", {}) if kind.startswith("image/")]
    assert len(pictures) >= 2
    assert any(output.output_type == "stream" and "synthetic" in cells[0].source for output in outputs(notebook))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_its_outputs_show_neither_errors_nor_the_machine(path: Path) -> None:
    notebook = read(path)
    for output in outputs(notebook):
        assert output.output_type != "error"
        assert output.get("name") != "stderr", output.text
        text = text_of(output)
        assert not A_MACHINES_PATH.search(text), A_MACHINES_PATH.search(text)
        assert "\x1b" not in text, "colours and moving bars are a terminal's"
    assert not A_MACHINES_PATH.search("\n".join(cell.source for cell in code_cells(notebook)))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_its_pictures_say_nothing_of_where_they_were_made(path: Path) -> None:
    for output in outputs(read(path)):
        for kind, value in output.get("data", {}).items():
            if kind.startswith("image/"):
                assert not re.search(rb"/(home|root|tmp|Users)/|Exif\x00\x00", base64.b64decode(value))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_the_first_cell_is_the_one_to_change(path: Path) -> None:
    notebook = read(path)
    values = chosen(notebook)
    assert {"DATA", "ROOT", "SIZES"} <= values.keys() and values["DATA"] == "synthetic"
    others = "\n".join(cell.source for cell in code_cells(notebook)[1:])
    assert "synthetic" not in others
    for name in values:
        assert re.search(rf"\b{name}\b", others), f"{name} is set but not used"
        assert not re.search(rf"^{name}\s*=[^=]", others, re.MULTILINE), f"{name} is set twice"


SMALL = "data.sizes={train:160,valid:120,test:240}"  # five crowds of up to 90 men are drawn from test
LESS = {"EPOCHS": 2, "TRIALS": 2}
COUNTS = "05_use_a_model"  # a population is counted only by a model that tells men from women
REAL = "02_train_and_read_a_run"  # the one that is run on photographs where there are any
# What these four do (a summary and pictures of the data, a search, pages of an evaluation and a comparison, an export,
# a population), tests of their own do as well; they take most of the time of all five.
NIGHTLY = ("01_explore_data", "03_tune", "04_evaluate_and_compare", "05_use_a_model")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem, marks=pytest.mark.nightly if path.stem in NIGHTLY else ()) for path in NOTEBOOKS],
)
def test_it_runs_when_the_first_cell_is_changed(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On other data and for fewer epochs, from top to bottom in a folder of its own."""
    notebook = read(path)
    before, real = chosen(notebook), path.stem == REAL and FACES.is_dir()
    values = {**before, "SIZES": ["data.limit=300"] if real else [SMALL]}
    values |= {"DATA": "celeba", "ROOT": str(FACES.resolve())} if real else {}
    values |= {name: value for name, value in LESS.items() if name in before}
    if path.stem == COUNTS:
        values |= {
            "SIZES": [SMALL.replace("train:160", "train:600"), "data.image_size=32", "data.batch_size=16"],
            "EPOCHS": 10,
        }
    elif "MODEL" in before:
        values["SIZES"] += ["data.image_size=32", "data.batch_size=16"]
    code_cells(notebook)[0].source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    execute(notebook, tmp_path, monkeypatch)
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    assert any("image/jpeg" in output.get("data", {}) for output in outputs(notebook))
    if real:
        assert any("val" in text_of(output) for output in outputs(notebook))
