"""Every error for a user says what to do next; a file is written in one way only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import gender_lightning

ROOT = Path(gender_lightning.__file__).parent
# where an error needs no remedy of its own, and why
WITHOUT_REMEDY = {
    "distributed.py": "the text of a child's error, which holds its remedy already",
    "errors.py": "the text of a worker's error, which holds its remedy already",
}
# modules that write a file by hand, and why `durable.writing` would not do
WRITERS = {
    "durable.py": "it is the one way",
    "benchmarks/faces.py": "scratch files, which are removed at the end",
    "benchmarks/processor_time.py": "scratch files, which are removed at the end",
    "benchmarks/textbook.py": "it imports nothing of ours",
    "benchmarks/whole_runs.py": "scratch files, which are removed at the end",
    "data/pixel_cache.py": "written without a memory map and published at once, and the lock beside it",
    "synthetic/faces.py": "a whole folder gets its name at once",
    "exporting/files.py": "torch and onnx write by path, into a scratch folder, whose file is published",
    "inference/stream/lock.py": "a lock, which has no content",
    "inference/stream/video.py": "OpenCV writes by path; the file is published",
    "sweeps/fork_server.py": "the log of a job, which is appended to",
    "sweeps/processes.py": "the log of a job, which is appended to",
    "sweeps/search/report.py": "a lock, which has no content",
    "sweeps/search/storage.py": "a lock, and the journal, whose torn last line is cut off",
}
_WRITING_METHODS = {"write_text", "write_bytes", "to_csv", "to_parquet"}  # with a path


def sources() -> Iterator[tuple[str, ast.Module]]:
    for file in sorted(ROOT.rglob("*.py")):
        yield file.relative_to(ROOT).as_posix(), ast.parse(file.read_text())


def name_of(call: ast.Call) -> str:
    return getattr(call.func, "id", getattr(call.func, "attr", ""))


def without_remedy(tree: ast.AST) -> list[int]:
    """Lines of the errors that are given a problem alone, or an empty remedy."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name_of(node) in ("UserError", "UnknownField", "MissingValue"):
            remedies = [*node.args[1:2], *(word.value for word in node.keywords if word.arg == "remedy")]
            empty = any(isinstance(remedy, ast.Constant) and not remedy.value for remedy in remedies)
            if not remedies or empty:
                lines.append(node.lineno)
    return lines


def writes(tree: ast.AST) -> list[int]:
    """Lines that open a file for writing; buffers in memory and `writing` do not count."""
    lines = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name, texts = name_of(node), [*node.args, *(word.value for word in node.keywords if word.arg == "mode")]
        modes = [text.value for text in texts if isinstance(text, ast.Constant) and isinstance(text.value, str)]
        flags = {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}
        if (
            (
                name == "open"
                and (
                    any(set(mode) <= set("rwaxbt+") and set(mode) & set("wax+") for mode in modes)
                    or flags & {"O_WRONLY", "O_RDWR", "O_CREAT"}
                )
            )
            or name in ("fdopen", "NamedTemporaryFile", "VideoWriter")
            or (name in _WRITING_METHODS and isinstance(node.func, ast.Attribute) and node.args)
        ):
            lines.append(node.lineno)
    return lines


def test_every_error_has_a_remedy() -> None:
    found = {file: lines for file, tree in sources() if (lines := without_remedy(tree))}
    assert found.keys() == WITHOUT_REMEDY.keys(), found


def test_a_missing_remedy_is_seen() -> None:
    assert without_remedy(ast.parse('UserError("a.")\nerrors.UserError("a.", "")\nUserError("a.", field="b")')) == [
        1,
        2,
        3,
    ]
    assert not without_remedy(ast.parse('UserError("a.", "b.")\nUserError(problem, remedy=text)'))


def test_files_are_written_in_one_way() -> None:
    found = {file: lines for file, tree in sources() if (lines := writes(tree))}
    expected = WRITERS.keys() - {"exporting/files.py", "durable.py"}
    assert found.keys() - {"exporting/files.py", "durable.py"} == expected, found


def test_a_file_written_by_hand_is_seen() -> None:
    by_hand = 'open(p, "w")\np.open("ab")\np.write_text("")\nopen(p, mode="x")\nos.open(p, os.O_RDWR)\nt.to_csv(p)'
    assert writes(ast.parse(by_hand)) == [1, 2, 3, 4, 5, 6]
    assert not writes(
        ast.parse('open(p)\np.open("rb")\nwriting(p, "wb")\nopen(p, encoding="utf-8")\nt.to_csv(index=False)')
    )
