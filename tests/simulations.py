"""How often intervals cover and tests accuse or see, by the simulations of the tests: the table of the manual.

    python tests/simulations.py                      everything, some 15 minutes of a core
    python tests/simulations.py slices --times 200   one part
    python tests/simulations.py attributes compared --labels DIRECTORY   need CelebA's label files (no pictures)

Prints `part, cell, rate, standard error` as Markdown; seeds are fixed.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from comparison.test_pairs import of_equal_recipes, row
from evaluation.statistics.test_differences import drawn, interval
from evaluation.statistics.test_prevalence import crowd_coverage, flagged
from evaluation.statistics.test_proportions import coverage
from evaluation.statistics.test_significance import family_errors
from evaluation.test_calibration import accused, mis_scaled
from evaluation.test_selective import broken_promises
from numpy.typing import NDArray
from scipy import stats

from gender_lightning.comparison.pairs import compare_pairs
from gender_lightning.comparison.slices import slices_of, surely_worse
from gender_lightning.evaluation.statistics.intervals import Resampling
from gender_lightning.evaluation.subgroups.rules import slice_rules
from gender_lightning.evaluation.subgroups.slices import measure_slices

Rates = Iterator[tuple[str, float]]


def proportions(times: int) -> Rates:
    """Share of intervals that cover the truth."""
    for people in (10, 30, 100):
        cells = [(accuracy, icc) for accuracy in (0.9, 0.975, 0.998) for icc in (0.0, 0.1, 0.3)]
        yield f"{people} people, the worst of 9 cells", min(coverage(people, *cell, times) for cell in cells)


def differences(times: int) -> Rates:
    """Of differences between subgroups, of persons or of images."""
    for people in (30, 100):
        for kind in ("persons", "images"):
            found = [0.0 in interval(*drawn(seed, people, (0.9, 0.9), 0.3, kind)) for seed in range(times)]
            yield f"{people} people, subgroups of {kind}", float(np.mean(found))


def slices(times: int) -> Rates:
    """Share of splits in which any of 30 subgroups is called different though none is."""
    for people, accuracy, icc in (
        (30, 0.9, 0.1), (100, 0.9, 0.3), (100, 0.975, 0.02), (400, 0.975, 0.3), (400, 0.99, 0.1), (800, 0.9, 0.3),
        (800, 0.975, 0.3), (800, 0.99, 0.3),
    ):  # fmt: skip
        cell = f"{people} people, accuracy {accuracy:g}, correlation {icc:g}"
        yield cell, family_errors(people, accuracy, icc, times)


def attributes(times: int, labels: Path, numbers: Sequence[int] = (30, 100, 400, 800)) -> Rates:
    """Share of splits of real people, with errors that know nothing of attributes, in which a slice is called worse."""
    split = _people_of(labels, "1")
    for people, accuracy, correlation in itertools.product(numbers, (0.9, 0.945, 0.975, 0.99), (0.0, 0.1, 0.3)):
        found = [_accused(_Drawn(split, seed, people, accuracy, correlation)) for seed in range(times)]
        yield f"{people} people, accuracy {accuracy:g}, correlation {correlation:g}", float(np.mean(found))


def compared(times: int, labels: Path, numbers: Sequence[int] = (100, 800)) -> Rates:
    """The same by `compare`, of a row of one run and of three: its worst slice is called worse beyond chance."""
    split = _people_of(labels, "1")
    cells = itertools.product(numbers, (1, 3), (0.945, 0.975), (0.02, 0.1, 0.3))
    for people, runs, accuracy, correlation in cells:
        found = [_worst_is_sure(_Drawn(split, seed, people, accuracy, correlation), runs) for seed in range(times)]
        cell = f"{people} people, {runs} runs, accuracy {accuracy:g}, correlation {correlation:g}"
        yield cell, float(np.mean(found))


def _people_of(directory: Path, *parts: str) -> pd.DataFrame:
    """Person and attributes of the images of these parts of CelebA: 0 train, 1 valid, 2 test."""
    read = {"sep": r"\s+", "header": None, "index_col": 0}
    person = pd.read_csv(directory / "identity_CelebA.txt", **read)[1]
    part = pd.read_csv(directory / "list_eval_partition.txt", dtype=str, **read)[1]
    split = pd.read_csv(directory / "list_attr_celeba.txt", sep=r"\s+", skiprows=1).gt(0)
    return split.assign(person=person).loc[part.index[part.isin(parts)]]


class _Drawn:
    """People of a split with their real attributes, and runs that err by person but not by attribute.

    No two cells share a seed, so that their rates are independent.
    """

    def __init__(self, split: pd.DataFrame, seed: int, people: int, accuracy: float, correlation: float) -> None:
        self.random = np.random.default_rng([seed, people, round(1000 * accuracy), round(1000 * correlation)])
        drawn = self.random.choice(split.person.unique(), people, replace=False)
        rows = split[split.person.isin(drawn)]
        self.clusters = np.unique(rows.person, return_inverse=True)[1].astype(np.int64)
        self.ability = np.full(people, accuracy)
        if correlation:
            size = (1 - correlation) / correlation
            self.ability = self.random.beta(accuracy * size, (1 - accuracy) * size, people)
        self.male = rows.Male.to_numpy()
        flags = {name: rows[name].to_numpy() for name in rows.columns.drop(["Male", "person"])}
        self.rules = slice_rules(self.male, flags, {})
        self.resampling = Resampling(self.clusters, seed=seed)

    def run(self) -> NDArray[np.bool_]:
        """Which images a run gets right, (N,): of a person, each run as often as any other."""
        right: NDArray[np.bool_] = self.random.random(len(self.male)) < self.ability[self.clusters]
        return right


def _accused(drawn: _Drawn) -> bool:
    """Whether any slice that is not small is called worse than its rest."""
    decided = drawn.male == drawn.run()
    found = measure_slices(drawn.male, decided, drawn.clusters, drawn.rules, drawn.resampling)
    return any(not one.small and one.p_holm < 0.05 and one.difference.value < 0 for one in found)


def _worst_is_sure(drawn: _Drawn, runs: int) -> bool:
    """Whether `compare` calls any slice of a row of so many runs worse than its rest beyond chance."""
    of_row = row("row", *(drawn.run() for _ in range(runs)))
    rules = [rule for rule in drawn.rules if rule.members.any()]
    return bool(surely_worse(of_row, rules, slices_of(of_row, rules, drawn.resampling), drawn.resampling))


def ece(times: int) -> Rates:
    """Share of splits in which a model is said to be worse calibrated than chance explains."""
    for accuracy in (0.89, 0.96):
        for factor in (1.0, 1.6, 2.5):
            yield f"accuracy {accuracy:g}, logits x {factor:g}", accused(accuracy, factor, times)


def scale(times: int) -> Rates:
    """Share of splits in which logits are said to be too large or too small throughout."""
    for accuracy in (0.89, 0.96):
        for factor in (1.0, 1.6, 2.5):
            yield f"accuracy {accuracy:g}, logits x {factor:g}", mis_scaled(accuracy, factor, times)


def abstention(times: int) -> Rates:
    """Share of promises (5 % are allowed) that new people would break."""
    for target in (0.95, 0.98, 0.99):
        yield f"80 people, accuracy {target:g} wanted", broken_promises(target, times)


def crowds(times: int) -> Rates:
    """Share of a crowd's intervals that cover the truth."""
    for people in (80, 800):
        for share in (0.05, 0.2, 0.5, 0.95):
            for target in ("crowd", "population"):
                yield (
                    f"{people} labelled people, share {share:g}, {target}",
                    crowd_coverage(share, target, times, people)[0],
                )


