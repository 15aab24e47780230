"""Errors that are the user's to mend: one sentence of what is wrong, one of what to do next."""

from __future__ import annotations

from collections.abc import Sequence


class UserError(ValueError):
    """Bad input. The command line prints the message alone and exits with code 2."""


class UserErrors(UserError):
    """Several mistakes found at once, reported together."""

    def __init__(self, messages: Sequence[str]) -> None:
        assert messages
        self.messages = list(messages)
        if len(self.messages) == 1:
            text = self.messages[0]
        else:
            text = f"{len(self.messages)} mistakes:\n" + "\n".join(f"- {message}" for message in self.messages)
        super().__init__(text)
