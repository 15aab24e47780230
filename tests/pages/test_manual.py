"""The manual says what is so: its commands are valid and run, its links lead somewhere, its reference is the schema."""

from __future__ import annotations

import ast
import html.parser
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pandas as pd
import pytest
import torch
from built_once import built_once
from omegaconf import OmegaConf
from typed_commands import blocks_of, typed_in_blocks, typed_in_tables

from gender_lightning.__main__ import main
from gender_lightning.config import SearchConfig
from gender_lightning.inference.stream.items import COLUMNS
from gender_lightning.models.checkpoints.checkpoint import ModelSpec
from gender_lightning.overrides import complete, compose
from gender_lightning.running import check_overrides
from gender_lightning.usage.fields import rows
from gender_lightning.verbs import COMMANDS

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
sys.path.append(str(DOCS))
from generated_pages import anchor, command_page, experiments, groups_page  # noqa: E402

PAGES = sorted(path for path in DOCS.rglob("*.md") if "generated" not in path.parts)
NAMES = [str(path.relative_to(DOCS)) for path in PAGES]
FILES = (DOCS / "reference/files.md").read_text()


def typed_on(path: Path, *, tables: bool = True) -> list[list[str]]:
    """Every command of a page that runs something, each once."""
    text = path.read_text()
    found = {" ".join(words): words for words in [*typed_in_blocks(text), *(typed_in_tables(text) if tables else [])]}
    return [words for words in found.values() if words[0] in COMMANDS and not {"--help", "--cfg"} & set(words)]


def split(words: list[str]) -> tuple[str, str | None, list[str]]:
    """Verb, action and overrides."""
    verb, rest = words[0], words[1:]
    for action in COMMANDS[verb].actions:
        if rest[: len(action.split())] == action.split():
            return verb, action, rest[len(action.split()) :]
    return verb, None, rest


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the names that commands are given, empty."""
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (recipe,) = blocks_of((DOCS / "howto/own_code.md").read_text(), "yaml")
    (tmp_path / "mine" / "experiment" / "night.yaml").write_text(recipe.partition("\n")[2])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(commands: list[list[str]]) -> None:
    """Check each command as before a run; packages of the user's own have to be installed to be checked."""
    for words in commands:
        verb, _, rest = split(words)
        rest = [
            word.replace("[mine]", "[statistics]").replace("_target_:mine.", "_target_:statistics.") for word in rest
        ]
        check_overrides(verb, complete(verb, rest))


@pytest.mark.parametrize("name", ["index.md", *(name for name in NAMES if name.startswith("start/"))])
@pytest.mark.usefixtures("place")
def test_the_commands_to_begin_with_are_valid(name: str) -> None:
    check([words for words in typed_on(DOCS / name) if not any(word.startswith("search") for word in words)])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if typed_on(DOCS / name)])
@pytest.mark.usefixtures("place")
def test_every_command_is_valid(name: str) -> None:
    check(typed_on(DOCS / name))


def test_the_table_answers_twenty_questions_with_a_page_each() -> None:
    rows = re.findall(r"^\| \[.*\]\((\w+\.md)\) \| .* \|$", (DOCS / "howto/index.md").read_text(), flags=re.MULTILINE)
    assert len(rows) >= 21
    assert {path.name for path in (DOCS / "howto").glob("*.md")} - {"index.md"} <= {*rows, "security.md"}


def test_a_page_holds_the_words_by_which_its_task_is_looked_for() -> None:
    for path in (DOCS / "howto").glob("*.md"):
        missing = [word for word in path.stem.split("_") if word.rstrip("s") not in path.read_text().lower()]
        assert path.stem == "index" or not missing, path


