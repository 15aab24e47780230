"""The page in a real Chromium: upload, result, error, batch, phone; nothing stored, nothing asked outside."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gender_lightning.data.framing import Framing
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, save_weights
from gender_lightning.synthetic.faces import synthetic_faces

pytest.importorskip("gradio", reason="needs the extra `demo`")
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
PATIENCE = 90_000  # ms, of a busy machine


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number, face in enumerate(synthetic_faces(3, seed=8)[0]):
        Image.fromarray(face).save(folder / f"face{number}.jpg")
    Image.fromarray(np.zeros((800, 600, 3), np.uint8)).save(folder / "black.png")
    (folder / "hostile.png").write_bytes(b"\x89PNG\r\n\x1a\n<script>alert(1)</script>")
    (folder / "large.png").write_bytes(b"\x00" * 2_500_000)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address of the page, and the folder that temporary files of its process go to."""
    folder = tmp_path_factory.mktemp("demo")
    torch.manual_seed(1)
    save_weights(
        folder / "a.ckpt", create_backbone("resnet18", image_size=32).state_dict(), ModelSpec("resnet18", Framing(32))
    )
    scratch = folder / "scratch"
    scratch.mkdir()
    environment = {**os.environ, "TMPDIR": str(scratch), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "gender_lightning", "demo", f"checkpoint={folder / 'a.ckpt'}", "browser=false"]
    log = (folder / "log.txt").open("w")
    process = subprocess.Popen([*command, "max_megabytes=2"], env=environment, stdout=log, stderr=log, cwd=folder)
    try:
        address = _address(process, folder / "log.txt")
        yield address, scratch
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        log.close()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    for _ in range(600):
        if found := re.search(r"http://127\.0\.0\.1:\d+/", log.read_text()):
            return found[0]
        assert process.poll() is None, log.read_text()
        time.sleep(0.25)
    raise AssertionError(log.read_text())


DESK, PHONE = (1280, 900), (390, 844)


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def page(request: pytest.FixtureRequest, server: tuple[str, Path]) -> Iterator[Any]:
    """The page as it was loaded; at its end nothing was asked of others, and nothing complained."""
    outside: list[str] = []
    complaints: list[str] = []
    width, height = request.param
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": width, "height": height})
        tab.set_default_timeout(PATIENCE)
        own = (server[0], "data:", "blob:")
        tab.on("request", lambda it: None if it.url.startswith(own) else outside.append(it.url))
        tab.on("console", lambda it: complaints.append(it.text) if it.type == "error" else None)
        tab.on("pageerror", lambda it: complaints.append(str(it)))
        tab.goto(server[0])
        tab.wait_for_selector("#example-1")
        yield tab
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        browser.close()
    assert not outside
    # The upload that is too large is refused by the server, which the console notes.
    assert not [text for text in complaints if "413" not in text and "Failed to load resource" not in text]


def test_examples_uploads_mistakes_and_a_batch(page: Any, pictures: Path, server: tuple[str, Path]) -> None:
    upload, files = "#upload input[type=file]", "#files input[type=file]"
    page.click("#example-2")
    page.wait_for_selector(".gl-card .gl-bar")
    assert page.locator(".gl-card h3").inner_text().split()[-1] in ("female", "male", "uncertain")
    page.set_input_files(upload, pictures / "hostile.png")
    page.wait_for_selector(".gl-message")
    said = page.inner_text(".gl-message")
    assert "hostile.png does not decode" in said and "/" not in said
    page.set_input_files(upload, pictures / "face0.jpg")
    page.wait_for_selector(".gl-card img")
    page.set_input_files(upload, pictures / "black.png")
    page.wait_for_selector("text=No face was found")
    page.set_input_files(upload, pictures / "large.png")
    page.wait_for_selector("text=/maximum allowed size|exceeds|too large/i")

    page.get_by_role("tab", name="Many pictures").click()
    page.set_input_files(files, [pictures / name for name in ("face0.jpg", "face1.jpg", "face2.jpg", "hostile.png")])
    page.wait_for_selector(".gl-table")
    assert page.locator(".gl-table tbody tr").count() == 4
    with page.expect_download() as download:
        page.click("text=Download as CSV")
    table = Path(download.value.path()).read_text().splitlines()
    assert download.value.suggested_filename == "faces.csv" and len(table) == 5
    assert sum("unreadable" in line for line in table) == 1

    assert "Counted: 3 faces in 3 of 4 pictures. Not counted: 1 picture unreadable (hostile.png)." in page.inner_text(
        "#table .gl-summary"
    )

    page.click("text=For programs")
    page.wait_for_selector(f"#api >> text={server[0]}")
    page.get_by_role("tab", name="Model card").click()
    page.wait_for_selector("text=as perceived >> nth=1")
    cache = [*Path("/dev/shm").glob("gender-lightning-*"), *server[1].glob("gender-lightning-*")]
    left = [file.name for folder in cache for file in folder.rglob("*") if file.is_file() and file.suffix != ".css"]
    assert not [name for name in left if name.endswith((".jpg", ".png"))], left


@pytest.mark.parametrize("page", [DESK], ids=["desk"], indirect=True)
def test_impatient_clicks_of_two_visitors_get_what_patient_ones_get(page: Any, server: tuple[str, Path]) -> None:
    """Two heat maps at once of one network ended the server: its hooks saw each other's pictures."""

    def tiles(tab: Any) -> list[str]:
        return [str(tile.get_attribute("src")) for tile in tab.locator(".gl-tiles img").all()]

    def shown(tab: Any, number: int) -> list[str]:
        before = (tiles(tab) or [""])[0]
        tab.click(f"#example-{number}")
        tab.wait_for_function(
            "before => ![undefined, before].includes(document.querySelector('.gl-tiles img')?.src)", arg=before
        )
        return tiles(tab)

    patient = {number: shown(page, number) for number in range(1, 7)}
    assert len({crop for crop, *_ in patient.values()}) == 6
    other = page.context.browser.new_context().new_page()
    other.set_default_timeout(PATIENCE)
    other.goto(server[0])
    other.wait_for_selector("#example-1")
    for number in range(1, 7):
        for tab in (page, other):
            tab.click(f"#example-{number}")
            tab.wait_for_timeout(75)
    for tab in (page, other):
        tab.wait_for_function("crop => document.querySelector('.gl-tiles img')?.src === crop", arg=patient[6][0])
        assert tiles(tab) == patient[6]
    other.close()
    assert shown(page, 1) == patient[1]


def test_it_listens_to_this_computer_alone(server: tuple[str, Path]) -> None:
    import socket

    port = int(server[0].rsplit(":", 1)[1].strip("/"))
    with socket.socket() as other:
        other.settimeout(2)
        assert other.connect_ex(("127.0.0.2", port)) != 0, "bound to 127.0.0.1 only"
