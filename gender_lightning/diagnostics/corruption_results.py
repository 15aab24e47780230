"""Errors of a network under each corruption, and their summary in one number."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from gender_lightning.data.dataset import Batch
from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError
from gender_lightning.evaluation.corruptions.catalogue import CORRUPTIONS, corrupt
from gender_lightning.evaluation.corruptions.severity import SEVERITIES, Scale
from gender_lightning.evaluation.metrics import classification_metrics
from gender_lightning.machine.hardware import Hardware
from gender_lightning.models.checkpoints.checkpoint import Network

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("corruption", "group", "severity", "n", "accuracy", "recall_male", "recall_female", "error", "parameters")
CLEAN = "none"  # the clean pictures, severity 0
FILE = "corruptions.csv"
QUICK_SEVERITIES, QUICK_IMAGES = (3,), 1000
_AT_ONCE = 64  # images per batch: at 224 px the random numbers of each take megabytes


def conditions(mode: str) -> list[tuple[str, int]]:
    """The (corruption, severity) pairs of `quick` (severity 3 only) or `full` (all five), the clean pictures first."""
    severities = {"quick": QUICK_SEVERITIES, "full": SEVERITIES}[mode]
    return [(CLEAN, 0), *((name, severity) for name in CORRUPTIONS for severity in severities)]


def chosen_rows(mode: str, images: int) -> NDArray[np.int64]:
    """The rows of the split to use: all of them, or at most 1,000 evenly spread ones for `quick`."""
    if mode == "full" or images <= QUICK_IMAGES:
        return np.arange(images)
    return np.unique(np.linspace(0, images - 1, QUICK_IMAGES).round().astype(np.int64))


@torch.inference_mode()
def corruption_table(
    network: Network,
    batches: Iterable[Batch],
    hardware: Hardware,
    *,
    mode: str,
    framing: Framing,
    seed: int = 0,
    advance: Callable[[int], object] = lambda images: None,
) -> pd.DataFrame:
    """Measure the error rate at each corruption and severity.

    Args:
        network: In evaluation mode; moved to the device.
        batches: Batches with each image once; the index of an image is the key of its random numbers.
        hardware: Device, precision and memory format.
        mode: ``quick`` or ``full``.
        framing: Framing of the pictures, which places mask and sunglasses.
        seed: Random seed of the corruptions.
        advance: Called with the number of corrupted images predicted since the last call.

    Returns:
        A table with `COLUMNS` and one row per condition: accuracy and recalls at a threshold of 0.5, error =
        1 - accuracy; the recall of an absent class is nan.
    """
    import pandas as pd

    device = torch.device(hardware.device_type)
    network = network.to(device).to(memory_format=hardware.memory_format)
    wanted = conditions(mode)
    logits: list[list[torch.Tensor]] = [[] for _ in wanted]
    labels: list[torch.Tensor] = []
    for batch in batches:
        labels.append(batch.labels)
        for start in range(0, len(batch.images), _AT_ONCE):
            pixels = batch.images[start : start + _AT_ONCE].to(device)
            rows = batch.indices[start : start + _AT_ONCE].to(device)
            for (name, severity), found in zip(wanted, logits, strict=True):
                seen = pixels if name == CLEAN else _corrupted(name, severity, pixels, rows, seed, framing)
                with hardware.autocast():
                    found.append(network(seen).float().cpu())
                advance(len(rows))
    truth = torch.cat(labels)
    parameters = Scale.of(framing.image_size).name
    table = [_row(*pair, truth, torch.cat(found), parameters) for pair, found in zip(wanted, logits, strict=True)]
    return pd.DataFrame(table, columns=list(COLUMNS))


def _corrupted(
    name: str, severity: int, pixels: torch.Tensor, rows: torch.Tensor, seed: int, framing: Framing
) -> torch.Tensor:
    """The pictures, disturbed; side by side, each in its own framing."""
    views, result = framing.views(pixels), pixels.clone()
    for view, target, part in zip(views, framing.views(result), framing.parts, strict=True):
        target.copy_(corrupt(name, severity, view, rows, seed=seed, framing=part))
    return result


def _row(name: str, severity: int, labels: torch.Tensor, logits: torch.Tensor, parameters: str) -> dict[str, object]:
    metrics = classification_metrics(labels, logits)
    group = "clean" if name == CLEAN else CORRUPTIONS[name].group
    kept = {key: metrics[key] for key in ("accuracy", "recall_male", "recall_female")}
    used = parameters if group in ("noise", "blur", "weather", "digital") else ""
    row = {"corruption": name, "group": group, "severity": severity, "n": len(labels)}
    return row | kept | {"error": 1 - metrics["accuracy"], "parameters": used}


def mean_corruption_error(table: pd.DataFrame, reference: pd.DataFrame | None = None, *, faces: bool = False) -> float:
    """Mean corruption error (mCE, Hendrycks and Dietterich 2019): the mean error over severities and corruptions.

    Args:
        table: The result of `corruption_table`.
        reference: The table of a reference network under the same conditions. The error of each corruption is divided
            by that of the reference, so that hard corruptions do not dominate (1 = as good as the reference).
        faces: Average over the face-specific corruptions instead of the fifteen of ImageNet-C.

    Returns:
        A fraction; nan if the reference makes no error under some corruption.
    """
    groups = ("face",) if faces else ("noise", "blur", "weather", "digital")
    errors = _summed(table, groups)
    if reference is None:
        severities = table.loc[table["severity"] > 0, "severity"].nunique()
        return float(errors.mean() / severities)
    baseline = _summed(reference, groups).reindex(errors.index)
    return float((errors / baseline).mean()) if (baseline > 0).all() else math.nan


def _summed(table: pd.DataFrame, groups: Sequence[str]) -> pd.Series[float]:
    return table[table["group"].isin(groups)].groupby("corruption")["error"].sum()


def read_corruptions(path: Path) -> pd.DataFrame:
    """Read a `corruptions.csv`, given its path or that of its directory.

    Raises:
        UserError: There is no such file, or it is a different kind of file.
    """
    import pandas as pd

    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        inside = sorted(path.glob(f"evaluation/*/{FILE}"))
        hint = f" Did you mean {inside[0]}?" if inside else ""
        raise UserError(
            f"reference={path}: there is no {FILE}.{hint}",
            "Make one with gender-lightning evaluate checkpoint=REFERENCE corruptions=full.",
            field="reference",
        )
    try:
        table = pd.read_csv(file, keep_default_na=False, na_values=["nan", "NaN"])
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is not a table ({error}).", f"Give the {FILE} that evaluate wrote.") from error
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise UserError(f"{file} lacks the columns {', '.join(missing)}.", f"Give the {FILE} that evaluate wrote.")
    return table


def check_comparable(table: pd.DataFrame, reference: pd.DataFrame) -> None:
    """Reject a reference that was measured under other conditions.

    Raises:
        UserError: The corruptions, severities, parameters or numbers of images differ.
    """
    for column, what in (("corruption", "corruptions"), ("severity", "severities"), ("parameters", "parameters")):
        ours, theirs = (sorted(set(each[column].astype(str))) for each in (table, reference))
        if ours != theirs:
            only = ", ".join(sorted(set(ours) ^ set(theirs))) or "none"
            raise UserError(
                f"The reference was measured with other {what} (not in both: {only}).",
                "Evaluate it at the same image size and with the same corruptions=...",
            )
    if int(table["n"].iloc[0]) != int(reference["n"].iloc[0]):
        raise UserError(
            f"The reference was measured on {reference['n'].iloc[0]} images, this run on {table['n'].iloc[0]}.",
            "Evaluate both on the same data and split.",
        )


def conditions_text(table: pd.DataFrame) -> str:
    """Describe the conditions of a table: number of images, severities and parameter set."""
    severities = sorted({int(severity) for severity in table["severity"] if severity > 0})
    parameters = next((text for text in table["parameters"] if text), "")
    which = f"severity {severities[0]}" if len(severities) == 1 else f"severities {severities[0]} to {severities[-1]}"
    return f"{int(table['n'].iloc[0]):,} images, {which}, parameters of {parameters}"
