"""One thread per slot of the machine; no job waits for another."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from gender_lightning.console import console
from gender_lightning.sweeps.processes import Children, Stopped
from gender_lightning.sweeps.slots import Slot

GRACE_SECONDS = 30.0
_TICK = 0.25


def work_off(
    slots: Sequence[Slot], work: Callable[[Slot], None], children: Children, watch: Callable[[], None]
) -> bool:
    """Let every slot work until there is nothing left to do.

    Args:
        slots: Each gets a thread.
        work: Takes jobs and runs them on a slot, until there is none or the children are being stopped.
        children: The processes that `work` starts.
        watch: Called a few times a second, such as to redraw a table.

    Returns:
        Whether it was interrupted. One Ctrl-C (or SIGTERM) lets running jobs save and end, a second ends them.

    Raises:
        Exception: what `work` raised first; the other slots are stopped then.
    """
    errors: list[Exception] = []
    ended: list[int] = []  # slots; Thread.join and is_alive take a thread for ended when Ctrl-C breaks into them

    def guarded(slot: Slot) -> None:
        try:
            work(slot)
        except Stopped:
            pass
        except Exception as error:  # raised again below, in the main thread
            errors.append(error)
            children.stop()
        finally:
            ended.append(slot.number)

    threads = [threading.Thread(target=guarded, args=(slot,), name=f"slot-{slot.number}") for slot in slots]
    with _sigterm_as_interrupt():
        for thread in threads:
            thread.start()
        interrupted = _wait(lambda: len(ended) == len(threads), children, watch)
    if errors:
        raise errors[0]
    return interrupted


def _wait(is_over: Callable[[], bool], children: Children, watch: Callable[[], None]) -> bool:
    interrupts, deadline = 0, float("inf")
    while not is_over():
        try:
            time.sleep(_TICK)
            watch()
            if time.monotonic() > deadline:
                children.kill()
        except KeyboardInterrupt:
            interrupts += 1
            deadline = time.monotonic() + GRACE_SECONDS
            if interrupts == 1:
                console.print("Interrupted: running jobs save and end. Once more ends them at once.")
                children.stop()
            else:
                children.kill()
    return interrupts > 0


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """A scheduler's SIGTERM means what Ctrl-C means."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # Python handles signals nowhere else
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
