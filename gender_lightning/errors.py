"""Errors that the user can correct: what is wrong, and what to do next."""

from __future__ import annotations

import re
from collections.abc import Sequence

# A DataLoader raises a worker's error again, with the worker's whole traceback as the text.
_FROM_WORKER = re.compile(r"Caught \w+ in .*?\nOriginal Traceback .*\n(?:[\w.]+\.)?UserErrors?: (.*)\Z", re.DOTALL)


class UserError(ValueError):
    """Bad input. The command line prints the message alone and exits with code 2.

    Args:
        problem: What is wrong, as a sentence with its full stop.
        remedy: What to do next, as a sentence of its own; empty only if `problem` says it already, as in "it should be
            a number".
        field: The configuration field at fault, as typed (`optimizer.lr`), if there is one. It is not printed.

    Example:
        >>> print(UserError("There is no directory runs/a.", "Name one that `train` made."))
        There is no directory runs/a. Name one that `train` made.
    """

    def __init__(self, problem: str = "", remedy: str = "", *, field: str | None = None) -> None:
        from_worker = _FROM_WORKER.match(problem)
        self.problem = from_worker[1].rstrip() if from_worker else problem
        self.remedy = remedy
        self.field = field
        super().__init__(f"{self.problem} {remedy}" if remedy else self.problem)

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows of it: the message, as on the command line, not the way through this program."""
        return [f"UserError: {self}"]

    def __reduce__(self) -> tuple[object, ...]:
        return type(self)._restore, (self.problem, self.remedy, self.field)

    @classmethod
    def _restore(cls, problem: str, remedy: str, field: str | None) -> UserError:
        return cls(problem, remedy, field=field)


class PastHydra(SystemExit):
    """A carrier of an exception through Hydra, which would print any other exception and end the process.

    Args:
        error: The exception, which `running.execute` raises again.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(1)
        self.error = error


def printable(text: str) -> str:
    """The text without characters that control a terminal, since quoted names and texts may come from anybody."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text)


class UserErrors(UserError):
    """Several mistakes found at once, reported together.

    Args:
        mistakes: The mistakes, at least one. (A DataLoader passes the text of a worker's error instead.)
    """

    def __init__(self, mistakes: Sequence[str | UserError]) -> None:
        mistakes = [mistakes] if isinstance(mistakes, str) else mistakes  # from a DataLoader's worker
        assert mistakes
        self.mistakes = [mistake if isinstance(mistake, UserError) else UserError(mistake) for mistake in mistakes]
        self.messages = [str(mistake) for mistake in self.mistakes]
        if len(self.messages) == 1:
            text = self.messages[0]
        else:
            text = f"{len(self.messages)} mistakes:\n" + "\n".join(f"- {message}" for message in self.messages)
        super().__init__(text)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.mistakes,)