def shifts(times: int) -> Rates:
    """Share of crowds of 400 whose scores are called unlike the labelled faces'."""
    for people in (80, 200, 400):
        for shift in (0.0, 0.7, -0.7):
            yield f"{people} labelled people, logits {shift:+g}", flagged(people, 0.4, shift, times)


def bounds(_: int) -> Rates:
    """Most of `shifts` that any test at 5 % can see, if all but the centres of the classes' scores is known."""
    for people in (80, 200, 400):
        for share in (0.1, 0.4, 0.8):
            yield f"{people} labelled people, share {share:g}", _best_power(people, share, 400, 0.7)


def _best_power(people: int, share: float, crowd: int, shift: float) -> float:
    """By the Fisher information about a shift that is left when the centres and the share are estimated too."""
    logits = np.linspace(-20, 20, 4001)
    step, between, within = logits[1] - logits[0], 1.3**2, 1.3**2

    def density(centre: float) -> np.ndarray:
        spread = math.sqrt(between + within)
        hard = stats.norm.pdf(logits, -0.3 * centre, math.sqrt(0.09 * between + within))
        return np.asarray(0.96 * stats.norm.pdf(logits, centre, spread) + 0.04 * hard)

    men, women = density(2.8), density(-3.2)
    by_men, by_women = (share * -np.gradient(men, step), (1 - share) * -np.gradient(women, step))
    slopes = np.stack([by_men + by_women, by_men, by_women, men - women])  # shift, both centres, share
    information = crowd * (slopes / (share * men + (1 - share) * women)) @ slopes.T * step
    pictures = np.clip(np.random.default_rng(0).geometric(1 / 12, 20_000), 1, 40)
    of_person = 0.96 * float(np.mean(1 / (between + within / pictures)))
    information[1, 1] += 0.4 * people * of_person
    information[2, 2] += 0.6 * people * of_person
    distance = shift / math.sqrt(np.linalg.inv(information)[0, 0])
    return float(stats.norm.cdf(distance - stats.norm.ppf(0.975)))


