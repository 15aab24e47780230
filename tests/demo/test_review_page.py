"""The page of a review: its state on disk after every answer, and the keys in a real Chromium."""

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

import numpy as np
import pytest
from PIL import Image

from gender_lightning.audit.review import ReviewItem, read_answers
from gender_lightning.commands.data import data
from gender_lightning.config import DataCommandConfig, parse_config
from gender_lightning.errors import UserError
from gender_lightning.overrides import compose

pytest.importorskip("gradio", reason="needs the extra `demo`")
from gender_lightning.demo.review_page import Review, picture, said

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ITEMS = [ReviewItem("a.jpg", 1, "models contradict it"), ReviewItem("<b>.jpg", 0), ReviewItem("c.jpg", 0)]


def test_every_answer_is_on_disk_and_a_second_click_is_passed_by(tmp_path: Path) -> None:
    review = Review(ITEMS, {}, tmp_path / "c.csv", 100)
    review.answer("a.jpg", "wrong")
    review.answer("a.jpg", "right")  # the page had not changed yet
    assert {name: answer.verdict for name, answer in read_answers(tmp_path / "c.csv").items()} == {"a.jpg": "wrong"}
    assert review.current == ITEMS[1] and "models contradict it" in review.last
    review.answer("<b>.jpg", "cannot tell")
    assert "drawn at random" in review.last
    review.undo()
    again = Review(ITEMS, read_answers(tmp_path / "c.csv"), tmp_path / "c.csv", 100)
    assert again.current == ITEMS[1] and again.last == ""
    again.undo()  # nothing of this sitting
    assert len(read_answers(tmp_path / "c.csv")) == 1


def test_nothing_shows_what_is_suspected_before_the_answer_and_names_are_text() -> None:
    review = Review(ITEMS, {}, Path("never.csv"), 100)
    shown = [picture(item, lambda name: np.zeros((4, 4, 3), np.uint8)) for item in ITEMS[:2]]
    assert "contradict" not in shown[0] + said(review)
    parts = [re.sub(r'src="[^"]*"', "", html).replace(name, "") for html, name in
             zip(shown, ("a.jpg", "&lt;b&gt;.jpg"), strict=True)]  # fmt: skip
    assert parts[0].replace("male", "female") == parts[1]

    def broken(name: str) -> np.ndarray:
        raise UserError("It <i>does not</i> decode.")

    assert "&lt;i&gt;" in picture(ITEMS[0], broken) and "All images were looked at" in picture(None, broken)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    rng = np.random.default_rng(0)
    for number in range(8):
        path = tmp_path / "faces" / "test" / ("female", "male")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path)
    typed = ["data=folder", f"data.root={tmp_path / 'faces'}", f"output={tmp_path / 'out'}"]
    data("audit", parse_config(DataCommandConfig, compose("data", typed)))
    command = [sys.executable, "-m", "gender_lightning", "data", "review", f"audit={tmp_path / 'out'}", "browser=false"]
    log = (tmp_path / "log.txt").open("w")
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=log, stderr=log)
    try:
        for _ in range(600):
            if found := re.search(r"http://127\.0\.0\.1:\d+/", (tmp_path / "log.txt").read_text()):
                break
            assert process.poll() is None, (tmp_path / "log.txt").read_text()
            time.sleep(0.25)
        assert found is not None
        yield found[0]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        log.close()
    assert "answers:" in (tmp_path / "log.txt").read_text()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_keys_answer_and_nothing_is_asked_outside(address: str, tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    asked: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.wait_for_selector("#image img", timeout=60_000)
        name = "document.querySelector('#image .gl-note')?.innerText"  # beside it Gradio writes how long it waits
        for key in "rwcu":
            before = page.evaluate(name)
            page.keyboard.press(key)
            page.wait_for_function(f"before => {name} !== before", arg=before, timeout=60_000)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        browser.close()
    answers = read_answers(tmp_path / "out" / "corrections.csv")
    assert [answer.verdict for answer in answers.values()] == ["right", "wrong"]
    assert all(url.startswith((address, "data:", "blob:")) for url in asked)
