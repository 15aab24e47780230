"""What the figures say: ratios, what real training keeps of the bare step, and what holds back the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich.table import Table

from gender_lightning.benchmarks.timing import Rate

Where = Literal["per core", "CPU", "GPU", "MPS"]


@dataclass(frozen=True)
class Measurement:
    """One stage, ours and where it was asked for the common way.

    Attributes:
        stage: Its name on the command line.
        backbone: Of which network; None for stages before it.
        where: On one core, or on the device with all it has.
        ours: Images per second; for `startup` seconds.
        common: The same of the common way.
        seconds_beside: `train` only: seconds of an epoch beside its steps (checkpoints, one batch of validation).
    """

    stage: str
    backbone: str | None
    where: Where
    ours: Rate
    common: Rate | None = None
    seconds_beside: float | None = None

    @property
    def ratio(self) -> float | None:
        """Ours over common: above 1 is faster, for `startup` slower."""
        return None if self.common is None else self.ours.median / self.common.median

    @property
    def is_time(self) -> bool:
        """Whether the figures are seconds."""
        return self.stage == "startup"

    def to_dict(self) -> dict[str, Any]:
        """For `benchmark.json`."""
        medians = {"ours": self.ours.median, "common": None if self.common is None else self.common.median}
        return {**asdict(self), "unit": "s" if self.is_time else "images/s", "median": medians, "ratio": self.ratio}


def kept_by_training(measurements: Sequence[Measurement], images: int) -> dict[str, float]:
    """For each backbone the share of the bare step's images/s that real training keeps.

    What an epoch needs beside its steps counts, over an epoch of so many images.
    """
    shares = {}
    for training in (it for it in measurements if it.stage == "train"):
        step = _find(measurements, "step", training.backbone)
        if step is not None:
            assert training.seconds_beside is not None
            seconds = images / training.ours.median + training.seconds_beside
            shares[str(training.backbone)] = images / seconds / step.ours.median
    return shares


def advice(measurements: Sequence[Measurement], *, workers: int, cores: int) -> list[str]:
    """For each backbone one sentence: which stage holds back the rest, and what to turn.

    Args:
        measurements: Of `loader`, `augmentation` and `step` at least; without one of them nothing is said.
        workers: Loader processes that a training would start; 0 loads in the training process.
        cores: Of this machine.
    """
    loader, augmentation = _find(measurements, "loader", None), _find(measurements, "augmentation", None)
    steps = [it for it in measurements if it.stage == "step"]
    if loader is None or augmentation is None:
        return []
    return [_advice(loader.ours.median, augmentation, step, workers, cores) for step in steps]


def _advice(loader: float, augmentation: Measurement, step: Measurement, workers: int, cores: int) -> str:
    name = step.backbone
    smaller = "a smaller data.image_size or a lighter model makes it faster"
    if step.where == "CPU":  # everything shares the same cores: what counts is the time of a core per image
        costs = {
            "loader": 1 / loader,
            "augmentation": 1 / augmentation.ours.median,
            "step": cores / step.ours.median,
        }
        most = max(costs, key=lambda stage: costs[stage])
        share = costs[most] / sum(costs.values())
        remedies = {
            "loader": "keep the pictures smaller on the disk, or take a GPU and more cores",
            "augmentation": "choose a lighter augmentation (augmentation=light)",
            "step": f"{smaller}, and a GPU is many times as fast",
        }
        return f"{name}: {most} takes {share:.0%} of a core's time per image; {remedies[most]}."
    supply = loader * max(1, workers)
    device = 1 / (1 / step.ours.median + 1 / augmentation.ours.median)
    if supply < device:
        return (
            f"{name}: the loader holds the {step.where} back: {workers} workers bring {supply:,.0f} images/s, it could "
            f"take {device:,.0f}. Raise data.workers (this machine has {cores} cores), or keep pictures smaller on the "
            "disk."
        )
    return (
        f"{name}: the step holds back the rest: {workers} workers could bring {supply:,.0f} images/s, the {step.where} "
        f"takes {device:,.0f}. A larger data.batch_size, {smaller}."
    )


def table(measurements: Sequence[Measurement]) -> Table:
    """One row per stage and backbone."""
    result = Table(caption="images/s, medians of n")
    for heading in ("stage", "backbone", "where", "n"):
        result.add_column(heading)
    for heading in ("ours", "common way", "ratio"):
        result.add_column(heading, justify="right")
    for it in measurements:
        common = "" if it.common is None else _figure(it.common, it)
        ratio = "" if it.ratio is None else f"{it.ratio:.2f}"
        cells = (it.stage, it.backbone or "", it.where, str(len(it.ours.samples)), _figure(it.ours, it), common, ratio)
        result.add_row(*cells)
    return result


def sentences(shares: Mapping[str, float], advices: Sequence[str]) -> list[str]:
    """What is printed below the table."""
    kept = [f"{name}: real training keeps {share:.1%} of the bare step's images/s." for name, share in shares.items()]
    return [*kept, *advices]


def _figure(rate: Rate, of: Measurement) -> str:
    if of.is_time:
        return f"{rate.median:.2f} s"
    return f"{rate.median:,.0f}" if rate.median >= 100 else f"{rate.median:.1f}"


def _find(measurements: Sequence[Measurement], stage: str, backbone: str | None) -> Measurement | None:
    return next((it for it in measurements if it.stage == stage and it.backbone == backbone), None)
