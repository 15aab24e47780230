"""The script behind the manual's table of simulations runs, and the table has its figures."""

from __future__ import annotations

import pytest
from simulations import PARTS, bounds, main


def test_ninety_in_a_hundred_shifted_crowds_cannot_be_told_from_eighty_people() -> None:
    most = [rate for _, rate in bounds(1)]
    assert [round(rate, 2) for rate in most[:3]] == [0.87, 0.91, 0.84]  # as docs/methods/counting.md says
    assert min(most[3:]) > 0.95


@pytest.mark.slow
def test_every_part_prints_rates(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["simulations.py", "--times", "1"])
    main()
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()]
    assert {row[0].removeprefix("| ") for row in rows} == {part.__name__ for part in PARTS}
    assert all(0 <= float(row[2]) <= 1 for row in rows)
