"""A pool of threads, one per slot of the machine; no job waits for another."""

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
    """Let every slot work until no job is left.

    Args:
        slots: Each gets a thread.
        work: Takes jobs and runs them on a slot, until no job is left or the children are being stopped.
        children: The processes that `work` starts.
        watch: Called a few times a second, for example to redraw a table.

    Returns:
        Whether it was interrupted. A first Ctrl-C (or SIGTERM) lets running jobs save and end, a second one kills them.

    Raises:
        Exception: The first exception of `work` or `watch`, after which all slots are stopped.
    """
    errors: list[Exception] = []

    def guarded(slot: Slot) -> None:
        try:
            work(slot)
        except Stopped:
            pass
        except Exception as error:  # raised again below, in the main thread
            errors.append(error)
            children.stop()

    threads = [threading.Thread(target=guarded, args=(slot,), name=f"slot-{slot.number}") for slot in slots]
    with _counted_interrupts() as interrupts:
        for thread in threads:
            thread.start()
        try:
            _wait(threads, interrupts, children, watch)
        except Exception as error:  # of `watch`
            errors.append(error)
            children.stop()
            _wait(threads, interrupts, children, lambda: None)
    if errors:
        raise errors[0]
    return bool(interrupts)


def _wait(
    threads: Sequence[threading.Thread], interrupts: Sequence[int], children: Children, watch: Callable[[], None]
) -> None:
    seen, stopped = 0, float("inf")
    while any(thread.is_alive() for thread in threads):
        time.sleep(_TICK)
        watch()
        if len(interrupts) > seen:
            seen = len(interrupts)
            if seen == 1:
                console.print("Interrupted: running jobs save and end. Press Ctrl-C again to end them at once.")
            children.stop()
        if children.stopping.is_set():
            stopped = min(stopped, time.monotonic())
        if seen > 1 or time.monotonic() - stopped > GRACE_SECONDS:
            children.kill()


@contextmanager
def _counted_interrupts() -> Iterator[list[int]]:
    """Collect the numbers of the signals that arrive; a scheduler's SIGTERM means the same as Ctrl-C.

    The handlers raise nothing: an exception at an arbitrary place could leave a lock behind, and a second Ctrl-C could
    interrupt the response to the first.
    """
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    if threading.current_thread() is not threading.main_thread():  # Python handles signals nowhere else
        yield came
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
