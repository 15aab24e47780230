"""The embedded synthetic faces: a data set in CelebA's layout, drawn by our own code, the same for the same seed.

A face is a pure function of (seed, split, person, picture): not of the number of workers, of the other splits'
sizes, or of what was drawn before it. Drawing itself is in `gender_lightning.synthetic.drawing`.
"""

from __future__ import annotations

import errno
import json
import logging
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from gender_lightning.errors import UserError
from gender_lightning.synthetic.drawing.attributes import NAMES, attributes
from gender_lightning.synthetic.drawing.painter import paint
from gender_lightning.synthetic.drawing.traits import sample_person, sample_picture
from gender_lightning.synthetic.marker import MARKER, SPLITS, describe_set, is_drawn

log = logging.getLogger(__name__)

IMAGES = "img_align_celeba"
LANDMARKS = "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y"
_CHUNK = 32  # faces per task: a fraction of a second

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Face:
    """Which face to draw: the key of its random numbers."""

    seed: int
    split: int
    person: int  # within the split
    picture: int  # of that person


@dataclass(frozen=True)
class _Drawn:
    image: NDArray[np.uint8]  # (218, 178, 3) RGB
    attributes: NDArray[np.bool_]  # (40,)
    landmarks: NDArray[np.int16]  # (10,)
    quality: int


@dataclass(frozen=True)
class _Task:
    """A chunk of faces for one worker: it writes the files, and returns the labels."""

    first: int  # the first file's number
    faces: tuple[_Face, ...]
    folder: Path


_Labels = tuple[NDArray[np.bool_], NDArray[np.int16]]


def draw_faces(
    root: Path, sizes: Mapping[str, int], seed: int, workers: int = 1, progress: Progress | None = None
) -> None:
    """Draws a synthetic data set into `root`, in CelebA's official layout, unless the same one is there already.

    It is drawn in a temporary folder beside `root` and renamed at the end: `root` is complete or absent.

    Args:
        root: The folder to make: `img_align_celeba/000001.jpg` ... (178x218 RGB JPEG), the attribute, partition,
            identity and landmark files, and `synthetic.json`, which says what was drawn.
        sizes: Number of faces in `train`, `valid` and `test`; a split left out is empty. No person is in two splits.
        seed: Seed of the drawing, zero or more. The same seed gives the same bytes, whatever the number of workers.
        workers: Number of processes that draw.
        progress: Called in this process with (faces drawn, faces in all).

    Raises:
        UserError: `root` holds another synthetic set or other files, or cannot be written.
    """
    wanted = describe_set(sizes, seed)
    if is_drawn(root, wanted):
        return
    scratch = root.parent / f".{root.name}.drawing-{os.getpid()}"
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        (scratch / IMAGES).mkdir(parents=True)
        _write_set(scratch, wanted["sizes"], seed, workers, progress)
        (scratch / MARKER).write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
        _move(scratch, root, wanted)
    except OSError as error:
        raise UserError(
            f"The synthetic faces could not be written to {root}: {error.strerror or error}.",
            "Free some space there, or choose another folder with data.root.",
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def synthetic_faces(n: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draws `n` faces in memory: the training split's first persons, before JPEG.

    Returns:
        Images (n, 218, 178, 3), RGB; labels (n,), 1 is male.
    """
    with _one_thread():
        drawn = [_draw(face) for face in _plan_split(seed, 0, n)]
    images = np.stack([face.image for face in drawn]) if drawn else np.zeros((0, 218, 178, 3), np.uint8)
    male = NAMES.index("Male")
    return images, np.array([int(face.attributes[male]) for face in drawn], np.int64)


def _move(scratch: Path, root: Path, wanted: Mapping[str, object]) -> None:
    try:
        if root.is_dir() and not any(root.iterdir()):
            root.rmdir()  # not every system renames onto an empty folder
        scratch.rename(root)
    except OSError as error:
        # Another process may have drawn the same set in the meantime: then ours is not needed.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not is_drawn(root, wanted):
            raise


def _write_set(folder: Path, sizes: object, seed: int, workers: int, progress: Progress | None) -> None:
    assert isinstance(sizes, dict)
    plan = [(split, _plan_split(seed, split, sizes[name])) for split, name in enumerate(SPLITS)]
    faces = [face for _, part in plan for face in part]
    rows: list[_Labels | None] = [None] * len(faces)
    done = 0
    for first, labels in _run(_tasks(faces, folder / IMAGES), workers):
        rows[first : first + len(labels)] = labels
        done += len(labels)
        if progress is not None:
            progress(done, len(faces))
    _write_labels(folder, faces, [row for row in rows if row is not None])


def _plan_split(seed: int, split: int, n: int) -> list[_Face]:
    """Gives each person one to six pictures until there are `n`, then shuffles, as CelebA's rows are."""
    rng = np.random.default_rng([seed, split + 1, 0, 1])
    faces: list[_Face] = []
    person = 0
    while len(faces) < n:
        faces += [_Face(seed, split, person, picture) for picture in range(int(rng.integers(1, 7)))]
        person += 1
    order = rng.permutation(n)
    return [faces[row] for row in order]


def _tasks(faces: list[_Face], folder: Path) -> list[_Task]:
    starts = range(0, len(faces), _CHUNK)
    return [_Task(start, tuple(faces[start : start + _CHUNK]), folder) for start in starts]


def _run(tasks: list[_Task], workers: int) -> Iterator[tuple[int, list[_Labels]]]:
    """Yields (first face, labels of the chunk) as the chunks are done, in any order."""
    workers = min(workers, len(tasks) // 2)  # starting a process takes longer than a few faces
    if workers <= 1:
        yield from ((task.first, _draw_task(task)) for task in tasks)
        return
    # spawn: the parent may hold torch's threads, which do not survive a fork
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context)
    try:
        futures = {pool.submit(_draw_task, task): task for task in tasks}
        for future in as_completed(futures):
            yield futures[future].first, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Draws without OpenCV's threads: its `stackBlur` rounds differently when it splits a picture among them."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


@_one_thread()
def _draw_task(task: _Task) -> list[_Labels]:
    labels = []
    for number, face in enumerate(task.faces, task.first + 1):
        drawn = _draw(face)
        bgr = cv2.cvtColor(drawn.image, cv2.COLOR_RGB2BGR)
        _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, drawn.quality])
        (task.folder / f"{number:06d}.jpg").write_bytes(jpeg.tobytes())
        labels.append((drawn.attributes, drawn.landmarks))
    return labels


