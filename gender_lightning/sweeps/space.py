"""What is searched: Hydra's sweep syntax as distributions of Optuna, some of them for certain choices only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, QuotedString, RangeSweep
from hydra.errors import HydraException
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from gender_lightning.config import Alternative
from gender_lightning.errors import UserError

Value = Any  # None, bool, int, float or str


@dataclass(frozen=True)
class Parameter:
    """One dimension.

    Args:
        name: In the study.
        key: The field or group that it sets.
        distribution: What it is drawn from.
        texts: Of a choice: what stands behind `key=` for each.
        when: The fields or groups it depends on, with their values.
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

    def corners(self) -> list[Value]:
        """Its ends, or every choice."""
        if isinstance(self.distribution, CategoricalDistribution):
            return list(self.distribution.choices)
        assert isinstance(self.distribution, FloatDistribution | IntDistribution)
        return [self.distribution.low, self.distribution.high]


class Space:
    """The parameters of a search.

    Args:
        parameters: Those that others depend on first.
        current: The value of a field or group that is not searched.
    """

    def __init__(self, parameters: Sequence[Parameter], current: Callable[[str], Value]) -> None:
        self.parameters = _in_order(parameters)
        self._current = current

    def suggest(self, trial: Trial) -> dict[str, Value]:
        """Draw a point: the value of each parameter by its name."""
        return self._walk(lambda parameter: _draw(trial, parameter))

    def overrides(self, point: Mapping[str, Value]) -> tuple[str, ...]:
        """A point as overrides."""
        return tuple(parameter.text(point[parameter.name]) for parameter in self.parameters if parameter.name in point)

    def known_good(self, wanted: Mapping[str, Value]) -> dict[str, Value]:
        """A point from the values of fields; those that are not named keep the recipe's, where that lies in the space.

        Raises:
            UserError: a field is not searched, or its value lies outside.
        """
        keys = {parameter.key for parameter in self.parameters}
        for key in wanted:
            if key not in keys:
                raise UserError(f"search.enqueue: {key} is not searched. Name one of: {', '.join(sorted(keys))}.")
        point: dict[str, Value] = {}
        values: dict[str, Value] = {}
        for parameter in self.parameters:
            if parameter.key in values or not self._applies(parameter, values):
                continue
            value = wanted.get(parameter.key, self._current(parameter.key))
            own = all(self._current(key) == wished for key, wished in parameter.when.items())
            if parameter.key in wanted and not _contains(parameter, value):
                raise UserError(f"search.enqueue: {parameter.key}={value} lies outside of what is searched. Widen it.")
            if (parameter.key in wanted or own) and _contains(parameter, value):
                point[parameter.name] = value
            values[parameter.key] = value
        return point

    def corners(self) -> Iterator[dict[str, Value]]:
        """Points that together hold the ends of every range and every choice."""
        most = max((len(parameter.corners()) for parameter in self.parameters), default=0)
        names = dict.fromkeys(key for parameter in self.parameters for key in parameter.when)
        for position in range(most):
            for forced in [{}, *({key: value} for key in names for value in self._choices(key))]:
                yield self._walk(partial(_corner, position=position, forced=forced))

    def grid(self) -> dict[str, list[Value]]:
        """Every value of every parameter, for a grid sampler.

        Raises:
            UserError: an interval has no end of values.
        """
        return {parameter.name: _values(parameter) for parameter in self.parameters}

    def describe(self) -> list[str]:
        """What makes two searches the same."""
        return [f"{it.name}: {it.distribution} {list(it.texts)} {dict(it.when)}" for it in self.parameters]

    def _choices(self, key: str) -> list[Value]:
        return [value for parameter in self.parameters if parameter.key == key for value in parameter.corners()]

    def _walk(self, value_of: Callable[[Parameter], Value]) -> dict[str, Value]:
        point: dict[str, Value] = {}
        values: dict[str, Value] = {}
        for parameter in self.parameters:
            if parameter.key not in values and self._applies(parameter, values):
                values[parameter.key] = point[parameter.name] = value_of(parameter)
        return point

    def _applies(self, parameter: Parameter, values: Mapping[str, Value]) -> bool:
        searched = {it.key for it in self.parameters}
        for key, wanted in parameter.when.items():
            if key in searched and key not in values:  # depends on what does not apply itself
                return False
            if (values[key] if key in values else self._current(key)) != wanted:
                return False
        return True


