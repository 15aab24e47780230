"""Each field of each root config with each kind of wrong value; run directories and tables of others."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from fuzz_harness import Case, Rng, damaged

from gender_lightning import overrides
from gender_lightning.config import parse_config
from gender_lightning.errors import UserError
from gender_lightning.evaluation.predictions import read_predictions
from gender_lightning.overrides.fields import flat
from gender_lightning.overrides.of_run import with_data_of_run
from gender_lightning.running import check_overrides
from gender_lightning.runs import Run, to_yaml
from gender_lightning.training.logs.metrics_csv import read_rows
from gender_lightning.verbs import COMMANDS

VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    3,
    10**30,
    -(10**30),
    0.5,
    1e308,
    float("nan"),
    float("inf"),
    -float("inf"),
    "",
    "two",
    "auto",
    "\N{SNOWMAN}\u202e\x1b[2J",
    "x" * 10_000,
    "../../x",
    "${oc.env:HOME}",
    "???",
    [],
    [1],
    ["a", None],
    {},
    {"a": 1},
    {"_target_": "os.system", "command": "true"},
    {"name": "evil"},
    [[[]]],
    b"bytes",
    1j,
    {1: 2},
)
TYPED = ("null", "two", "-1", "1e999", "nan", "[1]", "{a:1}", "'\N{SNOWMAN}'", "1" * 5000, "''", "x" * 5000, "${name}")
CHOICES = {
    "train": (
        (),
        ("data=folder", "model=timm", "scheduler=one_cycle", "loss=focal", "optimizer=sgd", "logger=csv"),
        ("data=celeba", "scheduler=plateau", "search=default"),
    ),
    "evaluate": (("checkpoint=x",),),
    "benchmark": ((),),
    "data": ((), ("data=folder",)),
}


def cases(rng: Rng, share: float, folder: Path) -> Iterator[Case]:
    """About 5,500 cases at a share of 1, of which each takes a millisecond."""
    for verb, choices in CHOICES.items():
        for chosen in choices:
            values = overrides.compose(verb, chosen)
            for name, _ in flat(values):
                for value in VALUES:
                    if rng.random() < share:
                        yield Case(f"config, {verb}", partial(_parse, verb, values, name, value))
    yield from _runs(rng, share, folder)
    yield from _tables(rng, round(250 * share), folder)


def typed(rng: Rng, share: float) -> Iterator[Case]:
    """About 120 command lines at a share of 1, with several mistakes each: composing takes its time."""
    for verb, choices in CHOICES.items():
        names = [name for name, _ in flat(overrides.compose(verb, choices[0]))]
        for value in TYPED:
            for _ in range(max(1, round(2.5 * share))):
                some = rng.permutation(len(names))[:4]
                line = [*choices[0], *(f"{names[place]}={value}" for place in some)]
                yield Case(f"command line, {verb}", partial(check_overrides, verb, line))
    for line in (
        "=",
        "a",
        "a=",
        "+a=1",
        "~seed",
        "seed",
        "seed=1,2",
        "--",
        "@x=1",
        "data@x=folder",
        "data=[a]",
        "a.b.c=1",
        "seed={",
        "seed='",
        "seed=$(id)",
        "hydra.callbacks.x._target_=os.system",
        "\N{SNOWMAN}=1",
        "search=default",
        "-m",
        "data=../../etc/passwd",
        "experiment=../x",
        "model=null",
        "data.root=~nobody/x",
    )[: 4 + round(99 * share)]:
        yield Case("command line, odd", partial(check_overrides, "train", [line]))


def _parse(verb: str, values: dict[str, Any], name: str, value: Any) -> None:
    changed = copy.deepcopy(values)
    *path, last = name.split(".")
    node = changed
    for part in path:
        node = node[part]
    node[last] = value
    parse_config(COMMANDS[verb].schema, changed)


YAMLS = (
    "!!python/object/apply:os.system ['true']",
    "!!python/name:os.system",
    "!!python/object/new:os.system [true]",
    "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
    "data: {name: synthetic, root: '${oc.env:HOME}'}",
    "[" * 3000,
    "a: [",
    'data: {name: celeba, root: "a\\0b"}',
    "data: {'x=1 hydra.run.dir': 2, name: celeba}",
    "data: {name: 'celeba,folder'}",
    "data: {name: '../../x'}",
    "data: [1]",
    "data: {name: celeba, root: 3}",
    "2001-99-99",
    "a: 2001-99-99",
    "? [1]\n: 2",
    "a: !!int x",
    "a: !!binary '%'",
    "data: {name: celeba, 1: 2}",
    "",
    "null",
    "\x00",
    "\ud800",
    "a: .nan",
    "- 1",
    "---\na\n---\nb",
    "trainer: 3\ndata: {name: celeba, root: x}",
    "{a: b}: c",
    "a: !!timestamp '0'",
)
RECORDS: tuple[Any, ...] = (
    None,
    3,
    [],
    "x",
    {"status": 3},
    {"seconds": "x"},
    {"resumed": 3},
    {"wandb_id": ["../../x"]},
    {"wandb_id": "../../x"},
    {"status": "done", "seconds": 1e999},
    {"directory": "/etc", "status": None},
    {"error": {}},
    {"first_step": 1},
    {"first_batch": 1},
)


def _runs(rng: Rng, share: float, folder: Path) -> Iterator[Case]:
    run = folder / "run"
    (run / "checkpoints").mkdir(parents=True)
    config = to_yaml({"name": "x", "data": {"name": "folder", "root": "/faces", "limit": None}, "trainer": {}}).encode()
    record = json.dumps({"status": "running", "seconds": 1.5, "resumed": [], "wandb_id": "ab12"}).encode()
    for text in YAMLS:
        yield Case("run directory, config.yaml", partial(_use, run, text.encode("utf-8", "surrogatepass"), record))
    for value in RECORDS:
        yield Case("run directory, run.json", partial(_use, run, config, json.dumps(value).encode()))
    for text in (b"", b"{", b"[" * 100_000, b"\xff\xfe", b'{"a": ' * 5000):
        yield Case("run directory, run.json", partial(_use, run, config, text))
    for _ in range(round(300 * share)):
        yield Case("run directory, damaged", partial(_use, run, damaged(config, rng), record))
        yield Case("run directory, damaged", partial(_use, run, config, damaged(record, rng)))


def _use(run: Path, config: bytes, record: bytes) -> None:
    (run / "config.yaml").write_bytes(config)
    (run / "run.json").write_bytes(record)
    found = Run.open(run)
    said = [found.info, found.config, lambda: with_data_of_run([f"checkpoint={run}"])]
    errors: list[UserError] = []
    for say in said:
        try:
            say()
        except UserError as error:
            errors.append(error)
    if errors:
        raise errors[-1]


def _tables(rng: Rng, count: int, folder: Path) -> Iterator[Case]:
    import numpy as np
    import pandas as pd

    table = pd.DataFrame(
        {
            "image_id": ["a", "b"],
            "split": "test",
            "label": np.array([0, 1], np.int8),
            "logit": np.float32([1, 2]),
            "probability": np.float32([0.7, 0.9]),
            "identity": pd.array([1, None], dtype="Int32"),
            "Young": [True, False],
        }
    )
    path = folder / "table.parquet"
    table.to_parquet(path)
    whole = path.read_bytes()
    for name in table.columns:
        for value in (None, "=1+1", 7.5, float("nan"), b"x", -3, [1], True):
            made = table.assign(**{name: [value, value]})
            yield Case("predictions, another column", partial(_table, path, made))
        yield Case("predictions, a column less", partial(_table, path, table.drop(columns=name)))
    yield Case("predictions, a bomb", partial(_table, path, table.iloc[[0]].assign(image_id="x" * 50_000_000)))
    yield Case("predictions, twice", partial(_table, path, pd.concat([table, table])))
    for _ in range(count):
        yield Case("predictions, damaged", partial(_table, path, damaged(whole, rng)))
    curve = folder / "metrics.csv"
    for text in (b"", b"\0", b"epoch\n\xff", b"a,b\n1,2,3\n", b"epoch,step\nx,y\n", b'"' * 300_000, b"epoch\n1\nNaN\n"):
        yield Case("metrics.csv", partial(_curve, curve, text))


def _table(path: Path, content: Any) -> None:
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content.to_parquet(path)
    read = read_predictions(path)
    assert set(read["label"]) <= {0, 1} and not read["image_id"].duplicated().any()


def _curve(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    for row in read_rows(path):
        assert int(row["epoch"]) >= 0
