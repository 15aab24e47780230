"""Tables of rows as CSV, JSON lines or Parquet, read and written a few rows at a time."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from gender_lightning.csv_text import cell, text_of
from gender_lightning.durable import writing
from gender_lightning.errors import UserError
from gender_lightning.inference.stream.items import Row, columns_of

FORMATS = (".csv", ".parquet", ".jsonl")
_AT_ONCE = 5000  # rows in memory
_TEXTS = ("image", "note")  # columns whose text could be taken for a formula by a spreadsheet


def write_rows(path: Path, rows: Iterator[Row]) -> None:
    """Write a table, in the format that its extension names; after a crash it is there whole or not at all.

    Raises:
        OSError: The disk is full or broken; `path` is what it was.
    """
    suffix = path.suffix.lower()
    write: Callable[[IO[Any], Iterator[Row]], None] = _write_json
    if suffix in (".parquet", ".csv"):
        write = _write_parquet if suffix == ".parquet" else _write_csv
    with writing(path, "wb" if suffix == ".parquet" else "w") as file:
        write(file, rows)


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a table, exactly as `write_rows` was given them.

    Raises:
        UserError: The file is not such a table.
    """
    import pyarrow as pa

    reader = {".parquet": _read_parquet, ".csv": _read_csv}.get(path.suffix.lower(), _read_json)
    try:
        yield from reader(path)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise UserError(
            f"{path} is not a table of predictions ({error}).", "Choose another output=...", field="output"
        ) from error


def _with_columns(rows: Iterator[Row]) -> tuple[dict[str, str], Iterator[Row]]:
    """The columns of the rows with their types, and the rows."""
    first = next(rows, None)
    return columns_of(first), rows if first is None else chain([first], rows)


def _write_json(file: IO[str], rows: Iterator[Row]) -> None:
    file.writelines(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


def _read_json(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            yield {name: row[name] for name in columns_of(row)}


def _write_csv(file: IO[str], rows: Iterator[Row]) -> None:
    columns, rows = _with_columns(rows)
    writer = csv.DictWriter(file, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, **{name: cell(row[name]) for name in _TEXTS if row[name]}} for row in rows)


def _read_csv(path: Path) -> Iterator[Row]:
    kinds: dict[str, Any] = {"int32": int, "float32": float, "float64": float, "string": str}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        columns = columns_of(dict.fromkeys(reader.fieldnames or ()))
        if list(reader.fieldnames or ()) != list(columns):
            raise ValueError("its columns are different")
        for row in reader:
            values = {name: kinds[kind](row[name]) if row[name] else None for name, kind in columns.items()}
            yield values | {name: text_of(row[name]) for name in _TEXTS}


def _write_parquet(file: IO[bytes], rows: Iterator[Row]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns, rows = _with_columns(rows)
    schema = pa.schema([(name, getattr(pa, kind)()) for name, kind in columns.items()])
    with pq.ParquetWriter(file, schema) as writer:
        while some := list(islice(rows, _AT_ONCE)):
            writer.write_table(pa.Table.from_pylist(some, schema=schema))


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        columns = columns_of(dict.fromkeys(file.schema_arrow.names))
        for batch in file.iter_batches(_AT_ONCE, columns=list(columns)):
            for row in batch.to_pylist():
                probability = row["probability"]
                yield row if probability is None or math.isfinite(probability) else {**row, "probability": None}
