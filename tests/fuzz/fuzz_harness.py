"""A case is a file or a config of somebody else; it ends in a result or in one sentence, and in nothing else."""

from __future__ import annotations

import resource
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import numpy as np

from gender_lightning.errors import UserError

SECONDS = 60  # of one case, before it counts as a hang; each takes milliseconds
MOST_GROWTH = 2 << 30  # bytes of the process over all cases of a class
Rng = np.random.Generator


@dataclass(frozen=True)
class Case:
    """What is tried, under the class it counts in."""

    kind: str
    run: Callable[[], object]


class Hang(BaseException):
    """A case took too long."""


def judge(cases: Iterable[Case]) -> Counter[tuple[str, str]]:
    """Run all cases; how many of each kind ended in a result, and how many were refused.

    Raises:
        AssertionError: one ended otherwise, or memory grew without bounds; names the case.
    """
    counts: Counter[tuple[str, str]] = Counter()
    wrong: list[str] = []
    before = _peak()
    for number, case in enumerate(cases):
        try:
            with time_limit(f"{case.kind} {number}"):
                case.run()
            counts[case.kind, "result"] += 1
        except UserError as error:
            counts[case.kind, "refused"] += 1
            if complaint := ill_formed(str(error)):
                wrong.append(f"{case.kind} {number}: {complaint}: {error}")
        except (Exception, Hang) as error:
            wrong.append(f"{case.kind} {number}: {type(error).__name__}: {str(error)[:300]}")
    assert not wrong, f"{len(wrong)} cases:\n" + "\n".join(wrong[:40])
    assert _peak() - before < MOST_GROWTH, f"{(_peak() - before) >> 20} MB more memory"
    return counts


def ill_formed(text: str) -> str:
    """What is wrong with a message."""
    if not text.strip():
        return "empty"
    if "Traceback" in text:
        return "a traceback"
    if text.rstrip()[-1] not in ".?!:)'`":
        return "no sentence"
    return "too long" if len(text) > 4000 else ""


@contextmanager
def time_limit(name: str) -> Iterator[None]:
    """Raise `Hang` in the main thread when it takes too long."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang(f"{name} took more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def flipped(data: bytes, rng: Rng, most: int = 12) -> bytes:
    """Some bytes changed."""
    changed = bytearray(data)
    for place in rng.integers(0, len(data), rng.integers(1, most + 1)):
        changed[place] = int(rng.integers(0, 256))
    return bytes(changed)


def cut(data: bytes, rng: Rng) -> bytes:
    """The end is missing."""
    return data[: int(rng.integers(0, len(data)))]


def spliced(data: bytes, rng: Rng) -> bytes:
    """A part is doubled or missing."""
    a, b = sorted(int(place) for place in rng.integers(0, len(data), 2))
    return data[:b] + data[a:] if rng.random() < 0.5 else data[:a] + data[b:]


def damaged(data: bytes, rng: Rng) -> bytes:
    """One of these."""
    return (flipped, cut, spliced)[int(rng.integers(0, 3))](data, rng)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def shown(counts: Counter[tuple[str, str]]) -> str:
    """One line per class."""
    kinds = sorted({kind for kind, _ in counts})
    lines = [f"{kind:<34}{counts[kind, 'result']:>6} results {counts[kind, 'refused']:>6} refused" for kind in kinds]
    return "\n".join([*lines, f"{'all':<34}{sum(counts.values()):>6} cases"])
