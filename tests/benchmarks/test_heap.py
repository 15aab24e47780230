"""Each way of the heap is measured in processes of its own, in turn."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from gender_lightning.benchmarks import heap
from gender_lightning.benchmarks.heap import WAYS, main

TINY = ["model=timm", "model.name=timm/test_resnet", "data.image_size=32", "data.batch_size=4"]


def test_a_process_measures_one_way(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--way", "glibc", "--seconds", "0", "trainer.precision=32-true", *TINY])
    assert float(capsys.readouterr().out) > 0


def test_the_ways_take_turns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []
    rates = {"glibc": 10.0, "kept": 11.0, "kept, huge pages": 15.0}

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        way = command[command.index("--way") + 1]
        asked.append(way)
        assert command[1:3] == ["-m", heap.__name__] and command[-len(TINY) :] == TINY
        return subprocess.CompletedProcess(command, 0, stdout=f"something said before\n{rates[way] + len(asked)}\n")

    monkeypatch.setattr(subprocess, "run", run)
    main(["--repeats", "2", *TINY])
    assert asked == [*WAYS, *reversed(WAYS)]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["way"] for line in lines] == list(WAYS) and all(line["n"] == 2 for line in lines)
    assert lines[0]["range"] == [11.0, 16.0] and lines[0]["ratio"] == 1.0
    assert lines[2]["images_per_second"] == 18.5 and lines[2]["ratio"] == round(18.5 / 13.5, 2)
