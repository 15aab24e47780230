"""The table of errors, and the mean corruption error by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from gender_lightning.data.dataset import Batch
from gender_lightning.data.framing import Framing
from gender_lightning.diagnostics.corruption_results import (
    COLUMNS,
    FILE,
    check_comparable,
    chosen_rows,
    conditions,
    conditions_text,
    corruption_table,
    mean_corruption_error,
    read_corruptions,
)
from gender_lightning.errors import UserError
from gender_lightning.evaluation.corruptions.catalogue import CORRUPTIONS, corrupt
from gender_lightning.machine.hardware import resolve_hardware
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, Network

CPU = resolve_hardware(accelerator="cpu", precision="32-true")


class _Bright(nn.Module):
    """Male where the picture is brighter than its middle grey."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((1, 2, 3)) - 0.3


@pytest.fixture(scope="module")
def network() -> Network:
    return Network(_Bright(), ModelSpec(backbone="resnet18", framing=Framing(32))).eval()


@pytest.fixture(scope="module")
def pictures() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    base = torch.rand(20, 3, 4, 4, generator=generator) * 0.3 + torch.linspace(0.2, 0.6, 20)[:, None, None, None]
    images = (nn.functional.interpolate(base, (32, 32), mode="bilinear") * 255).to(torch.uint8)
    return images, (torch.arange(20) >= 9).long()


def _batches(pictures: tuple[Tensor, Tensor], size: int) -> Iterator[Batch]:
    images, labels = pictures
    for start in range(0, len(images), size):
        stop = min(start + size, len(images))
        yield Batch(images[start:stop], labels[start:stop], torch.arange(start, stop))


def _table(network: Network, pictures: tuple[Tensor, Tensor], size: int, mode: str = "quick") -> pd.DataFrame:
    return corruption_table(network, _batches(pictures, size), CPU, mode=mode, framing=Framing(32), seed=2)


def test_the_table_is_what_the_network_says_of_disturbed_pictures(
    network: Network, pictures: tuple[Tensor, Tensor]
) -> None:
    counted: list[int] = []
    table = corruption_table(
        network, _batches(pictures, 7), CPU, mode="full", framing=Framing(32), seed=2, advance=counted.append
    )
    assert list(table.columns) == list(COLUMNS) and len(table) == 1 + 22 * 5
    assert sum(counted) == 20 * len(table)
    images, labels = pictures
    for name, severity in (("fog", 4), ("mask", 2)):
        said = network(corrupt(name, severity, images, torch.arange(20), seed=2)) >= 0
        row = table[(table["corruption"] == name) & (table["severity"] == severity)].iloc[0]
        assert row["accuracy"] == pytest.approx((said == (labels == 1)).double().mean().item())
        assert row["recall_male"] == pytest.approx(said[labels == 1].double().mean().item())
        assert row["error"] == pytest.approx(1 - row["accuracy"]) and row["n"] == 20
    assert table.iloc[0][["corruption", "severity"]].tolist() == ["none", 0]
    assert set(table.loc[table["group"] == "noise", "parameters"]) == {"cifar-10-c"}
    assert set(table.loc[table["group"] == "face", "parameters"]) == {""}


def test_the_table_does_not_depend_on_the_batches(network: Network, pictures: tuple[Tensor, Tensor]) -> None:
    pd.testing.assert_frame_equal(_table(network, pictures, 20), _table(network, pictures, 3))


def test_the_mean_corruption_error_by_hand() -> None:
    rows = [
        ("none", "clean", 0, 0.0), ("fog", "weather", 1, 0.1), ("fog", "weather", 2, 0.3), ("snow", "weather", 1, 0.2),
        ("snow", "weather", 2, 0.6), ("mask", "face", 1, 0.5), ("mask", "face", 2, 0.7),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["corruption", "group", "severity", "error"])
    worse = table.assign(error=[0.0, 0.2, 0.6, 0.1, 0.3, 1.0, 1.4])
    assert mean_corruption_error(table) == pytest.approx((0.2 + 0.4) / 2)
    assert mean_corruption_error(table, faces=True) == pytest.approx(0.6)
    # 0.4 / 0.8 and 0.8 / 0.4
    assert mean_corruption_error(table, worse) == pytest.approx(1.25)
    assert mean_corruption_error(table, worse, faces=True) == pytest.approx(0.5)
    assert mean_corruption_error(table, table) == pytest.approx(1.0)
    assert np.isnan(mean_corruption_error(table, worse.assign(error=0.0)))


def test_quick_looks_at_fewer() -> None:
    assert len(conditions("quick")) == 1 + len(CORRUPTIONS)
    assert len(chosen_rows("quick", 5000)) == 1000 and chosen_rows("quick", 5000)[-1] == 4999
    assert len(chosen_rows("quick", 300)) == 300 and len(chosen_rows("full", 5000)) == 5000


def test_a_table_comes_back_from_its_file(network: Network, pictures: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    table = _table(network, pictures, 20)
    table.to_csv(tmp_path / FILE, index=False)
    for place in (tmp_path, tmp_path / FILE):
        pd.testing.assert_frame_equal(read_corruptions(place), table)
    check_comparable(table, table)
    assert conditions_text(table) == "20 images, severity 3, parameters of cifar-10-c"


def test_a_reference_that_does_not_fit_is_refused(
    network: Network, pictures: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    table = _table(network, pictures, 20)
    with pytest.raises(UserError, match="other severities"):
        check_comparable(table, table.assign(severity=2))
    with pytest.raises(UserError, match="other parameters"):
        check_comparable(table, table.assign(parameters="imagenet-c"))
    with pytest.raises(UserError, match="on 19 images, this run on 20"):
        check_comparable(table, table.assign(n=19))
    with pytest.raises(UserError, match=r"there is no corruptions\.csv"):
        read_corruptions(tmp_path)
    (tmp_path / FILE).write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="lacks the columns corruption"):
        read_corruptions(tmp_path)
