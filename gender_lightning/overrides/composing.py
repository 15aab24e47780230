"""Composition of `conf/` by Hydra, for the check of a command line, tests and notebooks; and the menu of its groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from gender_lightning.config.location import choices_in, conf_dir
from gender_lightning.config.resolvers import register_resolvers
from gender_lightning.errors import UserError
from gender_lightning.overrides.own_folders import folders_of, of_texts

SEARCHING = ("train", "wandb-sweep")  # the commands that have a search


def compose(verb: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The plain, resolved mapping that `conf/<verb>.yaml` and the overrides compose to."""
    from hydra import compose as hydra_compose

    with hydra_at_conf():
        return plain(hydra_compose(verb, list(overrides)))


def groups(texts: Sequence[str] = ()) -> dict[str, list[str]]:
    """The menu: every group with its choices, from `conf/` and from the user's folders that the overrides name."""
    return choices_in([conf_dir(), *folders_of(texts)])


def parser_of(texts: Sequence[str] = ()) -> Any:
    """Hydra's parser of overrides, whose `glob(...)` stands for the choices of `groups`."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    # in place of Hydra's config loader, which would list `_base` and does not know the user's folders
    menu: Any = _Menu(groups(texts))
    return OverridesParser.create(config_loader=menu)


class _Menu:
    """The part of a config loader that Hydra's parser uses."""

    def __init__(self, menu: dict[str, list[str]]) -> None:
        self._menu = menu

    def get_group_options(self, group_name: str, results_filter: Any = None) -> list[str]:
        """The names of a group's choices."""
        return self._menu.get(group_name, [])


def menu_of(verb: str, texts: Sequence[str] = ()) -> dict[str, list[str]]:
    """The groups that this command's root uses."""
    return _menu_of(verb, of_texts(texts))


@cache
def _menu_of(verb: str, own: tuple[str, ...]) -> dict[str, list[str]]:
    from hydra import compose as hydra_compose

    chosen = ["search=default"] if verb in SEARCHING else []  # for the groups within a search
    used = hydra_compose(verb, [*chosen, *own], return_hydra_config=True).hydra.runtime.choices
    return {group: choices for group, choices in groups(own).items() if group in used}


@cache
def fields_with(verb: str, *choices: str) -> dict[str, Any]:
    """The fields that exist with these choices of groups."""
    return compose(verb, choices)


@contextmanager
def hydra_at_conf() -> Iterator[None]:
    """Let Hydra compose from our `conf/` in the block; blocks may be nested.

    Raises:
        UserError: A file of `conf/` is not valid YAML.
    """
    import yaml
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    register_resolvers()
    try:
        if GlobalHydra.instance().is_initialized():  # inside a command, which Hydra has started from the same conf/
            yield
            return
        with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
            yield
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"A file of conf/ cannot be read ({reason}).", "Correct it, or choose another.") from None


def plain(config: Any) -> dict[str, Any]:
    """The configuration as plain, resolved values, without Hydra's own section."""
    from hydra.core.utils import setup_globals
    from omegaconf import OmegaConf, open_dict

    setup_globals()  # ${now:...} is known only once Hydra has set it up
    with open_dict(config):
        config.pop("hydra", None)
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def where_choices_lie(group: str, choice: str, texts: Sequence[str]) -> str:
    """The paths where the file of a choice is looked for, for a sentence."""
    own = [f"{place / group / choice}.yaml" for place in folders_of(texts)]
    return " or ".join([f"conf/{group}/{choice}.yaml", *own])
