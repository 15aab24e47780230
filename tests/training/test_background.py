"""Jobs in a thread, and copies that later steps do not reach."""

from __future__ import annotations

import threading

import pytest
import torch

from gender_lightning.training.background import BackgroundWriter, on_host


def test_jobs_run_one_after_another_beside_the_caller() -> None:
    writer, gate, done = BackgroundWriter(), threading.Event(), []
    writer.start(lambda: gate.wait(30) and done.append(1))
    writer.check()
    assert done == []
    threading.Timer(0.1, gate.set).start()
    writer.start(lambda: done.append(2))  # waits for the first
    assert done[0] == 1
    writer.wait()
    assert done == [1, 2]


def test_an_error_is_raised_once_by_whatever_comes_next() -> None:
    def fail() -> None:
        raise OSError("disk")

    writer, done = BackgroundWriter(), []
    for come_next in (writer.wait, lambda: writer.start(lambda: done.append(1))):
        writer.start(fail)
        with pytest.raises(OSError, match="disk"):
            come_next()
    assert done == []
    writer.check()
    writer.start(fail)
    with pytest.raises(OSError, match="disk"):
        check_until_it_raises(writer)


def test_a_copy_is_out_of_reach_of_later_steps() -> None:
    layout = torch.channels_last
    weight = torch.nn.Parameter(torch.randn(2, 3, 4, 4).to(memory_format=layout))
    content = {"state": {0: {"step": torch.tensor(1.0), "of": [weight, (1, "a")]}}, "loops": {"done": [1]}}
    copy = on_host(content)
    before = weight.detach().clone()
    with torch.no_grad():
        weight.add_(1)
        content["state"][0]["step"].add_(1)  # type: ignore[index]
    content["loops"]["done"].append(2)  # type: ignore[index]
    assert torch.equal(copy["state"][0]["of"][0], before)
    assert copy["state"][0]["of"][0].is_contiguous(memory_format=layout)
    assert copy["state"][0]["step"] == 1
    assert copy["state"][0]["of"][1] == (1, "a")
    assert copy["loops"] == {"done": [1]}


def check_until_it_raises(writer: BackgroundWriter) -> None:
    while True:
        writer.check()
