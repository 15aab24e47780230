"""`python -m gender_lightning.benchmarks.peers`: other tools beside our runs, on the same faces, tested by `compare`.

Evaluates the runs on the data with `faces=auto` and `faces=none`, installs each tool in an environment of its own, asks
it about the same pictures, and compares. Tables that are there already are not made again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from gender_lightning.benchmarks.peers.asking import Pixels, ask
from gender_lightning.benchmarks.peers.tools import TOOLS, install
from gender_lightning.config import DataConfig, EvaluateConfig, parse_config
from gender_lightning.data.decoding import decode
from gender_lightning.data.reading import open_data
from gender_lightning.errors import UserError, printable
from gender_lightning.evaluation.predictions import read_predictions
from gender_lightning.job import job_environment
from gender_lightning.overrides.composing import compose
from gender_lightning.overrides.of_run import with_data_of_run
from gender_lightning.progress import counting_bar
from gender_lightning.runs import write_text

if TYPE_CHECKING:
    import pandas as pd


def evaluated(checkpoint: str, output: Path, faces: str, overrides: Sequence[str]) -> pd.DataFrame:
    """The predictions of a checkpoint, or of the mean of several, on the data; made by `evaluate` once."""
    record = output / "evaluation.json"  # other checkpoints may have been here before
    if not record.is_file() or json.loads(record.read_text(encoding="utf-8"))["checkpoint"] != checkpoint:
        quick = ("corruptions=none", "images=false", "wandb=false", f"output={output}")
        _command("evaluate", f"checkpoint={checkpoint}", *overrides, f"faces={faces}", *quick)
    return read_predictions(output / "predictions.parquet")


def pictures_of(data: DataConfig, ids: Sequence[str]) -> Iterator[tuple[str, Pixels]]:
    """These images of the data, whole, RGB uint8 (H, W, 3)."""
    _, store = open_data(data)
    with counting_bar("asking", len(ids)) as advance:
        for image_id in ids:
            name = image_id.encode()
            yield image_id, decode(store.read(name), path=store.describe(name))
            advance(1)


def answers(tool: str, data: DataConfig, ids: Sequence[str], output: Path, environments: Path) -> Path | None:
    """The answers of a tool, asked where there are none; None and a line on standard error if it cannot be asked."""
    file = output / f"{tool}.csv"
    try:
        if not file.is_file():
            asked = ask(install(TOOLS[tool], environments), pictures_of(data, ids), file)
            write_text(output / f"{tool}.json", json.dumps({"packages": TOOLS[tool].packages} | asdict(asked)) + "\n")
            rate = asked.pictures / asked.seconds
            sys.stdout.write(
                f"{tool}: {asked.answered:,} of {asked.pictures:,} answered, {rate:.1f} images/s and core\n"
            )
    except UserError as error:
        sys.stderr.write(f"left out: {printable(str(error))}\n")
        return None
    return file


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; the exit code is that of `compare`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--checkpoint", type=Path, action="append", required=True, help="a run; of several, the mean too"
    )
    parser.add_argument("--name", required=True, help="what the data are called, for the folders of results")
    parser.add_argument("--peers", nargs="+", choices=TOOLS, default=list(TOOLS), help="by default all")
    parser.add_argument("--environments", type=Path, default=Path("build/peers"), help="folder of the installed tools")
    parser.add_argument("--output", type=Path, default=Path("comparisons"), help="folder of the results, below NAME")
    parser.add_argument("overrides", nargs="*", help="data=... data.root=..., as for evaluate")
    chosen = parser.parse_args(arguments)
    runs, output = [run.absolute() for run in chosen.checkpoint], (chosen.output / chosen.name).absolute()
    output.mkdir(parents=True, exist_ok=True)
    own = f"{chosen.name}-none"  # every picture has an answer there; with auto those without a face have none
    ids = evaluated(str(runs[0]), runs[0] / "evaluation" / own, "none", chosen.overrides)["image_id"].tolist()
    files: list[Path | None] = []
    for name, checkpoint in _checkpoints(runs).items():
        place = runs[0] / "evaluation" / f"{chosen.name}-auto" if name == "ours" else output / name
        table = evaluated(checkpoint, place, "auto", chosen.overrides)
        file = output / f"{name}_faces_auto.csv"
        write_text(file, table[["image_id", "probability"]].to_csv(index=False))
        files.append(file)
    texts = with_data_of_run([f"checkpoint={runs[0]}", *chosen.overrides], folders="whole")
    data = parse_config(EvaluateConfig, compose("evaluate", texts)).data
    environments = chosen.environments.absolute()
    files += [answers(tool, data, ids, output, environments) for tool in chosen.peers]
    named = [str(runs[0]), *(f"'{file}'" for file in files if file is not None)]
    _command("compare", f"runs=[{','.join(named)}]", f"evaluation={own}", f"output={output}", "speed.measure=false")
    sys.stdout.write(f"The row without a name of a file is {runs[0].name} with faces=none.\n")


def _checkpoints(runs: Sequence[Path]) -> dict[str, str]:
    """What `checkpoint=` takes for the first run, and for the mean of all, by the names of their rows."""
    found = {"ours": str(runs[0])}
    return found | ({f"mean_of_{len(runs)}": f"[{','.join(map(str, runs))}]"} if len(runs) > 1 else {})


def _command(*texts: str) -> None:
    done = subprocess.run([sys.executable, "-m", "gender_lightning", *texts], env=job_environment())
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
