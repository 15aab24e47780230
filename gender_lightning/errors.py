"""Errors that are the user's to mend: one sentence of what is wrong, one of what to do next."""

from __future__ import annotations

import re
from collections.abc import Sequence

# A DataLoader raises what its worker raised anew, with the worker's whole traceback as the text.
_OF_WORKER = re.compile(r"Caught \w+ in .*?\nOriginal Traceback .*\n(?:[\w.]+\.)?UserErrors?: (.*)\Z", re.DOTALL)


class UserError(ValueError):
    """Bad input. The command line prints the message alone and exits with code 2."""

    def __init__(self, text: str = "") -> None:
        found = _OF_WORKER.match(text)
        super().__init__(found[1].rstrip() if found else text)


def printable(text: str) -> str:
    """Without what steers a terminal: names of files and words of theirs are quoted, and may be anybody's."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text)


class UserErrors(UserError):
    """Several mistakes found at once, reported together."""

    def __init__(self, messages: Sequence[str]) -> None:
        messages = [messages] if isinstance(messages, str) else messages  # from a DataLoader's worker
        assert messages
        self.messages = list(messages)
        if len(self.messages) == 1:
            text = self.messages[0]
        else:
            text = f"{len(self.messages)} mistakes:\n" + "\n".join(f"- {message}" for message in self.messages)
        super().__init__(text)
