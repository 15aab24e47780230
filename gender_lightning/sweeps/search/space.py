"""What is searched: the dimensions of a search, some of them for certain choices only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from optuna.trial import Trial

from gender_lightning.config import Alternative
from gender_lightning.errors import UserError
from gender_lightning.overrides.composing import parser_of
from gender_lightning.sweeps.search.ranges import Parameter, Value, parse_parameter


class Space:
    """The parameters of a search.

    Args:
        parameters: The dimensions, in any order.
        current: Gives the value of a field or group that is not searched.
    """

    def __init__(self, parameters: Sequence[Parameter], current: Callable[[str], Value]) -> None:
        self.parameters = _in_order(parameters)
        self._current = current

    def suggest(self, trial: Trial) -> dict[str, Value]:
        """Draw a point: the value of each parameter by its name."""
        return self._walk(lambda parameter: parameter.draw(trial))

    def overrides(self, point: Mapping[str, Value]) -> tuple[str, ...]:
        """A point as overrides."""
        return tuple(parameter.text(point[parameter.name]) for parameter in self.parameters if parameter.name in point)

    def known_good(self, wanted: Mapping[str, Value]) -> dict[str, Value]:
        """A point made of the given values; fields not named keep the recipe's value where it lies in the space.

        Raises:
            UserError: A field is not searched, or its value lies outside of its range.
        """
        keys = {parameter.key for parameter in self.parameters}
        for key in wanted:
            if key not in keys:
                problem = f"search.enqueue: {key} is not searched."
                raise UserError(problem, f"Name one of: {', '.join(sorted(keys))}.", field="search.enqueue")
        point: dict[str, Value] = {}
        values: dict[str, Value] = {}
        for parameter in self.parameters:
            if parameter.key in values or not self._applies(parameter, values):
                continue
            value = wanted.get(parameter.key, self._current(parameter.key))
            own = all(self._current(key) == wished for key, wished in parameter.when.items())
            if parameter.key in wanted and not parameter.contains(value):
                problem = f"search.enqueue: {parameter.key}={value} lies outside of the range that is searched."
                remedy = f"Widen the range of {parameter.key}, or choose a value inside it."
                raise UserError(problem, remedy, field="search.enqueue")
            if (parameter.key in wanted or own) and parameter.contains(value):
                point[parameter.name] = value
            values[parameter.key] = value
        return point

    def without_conditions(self) -> tuple[list[tuple[Parameter, Value]], list[Parameter], list[Parameter]]:
        """The part of the space in which everything that others depend on keeps its value.

        Returns:
            The parameters that others depend on with their values (the recipe's, or else the first choice); those that
            are left to search; and those that do not apply with these values.
        """
        asked = {key for parameter in self.parameters for key in parameter.when}
        fixed: list[tuple[Parameter, Value]] = []
        kept: list[Parameter] = []
        dropped: list[Parameter] = []
        values: dict[str, Value] = {}
        for parameter in self.parameters:
            if parameter.key in values or not self._applies(parameter, values):
                dropped.append(parameter)
                continue
            own = self._current(parameter.key)
            values[parameter.key] = own if parameter.contains(own) else parameter.corners()[0]
            if parameter.key in asked:
                fixed.append((parameter, values[parameter.key]))
            else:
                kept.append(parameter)
        return fixed, kept, dropped

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
            UserError: A continuous interval has no finite list of values.
        """
        return {parameter.name: parameter.values() for parameter in self.parameters}

    def describe(self) -> list[str]:
        """What makes two searches the same."""
        return [
            f"{parameter.name}: {parameter.distribution} {list(parameter.texts)} {dict(parameter.when)}"
            for parameter in self.parameters
        ]

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
        searched = {other.key for other in self.parameters}
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
) -> Space:
    """The space of a search.

    Args:
        ranges: The ranges in the search's file; those on the command line replace them field by field.
        swept: The overrides on the command line that have several values.
        fixed: The overrides on the command line that have one value: their fields are not searched.
        current: Gives the value of a field or group that is not searched.

    Raises:
        UserError: A range cannot be parsed, or there is nothing to search.
    """
    typed = dict(_keyed(text) for text in swept)
    parser = parser_of(fixed)
    for key, text in typed.items():
        if key.startswith(("search.", "search/")):
            problem = f"{text}: a search has one value of {key}."
            raise UserError(problem, f"Put quotes around a range: {key}='choice(a,b)'.", field=key)
    left_out = {text.partition("=")[0].lstrip("+~") for text in fixed} | typed.keys()
    parameters = []
    for key, value in ranges.items():
        if key in left_out:
            continue
        alternatives = [Alternative.model_construct(values=value, when={})] if isinstance(value, str) else value
        several = [alternatives] if isinstance(alternatives, Alternative) else alternatives
        for alternative in several:
            condition = ", ".join(f"{field}={wanted}" for field, wanted in alternative.when.items())
            name = key if len(several) == 1 else f"{key} ({condition})"
            parameters.append(parse_parameter(name, f"{key}={alternative.values}", alternative.when, parser))
    parameters += [parse_parameter(key, text, {}, parser) for key, text in typed.items()]
    if not parameters:
        raise UserError(
            "There is nothing to search.",
            "Choose search=<backbone>, or give ranges: "
            "'optimizer.lr=tag(log,interval(1e-4,1e-2))' model=choice(resnet18,resnet50).",
            field="search.space",
        )
    return Space(parameters, current)


def _keyed(text: str) -> tuple[str, str]:
    return text.partition("=")[0].lstrip("+"), text


def _in_order(parameters: Sequence[Parameter]) -> list[Parameter]:
    """Those that others depend on first.

    Raises:
        UserError: They depend on each other in a circle.
    """
    left, order = list(parameters), list[Parameter]()
    while left:
        open_keys = {parameter.key for parameter in left}
        ready = [parameter for parameter in left if not (parameter.when.keys() & open_keys)]
        if not ready:
            problem = f"search.space: {', '.join(sorted(open_keys))} depend on each other in a circle."
            raise UserError(problem, "Remove one of their `when` conditions.", field="search.space")
        order += ready
        left = [parameter for parameter in left if parameter not in ready]
    return order


def _corner(parameter: Parameter, position: int, forced: Mapping[str, Value]) -> Value:
    corners = parameter.corners()
    return forced.get(parameter.key, corners[min(position, len(corners) - 1)])
