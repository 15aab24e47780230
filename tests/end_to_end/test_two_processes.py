"""Two DDP processes over gloo against one process at the same global batch."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from gender_lightning.machine.hardware import available_cores

# where both can agree: normalisation within an image, no dropout, float32; random numbers are keyed by image
COMPARABLE = (
    "model=timm", "model.name=timm/test_vit", "optimizer=sgd", "trainer.max_epochs=2", "augmentation=strong",
    "callbacks.ema.decay=0.9", "loss.label_smoothing=0.1", "data.groups=[Eyeglasses]", "data.group_minimum=3",
    "data.sampler=group_balanced", "loss=group_dro", "loss.step_size=0.5", "loss.auxiliary.attributes=all",
)  # fmt: skip
pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(available_cores() < 2, reason="two processes need two cores"),
]


@pytest.mark.slow
def test_two_processes_agree_with_one(
    train: Callable[..., Path], celeba_of: Callable[..., list[str]], tmp_path: Path
) -> None:
    one, two = train("one", *COMPARABLE), tmp_path / "two"
    typed = celeba_of(*COMPARABLE, "trainer.devices=2", "data.batch_size=4", f"run_dir={two}")
    result = gender_lightning("train", *typed, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("run directory:") == 1, "the second process prints nothing"
    for name in ("best", "last"):
        files = [run / "checkpoints" / f"{name}.ckpt" for run in (one, two)]
        states = [torch.load(file, weights_only=True)["state_dict"] for file in files]
        torch.testing.assert_close(states[1], states[0], rtol=1e-3, atol=2e-5)
    for split, images in (("valid", 15), ("test", 13)):
        tables = [pd.read_parquet(run / "predictions" / f"{split}.parquet") for run in (one, two)]
        assert len(tables[1]) == images
        pd.testing.assert_frame_equal(tables[1], tables[0], rtol=1e-3, atol=1e-4)
    metrics = [json.loads((run / "metrics.json").read_text()) for run in (one, two)]
    assert metrics[1] == pytest.approx(metrics[0], abs=1e-4)
    assert json.loads((two / "run.json").read_text())["status"] == "done"
    assert sorted(path.name for path in two.iterdir()) == sorted(path.name for path in one.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"], "no process made a directory of its own"


SKIPPING = """
import gender_lightning.data.rows.skipping as skipping
skipping.MOST = 0.1
from gender_lightning.__main__ import main
main()
"""


@pytest.mark.slow
def test_two_processes_go_on_where_they_were_without_the_same_image(
    celeba_of: Callable[..., list[str]], faces: Path, tmp_path: Path
) -> None:
    """The first process looks for what does not decode, the second is told; and again after a break."""
    script, broken = tmp_path / "start.py", tmp_path / "broken"
    script.write_text(SKIPPING)
    shutil.copytree(faces, broken)
    (broken / "img_align_celeba" / "000003.jpg").write_bytes(b"<html>")
    typed = celeba_of(*COMPARABLE, f"data.root={broken}", "data.on_error=skip", "trainer.devices=2",
                      "data.batch_size=4", "trainer.max_epochs=1")  # fmt: skip
    result = started(str(script), "train", *typed, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    (run,) = tmp_path.glob("runs/train/*")  # named by the time, and still one for both
    file = run / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "status": "interrupted"}))
    again = ["train", f"resume={run.relative_to(tmp_path)}", "trainer.max_epochs=2"]
    result = started(str(script), *again, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert json.loads(file.read_text())["status"] == "done"
    assert len((run / "metrics.csv").read_text().splitlines()) == 3
    with (run / "skipped.csv").open() as listed:
        assert [row["image_id"] for row in csv.DictReader(listed)] == ["000003.jpg"]
    table = pd.read_parquet(run / "predictions" / "valid.parquet")
    assert len(table) == table["image_id"].nunique() == 15


LATE = """
import os, time
from gender_lightning.synthetic import faces
draw = faces.draw_faces

def drawing(*arguments):
    with open("drawn.txt", "a") as file:
        file.write(os.environ["RANK"])
    draw(*arguments)

faces.draw_faces = drawing
if os.environ["RANK"] == "0":
    time.sleep(8)
from gender_lightning.__main__ import main
main()
"""


@pytest.mark.slow
def test_torchrun_with_a_first_process_that_is_late(tmp_path: Path) -> None:
    script, run, root = tmp_path / "late.py", tmp_path / "run", tmp_path / "faces"
    script.write_text(LATE)
    typed = [
        "train", "data=synthetic", f"data.root={root}", "data.sizes={train: 24, valid: 8, test: 8}",
        "data.image_size=32", "data.batch_size=4", "data.workers=0", "model=timm", "model.name=timm/test_resnet",
        "logger=csv", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.max_epochs=1", f"run_dir={run}",
    ]  # fmt: skip
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    result = started(*torchrun, *typed, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert json.loads((run / "run.json").read_text())["status"] == "done"
    assert result.stdout.count("run directory:") == 1
    assert len(list(root.rglob("*.jpg"))) == 40
    assert (tmp_path / "drawn.txt").read_text() == "0", "drawn once, by the first process"


def gender_lightning(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return started("-m", "gender_lightning", *arguments, cwd=cwd)


def started(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    environment = {**os.environ, "XDG_CACHE_HOME": str(cwd.parent / "cache"), "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        try:
            out, error = process.communicate(timeout=400)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # a second process that waits for the first
        return subprocess.CompletedProcess(command, process.returncode, out, error)