def _draw(face: _Face) -> _Drawn:
    person = sample_person(np.random.default_rng([face.seed, face.split + 1, face.person + 1, 1]))
    rng = np.random.default_rng([face.seed, face.split + 1, face.person + 1, face.picture + 2])
    picture = sample_picture(rng, person)
    image, landmarks = paint(person, picture)
    return _Drawn(image, attributes(person, picture), landmarks, picture.quality)


def _write_labels(folder: Path, faces: list[_Face], rows: list[_Labels]) -> None:
    """Writes the four text files, with CelebA's headers and column widths."""
    assert len(faces) == len(rows)
    names = [f"{number:06d}.jpg" for number in range(1, len(rows) + 1)]
    persons = {key: i for i, key in enumerate(sorted({(face.split, face.person) for face in faces}), 1)}
    values = zip(names, faces, rows, strict=True)
    attribute_lines, landmark_lines, partition_lines, identity_lines = [], [], [], []
    for name, face, (truths, points) in values:
        attribute_lines.append(f"{name} " + " ".join(" 1" if truth else "-1" for truth in truths))
        landmark_lines.append(f"{name} " + " ".join(f"{value:6d}" for value in points))
        partition_lines.append(f"{name} {face.split}")
        identity_lines.append(f"{name} {persons[face.split, face.person]}")
    count = str(len(rows))
    _write_lines(folder / "list_attr_celeba.txt", [count, " ".join(NAMES), *attribute_lines])
    _write_lines(folder / "list_landmarks_align_celeba.txt", [count, LANDMARKS, *landmark_lines])
    _write_lines(folder / "list_eval_partition.txt", partition_lines)
    _write_lines(folder / "identity_CelebA.txt", identity_lines)


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="ascii", newline="\n")
