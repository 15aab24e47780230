"""CelebA's files: their names and MD5 sums, where to get them, and whether they are there and intact."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gender_lightning.data.sources.annotations import find_table
from gender_lightning.data.sources.images import ARCHIVE, FOLDER, find_celeba_images
from gender_lightning.durable import publish
from gender_lightning.errors import UserError

PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
DRIVE = "https://drive.google.com/drive/folders/0B7EVK8r0v71pWEZsZE9oNnFzTm8?resourcekey=0-5BR16BdXnb8hVj6CNHKzLg"
IMAGES = 202_599
CHUNK = 1 << 22

State = Literal["ok", "there", "other", "missing", "quota page"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class CelebaFile:
    """A file of CelebA; ids and MD5 sums are those of ``torchvision.datasets.CelebA.file_list``."""

    name: str
    drive_id: str
    md5: str
    required: bool

    @property
    def url(self) -> str:
        """The address for a browser."""
        return f"https://drive.google.com/file/d/{self.drive_id}"


CELEBA_FILES = (
    CelebaFile("list_attr_celeba.txt", "0B7EVK8r0v71pblRyaVFSWGxPY0U", "75e246fa4810816ffd6ee81facbd244c", True),
    CelebaFile("list_eval_partition.txt", "0B7EVK8r0v71pY0NSMzRuSXJEVkk", "d32c9cbf5e040fd4025c592c306e6668", True),
    CelebaFile(ARCHIVE, "0B7EVK8r0v71pZjFTYXZWM3FlRnM", "00d2c5bc6d35e252742224ab0c1e8fcb", True),
    CelebaFile("identity_CelebA.txt", "1_ee_0u7vcNLOfNLegJRHmolfH5ICW-XS", "32bd1bd63d3c78cd57e08160ec5ed1e2", False),
    CelebaFile(
        "list_landmarks_align_celeba.txt",
        "0B7EVK8r0v71pd0FJY3Blby1HUTQ",
        "cc24ecafdb5b50baae59b03474781f8c",
        False,
    ),
)


@dataclass(frozen=True)
class Status:
    """What is known about one file.

    Attributes:
        source: The file.
        state: ``ok``: CelebA's own, by its MD5 sum; ``there``: a form that has no known sum (.csv, a folder);
            ``other``: present, but with another sum (a part of CelebA, other line endings, or damage);
            ``missing``; ``quota page``: the page with which Google refuses a download, saved under the file's name.
        path: Where the file is, or where to put it.
        note: A remark, or empty.
    """

    source: CelebaFile
    state: State
    path: Path
    note: str = ""

    @property
    def usable(self) -> bool:
        """Whether a run can read it, as far as that can be told without parsing."""
        return self.state in ("ok", "there", "other")


def prepare(root: Path, *, download: bool = False, progress: Progress | None = None) -> list[Status]:
    """Find out which of CelebA's files are there, and with ``download`` fetch the missing ones as torchvision does.

    Args:
        root: CelebA's folder; created when something is fetched.
        download: Fetch what is missing, or was a quota page.
        progress: Called with (bytes done, bytes in all) while sums are computed.

    Raises:
        UserError: A download failed, for example because of Google's quota; the message says what to do instead.
    """
    statuses = [status_of(root, source, progress) for source in CELEBA_FILES]
    if not download:
        return statuses
    for place, status in enumerate(statuses):
        if not status.usable:
            fetch(status.source, root)
            statuses[place] = status_of(root, status.source, progress)
    return statuses


def status_of(root: Path, source: CelebaFile, progress: Progress | None = None) -> Status:
    """The state of one file."""
    path = find_celeba_images(root) if source.name == ARCHIVE else find_table(root, Path(source.name).stem)
    if path is None:
        return Status(source, "missing", root / source.name)
    if path.is_dir():
        return _status_of_folder(source, path)
    if is_web_page(path):
        return Status(source, "quota page", path, "a web page saved under this name: delete it")
    if path.suffix == ".csv":
        return Status(source, "there", path, "Kaggle's form")
    if md5(path, progress) == source.md5:
        return Status(source, "ok", path)
    return Status(source, "other", path, "its MD5 sum is not CelebA's: a part of it, or damaged")


def _status_of_folder(source: CelebaFile, path: Path) -> Status:
    with os.scandir(path) as entries:
        count = sum(entry.name.endswith((".jpg", ".png")) for entry in entries)
    note = f"{count:,} images" + ("" if count == IMAGES else f" of CelebA's {IMAGES:,}")
    return Status(source, "there", path, f"{FOLDER}/: {note}")


def md5(path: Path, progress: Progress | None = None) -> str:
    """MD5 sum of a file, read in pieces."""
    digest = hashlib.md5(usedforsecurity=False)
    total, done = path.stat().st_size, 0
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
            done += len(piece)
            if progress is not None and total > CHUNK:
                progress(done, total)
    return digest.hexdigest()


def is_web_page(path: Path) -> bool:
    """Whether a file is HTML, like the pages with which Google refuses a download."""
    with path.open("rb") as file:
        start = file.read(512).lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html"))


def fetch(source: CelebaFile, root: Path) -> Path:
    """Download a file beside its final place, check its sum, and only then move it there.

    Raises:
        UserError: No gdown, no network, Google's quota, a wrong sum, or a full disk.
    """
    from torchvision.datasets.utils import download_file_from_google_drive

    by_hand = f"Download it with a browser from {source.url} and put it into {root}."
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as folder:
            file = Path(folder) / source.name
            try:
                download_file_from_google_drive(source.drive_id, folder, source.name, source.md5)
            except Exception as error:  # gdown's own exceptions, and requests'; each becomes one sentence
                raise _download_error(source, file, error, by_hand) from error
            publish(file, root / source.name)
    except OSError as error:
        raise UserError(f"{source.name} cannot be written to {root}: {error.strerror or error}.", by_hand) from error
    return root / source.name


def _download_error(source: CelebaFile, file: Path, error: Exception, by_hand: str) -> UserError:
    text = str(error)
    if "gdown" in text and "required" in text:
        return UserError("Downloading from Google Drive needs gdown: `pip install gdown`.", by_hand)
    page = file.is_file() and is_web_page(file)
    if page or any(words in text.lower() for words in ("quota", "too many users", "public link", "accesses")):
        problem = f"Google Drive refuses {source.name} for now: its daily quota is used up."
        return UserError(problem, f"Try again tomorrow, or: {by_hand}")
    if file.is_file():
        problem = f"{source.name} arrived damaged (its MD5 sum is not CelebA's)."
        return UserError(problem, f"Try again, or: {by_hand}")
    reason = text.strip().splitlines()[0] if text.strip() else repr(error)
    return UserError(f"{source.name} cannot be downloaded ({reason}).", by_hand)
