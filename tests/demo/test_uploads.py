"""Uploads lie in memory, and no end of the program leaves them there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from gender_lightning.demo import uploads


def upload(folder: Path, content: str, name: str) -> Path:
    (folder / content).mkdir(exist_ok=True)
    (folder / content / name).write_bytes(b"picture")
    return folder / content / name


def test_a_folder_is_gone_at_its_end_with_what_was_left_behind() -> None:
    with uploads.upload_folder(60) as folder:
        seen, left = upload(folder, "1f", "a.jpg"), upload(folder, "1f", "b.jpg")
        with uploads.removed([str(seen), str(folder / "2e" / "gone.jpg")]):
            assert seen.exists()
        assert not seen.exists() and left.exists()
        with uploads.removed([str(left)]):
            pass
        assert not left.parent.exists() and folder.exists()
        upload(folder, "3d", "c.jpg")
    assert not folder.exists()


def test_what_nobody_looks_at_goes_by_age_and_a_batch_keeps_its_own(tmp_path: Path) -> None:
    cache = tmp_path / "gender-lightning-x"
    cache.mkdir()
    broken_off, own = cache / "tmp1a2b", cache / "history"
    broken_off.write_bytes(b"half")
    own.write_text("Gradio's")
    forgotten, waiting, fresh = (upload(cache, name, "a.jpg") for name in ("1", "2", "3"))
    for file in (broken_off, own, forgotten, waiting):
        os.utime(file, (0, time.time() - 100))
    with uploads.removed([str(waiting)]):
        uploads.remove_older(cache, 90)
        assert sorted(path.name for path in cache.iterdir()) == ["2", "3", "history"]
    assert fresh.exists() and not waiting.parent.exists()


def test_a_killed_program_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import time; from gender_lightning.demo.uploads import upload_folder\n"
        "with upload_folder(60) as folder:\n"
        "    (folder / 'a.jpg').write_text('x'); print(folder, flush=True); time.sleep(60)\n"
    )
    program = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    folder = Path(program.stdout.readline().strip())
    assert (folder / "a.jpg").exists()
    program.send_signal(signal.SIGKILL)
    program.wait(10)
    program.stdout.close()
    until = time.monotonic() + 10
    while folder.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not folder.exists()


def test_little_memory_is_no_place_for_uploads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(uploads, "_MEMORY", tmp_path)
    for free, parent in ((2**31, tmp_path), (2**26, Path(uploads.tempfile.gettempdir()))):
        monkeypatch.setattr(uploads.shutil, "disk_usage", lambda path, free=free: SimpleNamespace(free=free))
        with uploads.upload_folder(60) as folder:
            assert folder.parent == parent
