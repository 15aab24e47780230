"""Rates are counted by the clock, in turns."""

from __future__ import annotations

import time

import pytest
import torch

from gender_lightning.benchmarks.timing import Rate, one_core, take_turns

CPU = torch.device("cpu")


def test_a_rate_is_images_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)

    def unit() -> int:
        nonlocal now
        now += 0.5
        return 10

    rates = take_turns({"ours": unit}, repeats=3, seconds=2.0, device=CPU)
    assert rates["ours"].samples == (20.0, 20.0, 20.0)


def test_units_take_turns_in_alternating_order_after_one_piece_unmeasured() -> None:
    order: list[str] = []
    units = {name: lambda name=name: order.append(name) or 1 for name in ("a", "b")}
    told: list[tuple[int, int]] = []
    take_turns(units, repeats=2, seconds=0.0, device=CPU, report=lambda done, total: told.append((done, total)))
    assert order == ["a", "b", "a", "b", "b", "a"]
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_median_counts() -> None:
    assert Rate((1.0, 100.0, 3.0)).median == 3.0


def test_one_core_is_given_back() -> None:
    before = torch.get_num_threads()
    with one_core():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
