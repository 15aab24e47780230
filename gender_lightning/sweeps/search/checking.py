"""The space of a search is checked before it starts: each end of a range and each choice must be a training."""

from __future__ import annotations

from collections.abc import Sequence

from gender_lightning.config.location import conf_dir
from gender_lightning.config.validation import short
from gender_lightning.errors import UserError, UserErrors
from gender_lightning.overrides.composing import hydra_at_conf, parser_of
from gender_lightning.overrides.schema import mistakes
from gender_lightning.sweeps.jobs import plain_overrides
from gender_lightning.sweeps.search.plan import Plan, make_plan


def plan_of(overrides: Sequence[str]) -> Plan:
    """The plan of the search that these overrides of `train -m` start.

    Args:
        overrides: The overrides as typed, without flags; each has been checked on its own already.

    Raises:
        UserError: The space cannot be made.
    """
    from hydra import compose as hydra_compose

    parsed = parser_of(overrides).parse_overrides(list(overrides))
    fixed = [str(override.input_line) for override in parsed if not override.is_sweep_override()]
    swept = [str(override.input_line) for override in parsed if override.is_sweep_override()]
    with hydra_at_conf():
        config = hydra_compose("train", fixed, return_hydra_config=True)
        return make_plan(
            config, plain_overrides(fixed), swept, devices_of=lambda point: 1, directory=conf_dir(),
            compose=lambda point: hydra_compose("train", list(point), return_hydra_config=True),
        )  # fmt: skip


def check_space(overrides: Sequence[str]) -> None:
    """Compose the search that these overrides of `train -m` start, and check every corner of its space.

    Args:
        overrides: The overrides as typed, without flags; each has been checked on its own already.

    Raises:
        UserError: The space cannot be made, or some of its corners are no valid configuration; all are named.
    """
    plan = plan_of(overrides)
    found: dict[str, UserError] = {}
    with hydra_at_conf():
        for point in plan.space.corners():
            of_point = mistakes("train", [*plan.always, *plan.space.overrides(point)])
            found |= {str(mistake): mistake for mistake in of_point}
    if found:
        raise UserErrors(
            [
                UserError(short(mistake.problem), short(mistake.remedy), field=mistake.field)
                for mistake in found.values()
            ]
        )
