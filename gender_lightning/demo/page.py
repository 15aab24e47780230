"""The page: its Gradio components and event handlers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from gender_lightning.demo import markup
from gender_lightning.demo.api import add_endpoints, usage
from gender_lightning.demo.batch import look_at_many, problem_of
from gender_lightning.demo.looking import look_at
from gender_lightning.demo.uploads import as_uploaded, removed
from gender_lightning.errors import UserError
from gender_lightning.inference.pictures import Picture
from gender_lightning.inference.predictor import Predictor

MOST_FILES = 500  # per batch
_FEWEST_FACES = 10
_WAITING = '<div class="gl-empty">Upload a picture, or choose one of the drawn faces.</div>'
_FONT = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]


# Gradio limits concurrency per listener; listeners with the same id share one limit.
_ONE_AT_A_TIME: dict[str, Any] = {"concurrency_id": "network", "concurrency_limit": 1}


def build(predictor: Predictor, card: str, faces: Sequence[NDArray[np.uint8]], max_seconds: float) -> gr.Blocks:
    """Build the page of a checkpoint, with its model card in Markdown, example faces and a time limit per batch."""
    spec = predictor.spec
    female, male = spec.class_names
    page = gr.Blocks(title="gender-lightning", analytics_enabled=False)
    with page:
        gr.HTML(
            f'<div class="gl-head"><h1>{female.capitalize()} or {male}, as perceived</h1><p>What the network '
            f"<b>{spec.backbone}</b> predicts for faces, how sure it is, and where it looked. It guesses how others "
            "would label a person; it cannot know who somebody is. Pictures stay on this computer and are deleted "
            f"once they have been analysed.</p>{markup.remark(predictor.cropper.remark)}</div>"
        )
        with gr.Tab("A picture"):
            upload = as_uploaded(
                gr.Image(
                    label="A picture", sources=["upload", "clipboard", "webcam"], type="filepath", height=230,
                    elem_id="upload", buttons=[],
                )
            )  # fmt: skip
            gr.HTML('<p class="gl-note">Or one of these drawn faces:</p>')
            with gr.Row(elem_id="examples"):
                buttons = [
                    gr.Button(f"drawn {place}", elem_id=f"example-{place}") for place in range(1, len(faces) + 1)
                ]
            result = gr.HTML(_WAITING, elem_id="result")
        with gr.Tab("Many pictures"):
            files = as_uploaded(
                gr.File(label=f"Up to {MOST_FILES} pictures", file_count="multiple", elem_id="files", height=200)
            )
            table = gr.HTML(
                '<div class="gl-empty">Upload pictures: their faces are counted here.</div>', elem_id="table"
            )
        with gr.Tab("Model card"):
            gr.Markdown(card, elem_id="card")
        gr.HTML(
            '<p class="gl-foot">In the hatched part of a bar no label is given. Bright places in the second tile '
            "supported the more probable class; they show what was used, not why.</p>"
        )
        with gr.Accordion("For programs: the API", open=False):
            instructions = gr.Markdown(elem_id="api")
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal", **_ONE_AT_A_TIME}
        upload.input(functools.partial(show_upload, predictor), upload, [result, upload], **quiet)
        files.upload(functools.partial(show_batch, predictor, max_seconds), files, [table, files], **quiet)
        for button, face in zip(buttons, faces, strict=True):
            button.click(functools.partial(show, predictor, face), None, result, **quiet)
        add_endpoints(predictor, MOST_FILES, max_seconds, **_ONE_AT_A_TIME)

        def instruct(request: gr.Request) -> str:
            assert request.request is not None
            return usage(str(request.request.base_url), spec, MOST_FILES, max_seconds)

        page.load(instruct, None, instructions, api_visibility="private", queue=False)
    return page


def style(faces: Sequence[NDArray[np.uint8]]) -> str:
    """The style sheet, with the example faces as backgrounds of their buttons."""
    sheet = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    for place, face in enumerate(faces, 1):
        sheet += f"\n#example-{place} {{ background-image: url({markup.data_uri(face, 75)}); }}"
    return sheet


def theme() -> gr.themes.Base:
    """Gradio's plainest theme with system fonts: the default fonts would be loaded from the network."""
    return gr.themes.Base(primary_hue="blue", font=_FONT, font_mono=["ui-monospace", "Consolas", "monospace"])


def show(predictor: Predictor, picture: Picture) -> str:
    """The result for a picture, or a message that says why there is none."""
    try:
        seen = look_at(picture, predictor)
        return markup.result(seen, predictor.spec, predictor.min_confidence) + _so_far(predictor)
    except (UserError, MemoryError) as error:
        return markup.message(problem_of(error))


def show_upload(predictor: Predictor, path: str | None) -> tuple[str, None]:
    """The same for an uploaded file, which is deleted afterwards; the upload field is cleared."""
    if path is None:
        return _WAITING, None
    with removed([path]):
        return show(predictor, path), None


def show_batch(
    predictor: Predictor,
    max_seconds: float,
    paths: list[str] | None,
    progress: Callable[..., Any] = gr.Progress(),  # noqa: B008
) -> tuple[str, None]:
    """Counts and a table for uploaded files, which are deleted afterwards; those beyond the time limit are left out."""
    if not paths:
        return "", None
    with removed(paths):
        if len(paths) > MOST_FILES:
            said = f"These are {len(paths)} files, but at most {MOST_FILES} are accepted. "
            said += "`gender-lightning predict` takes any number."
            return markup.message(said), None

        def advance(number: int) -> None:
            progress((number, len(paths)), desc="looking", unit="pictures")

        rows = look_at_many(paths, predictor, max_seconds, advance)
        return markup.batch_result(rows, predictor.spec) + _so_far(predictor), None


def _so_far(predictor: Predictor) -> str:
    """What can be said of all faces since the start; nothing of a handful."""
    closing = predictor.closing if predictor.seen.faces >= _FEWEST_FACES else ""
    return markup.remark(f"So far: {closing}" if closing else "")
