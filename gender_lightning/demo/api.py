"""The API of the page for programs: the results of its two tabs as JSON."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr

from gender_lightning.demo.batch import Row, counted, look_at_many, not_counted, problem_of
from gender_lightning.demo.looking import look_at
from gender_lightning.demo.uploads import as_uploaded, removed
from gender_lightning.errors import UserError
from gender_lightning.inference.predictor import UNCERTAIN, Predictor
from gender_lightning.models.checkpoints.checkpoint import ModelSpec

Answer = dict[str, Any]
_USAGE = """
Programs on this computer get the same answers through Gradio's clients, such as Python's
(`pip install gradio_client`):

```python
from gradio_client import Client, handle_file

client = Client("{address}", verbose=False)
client.predict(handle_file("photo.jpg"), api_name="/predict")
client.predict([handle_file(name) for name in ("a.jpg", "b.jpg")], api_name="/predict_many")
```

`/predict` answers for a picture:

- `file`: its name; `notes`: conversions that were needed to open it;
- `faces`: the largest first, each with `label` (a class or `uncertain`), `probability` of `{male}`, `box` (`left`,
  `top`, `width` and `height` in pixels), `status` (`face`: detected and aligned; `crop`: used as it is), `note`
  and `disagreement` (of several models, in nats; null for one);
- `left_out`: the number of smaller faces that are left out.

A picture that cannot be read is an error (`gradio_client.exceptions.AppError`) with the reason.

`/predict_many` answers for up to {most} pictures within {seconds:g} seconds:

- `counts`: faces by label; `counted`: the same as a sentence;
- `not_counted`: a sentence for each reason, with the names; empty if everything is counted;
- `rows`: one per face, and one for everything that is not counted, each with `file`, `label` (or why it is not
  counted), `probability` (null if there is none) and `note`.

One request is answered at a time; the others wait. Pictures are removed as soon as they have been looked at.
"""


def usage(address: str, spec: ModelSpec, most: int, seconds: float) -> str:
    """Instructions for programs, in Markdown."""
    return _USAGE.format(address=address, male=spec.class_names[1], most=most, seconds=seconds)


def add_endpoints(predictor: Predictor, most: int, max_seconds: float, **queue: Any) -> None:
    """Add `/predict` and `/predict_many` to the page under construction; ``queue`` limits their concurrency.

    The components are invisible: through them Gradio checks that a file was uploaded and is not a local path.
    """
    one = as_uploaded(gr.File(visible=False, label="A picture"))
    many = as_uploaded(gr.File(visible=False, label="Pictures", file_count="multiple"))
    answer, trigger = gr.JSON(visible=False, label="Answer"), gr.Button(visible=False)
    trigger.click(functools.partial(predict, predictor), one, answer, api_name="predict", **queue)
    several = functools.partial(predict_many, predictor, most, max_seconds)
    trigger.click(several, many, answer, api_name="predict_many", **queue)


def predict(predictor: Predictor, picture: str | None) -> Answer:
    """Predict the faces of an uploaded picture, which is deleted afterwards.

    Raises:
        gr.Error: The picture cannot be read; the message says why.
    """
    if picture is None:
        raise _refusal('No picture was given. Give handle_file("photo.jpg").')
    with removed([picture]):
        try:
            seen = look_at(picture, predictor, heat=False)
        except (UserError, MemoryError) as error:
            raise _refusal(problem_of(error)) from error
    faces = [asdict(look.prediction) for look in seen.looks]
    return {"file": Path(picture).name, "faces": faces, "left_out": seen.left_out, "notes": list(seen.notes)}


def predict_many(predictor: Predictor, most: int, max_seconds: float, pictures: Sequence[str] | None) -> Answer:
    """Count the faces of uploaded pictures, which are deleted afterwards.

    Raises:
        gr.Error: No pictures were given, or too many.
    """
    with removed(pictures or []):
        if not pictures or len(pictures) > most:
            raise _refusal(f"{len(pictures or [])} pictures were given. Give 1 to {most}.")
        rows = look_at_many(pictures, predictor, max_seconds)
    labels = Counter(row.label for row in rows if row.probability is not None)
    return {
        "counts": {name: labels[name] for name in (*predictor.spec.class_names, UNCERTAIN)},
        "counted": counted(rows),
        "not_counted": not_counted(rows),
        "rows": [_plain(row) for row in rows],
    }


def _plain(row: Row) -> Answer:
    assert row.probability is None or math.isfinite(row.probability)
    return {"file": row.file, "label": row.label, "probability": row.probability, "note": row.note}


def _refusal(text: str) -> gr.Error:
    return gr.Error(text, print_exception=False)
