"""Interpretation of the measurements: ratios, how much of the bare step's speed training keeps, and the bottleneck."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich.table import Table

from gender_lightning.benchmarks.timing import Rate

Where = Literal["per core", "CPU", "GPU", "MPS"]


@dataclass(frozen=True)
class Measurement:
    """The measurement of one stage, for our way and optionally the common way.

    Attributes:
        stage: The name of the stage on the command line; for `faces`, followed by the kind of picture.
        backbone: The network; None for stages of the input pipeline.
        where: One core, or the whole device.
        ours: Images per second; seconds for `startup`.
        common: The same for the common way; None if it was not measured.
        seconds_beside: `train` only: seconds per epoch outside its steps (checkpoints, one batch of validation).
        bare: `train` only: images per second of the bare step, measured right before each real training.
        peak_gpu_bytes: `train` only: the most GPU memory that a real training had in tensors; None without a GPU.
        resident: `train` only: whether what was measured came from the device's memory; None without `data.resident`.
    """

    stage: str
    backbone: str | None
    where: Where
    ours: Rate
    common: Rate | None = None
    seconds_beside: float | None = None
    bare: Rate | None = None
    peak_gpu_bytes: int | None = None
    resident: bool | None = None

    @property
    def ratio(self) -> float | None:
        """Ours over common: above 1 we are faster (for `startup`: slower)."""
        return None if self.common is None else self.ours.median / self.common.median

    @property
    def is_time(self) -> bool:
        """Whether the values are seconds."""
        return self.stage == "startup"

    def to_dict(self) -> dict[str, Any]:
        """Convert to an entry of `benchmark.json`."""
        medians = {"ours": self.ours.median, "common": None if self.common is None else self.common.median}
        return {**asdict(self), "unit": "s" if self.is_time else "images/s", "median": medians, "ratio": self.ratio}


def kept_while_training(measurements: Sequence[Measurement]) -> dict[str, float]:
    """The fraction of the bare step's images/s that real training reaches during its steps, by backbone.

    The median over pairs of a bare step and the real training right after it.
    """
    return {
        str(training.backbone): statistics.median(
            real / bare for real, bare in zip(training.ours.samples, training.bare.samples, strict=True)
        )
        for training in measurements
        if training.bare is not None
    }


def kept_by_training(measurements: Sequence[Measurement], images: int) -> dict[str, float]:
    """The same fraction over a whole epoch of `images` images, including the time outside its steps."""
    shares = {}
    for training in (measurement for measurement in measurements if measurement.stage == "train"):
        assert training.seconds_beside is not None
        steps = images / training.ours.median
        while_training = kept_while_training([training])[str(training.backbone)]
        shares[str(training.backbone)] = while_training * steps / (steps + training.seconds_beside)
    return shares


def advice(measurements: Sequence[Measurement], *, workers: int, cores: int) -> list[str]:
    """Name the bottleneck and what to change, in one sentence per backbone.

    Args:
        measurements: Measurements that include `loader`, `augmentation` and `step`; otherwise there is no advice.
        workers: Number of loader processes that a training would start; 0 loads in the training process.
        cores: Number of CPU cores of this machine.
    """
    loader, augmentation = _find(measurements, "loader", None), _find(measurements, "augmentation", None)
    steps = [measurement for measurement in measurements if measurement.stage == "step"]
    if loader is None or augmentation is None:
        return []
    return [_advice(loader.ours.median, augmentation, step, workers, cores) for step in steps]


def _advice(loader: float, augmentation: Measurement, step: Measurement, workers: int, cores: int) -> str:
    name = step.backbone
    smaller = "a smaller data.image_size or a lighter model makes it faster"
    if step.where == "CPU":  # all stages share the same cores: what counts is core time per image
        costs = {
            "loader": 1 / loader,
            "augmentation": 1 / augmentation.ours.median,
            "step": cores / step.ours.median,
        }
        most = max(costs, key=lambda stage: costs[stage])
        share = costs[most] / sum(costs.values())
        remedies = {
            "loader": "store smaller pictures, or use a GPU and more cores",
            "augmentation": "choose a lighter augmentation (augmentation=light)",
            "step": f"{smaller}, and a GPU is many times as fast",
        }
        return f"{name}: {most} takes {share:.0%} of a core's time per image; {remedies[most]}."
    supply = loader * max(1, workers)
    device = 1 / (1 / step.ours.median + 1 / augmentation.ours.median)
    if supply < device:
        return (
            f"{name}: the loader is the bottleneck: {workers} workers deliver {supply:,.0f} images/s, the {step.where} "
            f"could take {device:,.0f}. Raise data.workers (this machine has {cores} cores), or store smaller "
            "pictures."
        )
    return (
        f"{name}: the step is the bottleneck: {workers} workers could deliver {supply:,.0f} images/s, the {step.where} "
        f"takes {device:,.0f}. Try a larger data.batch_size; {smaller}."
    )


def table(measurements: Sequence[Measurement]) -> Table:
    """Build a table with one row per stage and backbone."""
    result = Table(caption="images/s, medians of n")
    for heading in ("stage", "backbone", "where", "n"):
        result.add_column(heading)
    for heading in ("ours", "common way", "ratio"):
        result.add_column(heading, justify="right")
    for row in measurements:
        common = "" if row.common is None else _figure(row.common, row)
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        where = (row.stage, row.backbone or "", row.where, str(len(row.ours.samples)))
        result.add_row(*where, _figure(row.ours, row), common, ratio)
    return result


def sentences(
    training: Mapping[str, float], epochs: Mapping[str, float], images: int, advices: Sequence[str]
) -> list[str]:
    """The sentences below the table, from `kept_while_training`, `kept_by_training` and `advice`."""
    kept = [
        f"{name}: real training keeps {training[name]:.1%} of the bare step's images/s, and {share:.1%} over epochs of "
        f"{images:,} images with checkpoints and a batch of validation."
        for name, share in epochs.items()
    ]
    return [*kept, *advices]


def _figure(rate: Rate, of: Measurement) -> str:
    if of.is_time:
        return f"{rate.median:.2f} s"
    return f"{rate.median:,.0f}" if rate.median >= 100 else f"{rate.median:.1f}"


def _find(measurements: Sequence[Measurement], stage: str, backbone: str | None) -> Measurement | None:
    return next((found for found in measurements if found.stage == stage and found.backbone == backbone), None)
