"""`gender-lightning compare`: which of several runs is better, by how much, and whether that is more than chance."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.markup import escape
from rich.table import Table

from gender_lightning.commands.steps.reporting import set_up_logging
from gender_lightning.comparison.columns import columns_of, count
from gender_lightning.comparison.corruptions import corruption_errors
from gender_lightning.comparison.in_wandb import log_comparison
from gender_lightning.comparison.markdown import markdown, setting
from gender_lightning.comparison.notes import notes_of
from gender_lightning.comparison.pairs import compare_pairs
from gender_lightning.comparison.result import Comparison, Summary, to_json
from gender_lightning.comparison.runs.folds import join_folds, joined_folds
from gender_lightning.comparison.runs.foreign import Foreign, common, divide, foreign_rows, read_answers
from gender_lightning.comparison.runs.images import on_the_same_images
from gender_lightning.comparison.runs.means import Mean, mean_rows, runs_of_means
from gender_lightning.comparison.runs.reading import RunResult, choose_split, read_runs
from gender_lightning.comparison.runs.rows import make_rows
from gender_lightning.comparison.runs.selection import Selection, select_runs
from gender_lightning.comparison.scores import resampling_of
from gender_lightning.comparison.slices import rules_of
from gender_lightning.comparison.summarising import Timing, summarise
from gender_lightning.comparison.verdict import verdict
from gender_lightning.config import CompareConfig, parse_config
from gender_lightning.console import console, shown
from gender_lightning.errors import UserError
from gender_lightning.evaluation.statistics.intervals import Resampling
from gender_lightning.machine.hardware import Hardware, resolve_hardware
from gender_lightning.machine.provenance import git_state, hardware, package_versions
from gender_lightning.reports.comparison_figures import FIGURES, draw_all
from gender_lightning.reports.comparison_page import page
from gender_lightning.reports.style import save
from gender_lightning.runs import Run, write_text

_IN_TERMINAL = ("accuracy", "recall, male", "recall, female", "GMACs")


def main(values: dict[str, Any]) -> Comparison:
    """Take the composed config, compare, print the verdict."""
    set_up_logging()
    return compare(parse_config(CompareConfig, values))


def compare(config: CompareConfig) -> Comparison:
    """Read the runs, test every pair, write `comparison.json`, `.md`, `.html` and `figures/`."""
    output = Path(config.output)
    if output.exists() and not output.is_dir():
        raise UserError(f"output={output}: this is a file.", "Give a directory.", field="output")
    chosen = resolve_hardware(accelerator=config.accelerator, prefix="")
    means = runs_of_means(config.runs)
    texts = [one for one in config.runs if isinstance(one, str)]
    wanted, files = divide([*texts, *(str(run.path) for group in means for run in group)])
    alone = [text for text in texts if text in wanted]
    answers = [read_answers(file) for file in files]
    selection = select_runs(wanted)
    split, why = choose_split(selection.runs, config.split, config.evaluation)
    read, of_folds = read_runs(selection.runs, split, config.evaluation), list[str]()
    if split == "valid":
        read, of_folds = join_folds(read)
    runs, shared = on_the_same_images(read, config.images)
    if answers and config.images == "common":
        runs = common(runs, answers)
    named = select_runs(alone) if alone else Selection((), ())  # a run may be a row and part of a mean
    own_rows = {run.path.resolve() for run in named.runs}
    rows, repeated = make_rows([run for run in runs if run.run.path.resolve() in own_rows])
    by_path = {run.run.path.resolve(): run for run in runs}
    groups = [[_member(run, by_path) for run in group] for group in means]
    joined, of_means = mean_rows(groups, [row.label for row in rows])
    rows = [*rows, *joined]
    foreign, about = foreign_rows(answers, runs[0], [row.label for row in rows])
    rows = [*rows, *foreign]
    if len(rows) == 1 and rows[0].n == 1 and not joined_folds(rows[0].runs[0]):
        path = rows[0].runs[0].run.path
        raise UserError(
            " ".join([*repeated, f"There is one run to compare, {path}."]),
            f"Name others beside it, or describe it alone: gender-lightning evaluate checkpoint={path}.",
        )
    resampling = resampling_of(runs[0])
    corrupted, uncorrupted = corruption_errors(rows, split, config.evaluation)
    speed = config.speed
    timing = Timing(chosen, speed.batch_size, speed.seconds, speed.repeats) if speed.measure else None
    rules, sizes = rules_of(rows[0].runs[0])
    summaries = summarise(rows, corrupted, rules, resampling, timing)
    repeated = [*named.repeated, *repeated]
    own = [summary for summary in summaries if not isinstance(summary.row.runs[0], (Foreign, Mean))]
    notes = of_folds + of_means + about + notes_of(own, split, [why, shared, uncorrupted], selection.left_out, repeated)
    comparison = _comparison(config, split, summaries, resampling, notes, sizes, chosen)
    write(comparison, output)
    show(comparison)
    if config.wandb:
        log_comparison(comparison, output.absolute())
    console.print(f"written to {shown(output)}", markup=False)
    return replace(comparison, path=output.absolute())


def _member(run: Run, by_path: Mapping[Path, RunResult]) -> RunResult:
    """A member of a mean as it was read.

    Raises:
        UserError: It is one of several folds, which are one run.
    """
    found = by_path.get(run.path.resolve())
    if found is None:
        raise UserError(
            f"{run.path} holds out another fold than a run beside it: no image was judged by both to have a mean.",
            "Leave the inner brackets out, so that the folds are one row; or compare on test: split=test.",
            field="runs",
        )
    return found


def write(comparison: Comparison, output: Path) -> None:
    """All files, each whole; none where one cannot be made."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as temporary:
        made = Path(temporary)
        figures = draw_all(comparison)
        for figure in figures:
            save(figure.figure, made / "figures", figure.name)
        write_text(made / "comparison.json", json.dumps(to_json(comparison), indent=2) + "\n")
        write_text(made / "comparison.md", markdown(comparison))
        write_text(made / "comparison.html", page(comparison, figures))
        (output / "figures").mkdir(parents=True, exist_ok=True)
        for old in FIGURES:  # of an earlier comparison with the same output, which may have had more
            for suffix in ("svg", "png"):
                (output / "figures" / f"{old}.{suffix}").unlink(missing_ok=True)
        for file in sorted(path for path in made.rglob("*") if path.is_file()):
            os.replace(file, output / file.relative_to(made))