def test_the_pages_have_commands() -> None:
    assert sum(len(typed_on(path)) for path in PAGES) > 120


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_links_lead_to_files_of_the_manual(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if "://" in target or "generated/" in target:
            continue
        file = (path.parent / target.partition("#")[0]).resolve() if not target.startswith("#") else path
        assert file.is_file() and file.is_relative_to(DOCS), target


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_programs_parse_and_import_what_there_is(path: Path) -> None:
    for block in blocks_of(path.read_text(), "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module == "gender_lightning":
                exec(compile(ast.Module([node], []), str(path), "exec"))


# ------------------------------------------------------------------ the reference


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_field_has_its_place_once(verb: str) -> None:
    text = "\n".join(command_page(COMMANDS[verb], {}))
    places = re.findall(r"\{#([\w-]+) \.field\}", text)
    assert len(places) == len(set(places))
    fields = {row.name for row in rows(COMMANDS[verb].schema)}
    if "search" in fields:  # a section that there is only once it is chosen
        fields = fields - {"search"} | {row.name for row in rows(SearchConfig, "search.")}
    assert {anchor(verb, name) for name in fields if not name.endswith(".name")} <= set(places)


@pytest.mark.parametrize("name", sorted(experiments()))
def test_what_an_experiment_sets_is_what_it_composes_to(name: str) -> None:
    values = compose("train", [f"experiment={name}"])
    told = experiments()[name]
    assert told
    for field, value in told.items():
        node = values
        for part in field.split("."):
            node = node[part]
        resolved = OmegaConf.to_container(OmegaConf.create(values | {"told": [value]}).told, resolve=True)
        assert [node] == resolved, field
    page = "\n".join(command_page(COMMANDS["train"], {name: told}))
    assert page.count(f"`{name}` (") == len([field for field in told if f"`{field}`]" in page]) > 3


def test_every_choice_is_shown_with_its_file() -> None:
    text = "\n".join(groups_page())
    for file in (ROOT / "conf").rglob("*/*.yaml"):
        if not file.name.startswith("_"):
            assert file.read_text().strip() in text, file


def columns_of(heading: str) -> dict[str, str]:
    """The first two columns of the table below a heading of the page of files; several names in a cell are split."""
    table = FILES.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = {}
    for line in re.findall(r"^\| (`.*) \|$", table, flags=re.MULTILINE):
        names, types, _ = line.split(" | ")
        listed = re.findall(r"`(\w+)`", names)
        kinds = types.split(", ") if types.count(",") else [types] * len(listed)
        found |= dict(zip(listed, kinds, strict=True))
    return found


def test_the_columns_of_predict_are_those_of_the_page() -> None:
    assert columns_of("The table of predict") == COLUMNS


def test_the_keys_of_a_checkpoint_are_those_of_the_page() -> None:
    from dataclasses import fields

    from gender_lightning.data.framing import Framing

    keys = {field.name for part in (ModelSpec, Framing) for field in fields(part)} - {"framing"}
    assert set(columns_of("A checkpoint")) == keys


@pytest.mark.slow
def test_the_files_are_those_of_the_page(house: Path) -> None:
    table = pd.read_parquet(house / "RUN/predictions/test.parquet")
    told = columns_of("A predictions table")
    assert {name: str(table.dtypes[name]) for name in told} == told
    assert all(kind == "bool" for name, kind in table.dtypes.items() if name not in told)
    best = torch.load(house / "best.ckpt", weights_only=True)
    assert set(best) == {"state_dict", "gender_lightning"}
    assert set(best["gender_lightning"]) == set(columns_of("A checkpoint"))
    written = {path.name for path in (house / "RUN2").rglob("*") if path.is_file()}
    assert all(name in FILES for name in written), written


# ------------------------------------------------------------------ everything once


# What needs what a test has not, runs for hours, or is run by other tests.
ELSEWHERE = {
    "camera": "a camera",
    "data audit": "trainings: tests/audit",
    "data review": "a browser: tests/audit",
    "groups=[Young": "drawn faces in which both are common: tests/evaluation",
    "postgresql": "a database: tests/sweeps",
    "engine=ray": "a cluster: tests/inference",
    "face_model=yunet": "the network",
    "download=true": "the network",
    "hf://": "the network: tests/commands/test_push.py",
    "wandb://": "the network: tests/models/checkpoints/test_published.py",
    "accelerator=gpu": "a GPU",
    "num_nodes=2": "several machines",
    "trainer.devices=2": "several processes: tests/end_to_end/test_two_processes.py",
    "demo ": "a browser: tests/demo",
    "serve ": "clients: tests/serving",
    "-m ": "hours: tests/end_to_end/test_sweep.py and test_search.py",
    "pretrained=true": "the network",
    "experiment=celeba ": "the network",
    "resume=RUN data": "a run that was cut off: tests/end_to_end/breaks",
    "train resume=RUN/": "the same",
    "runs/slurm": "the same",
    "runs=runs/folds": "a cross-validation: tests/comparison/runs/test_joined_folds.py",
    "evaluation=folder-test": "further evaluations: tests/comparison",
    "refit checkpoint=RUN groups": "more persons than there are in these drawn faces: tests/commands",
    "runs/refit/200-": "more pictures than a test has: tests/commands/test_refit.py",
    "reference=RUN2": "more persons than there are in these drawn faces: tests/end_to_end/verbs",
    "faces=detect": "faces that a detector finds: tests/inference",
    "persons=folder": "more persons: tests/inference",
    "persons=track": "more persons in a film: tests/inference",
    "target_accuracy": "more faces than a test has: tests/inference",
}
ONE_BATCH = [
    "trainer.fast_dev_run=true", "data.image_size=32", "data.batch_size=8", "logger=csv", "run_dir=DIR",
    "trainer.accelerator=cpu", "data.workers=0",
]  # fmt: skip
DRAWN = "data.sizes={train:320,valid:64,test:64}"  # the faces that the house holds already
LESS = {
    "evaluate": ["corruptions=none", "resamples=100", "accelerator=cpu"],
    "compare": ["speed.measure=false"],
    "population": ["minimum=10", "workers=0"],
    "predict": ["workers=0"],
    "refit": ["resamples=100", "data.group_minimum=5", "accelerator=cpu"],
    "export": ["seconds=0", "images=4", "calibration_images=8"],
    "benchmark": [DRAWN, "data.batch_size=8", "stages=[decode,loader]", "repeats=1", "seconds=0.1"],
}


def less(words: list[str], number: int) -> list[str]:
    """What is typed behind a command to be done soon."""
    verb = words[0]
    if verb == "train" and words[1:] == ["resume=RUN"]:
        return ["trainer.max_epochs=5"]  # the run that is there is finished
    if verb == "train" and not any(word.startswith("resume=") for word in words):
        given = {word.partition("=")[0] for word in words} | {word.partition(".")[0] for word in words}
        data = compose("train", complete("train", words[1:]))["data"]
        drawn = [DRAWN] if data["name"] == "synthetic" and "data.sizes" not in given else []
        small = [] if "model" in given else ["model=timm", "model.name=timm/test_resnet"]
        short = [word.replace("DIR", f"trained/{number}") for word in ONE_BATCH]
        if "DeviceStatsMonitor" in " ".join(words):  # wants a logger of Lightning's, which a single batch has not
            short[0], short[3] = "trainer.max_epochs=1", "logger=tensorboard"
        return [*small, *drawn, *(word for word in short if word.partition("=")[0] not in given)]
    outputs = {"predict": "csv", "export": "onnx"}
    if verb in outputs and not any(word.startswith(("output=", "format=", "resume=")) for word in words):
        return [*LESS[verb], f"output=written/{number}.{outputs[verb]}"]
    return LESS.get(verb, [])


def runnable(name: str) -> list[list[str]]:
    """The commands of a page that are run here; in tables are fields of `train`, which the schema has checked."""
    shown = typed_on(DOCS / name, tables=False)
    told = [words for words in typed_on(DOCS / name) if words[0] != "train" and words not in shown]
    given = [*shown, *(told if name != "howto/index.md" else [])]  # whose rows stand on the pages behind them
    return [words for words in given if not any(part in " ".join(words) + " " for part in ELSEWHERE)]


# The others run nightly: what they type, CI checks against the schema; and tests of each verb and the README's run it.
IN_CI = ("howto/own_code.md",)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in IN_CI else pytest.mark.nightly) for name in NAMES if runnable(name)],
)
def test_every_command_runs(
    name: str, house: Path, place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for thing in house.iterdir():
        if thing.name != "mine":
            (place / thing.name).symlink_to(thing)
    (place / "mine" / "__init__.py").write_text((house / "mine" / "__init__.py").read_text())
    monkeypatch.syspath_prepend(str(place))
    for number, words in enumerate(runnable(name)):
        line = [*words, *less(words, number)]
        monkeypatch.setattr(sys, "argv", ["gender-lightning", *line])
        try:
            main()
        except SystemExit as stop:
            pytest.fail(f"{' '.join(line)}: exit code {stop.code}\n{capfd.readouterr().err[-2000:]}")
    sys.modules.pop("mine", None)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The manual as `make docs` builds it."""
    pytest.importorskip("sphinx")
    return built_once("site", build_site, tmp_path_factory, worker_id) / "html"


def build_site(output: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", str(output / "trees"), str(DOCS)]
    done = subprocess.run([*command, str(output / "html")], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


class Page(html.parser.HTMLParser):
    """Links, ids and what is loaded of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.loaded: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids.add(given.get("id") or "")
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))
        loads = tag in ("script", "img", "iframe", "source") or (tag == "link" and given.get("rel") == "stylesheet")
        if loads:
            self.loaded += [str(given[name]) for name in ("src", "href") if given.get(name)]


