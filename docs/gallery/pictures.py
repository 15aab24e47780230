"""Takes the pictures of the gallery: `python docs/gallery/pictures.py FOLDER`, where its commands have been typed.

Drawn faces only. It needs Playwright and Chromium, and is run by hand when a page has changed.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from shutil import which

from PIL import Image
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
WIDTH, SCALE = 1000, 1.5  # of the window, and pixels per CSS pixel
QUALITY = 72  # of WebP


def save(shot: bytes, name: str) -> None:
    """Keep a screenshot, small."""
    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    picture.save(HERE / f"{name}.webp", quality=QUALITY, method=6)


def take(page: Page, file: Path, parts: dict[str, tuple[str, int]]) -> None:
    """Pictures of parts of a page: by name, the heading that a part begins with (none: the top) and its height."""
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


def main(folder: Path) -> None:
    """Take them all."""
    (evaluation,) = folder.glob("runs/gallery/resnet18-1/evaluation/*")
    comparison = max(folder.glob("comparisons/*"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 900}, device_scale_factor=SCALE)
        take(
            page,
            evaluation / "report.html",
            {
                "report": ("", 1000),
                "calibration": ("How sure", 900),
                "disturbed": ("Disturbed pictures", 900),
                "looks": ("Where it looks", 900),
            },
        )
        take(page, comparison / "comparison.html", {"comparison": ("", 1100)})
        take(page, folder / "runs/search/resnet18/sweep.html", {"sweep": ("", 1000)})
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
