"""Signals that ask a program to end: it saves its work first, within a time limit."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

# Schedulers kill a process half a minute after the signal (SLURM's KillWait, Kubernetes' grace period); sweeps do too.
GRACE_SECONDS = 25.0
ASKED = ("SIGINT", "SIGTERM", "SIGHUP")


class Interrupted(SystemExit):
    """The end of the program at the request of a signal; the exit code is the shell's, 128 + number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number

    @property
    def name(self) -> str:
        """The name of the signal, such as SIGTERM."""
        return signal.Signals(self.number).name


class Interruption:
    """The handling of signals that ask the program to end.

    The first signal raises `Interrupted` at once or, while `defers` is set, only sets `number`: the code that defers it
    checks `number` between two steps, saves, and raises. A second signal ends the program immediately, and so does
    the first one after `GRACE_SECONDS`, even if something hangs.
    """

    def __init__(self) -> None:
        self.number = 0  # of the signal that has arrived
        self.defers = False
        self._last_words: Callable[[], None] = lambda: None
        self._deadline: threading.Timer | None = None

    @contextmanager
    def listening(self, names: Sequence[str] = ASKED, last_words: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Handle these signals during the block; a signal that is ignored already (nohup) stays ignored.

        Args:
            names: Names of signals such as SIGTERM; those that the system does not know are skipped.
            last_words: Called if the program is ended immediately.
        """
        if threading.current_thread() is not threading.main_thread():  # Python handles signals nowhere else
            yield
            return
        self._last_words = last_words
        numbers = {getattr(signal, name) for name in names if hasattr(signal, name)}
        before = {n: signal.getsignal(n) for n in numbers if signal.getsignal(n) is not signal.SIG_IGN}
        process = os.getpid()

        def note(number: int, frame: FrameType | None) -> None:
            if os.getpid() == process:  # not in a process that was forked in the meantime, such as a loader's
                self._note(number)

        for number in before:
            signal.signal(number, note)
        try:
            yield
        finally:
            if self._deadline is not None:
                self._deadline.cancel()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int) -> None:
        if self.number:
            self._end(number)
        self.number = number
        self._deadline = threading.Timer(GRACE_SECONDS, self._end, [number])
        self._deadline.daemon = True
        self._deadline.start()
        if not self.defers:
            raise Interrupted(number)
        if os.environ.get("LOCAL_RANK", "0") == "0":
            name = signal.Signals(number).name
            # not print: the signal may have interrupted a print
            os.write(2, f"\n{name}: the training saves and ends. A second signal ends it at once.\n".encode())

    def _end(self, number: int) -> None:
        try:
            self._last_words()
            sys.stdout.flush()
        finally:
            os._exit(128 + number)
