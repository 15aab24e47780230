"""What a reader of a comparison must know beside its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gender_lightning.comparison.result import Summary
from gender_lightning.comparison.runs.rows import Row, recipe
from gender_lightning.overrides.fields import flat

# Beside the backbone, what decides how much a training costs and sees.
_BUDGET = (
    "trainer.max_epochs", "trainer.max_steps", "trainer.max_time", "trainer.limit_train_batches", "data.image_size",
    "data.fraction", "data.limit", "data.sizes.train", "data.split", "model.pretrained",
)  # fmt: skip
_MOST_LEFT_OUT = 8


def notes_of(
    summaries: Sequence[Summary],
    split: str,
    found: Sequence[str | None],
    left_out: Sequence[str],
    repeated: Sequence[str] = (),
) -> list[str]:
    """Collect the notes of a comparison.

    Args:
        summaries: The rows.
        split: That they are compared on.
        found: Sentences from reading and grouping the runs, None among them.
        left_out: A sentence on each run that is not finished.
        repeated: A sentence on each finished run that does not count, since it repeats another.
    """
    rows = [summary.row for summary in summaries]
    notes = [*(note for note in found if note), *repeated]
    notes += [f"Left out: {sentence}" for sentence in left_out[:_MOST_LEFT_OUT]]
    if len(left_out) > _MOST_LEFT_OUT:
        notes.append(f"Left out: {len(left_out) - _MOST_LEFT_OUT} more that are not finished.")
    notes += [note for note in (_single(rows), _budgets(rows), _hardware(rows), _uncosted(summaries)) if note]
    if split == "test" and len(rows) > 2:
        notes.append("The best of several on the same images is a little overestimated, by having been picked.")
    notes.append("Some labels may be wrong: a difference of a few images may lie in them.")
    return notes


def _single(rows: Sequence[Row]) -> str | None:
    single = [row.label for row in rows if row.n == 1]
    if not single:
        return None
    if len(single) == len(rows):
        return "Each model is a single run: what another seed would have given is not known, and no interval tells."
    return (
        f"A single run each: {', '.join(single)}. What another seed would have given is taken from the spread of the "
        "seeds of the other models."
    )


def _budgets(rows: Sequence[Row]) -> str | None:
    """What else differs between rows of different backbones: then it is not the backbones that are compared."""
    if len({row.runs[0].backbone for row in rows}) < 2:
        return None
    recipes = [recipe(row.runs[0].config) for row in rows]
    told = [dict(flat(row.runs[0].config)) for row in rows]  # a run as it was typed, and not its whole recipe
    different = []
    for key in _BUDGET:
        values = {str(each.get(key)): _shown(own.get(key)) for each, own in zip(recipes, told, strict=True)}
        if len(values) > 1:
            different.append(f"{key} ({', '.join(values.values())})")
    if not different:
        return None
    return f"The models also differ in {', '.join(different)}: whole recipes are compared, not backbones alone."


def _hardware(rows: Sequence[Row]) -> str | None:
    machines = {_machine(run.info.get("hardware")) for row in rows for run in row.runs} - {None}
    if len(machines) < 2:
        return None
    return "The runs were trained on different machines, so that their minutes and training images/s do not compare."


def _machine(hardware: Any) -> str | None:
    if not isinstance(hardware, dict):
        return None
    return f"{hardware.get('cores')} x {hardware.get('cpu')}, {hardware.get('gpus')}"


def _uncosted(summaries: Sequence[Summary]) -> str | None:
    without = [summary.row.label for summary in summaries if summary.cost is None]
    if not without:
        return None
    return f"There is no checkpoints/best.ckpt of {', '.join(without)}: what they cost is not known."


def _shown(value: object) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
