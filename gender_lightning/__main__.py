"""The command line: `gender-lightning <command> [overrides]`. Picks the command and hands over to Hydra.

Nothing heavy is imported here: `--help` and tab completion answer before torch would be loaded.
"""

from __future__ import annotations

import errno
import importlib
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gender_lightning.errors import UserError, printable
from gender_lightning.job import settle


@dataclass(frozen=True)
class Command:
    """A verb: its line in the help, an example, and its sub-verbs where it has them."""

    purpose: str
    example: str
    actions: tuple[str, ...] = ()


COMMANDS = {
    "train": Command("fit a classifier, test the best checkpoint once", "train model=vgg19 trainer.devices=2"),
    "evaluate": Command(
        "predictions and metrics of a checkpoint on any data set",
        "evaluate checkpoint=runs/train/2026-01-31_12-00-00 split=test",
    ),
    "export": Command(
        "a checkpoint as one ONNX or .pt2 file, compared with PyTorch",
        "export checkpoint=runs/train/2026-01-31_12-00-00 format=onnx",
    ),
    "population": Command(
        "how many men and women a crowd has, without a row per person",
        "population checkpoint=runs/train/2026-01-31_12-00-00 input=photos/ by=folder",
    ),
    "predict": Command(
        "labels for photos, folders, lists, videos: faces found, uncertainty said",
        "predict checkpoint=runs/train/2026-01-31_12-00-00 input=photos",
    ),
    "demo": Command(
        "a page on this computer: give pictures, see what is said and where it looked",
        "demo checkpoint=runs/train/2026-01-31_12-00-00",
    ),
    "compare": Command(
        "which of several runs is better, by how much, and whether that is more than chance",
        "compare runs=[runs/train/A,runs/train/B]",
    ),
    "benchmark": Command(
        "how fast this machine loads, augments and trains, beside the common way",
        "benchmark data.image_size=112 models=[resnet18,resnet50]",
    ),
    "data": Command(
        "prepare, verify or summarise a data set",
        "data summary data=celeba data.root=data/celeba",
        ("prepare", "verify", "summary"),
    ),
}
# Hydra's own flags, which do not run a job: the overrides are then Hydra's to judge.
_HYDRA_ONLY = {"--cfg", "-c", "--info", "-i", "--shell-completion", "-sc", "--hydra-help", "--version", "--help", "-h"}


def main() -> None:
    """Entry point of the console script and of `python -m gender_lightning`."""
    settle()
    arguments = sys.argv[1:]
    try:
        if arguments and arguments[0] in ("-sc", "--shell-completion"):
            _complete(arguments)
        elif not arguments or arguments[0] in ("--help", "-h", "help"):
            sys.stdout.write(usage())
        elif arguments[0] == "--version":
            from gender_lightning import __version__

            sys.stdout.write(f"gender-lightning {__version__}\n")
        else:
            _dispatch(arguments[0], arguments[1:])
    except UserError as error:
        sys.stderr.write(f"{printable(str(error))}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        sys.exit(130)


def usage() -> str:
    """What `gender-lightning --help` prints."""
    lines = ["usage: gender-lightning <command> [field=value ...]", ""]
    for verb, command in COMMANDS.items():
        lines.append(f"  {verb:<10} {command.purpose}")
        lines.append(f"  {'':<10}   gender-lightning {command.example}")
    lines += ["", "`gender-lightning <command> --help` shows its groups and fields.", ""]
    return "\n".join(lines)


def _dispatch(verb: str, rest: list[str]) -> None:
    from gender_lightning.config.validation import suggestion

    if verb not in COMMANDS:
        hint = suggestion(verb, COMMANDS)
        raise UserError(f"There is no command {verb!r}. {hint} `gender-lightning --help` lists them.")
    actions = COMMANDS[verb].actions
    action = None
    if actions and not (rest and rest[0] in ("--help", "-h")):
        if not rest or rest[0] not in actions:
            said = f"{rest[0]!r} is none of its actions" if rest else "an action is missing"
            offer = ", ".join(f"{verb} {name}" for name in actions)
            raise UserError(f"gender-lightning {verb}: {said}. Write one of: {offer}.")
        action, rest = rest[0], rest[1:]
    _execute(verb, action, rest)


def _execute(verb: str, action: str | None, rest: list[str]) -> None:
    """Check the overrides, then let Hydra compose and call the command."""
    from gender_lightning import overrides

    rest = overrides.complete(verb, rest)
    flags = {argument.partition("=")[0] for argument in rest if argument.startswith("-")}
    if not flags & _HYDRA_ONLY:
        check_overrides(verb, rest)
    # Hydra's parser takes -m before the overrides or behind all of them, not in between.
    rest = sorted(rest, key=lambda argument: argument not in ("-m", "--multirun"))

    def task(composed: Any) -> None:
        from omegaconf import OmegaConf

        values = OmegaConf.to_container(composed, resolve=True)
        assert isinstance(values, dict)
        command = importlib.import_module(f"gender_lightning.commands.{verb}")
        try:
            command.main(values, *([action] if action else []))
        except UserError as error:
            # Hydra would print a traceback and exit with 1.
            sys.stderr.write(f"{printable(str(error))}\n")
            sys.exit(2)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            where = f" for {error.filename}" if error.filename else ""
            sys.stderr.write(f"There is no disk space left{where}. Free some, or choose another disk.\n")
            sys.exit(2)

    _run_hydra(verb, rest, task)


def check_overrides(verb: str, arguments: list[str]) -> None:
    """Check a command line, the space of its search included, before anything runs.

    Raises:
        UserError: Everything that is wrong with it.
    """
    from gender_lightning import overrides

    overrides.check(verb, arguments)
    if any(argument.startswith("search=") for argument in arguments):
        from gender_lightning.sweeps.search.checking import check_space

        check_space([argument for argument in arguments if not argument.startswith("-")])


def _run_hydra(verb: str, arguments: list[str], task: Callable[[Any], None]) -> None:
    """Run `task` under Hydra with the verb hidden from its parser, and in place again for Lightning's launcher."""
    import hydra

    from gender_lightning.config.location import conf_dir
    from gender_lightning.config.resolvers import register_resolvers

    register_resolvers()
    typed = list(sys.argv)

    def with_full_command_line(config: Any) -> None:
        sys.argv[:] = typed
        task(config)

    sys.argv[1:] = arguments
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=verb)(with_full_command_line)()
    finally:
        sys.argv[:] = typed


def _complete(arguments: list[str]) -> None:
    """Answer the shell: verbs and actions are ours, overrides are Hydra's.

    Hydra completes `COMP_LINE` as if the overrides followed the program's name at once, so the verb is taken out.
    """
    words = re.split(" +", os.environ.get("COMP_LINE", ""))
    verb = words[1] if len(words) > 2 else None
    prefix = words[-1]
    if any(argument.startswith("query=") for argument in arguments):
        actions = COMMANDS[verb].actions if verb in COMMANDS else ()
        if verb is None or (actions and len(words) == 3):
            candidates = COMMANDS if verb is None else actions
            sys.stdout.write("\n".join(word for word in candidates if word.startswith(prefix)) + "\n")
            return
        os.environ["COMP_LINE"] = " ".join(words[:1] + words[2 + bool(actions) :])
    _run_hydra(verb if verb in COMMANDS else "train", arguments, lambda config: None)


if __name__ == "__main__":
    main()
