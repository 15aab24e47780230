"""The page: Gradio's parts, and what happens when somebody gives a picture."""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from gender_lightning.demo import markup
from gender_lightning.demo.looking import look_at
from gender_lightning.errors import UserError
from gender_lightning.inference.pictures import Picture
from gender_lightning.inference.predictor import Prediction, Predictor

MOST_FILES = 500  # of a batch
_WAITING = '<div class="gl-empty">Give a picture, or take one of the drawn faces.</div>'
_FONT = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]


def build(predictor: Predictor, card: str, faces: Sequence[NDArray[np.uint8]], max_seconds: float) -> gr.Blocks:
    """The page of a checkpoint, with its model card in Markdown and example faces; a batch may take so long."""
    spec = predictor.spec
    female, male = spec.class_names
    # Gradio's own cache must lie somewhere: files are removed when they have been looked at, and once more by age.
    page = gr.Blocks(title="gender-lightning", analytics_enabled=False, delete_cache=(60, 60))
    with page:
        gr.HTML(
            f'<div class="gl-head"><h1>{female.capitalize()} or {male}, as perceived</h1><p>What the network '
            f"<b>{spec.backbone}</b> says of faces, how sure it is, and where it looked. It guesses how a person would "
            "be labelled by others; it cannot know who somebody is. Pictures stay on this computer and are dropped "
            "when they have been looked at.</p></div>"
        )
        with gr.Tab("A picture"):
            upload = gr.Image(
                label="A picture", sources=["upload", "clipboard", "webcam"], type="filepath", height=230,
                elem_id="upload", buttons=[],
            )  # fmt: skip
            # The file as it came: one that is no picture is ours to speak of, not Gradio's.
            upload.preprocess = _path_of  # type: ignore[method-assign]
            gr.HTML('<p class="gl-note">Or one of these drawn faces:</p>')
            with gr.Row(elem_id="examples"):
                buttons = [
                    gr.Button(f"drawn {place}", elem_id=f"example-{place}") for place in range(1, len(faces) + 1)
                ]
            result = gr.HTML(_WAITING, elem_id="result")
        with gr.Tab("Many pictures"):
            files = gr.File(label=f"Up to {MOST_FILES} pictures", file_count="multiple", elem_id="files", height=200)
            table = gr.HTML('<div class="gl-empty">Give pictures: they are counted here.</div>', elem_id="table")
        with gr.Tab("Model card"):
            gr.Markdown(card, elem_id="card")
        gr.HTML(
            '<p class="gl-foot">The hatched part of a bar is where no label is given. Bright places of the second tile '
            "spoke for the more probable class; they show what was used, not why.</p>"
        )
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}
        upload.input(functools.partial(show_upload, predictor), upload, [result, upload], **quiet)
        files.upload(functools.partial(show_batch, predictor, max_seconds), files, [table, files], **quiet)
        for button, face in zip(buttons, faces, strict=True):
            button.click(functools.partial(show, predictor, face), None, result, **quiet)
    return page


def style(faces: Sequence[NDArray[np.uint8]]) -> str:
    """The page's style sheet, with the examples as backgrounds of their buttons."""
    sheet = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    for place, face in enumerate(faces, 1):
        sheet += f"\n#example-{place} {{ background-image: url({markup.data_uri(face, 75)}); }}"
    return sheet


def theme() -> gr.themes.Base:
    """Gradio's plainest, in the system's own fonts: the default ones would be fetched."""
    return gr.themes.Base(primary_hue="blue", font=_FONT, font_mono=["ui-monospace", "Consolas", "monospace"])


def show(predictor: Predictor, picture: Picture) -> str:
    """The result of a picture, or a sentence why there is none."""
    try:
        return markup.result(look_at(picture, predictor), predictor.spec, predictor.min_confidence)
    except (UserError, MemoryError) as error:
        return markup.message(_without_folders(str(error) or "The picture needs more memory than there is.", picture))


def show_upload(predictor: Predictor, path: str | None) -> tuple[str, None]:
    """The same of an uploaded file, which is gone afterwards; the place for the next one is free again."""
    if path is None:
        return _WAITING, None
    with _removed([path]):
        return show(predictor, path), None


def show_batch(
    predictor: Predictor,
    max_seconds: float,
    paths: list[str] | None,
    progress: Callable[..., Any] = gr.Progress(),  # noqa: B008
) -> tuple[str, None]:
    """Counts and a table of uploaded files, which are gone afterwards; what time is up for is named as left out."""
    if not paths:
        return "", None
    with _removed(paths):
        if len(paths) > MOST_FILES:
            said = f"These are {len(paths)} files, and {MOST_FILES} are the most. `gender-lightning predict` takes any."
            return markup.message(said), None
        rows: list[markup.Row] = []
        until = time.monotonic() + max_seconds
        for number, path in enumerate(paths, 1):
            progress((number, len(paths)), desc="looking", unit="pictures")
            if time.monotonic() < until:
                rows += _rows(predictor, path)
            else:
                rows.append((Path(path).name, "left out", None, f"the {max_seconds:g} seconds of a batch were over"))
        return markup.batch_result(rows, predictor.spec), None


def _path_of(payload: Any) -> str | None:
    """Of an uploaded file, whatever it holds."""
    return None if payload is None else payload.path


def _rows(predictor: Predictor, path: str) -> list[markup.Row]:
    name = Path(path).name
    try:
        seen = look_at(path, predictor, heat=False)
    except (UserError, MemoryError) as error:
        return [(name, "unreadable", None, _without_folders(str(error) or "not enough memory", path))]
    if not seen.looks:
        return [(name, "no face", None, "; ".join(seen.notes))]
    return [_row(name, seen.notes, look.prediction) for look in seen.looks]


def _row(name: str, notes: Sequence[str], prediction: Prediction) -> markup.Row:
    note = "; ".join(text for text in (*notes, prediction.note) if text)
    return name, prediction.label, prediction.probability, note


def _without_folders(text: str, picture: Picture) -> str:
    """A message without the place of Gradio's cache, nor the advice that is for data sets."""
    if isinstance(picture, str):
        text = text.replace(picture, Path(picture).name)
    return text.replace(" (`gender-lightning data verify` lists all such files)", "")


class _removed:  # noqa: N801
    """Remove uploaded files and the folders that Gradio has made for each."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = [Path(path) for path in paths]

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        cache = Path(tempfile.gettempdir()).resolve()
        for path in self.paths:
            path.unlink(missing_ok=True)
            if path.parent != cache and path.parent.is_dir() and not any(path.parent.iterdir()):
                path.parent.rmdir()
