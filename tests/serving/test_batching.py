from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import wait

import pytest

from gender_lightning.serving.batching import Batcher
from gender_lightning.serving.rates import Rates


class Slow:
    """Squares numbers when it is told to go on, and notes the batches that it was given."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.busy, self.go = threading.Event(), threading.Event()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        self.busy.set()
        assert self.go.wait(20)
        if 13 in numbers:
            raise ValueError("unlucky")
        return [number**2 for number in numbers]


def test_what_arrives_meanwhile_is_answered_together_and_in_order() -> None:
    slow = Slow()
    batcher = Batcher(slow, most=4, wait=0)
    first = batcher.ask(0)
    assert slow.busy.wait(20)
    rest = [batcher.ask(number) for number in range(1, 7)]
    assert batcher.waiting == 6
    slow.go.set()
    assert [future.result(20) for future in (first, *rest)] == [0, 1, 4, 9, 16, 25, 36]
    assert slow.batches == [[0], [1, 2, 3, 4], [5, 6]]
    batcher.close()


def test_a_question_waits_for_company() -> None:
    slow = Slow()
    slow.go.set()
    batcher = Batcher(slow, most=2, wait=20)
    wait([batcher.ask(1), batcher.ask(2)], timeout=10)  # a full batch does not wait
    assert slow.batches == [[1, 2]]
    third = batcher.ask(3)
    threading.Thread(target=batcher.close).start()  # nor does the last one
    assert third.result(10) == 9


def test_a_question_that_fails_fails_alone() -> None:
    slow = Slow()
    batcher = Batcher(slow, most=8, wait=0)
    batcher.ask(0)
    assert slow.busy.wait(20)
    futures = [batcher.ask(number) for number in (1, 13, 2)]
    slow.go.set()
    assert [future.result(20) for future in (futures[0], futures[2])] == [1, 4]
    with pytest.raises(ValueError, match="unlucky"):
        futures[1].result(20)
    assert batcher.is_alive
    batcher.close()


def test_the_end_answers_what_is_waiting_and_accepts_nothing_more() -> None:
    slow = Slow()
    batcher = Batcher(slow, most=1, wait=0)
    futures = [batcher.ask(number) for number in range(3)]
    assert slow.busy.wait(20)
    assert futures[2].cancel()
    slow.go.set()
    batcher.close()
    assert [future.result(0) for future in futures[:2]] == [0, 1] and slow.batches == [[0], [1]]
    assert not batcher.is_alive
    with pytest.raises(RuntimeError):
        batcher.ask(4)


def test_a_client_may_ask_as_often_as_its_rate() -> None:
    rates = Rates(2.0)
    assert [rates.wait("10.0.0.1", now) for now in (0, 0, 0)] == [0, 0, 0.5]
    assert rates.wait("10.0.0.2", 0) == 0
    assert [rates.wait("10.0.0.1", now) for now in (0.5, 0.5, 9, 9, 9)] == [0, 0.5, 0, 0, 0.5]
    assert Rates(0.1).wait("10.0.0.1", 0) == 0


def test_an_ipv6_household_is_one_client_and_a_crowd_takes_no_memory() -> None:
    rates = Rates(1.0)
    assert rates.wait("2001:db8:1:2::1", 0) == 0 and rates.wait("2001:db8:1:2:ffff::9", 0) == 1
    assert rates.wait("2001:db8:1:3::1", 0) == 0
    assert rates.wait("::ffff:10.0.0.1", 0) == 0 and rates.wait("10.0.0.1", 0) == 1
    for number in range(11_000):
        rates.wait(f"client {number}", 0)
    assert len(rates._buckets) == 10_000
