"""The command line's overrides: composed, and checked all at once before anything runs."""

from __future__ import annotations

from gender_lightning.overrides.checking import check, complete
from gender_lightning.overrides.composing import compose, groups, hydra_at_conf, menu_of

__all__ = ["check", "complete", "compose", "groups", "hydra_at_conf", "menu_of"]