@pytest.mark.slow
def test_searching_for_a_field_finds_its_place_on_the_page_of_train_first(site: Path) -> None:
    index = json.loads((site / "searchindex.js").read_text().removeprefix("Search.setIndex(").rstrip(")"))
    found = {
        index["docnames"][page]: (anchor, main) for page, anchor, main in index["indexentries"]["trainer.precision"]
    }
    assert found["reference/generated/commands/train"] == ("train-trainer-precision", True)
    assert found["reference/generated/commands/benchmark"] == ("benchmark-trainer-precision", False)
    fields = {row.name for row in rows(COMMANDS["train"].schema) if not row.name.endswith(".name")} - {"search"}
    assert fields <= set(index["indexentries"])


@pytest.mark.slow
def test_it_is_built_without_a_warning_and_every_link_leads_somewhere(site: Path) -> None:
    pages = {path: Page(path) for path in site.rglob("*.html") if "_static" not in path.parts}
    assert len(pages) > 45
    wrong = [f"{path.relative_to(site)}: {link}" for path, page in pages.items() for link in _broken(path, page, pages)]
    assert not wrong
    assert not [source for page in pages.values() for source in page.loaded if "//" in source.split("?")[0][:8]]


def _broken(path: Path, page: Page, pages: dict[Path, Page]) -> Iterator[str]:
    for link in page.links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        known = pages.get(file)
        if not file.is_file() or (known and parts.fragment and unquote(parts.fragment) not in known.ids):
            yield link


@pytest.mark.slow
def test_pages_fit_a_telephone_and_search_works_from_the_disk(site: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    names = [
        "index",
        "start/quarter_hour",
        "howto/index",
        "reference/files",
        "reference/generated/commands/train",
        "gallery/index",
    ]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 390, "height": 800}, offline=True).new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for name in names:
            page.goto(f"{(site / name).as_uri()}.html")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        page.goto(f"{(site / 'search.html').as_uri()}?q=label_smoothing")
        page.wait_for_selector("ul.search li a")
        assert "generated/commands/train.html" in page.locator("ul.search").inner_html()
        browser.close()
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)