def show(comparison: Comparison) -> None:
    """The verdict and the main columns; the files have the rest."""
    columns = [column for column in columns_of(comparison) if column.name in _IN_TERMINAL]
    table = Table(title=setting(comparison))
    table.add_column("model", overflow="fold")
    table.add_column("runs")
    for column in columns:
        table.add_column(column.name, justify="right")
    for summary in comparison.by_accuracy():
        cells = (column.cell(summary) for column in columns)
        shown = (cell.line() if place == 0 else cell.text for place, cell in enumerate(cells))
        table.add_row(escape(summary.row.label), count(summary), *shown)
    console.print(table)
    for text in (comparison.verdict.headline, *comparison.verdict.sentences):
        console.print(text, markup=False)
    for note in comparison.notes:
        console.print(f"Note: {note}", markup=False)


def _comparison(
    config: CompareConfig,
    split: str,
    summaries: Sequence[Summary],
    resampling: Resampling,
    notes: Sequence[str],
    slice_sizes: Sequence[int],
    chosen: Hardware,
) -> Comparison:
    rows = [summary.row for summary in summaries]
    first = rows[0].runs[0]
    pairs = compare_pairs(rows, resampling)
    accuracies = [summary.scores["accuracy"].mean for summary in summaries]
    machine = hardware()
    name = str(first.config.get("data", {}).get("name", "unknown"))
    return Comparison(
        data=name if config.evaluation is None else config.evaluation.rpartition("-")[0] or config.evaluation,
        split=split,
        images=len(first.table),
        people=None if first.table["identity"].isna().all() else int(first.table["identity"].nunique()),
        males=int(first.labels.sum()),
        summaries=tuple(summaries),
        pairs=tuple(pairs),
        verdict=verdict(rows, accuracies, pairs, len(first.table)),
        notes=tuple(notes),
        slice_sizes=tuple(slice_sizes),
        machine={
            **machine,
            "accelerator": chosen.accelerator,
            "precision": chosen.precision,
            "batch_size": config.speed.batch_size,
        },
        provenance={
            "command": shlex.join(["gender-lightning", *sys.argv[1:]]),
            "packages": package_versions(),
            "hardware": machine,
            **git_state(),
        },
    )
