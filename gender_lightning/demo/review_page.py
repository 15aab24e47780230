"""The page of a review: one image at a time, its label, three answers; keys do what the buttons do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from gender_lightning.audit.review import ReviewAnswer, ReviewItem, summary, write_answers
from gender_lightning.data.rows.revising import RIGHT, UNSURE, WRONG
from gender_lightning.data.sources.annotations import CLASS_NAMES
from gender_lightning.demo.markup import data_uri
from gender_lightning.errors import UserError

# Keys are for whoever is not typing or using the browser's own shortcuts.
SCRIPT = """<script>
document.addEventListener("keydown", (event) => {
  const keys = {r: "right", w: "wrong", c: "unsure", u: "undo"};
  const id = keys[event.key.toLowerCase()];
  if (!id || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  const found = document.querySelector("button#" + id + ", #" + id + " button");
  if (found && !found.disabled) { event.preventDefault(); found.click(); }
});
</script>"""
CSS = """
#image img { display: block; width: min(100%, 26rem); max-height: 60vh; object-fit: contain; margin: 0 auto;
  border-radius: 8px; background: #8882; image-rendering: auto; }
#image p { text-align: center; margin: .6rem 0; font-size: 1.15rem; }
#image .gl-note { font-size: .85rem; }
#answers { flex-wrap: wrap; justify-content: center; gap: .5rem; }
#answers button { flex: 1 1 8rem; max-width: 14rem; }
#state { min-height: 4rem; }
"""


class Review:
    """The state of a review: what was answered, on disk after every answer.

    Args:
        items: In the order in which they are shown.
        answers: Given before; changed in place.
        file: `corrections.csv`.
        images: Number of images of the whole data set.
    """

    def __init__(self, items: Sequence[ReviewItem], answers: dict[str, ReviewAnswer], file: Path, images: int) -> None:
        self.items, self.answers, self.file, self.images = items, answers, file, images
        self._given: list[ReviewItem] = []  # in this sitting, for undo
        self._lock = threading.Lock()

    @property
    def current(self) -> ReviewItem | None:
        """The first image without an answer; None at the end."""
        return next((item for item in self.items if item.image_id not in self.answers), None)

    def answer(self, image_id: str, verdict: str) -> None:
        """Note a verdict on the image that was shown; a second click on the same page is passed by."""
        with self._lock:
            item = self.current
            if item is None or item.image_id != image_id:
                return
            self.answers[image_id] = ReviewAnswer(verdict, datetime.now(UTC).isoformat(timespec="seconds"))
            self._given.append(item)
            write_answers(self.file, self.items, self.answers)

    def undo(self) -> None:
        """Take the last answer of this sitting back."""
        with self._lock:
            if self._given:
                del self.answers[self._given.pop().image_id]
                write_answers(self.file, self.items, self.answers)

    @property
    def last(self) -> str:
        """What was answered last, and why that image was in the queue, which was not to be seen before."""
        if not self._given:
            return ""
        item = self._given[-1]
        said = self.answers[item.image_id].verdict
        return f"{item.image_id}: {said}. It was shown because {item.reason or 'it was drawn at random'}."


def build(review: Review, read: Callable[[str], NDArray[np.uint8]]) -> gr.Blocks:
    """Build the page.

    Args:
        review: Its state.
        read: Decodes the picture of an id, RGB uint8 (H, W, 3); raises `UserError`.
    """
    page = gr.Blocks(title="gender-lightning: review of labels", analytics_enabled=False)
    with page:
        gr.HTML(
            '<div class="gl-head"><h1>Is the label right?</h1><p>The label is perceived gender: what you would say '
            "that others see in this picture. Some images are suspected and some are drawn at random; you are told "
            "which it was after your answer. Keys: <b>R</b> right, <b>W</b> wrong, <b>C</b> cannot tell, <b>U</b> "
            "undo.</p></div>"
        )
        shown = gr.Textbox(visible=False)
        image = gr.HTML(elem_id="image")
        with gr.Row(elem_id="answers"):
            buttons = {
                RIGHT: gr.Button("Right (R)", elem_id="right"),
                WRONG: gr.Button("Wrong (W)", elem_id="wrong"),
                UNSURE: gr.Button("Cannot tell (C)", elem_id="unsure"),
            }
            undo = gr.Button("Undo (U)", elem_id="undo")
        state = gr.HTML(elem_id="state")
        outputs = [shown, image, state]
        quiet: dict[str, Any] = {
            "api_visibility": "private",
            "show_progress": "hidden",
            "concurrency_limit": 1,
            "trigger_mode": "multiple",
        }

        def show() -> tuple[str, str, str]:
            item = review.current
            return ("" if item is None else item.image_id), picture(item, read), said(review)

        def answering(verdict: str) -> Callable[[str], tuple[str, str, str]]:
            def answer(image_id: str) -> tuple[str, str, str]:
                review.answer(image_id, verdict)
                return show()

            return answer

        def take_back() -> tuple[str, str, str]:
            review.undo()
            return show()

        for verdict, button in buttons.items():
            button.click(answering(verdict), shown, outputs, concurrency_id="review", **quiet)
        undo.click(take_back, None, outputs, concurrency_id="review", **quiet)
        page.load(show, None, outputs, concurrency_id="review", **quiet)
    return page


def picture(item: ReviewItem | None, read: Callable[[str], NDArray[np.uint8]]) -> str:
    """The image and the question."""
    if item is None:
        return '<div class="gl-empty">All images were looked at. Ctrl-C in the terminal ends the page.</div>'
    question = f"<p>The label says <b>{CLASS_NAMES[item.label]}</b>.</p>"
    name = f'<p class="gl-note">{escape(item.image_id)}</p>'
    try:
        return f'<img src="{data_uri(read(item.image_id), 92)}" alt="The face to judge">{question}{name}'
    except UserError as error:
        return f'<div class="gl-message">{escape(str(error))}</div>{question}{name}'


def said(review: Review) -> str:
    """How far it is, what the last answer was about, and the estimate so far."""
    parts = [review.last, summary(review.items, review.answers, review.images)]
    return "".join(f'<p class="gl-note" role="status">{escape(text)}</p>' for text in parts if text)
