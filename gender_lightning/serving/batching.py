"""Dynamic batching: one thread owns the network, and looks at what has arrived together."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

Question = TypeVar("Question")
Answer = TypeVar("Answer")


@dataclass
class _Waiting(Generic[Question, Answer]):
    question: Question
    answer: Future[Answer] = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)


class Batcher(Generic[Question, Answer]):
    """Answers questions in batches, in a thread of its own, in the order of their arrival.

    A question waits for company for at most `wait` seconds, and not at all while a full batch is there; those that
    arrive while a batch is being answered form the next one. A question that fails fails alone.
    """

    def __init__(self, answer: Callable[[Sequence[Question]], Sequence[Answer]], most: int, wait: float) -> None:
        """Start the thread.

        Args:
            answer: Answers several questions, in order. It is called by one thread only.
            most: Most questions of a batch.
            wait: Longest time that a question waits for others, s.
        """
        self._answer = answer
        self._most = most
        self._wait = wait
        self._queue: queue.Queue[_Waiting[Question, Answer] | None] = queue.Queue()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="network", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many questions no batch has taken yet."""
        return self._queue.qsize()

    @property
    def is_alive(self) -> bool:
        """Whether questions are answered."""
        return self._thread.is_alive() and not self._closed

    def ask(self, question: Question) -> Future[Answer]:
        """Put a question; a future that is cancelled before its batch begins costs nothing.

        Raises:
            RuntimeError: The batcher was closed.
        """
        waiting: _Waiting[Question, Answer] = _Waiting(question)
        with self._closing:  # nothing is put behind the end
            if self._closed:
                raise RuntimeError("closed")
            self._queue.put(waiting)
        return waiting.answer

    def close(self) -> None:
        """Answer what is waiting, then end the thread."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, ends = self._company(first)
            taken = [waiting for waiting in batch if waiting.answer.set_running_or_notify_cancel()]
            if taken:
                self._settle(taken)
            if ends:
                return

    def _company(self, first: _Waiting[Question, Answer]) -> tuple[list[_Waiting[Question, Answer]], bool]:
        """The batch that begins with this question, and whether the end was met."""
        batch = [first]
        while len(batch) < self._most:
            try:
                following = self._queue.get(timeout=max(0.0, first.since + self._wait - time.monotonic()))
            except queue.Empty:
                break
            if following is None:
                return batch, True
            batch.append(following)
        return batch, False

    def _settle(self, batch: list[_Waiting[Question, Answer]]) -> None:
        try:
            answers = self._answer([waiting.question for waiting in batch])
        except Exception as error:
            if len(batch) == 1:
                log.exception("A question could not be answered.")
                batch[0].answer.set_exception(error)
                return
            for waiting in batch:
                self._settle([waiting])
            return
        for waiting, answer in zip(batch, answers, strict=True):
            waiting.answer.set_result(answer)
