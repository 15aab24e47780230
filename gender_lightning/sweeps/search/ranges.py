"""Hydra's sweep syntax as distributions of Optuna."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, QuotedString, RangeSweep
from hydra.errors import HydraException
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from gender_lightning.errors import UserError

Value = Any  # None, bool, int, float or str
_SAME_STEP = 1e-8  # of a step; Optuna's own tolerance, beyond which it warns on the console
_SYNTAX = "Write choice(a,b), range(1,5) or interval(0.1,0.9)."


@dataclass(frozen=True)
class Parameter:
    """One dimension.

    Args:
        name: The name of the parameter in the study.
        key: The field or group that it sets.
        distribution: The distribution that its values are drawn from.
        texts: What stands behind `key=` for each choice; empty where it is not a choice.
        when: The fields or groups it depends on, with the values they must have.
    """

    name: str
    key: str
    distribution: BaseDistribution
    texts: tuple[str, ...]
    when: Mapping[str, Value]

    def text(self, value: Value) -> str:
        """The override that sets it."""
        if isinstance(self.distribution, CategoricalDistribution):
            position = int(self.distribution.to_internal_repr(value))
            return f"{self.key}={self.texts[position]}"
        return f"{self.key}={value!r}"

    def draw(self, trial: Trial) -> Value:
        """Let the sampler of a trial choose."""
        drawn = self.distribution
        if isinstance(drawn, CategoricalDistribution):
            return trial.suggest_categorical(self.name, drawn.choices)
        if isinstance(drawn, IntDistribution):
            return trial.suggest_int(self.name, drawn.low, drawn.high, step=drawn.step, log=drawn.log)
        assert isinstance(drawn, FloatDistribution)
        return trial.suggest_float(self.name, drawn.low, drawn.high, step=drawn.step, log=drawn.log)

    def contains(self, value: Value) -> bool:
        """Whether a trial could have this value."""
        allowed = self.distribution
        if isinstance(allowed, CategoricalDistribution):
            return value in allowed.choices
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        assert isinstance(allowed, FloatDistribution | IntDistribution)
        steps = (value - allowed.low) / allowed.step if allowed.step is not None else 0.0
        return abs(steps - round(steps)) < _SAME_STEP and allowed.low <= value <= allowed.high

    def corners(self) -> list[Value]:
        """Its ends, or every choice."""
        if isinstance(self.distribution, CategoricalDistribution):
            return list(self.distribution.choices)
        assert isinstance(self.distribution, FloatDistribution | IntDistribution)
        return [self.distribution.low, self.distribution.high]

    def values(self) -> list[Value]:
        """Every value.

        Raises:
            UserError: A continuous interval has no finite list of values.
        """
        listed = self.distribution
        if isinstance(listed, CategoricalDistribution):
            return list(listed.choices)
        if isinstance(listed, IntDistribution):
            return list(range(listed.low, listed.high + 1, listed.step))
        assert isinstance(listed, FloatDistribution)
        if listed.step is None:
            raise UserError(
                f"{self.key}: a grid sampler needs single values.",
                f"Write {self.key}=choice(a,b), or choose search/sampler=tpe.",
                field=self.key,
            )
        return _steps(listed.low, listed.step, round((listed.high - listed.low) / listed.step) + 1)


def parse_parameter(name: str, text: str, when: Mapping[str, Value], parser: Any) -> Parameter:
    """A dimension from an override with several values, such as `optimizer.lr=tag(log,interval(1e-4,1e-2))`.

    `parser` is that of `overrides.composing.parser_of`.

    Raises:
        UserError: It is not a range in Hydra's syntax, or has a single value.
    """
    try:
        parsed = parser.parse_override(text)
    except HydraException as error:
        problem = f"{text}: this is not a range in Hydra's syntax ({str(error).splitlines()[0]})."
        raise UserError(problem, _SYNTAX, field=name) from None
    if not parsed.is_sweep_override():
        raise UserError(f"{text}: a search needs several values.", _SYNTAX, field=name)
    texts, distribution = _distribution(parsed, text)
    return Parameter(name, str(parsed.get_key_element()), distribution, texts, dict(when))


def _distribution(parsed: Override, text: str) -> tuple[tuple[str, ...], BaseDistribution]:
    sweep = parsed.value()
    log = "log" in getattr(sweep, "tags", ())
    try:
        if isinstance(sweep, IntervalSweep):
            assert sweep.start is not None
            assert sweep.end is not None
            if isinstance(sweep.start, int) and isinstance(sweep.end, int):
                return (), IntDistribution(sweep.start, sweep.end, log=log)
            return (), FloatDistribution(sweep.start, sweep.end, log=log)
        if isinstance(sweep, RangeSweep) and not sweep.shuffle:
            numbers = list(sweep.range())
            if all(isinstance(number, int) for number in numbers):
                return (), IntDistribution(numbers[0], numbers[-1], log=log, step=1 if log else abs(int(sweep.step)))
            step = abs(float(sweep.step))
            return (), FloatDistribution(numbers[0], _steps(numbers[0], step, len(numbers))[-1], step=step)
    except (ValueError, IndexError) as error:
        problem = f"{text}: this range cannot be searched ({error})."
        raise UserError(problem, "Write its smaller end first.") from None
    texts = tuple(parsed.sweep_string_iterator())
    return texts, CategoricalDistribution([_scalar(choice) for choice in texts])


def _steps(low: float, step: float, count: int) -> list[float]:
    """`count` values as a person would write them: 0.3 rather than 0.1 + 2 * 0.1."""
    return [float(Decimal(str(low)) + position * Decimal(str(step))) for position in range(count)]


def _scalar(text: str) -> Value:
    value = OverridesParser.create().parse_override(f"x={text}").value()
    if isinstance(value, QuotedString):
        return value.text
    return value if value is None or isinstance(value, bool | int | float | str) else text
