"""Label files: each kind of malformed row, encodings, and the cached index."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from fuzz_harness import Case, Rng, damaged

from gender_lightning.data.sources import index_cache
from gender_lightning.data.sources.annotations import read_celeba

ROWS = 12
NAMES = [f"{row + 1:06d}.jpg" for row in range(ROWS)]
FILES = ("list_attr_celeba.txt", "list_eval_partition.txt", "identity_CelebA.txt", "list_landmarks_align_celeba.txt")
_number = itertools.count()


def contents() -> dict[str, str]:
    """A small CelebA's label files."""
    attributes = [f"{name} {row % 2 * 2 - 1} {row // 2 % 2 * 2 - 1} 1" for row, name in enumerate(NAMES)]
    points = "lx ly rx ry nx ny ax ay bx by"
    return {
        FILES[0]: "\n".join([str(ROWS), "Bald Male Young", *attributes]) + "\n",
        FILES[1]: "\n".join(f"{name} {row % 3}" for row, name in enumerate(NAMES)) + "\n",
        FILES[2]: "\n".join(f"{name} {row // 3}" for row, name in enumerate(NAMES)) + "\n",
        FILES[3]: "\n".join([str(ROWS), points, *(f"{name} 1 2 3 4 5 6 7 8 9 10" for name in NAMES)]) + "\n",
    }


def _row(change: Callable[[str], str]) -> Callable[[str, Rng], str]:
    """Change one row."""

    def changed(text: str, rng: Rng) -> str:
        lines = text.split("\n")
        place = int(rng.integers(0, len(lines) - 1))
        lines[place] = change(lines[place])
        return "\n".join(lines)

    return changed


def _doubled(text: str, rng: Rng) -> str:
    lines = text.split("\n")
    return "\n".join([*lines[:-1], lines[int(rng.integers(0, len(lines) - 1))], ""])


def _shuffled(text: str, rng: Rng) -> str:
    lines = text.split("\n")
    return "\n".join(lines[place] for place in rng.permutation(len(lines)))


CHANGES: dict[str, Callable[[str, Rng], str]] = {
    "too short": _row(lambda row: row.rpartition(" ")[0]),
    "too long": _row(lambda row: row + " 1"),
    "no number": _row(lambda row: row.rpartition(" ")[0] + " one"),
    "a fraction": _row(lambda row: row.rpartition(" ")[0] + " 1.5"),
    "a huge number": _row(lambda row: row.rpartition(" ")[0] + " 99999999999999999999"),
    "out of range": _row(lambda row: row.rpartition(" ")[0] + " 7"),
    "not a number": _row(lambda row: row.rpartition(" ")[0] + " nan"),
    "only blanks": _row(lambda row: "   \t "),
    "only commas": _row(lambda row: ",,,,"),
    "a missing row": _row(lambda row: ""),
    "a quote": _row(lambda row: '"' + row),
    "a zero byte": _row(lambda row: row[:3] + "\0" + row[3:]),
    "a long name": _row(lambda row: "x" * 70_000 + row),
    "a long line": _row(lambda row: row + " 1" * 1_200_000),
    "a name that leads out": _row(lambda row: "../../" + row),
    "an absolute name": _row(lambda row: "/etc/" + row),
    "a name of Windows": _row(lambda row: "..\\..\\" + row),
    "a formula": _row(lambda row: "=cmd|'/c'!A1" + row),
    "an escape": _row(lambda row: "\x1b[2J" + row),
    "unicode": _row(lambda row: "\N{SNOWMAN}\u202e" + row),
    "another digit": _row(lambda row: row.rpartition(" ")[0] + " \N{SUPERSCRIPT TWO}"),
    "a row twice": _doubled,
    "rows in any order": _shuffled,
    "no line end": lambda text, rng: text.rstrip("\n"),
    "old line ends": lambda text, rng: text.replace("\n", "\r"),
    "two line ends": lambda text, rng: text.replace("\n", "\r\n"),
    "commas": lambda text, rng: text.replace(" ", ","),
    "a column twice": lambda text, rng: text.replace("Bald", "Male").replace("lx", "ly"),
    "a column of ours": lambda text, rng: text.replace("Bald", "label"),
    "no label": lambda text, rng: text.replace("Male", "Mail"),
    "no header": lambda text, rng: text.partition("\n")[2],
    "empty": lambda text, rng: "",
    "a page": lambda text, rng: "<!DOCTYPE html>\n<html>" + text,
}
ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp037", "utf-7")


def cases(rng: Rng, share: float, folder: Path) -> Iterator[Case]:
    """About 1,400 cases at a share of 1."""
    for name, change in CHANGES.items():
        for file in FILES:
            text = change(contents()[file], rng)
            yield Case(f"labels, {name}", partial(_read, folder, {file: text.encode()}))
    for encoding in ENCODINGS:
        for file in FILES:
            yield Case("labels, encoding", partial(_read, folder, {file: contents()[file].encode(encoding)}))
    latin = contents()[FILES[0]].replace("000001", "\N{LATIN SMALL LETTER E WITH ACUTE}").encode("latin-1")
    yield Case("labels, encoding", partial(_read, folder, {FILES[0]: latin}))
    for _ in range(round(1000 * share)):
        file = FILES[int(rng.integers(0, len(FILES)))]
        yield Case("labels, damaged", partial(_read, folder, {file: damaged(contents()[file].encode(), rng)}))
    yield from _caches(rng, round(250 * share), folder)


def _read(folder: Path, changed: dict[str, bytes]) -> None:
    root = folder / f"labels{next(_number)}"
    root.mkdir()
    for file, text in contents().items():
        (root / file).write_bytes(changed.get(file, text.encode()))
    index = read_celeba(root, cache_dir=root / "cache")
    assert len(index) == len(set(index.image_ids.tolist()))
    assert not any(b".." in name for name in index.image_ids.tolist())
    assert set(index.labels.tolist()) <= {0, 1} and set(index.partition.tolist()) <= {0, 1, 2}


def _caches(rng: Rng, count: int, folder: Path) -> Iterator[Case]:
    """A damaged or foreign cached index costs the time to read the labels again, and nothing else."""
    root = folder / "cached"
    root.mkdir()
    for file, text in contents().items():
        (root / file).write_text(text)
    expected = read_celeba(root, cache_dir=root / "cache")
    (cache,) = (root / "cache").iterdir()
    whole = cache.read_bytes()

    def again(data: bytes) -> None:
        cache.write_bytes(data)
        index = read_celeba(root, cache_dir=root / "cache")
        assert len(index) == len(expected) and set(index.labels.tolist()) <= {0, 1}

    assert index_cache.load.__module__  # what is attacked here
    for _ in range(count):
        yield Case("cached index, damaged", partial(again, damaged(whole, rng)))
