"""Makes the pictures of the gallery: `make gallery`, or `python docs/gallery/pictures.py [FOLDER]`.

It types the commands below in a folder, which takes a quarter of an hour on two cores, and photographs parts of the
pages that they leave. A command whose result is there already is not typed again. Drawn faces only. It needs Playwright
and Chromium, and is run by hand when a page has changed.
"""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which

from PIL import Image
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
WIDTH, SCALE = 1000, 1.5  # of the window, and pixels per CSS pixel
QUALITY = 72  # of WebP
SMALL = "data.image_size=48 augmentation=light logger=csv"

MODELS = [f"{model}-{seed}" for model in ("resnet18", "googlenet") for seed in (1, 2)]

# What is typed, in this order, and what it leaves.
COMMANDS = {
    **{
        "train model={} seed={} ".format(*name.split("-"))
        + f"{SMALL} trainer.max_epochs=3 run_dir=runs/gallery/{name}": f"runs/gallery/{name}"
        for name in MODELS
    },
    "evaluate checkpoint=runs/gallery/resnet18-1 corruptions=quick output=evaluation": "evaluation/report.html",
    "compare 'runs=runs/gallery/*' output=comparison": "comparison/comparison.html",
    "refit checkpoint=runs/gallery/resnet18-1 groups=[Wearing_Lipstick] output=refit": "refit/refit.html",
    "data audit data=synthetic checkpoint=[runs/gallery/resnet18-1,runs/gallery/resnet18-2] output=audit": (
        "audit/audit.html"
    ),
    f"train -m search=resnet18 search.n_trials=8 {SMALL} trainer.max_epochs=2 data.limit=500": (
        "runs/train/resnet18/sweep.html"
    ),
}
# Of each page, by the name of the picture: the heading that it begins with (none: the top) and its height.
PARTS: dict[str, dict[str, tuple[str, int]]] = {
    "evaluation/report.html": {
        "report": ("", 1000),
        "fairness": ("Is it fair?", 1000),
        "calibration": ("How sure", 900),
        "disturbed": ("Disturbed pictures", 900),
        "looks": ("Where it looks", 900),
    },
    "comparison/comparison.html": {"comparison": ("", 1100)},
    "refit/refit.html": {"refit": ("", 1000)},
    "audit/audit.html": {"audit": ("", 1000)},
    "runs/train/resnet18/sweep.html": {"sweep": ("", 1000)},
}
PROGRAM = [sys.executable, "-m", "gender_lightning"]


def save(shot: bytes, name: str) -> None:
    """Keep a screenshot, small."""
    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    picture.save(HERE / f"{name}.webp", quality=QUALITY, method=6)


def take(page: Page, file: Path, parts: dict[str, tuple[str, int]]) -> None:
    """Pictures of parts of a page."""
    page.goto(file.as_uri())
    page.wait_for_timeout(500)
    for name, (heading, height) in parts.items():
        top = 0.0
        if heading:
            box = page.get_by_role("heading", name=heading).first.bounding_box()
            assert box is not None, heading
            top = box["y"] - 12
        whole = page.evaluate("document.documentElement.scrollHeight")
        clip = {"x": 0, "y": top, "width": WIDTH, "height": min(height, whole - top)}
        save(page.screenshot(full_page=True, clip=clip), name)  # type: ignore[arg-type]


@contextmanager
def served(command: str, folder: Path) -> Iterator[str]:
    """The address of a page that a command serves while one looks at it."""
    log = folder / "served.txt"
    with log.open("w") as file:
        process = subprocess.Popen([*PROGRAM, *shlex.split(command)], cwd=folder, stdout=file, stderr=file)
        try:
            while not (found := re.search(r"http://127\.0\.0\.1:\d+/", log.read_text())):
                if process.poll() is not None:
                    raise SystemExit(log.read_text())
                time.sleep(0.5)
            yield found[0]
        finally:
            process.terminate()
            process.wait(60)


def take_served(page: Page, folder: Path) -> None:
    """Pictures of the two pages that are served."""
    with served("demo checkpoint=runs/gallery/resnet18-1 browser=false", folder) as address:
        page.goto(address)
        page.click("#example-5", timeout=120_000)
        page.wait_for_selector(".gl-card .gl-bar", timeout=120_000)
        page.wait_for_timeout(1000)
        save(page.screenshot(full_page=True), "demo")
    with served("data review data=synthetic audit=audit browser=false", folder) as address:
        page.goto(address)
        page.wait_for_selector("#image img", timeout=120_000)
        page.wait_for_timeout(1000)
        save(page.screenshot(full_page=True), "review")


def main(folder: Path) -> None:
    """Type what is missing, then take them all."""
    folder.mkdir(parents=True, exist_ok=True)
    for command, result in COMMANDS.items():
        if not (folder / result).exists():
            subprocess.run([*PROGRAM, *shlex.split(command)], cwd=folder, check=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 900}, device_scale_factor=SCALE)
        for file, parts in PARTS.items():
            take(page, folder / file, parts)
        take_served(page, folder)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1] if sys.argv[1:] else "build/gallery").absolute())
