"""The command line: `gender-lightning <command> [overrides]`. Picks the command and hands over to Hydra.

Nothing heavy is imported here: `--help` and tab completion answer before torch would be loaded.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import sys

from gender_lightning.errors import UserError, printable
from gender_lightning.job import settle
from gender_lightning.running import execute, run_hydra
from gender_lightning.verbs import COMMANDS

_HELP = ("--help", "-h")


def main() -> None:
    """Entry point of the console script and of `python -m gender_lightning`."""
    settle()
    arguments = sys.argv[1:]
    try:
        if arguments and arguments[0] in ("-sc", "--shell-completion"):
            _complete(arguments)
        elif not arguments or arguments[0] in (*_HELP, "help"):
            sys.stdout.write(usage())
        elif arguments[0] == "--version":
            from gender_lightning import __version__

            sys.stdout.write(f"gender-lightning {__version__}\n")
        else:
            _dispatch(arguments[0], arguments[1:])
    except UserError as error:
        sys.stderr.write(f"{printable(str(error))}\n")
        sys.exit(2)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" for {error.filename}" if error.filename else ""
        sys.stderr.write(f"There is no disk space left{where}. Free some space, or choose another disk.\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        sys.exit(130)


def usage() -> str:
    """The text that `gender-lightning --help` prints."""
    lines = ["usage: gender-lightning <command> [field=value ...]", ""]
    for verb, command in COMMANDS.items():
        lines.append(f"  {verb:<12} {command.purpose}")
        lines.append(f"  {'':<12}   gender-lightning {command.example}")
    lines += ["", "`gender-lightning <command> --help` shows its groups and fields.", ""]
    return "\n".join(lines)


def _dispatch(verb: str, rest: list[str]) -> None:
    if verb not in COMMANDS:
        from gender_lightning.config.validation import suggestion

        hint = suggestion(verb, COMMANDS)
        raise UserError(f"There is no command {verb!r}.", f"{hint} `gender-lightning --help` lists them.")
    if any(argument in _HELP for argument in rest):
        sys.stdout.write(_help(verb, rest))
        return
    actions = COMMANDS[verb].actions
    action = None
    if " ".join(rest[:2]) in actions:  # an action of two words
        rest = [" ".join(rest[:2]), *rest[2:]]
    if actions:
        if not rest or rest[0] not in actions:
            said = f"{rest[0]!r} is not one of its actions." if rest else "an action is missing."
            offer = ", ".join(f"{verb} {name}" for name in actions)
            raise UserError(f"gender-lightning {verb}: {said}", f"Write one of: {offer}.")
        action, rest = rest[0], rest[1:]
    execute(verb, action, rest)


def _help(verb: str, arguments: list[str]) -> str:
    """The help of a command; overrides change the defaults that it shows."""
    from gender_lightning.usage.defaults import composed
    from gender_lightning.usage.outline import sections_of
    from gender_lightning.usage.page import page

    command = COMMANDS[verb]
    rest = [argument for argument in arguments if argument not in (*_HELP, *command.actions)]
    asked = [argument for argument in rest if argument in sections_of(command)]
    rest = [argument for argument in rest if argument not in asked]
    values, menu = composed(verb)
    if rest:
        from hydra.errors import HydraException

        from gender_lightning import overrides

        rest = [argument for argument in overrides.complete(verb, rest) if not argument.startswith("-")]
        try:
            with overrides.hydra_at_conf():
                values, menu = overrides.compose(verb, rest), overrides.menu_of(verb, rest)
        except HydraException as error:
            problem = str(error).splitlines()[0].rstrip(".")
            raise UserError(f"{problem}.", "Change this override, or leave it out of the help.") from None
    return page(command, menu, values, only=asked[0] if asked else "")


def _complete(arguments: list[str]) -> None:
    """Answer the shell's completion: we complete verbs and actions, Hydra completes overrides.

    Hydra completes `COMP_LINE` as if the overrides followed the program's name directly, so the verb is removed.
    """
    words = re.split(" +", os.environ.get("COMP_LINE", ""))
    verb = words[1] if len(words) > 2 else None
    command, prefix = verb if verb in COMMANDS else None, words[-1]
    if any(argument.startswith("query=") for argument in arguments):
        actions = [action.split() for action in COMMANDS[command].actions] if command else []
        typed = words[2:-1]
        begun = [action for action in actions if action[: len(typed)] == typed and len(action) > len(typed)]
        if verb is None or begun:
            candidates = COMMANDS if verb is None else dict.fromkeys(action[len(typed)] for action in begun)
            sys.stdout.write("\n".join(word for word in candidates if word.startswith(prefix)) + "\n")
            return
        chosen = next((len(action) for action in actions if typed[: len(action)] == action), 0)
        os.environ["COMP_LINE"] = " ".join(words[:1] + words[2 + chosen :])
    offered = io.StringIO()
    with contextlib.redirect_stdout(offered):
        run_hydra(command or "train", arguments, lambda config: None)
    sys.stdout.write(re.sub(r"\S+=_base\s", "", offered.getvalue()))  # not a choice, but a part of several files


if __name__ == "__main__":
    main()