def make_space(
    ranges: Mapping[str, str | Alternative | Sequence[Alternative]],
    swept: Sequence[str],
    fixed: Sequence[str],
    current: Callable[[str], Value],
    config_loader: ConfigLoader | None = None,
) -> Space:
    """The space of a search.

    Args:
        ranges: Of its file; what the command line says about the same field counts instead.
        swept: Overrides of the command line with several values.
        fixed: Overrides of the command line with one value: these fields are not searched.
        current: The value of a field or group that is not searched.
        config_loader: Hydra's, which knows the choices that `glob(...)` stands for.

    Raises:
        UserError: a range is none, or there is nothing to search.
    """
    typed = dict(_keyed(text) for text in swept)
    for key, text in typed.items():
        if key.startswith(("search.", "search/")):
            raise UserError(f"{text}: a search has one value of it. Put quotes around a range: {key}='choice(a,b)'.")
    left_out = {text.partition("=")[0].lstrip("+~") for text in fixed} | typed.keys()
    parameters = []
    for key, value in ranges.items():
        if key in left_out:
            continue
        alternatives = [Alternative.model_construct(values=value, when={})] if isinstance(value, str) else value
        several = [alternatives] if isinstance(alternatives, Alternative) else alternatives
        for it in several:
            name = key if len(several) == 1 else f"{key} ({', '.join(f'{k}={v}' for k, v in it.when.items())})"
            parameters.append(_parameter(name, f"{key}={it.values}", it.when, config_loader))
    parameters += [_parameter(key, text, {}, config_loader) for key, text in typed.items()]
    if not parameters:
        raise UserError(
            "There is nothing to search. Choose search=<backbone>, or give ranges: "
            "'optimizer.lr=tag(log,interval(1e-4,1e-2))' model=choice(resnet18,resnet50)."
        )
    return Space(parameters, current)


def _keyed(text: str) -> tuple[str, str]:
    return text.partition("=")[0].lstrip("+"), text


def _parameter(name: str, text: str, when: Mapping[str, Value], config_loader: ConfigLoader | None) -> Parameter:
    try:
        parsed = OverridesParser.create(config_loader=config_loader).parse_override(text)
    except HydraException as error:
        raise UserError(f"{text}: this is none of Hydra's ranges ({str(error).splitlines()[0]}). Mend it.") from None
    if not parsed.is_sweep_override():
        raise UserError(f"{text}: a search needs several values: choice(a,b), range(1,5) or interval(0.1,0.9).")
    key = str(parsed.get_key_element())
    texts, distribution = _distribution(parsed, text)
    return Parameter(name, key, distribution, texts, dict(when))


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
            return (), FloatDistribution(numbers[0], numbers[-1], step=abs(float(sweep.step)))
    except (ValueError, IndexError) as error:
        raise UserError(f"{text}: this is no range to search ({error}). Mend its ends.") from None
    texts = tuple(parsed.sweep_string_iterator())
    return texts, CategoricalDistribution([_scalar(it) for it in texts])


def _scalar(text: str) -> Value:
    value = OverridesParser.create().parse_override(f"x={text}").value()
    if isinstance(value, QuotedString):
        return value.text
    return value if value is None or isinstance(value, bool | int | float | str) else text


def _in_order(parameters: Sequence[Parameter]) -> list[Parameter]:
    """Those that others depend on first.

    Raises:
        UserError: they depend on each other in a circle.
    """
    left, order = list(parameters), list[Parameter]()
    while left:
        open_keys = {parameter.key for parameter in left}
        ready = [parameter for parameter in left if not (parameter.when.keys() & open_keys)]
        if not ready:
            raise UserError(f"search.space: {', '.join(sorted(open_keys))} depend on each other. Break the circle.")
        order += ready
        left = [parameter for parameter in left if parameter not in ready]
    return order


def _corner(parameter: Parameter, position: int, forced: Mapping[str, Value]) -> Value:
    corners = parameter.corners()
    return forced.get(parameter.key, corners[min(position, len(corners) - 1)])


def _draw(trial: Trial, parameter: Parameter) -> Value:
    name, it = parameter.name, parameter.distribution
    if isinstance(it, CategoricalDistribution):
        return trial.suggest_categorical(name, it.choices)
    if isinstance(it, IntDistribution):
        return trial.suggest_int(name, it.low, it.high, step=it.step, log=it.log)
    assert isinstance(it, FloatDistribution)
    return trial.suggest_float(name, it.low, it.high, step=it.step, log=it.log)


def _contains(parameter: Parameter, value: Value) -> bool:
    it = parameter.distribution
    if isinstance(it, CategoricalDistribution):
        return value in it.choices
    assert isinstance(it, FloatDistribution | IntDistribution)
    return isinstance(value, int | float) and not isinstance(value, bool) and it.low <= value <= it.high


def _values(parameter: Parameter) -> list[Value]:
    it = parameter.distribution
    if isinstance(it, CategoricalDistribution):
        return list(it.choices)
    if isinstance(it, IntDistribution):
        return list(range(it.low, it.high + 1, it.step))
    assert isinstance(it, FloatDistribution)
    if it.step is None:
        raise UserError(
            f"{parameter.key}: a grid sampler needs single values. Write {parameter.key}=choice(a,b), "
            "or choose search/sampler=tpe."
        )
    return [it.low + it.step * position for position in range(round((it.high - it.low) / it.step) + 1)]
