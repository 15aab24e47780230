"""Forks beside threads that have computed. Networks that threads share are tested with the predictor."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections.abc import Callable

import pytest

from gender_lightning.models import sharing

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists a process's threads in /proc")


@pytest.fixture(autouse=True)
def nothing_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_computed_in", set())


def in_thread(work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def fork() -> None:
    if not (child := os.fork()):
        os._exit(0)
    os.waitpid(child, 0)


def test_a_fork_waits_until_the_threads_that_worked_for_an_ended_one_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    in_thread(sharing.prepare_thread)
    began = time.monotonic()
    leaving = 0.08  # seconds until the last of OpenMP's threads is gone

    def tasks() -> set[int]:
        return {1, 2} if time.monotonic() - began < leaving else {1}

    monkeypatch.setattr(sharing, "_tasks", tasks)
    fork()
    assert time.monotonic() - began >= leaving + sharing._STILL
    again = time.monotonic()
    fork()
    assert time.monotonic() - again < sharing._STILL, "it waits for a thread once"


def test_a_fork_waits_for_no_thread_that_lives_or_has_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_tasks", lambda: pytest.fail("it looked for threads that end"))
    prepared, finish = threading.Event(), threading.Event()

    def compute() -> None:
        sharing.prepare_thread()
        prepared.set()
        finish.wait()

    living = threading.Thread(target=compute)
    living.start()
    prepared.wait()
    in_thread(lambda: None)
    sharing.prepare_thread()  # in the main thread, which a fork continues
    fork()
    finish.set()
    living.join()


def test_a_fork_does_not_wait_forever_for_threads_that_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    in_thread(sharing.prepare_thread)
    numbers = itertools.count()
    monkeypatch.setattr(sharing, "_tasks", lambda: {next(numbers)})
    monkeypatch.setattr(sharing, "_PATIENCE", 0.3)
    began = time.monotonic()
    fork()
    assert time.monotonic() - began >= 0.3


def test_a_server_with_a_thread_for_each_request_remembers_few_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_MOST", 3)
    for _ in range(20):
        in_thread(sharing.prepare_thread)
    assert len(sharing._computed_in) <= 3