def comparisons(times: int) -> Rates:
    """Share of comparisons of equal recipes in which any model is said to beat another."""
    for seeds in ((1, 1), (1,) * 7, (3, 1, 1, 1), (3, 3)):
        models = runs = 0
        for seed in range(times):
            pairs = compare_pairs(*of_equal_recipes(np.random.default_rng(seed), *seeds))
            models += any(pair.differs and pair.over_seeds for pair in pairs)
            runs += any(pair.differs for pair in pairs)
        yield f"rows of {', '.join(map(str, seeds))} runs: the model", models / times
        yield f"rows of {', '.join(map(str, seeds))} runs: the model or this run", runs / times


PARTS: tuple[Callable[[int], Rates], ...] = (
    proportions, differences, slices, ece, scale, abstention, crowds, shifts, bounds, comparisons
)  # fmt: skip


def main() -> None:
    """Print one row per cell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", help="all of them, unless named")
    parser.add_argument("--times", type=int, default=300, help="draws per cell")
    parser.add_argument(
        "--labels", type=Path, help="directory of CelebA's label files, for `attributes` and `compared`"
    )
    parser.add_argument("--people", type=int, nargs="+", help="numbers of people, in these two parts")
    asked = parser.parse_args()
    parts: dict[str, Callable[[int], Rates]] = {part.__name__: part for part in PARTS}
    if asked.labels is not None:
        numbers = {"numbers": asked.people} if asked.people else {}
        parts |= {part.__name__: partial(part, labels=asked.labels, **numbers) for part in (attributes, compared)}
    if unknown := set(asked.part) - set(parts):
        parser.error(f"no part {', '.join(sorted(unknown))}: there are {', '.join(parts)} (two more with --labels)")
    for name, part in parts.items():
        if not asked.part or name in asked.part:
            for cell, rate in part(asked.times):
                error = math.sqrt(max(rate * (1 - rate), 0.01) / asked.times)
                print(f"| {name} | {cell} | {rate:.3f} | {error:.3f} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
