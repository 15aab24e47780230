"""`fail_on`: the counts or shares above which an audit fails, so that it can guard a data pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gender_lightning.audit.findings import KINDS, Audit
from gender_lightning.config.validation import suggestion
from gender_lightning.errors import UserError, UserErrors


def check_limits(limits: Mapping[str, int | float]) -> None:
    """Refuse names of findings that do not exist.

    Raises:
        UserErrors: There is no finding of some name.
    """
    unknown = [name for name in limits if name not in KINDS]
    if unknown:
        raise UserErrors(
            [
                UserError(f"fail_on.{name}: there is no such finding.", suggestion(name, KINDS), field="fail_on")
                for name in unknown
            ]
        )


def crossed(audit: Audit, limits: Mapping[str, int | float]) -> Iterator[str]:
    """A sentence about each limit that is crossed, or whose kind was not looked for.

    Args:
        audit: What was found.
        limits: The limit of each kind: a whole number is a count, a fraction a share. A value above it crosses it.
    """
    for kind, limit in limits.items():
        found = audit.finding(kind)
        if found is None:
            yield f"{kind}: this was not looked for, so whether the limit of {limit:g} holds is unknown."
        elif (found.share if isinstance(limit, float) else found.count) > limit:
            allowed = f"{100 * limit:g} %" if isinstance(limit, float) else f"{limit:,}"
            yield (
                f"{kind}: {found.count:,} of {found.total:,} {found.unit} ({100 * found.share:.2f} %) are more than "
                f"the {allowed} that fail_on allows."
            )
