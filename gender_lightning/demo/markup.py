"""HTML of the results. Pictures are embedded as data URIs: nothing is written to disk or loaded from elsewhere."""

from __future__ import annotations

import base64
import csv
import io
from collections import Counter
from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from gender_lightning.demo.batch import Row, counted, not_counted
from gender_lightning.demo.looking import Look, PictureResult
from gender_lightning.inference.predictor import UNCERTAIN
from gender_lightning.models.checkpoints.checkpoint import ModelSpec

_WIDEST = 1280  # px, maximum side of a displayed picture
_COLOURS = {0: "#c2570c", 1: "#1d6fb8", UNCERTAIN: "#5b6470"}  # the colours of the bar in page.css
_TILE = 160  # px, side of a displayed face


def data_uri(pixels: NDArray[np.uint8], quality: int = 88) -> str:
    """Encode RGB uint8 (H, W, 3) as a JPEG data URI for an image element."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def message(text: str) -> str:
    """A message in place of a result, announced by screen readers."""
    return f'<div class="gl-message" role="alert">{escape(text)}</div>'


def remark(text: str) -> str:
    """A remark on all pictures, as a paragraph for the head of the page; empty if there is none."""
    return f'<p class="gl-note">{escape(text)}</p>' if text else ""


def result(seen: PictureResult, spec: ModelSpec, min_confidence: float) -> str:
    """A picture with face boxes, and a card for each face."""
    if not seen.looks:
        return _figure(seen.picture, "The picture; no face was found in it") + message(
            "No face was found. The face should be upright, in view, and at least about 40 pixels wide."
        )
    cards = "".join(_card(number, look, spec, min_confidence) for number, look in enumerate(seen.looks, 1))
    counts = Counter(look.prediction.label for look in seen.looks)
    said = ", ".join(f"{counts[name]} {name}" for name in (*spec.class_names, UNCERTAIN) if counts[name])
    faces = "1 face" if len(seen.looks) == 1 else f"{len(seen.looks)} faces"
    extra = f" {seen.left_out} smaller faces are not shown." if seen.left_out else ""
    notes = f" The picture: {', '.join(seen.notes)}." if seen.notes else ""
    whole = _figure(_with_boxes(seen, spec), f"The picture with {faces} marked")
    summary = f'<p class="gl-summary"><strong>{faces}</strong>: {escape(said)}.{extra}{escape(notes)}</p>'
    return f'<div class="gl-result" role="status">{whole}<div>{summary}<div class="gl-cards">{cards}</div></div></div>'


def _figure(pixels: NDArray[np.uint8], alt: str) -> str:
    image = Image.fromarray(pixels)
    image.thumbnail((_WIDEST, _WIDEST))
    return f'<figure class="gl-picture"><img src="{data_uri(np.asarray(image))}" alt="{escape(alt)}"></figure>'


def _with_boxes(seen: PictureResult, spec: ModelSpec) -> NDArray[np.uint8]:
    """Draw boxes with the card numbers, at the display size of the picture."""
    image = Image.fromarray(seen.picture)
    if max(image.size) < 480:  # lines and digits need pixels
        scale = 480 / max(image.size)
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    image.thumbnail((_WIDEST, _WIDEST))
    scale = image.width / seen.picture.shape[1]
    draw = ImageDraw.Draw(image)
    line = max(2, round(min(image.size) / 160))
    font = ImageFont.load_default(size=max(14, round(min(image.size) / 26)))
    for number, look in enumerate(seen.looks, 1):
        box = look.prediction.box
        assert box is not None
        left, top = max(0.0, box.left * scale), max(0.0, box.top * scale)
        right = min(image.width - 1.0, (box.left + box.width) * scale)
        bottom = min(image.height - 1.0, (box.top + box.height) * scale)
        colour = _colour(look, spec)
        draw.rectangle((left, top, max(left, right), max(top, bottom)), outline=colour, width=line)
        text = str(number)
        _, _, width, height = draw.textbbox((0, 0), text, font=font)
        draw.rectangle((left, top, left + width + 10, top + height + 6), fill=colour)
        draw.text((left + 5, top + 2), text, fill="white", font=font)
    return np.asarray(image)


def _colour(look: Look, spec: ModelSpec) -> str:
    if look.is_uncertain:
        return _COLOURS[UNCERTAIN]
    return _COLOURS[spec.class_names.index(look.prediction.label)]


def _card(number: int, look: Look, spec: ModelSpec, min_confidence: float) -> str:
    said = escape(look.prediction.label)
    kind = "uncertain" if look.is_uncertain else f"class-{spec.class_names.index(look.prediction.label)}"
    crop = f'<img src="{data_uri(_enlarged(look.crop))}" alt="Face {number} as the network sees it">'
    heat = '<p class="gl-blank">no single place supported it</p>'
    if look.heat is not None:
        heat = f'<img src="{data_uri(_enlarged(look.heat))}" alt="Where the network looked in face {number}">'
    note = f'<p class="gl-note">{escape(look.prediction.note)}</p>' if look.prediction.note else ""
    why = '<p class="gl-note">Too close to call: no label is given.</p>' if look.is_uncertain else ""
    marks = bar(look.prediction.probability, spec, min_confidence)
    return (
        f'<article class="gl-card gl-{kind}"><div class="gl-tiles">{crop}{heat}</div><div class="gl-said">'
        f'<h3><span class="gl-number">{number}</span> {said}</h3>{marks}'
        f"{why}{note}</div></article>"
    )


def bar(probability: float, spec: ModelSpec, min_confidence: float) -> str:
    """The probability as a bar between the two classes, with the zone of abstention."""
    female, male = (escape(name) for name in spec.class_names)
    low, high = 100 * (1 - min_confidence), 100 * min_confidence
    zone = ""
    if min_confidence > 0.5:
        zone = f'<span class="gl-zone" style="left:{low:.2f}%;width:{max(0.6, high - low):.2f}%"></span>'
    place = min(98.0, max(2.0, 100 * probability))
    return (
        f'<div class="gl-bar" role="img" aria-label="{female} {_percent(1 - probability)}, '
        f'{male} {_percent(probability)}">{zone}<span class="gl-mark" style="left:{place:.2f}%"></span></div>'
        f'<div class="gl-ends"><span>{female} {_percent(1 - probability)}</span>'
        f"<span>{male} {_percent(probability)}</span></div>"
    )


def _percent(share: float) -> str:
    """Format as a percentage, never as 100 % or 0 %: no classifier is that sure."""
    if share > 0.9995:
        return "&gt; 99.9 %"
    return "&lt; 0.1 %" if share < 0.0005 else f"{100 * share:.1f} %"


def _enlarged(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels).resize((_TILE, _TILE), Image.Resampling.BICUBIC))


def batch_result(rows: Sequence[Row], spec: ModelSpec) -> str:
    """Counts, what is not counted and why, a table, and a link to download the table as CSV."""
    counts = Counter(row.label for row in rows if row.probability is not None)
    names = (*spec.class_names, UNCERTAIN)
    tiles = "".join(f"<div><dt>{escape(name)}</dt><dd>{counts[name]}</dd></div>" for name in names)
    missed = "; ".join(not_counted(rows))
    said = f"<strong>{counted(rows)}</strong>" + (f" Not counted: {escape(missed)}." if missed else "")
    lines = "".join(
        f"<tr><td>{escape(row.file)}</td><td>{escape(row.label)}</td>"
        f"<td>{'' if row.probability is None else f'{row.probability:.3f}'}</td><td>{escape(row.note)}</td></tr>"
        for row in rows
    )
    link = "data:text/csv;charset=utf-8;base64," + base64.b64encode(to_csv(rows, spec).encode()).decode()
    return (
        f'<div role="status"><dl class="gl-counts">{tiles}</dl><p class="gl-summary">{said}</p>'
        f'<p><a class="gl-download" download="faces.csv" href="{link}">Download as CSV</a></p>'
        f'<div class="gl-scroll" tabindex="0"><table class="gl-table"><thead><tr><th>file</th><th>label</th>'
        f"<th>{escape(spec.class_names[1])}</th><th>note</th></tr></thead><tbody>{lines}</tbody></table></div></div>"
    )


def to_csv(rows: Sequence[Row], spec: ModelSpec) -> str:
    """The rows as CSV; names that a spreadsheet would read as formulas are prefixed with an apostrophe."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["file", "label", f"probability_{spec.class_names[1]}", "note"])
    for row in rows:
        safe = f"'{row.file}" if row.file[:1] in ("=", "+", "-", "@", "\t") else row.file
        writer.writerow([safe, row.label, "" if row.probability is None else f"{row.probability:.6f}", row.note])
    return buffer.getvalue()
