"""What the page writes: everything of the user's escaped, everything that matters said."""

from __future__ import annotations

import csv
import io
import math

import numpy as np
import pytest

from gender_lightning.data.framing import Framing
from gender_lightning.demo import markup
from gender_lightning.demo.batch import Row
from gender_lightning.demo.looking import Look, PictureResult
from gender_lightning.inference.faces.crops import Cropper
from gender_lightning.inference.faces.face import Box
from gender_lightning.inference.predictor import UNCERTAIN, Prediction
from gender_lightning.models.checkpoints.checkpoint import ModelSpec

SPEC = ModelSpec("resnet18", Framing(32))


def _seen(*predictions: Prediction) -> PictureResult:
    crop = np.full((32, 32, 3), 128, np.uint8)
    looks = tuple(Look(prediction, crop, None if prediction.note else crop) for prediction in predictions)
    return PictureResult(np.zeros((100, 80, 3), np.uint8), looks, 0, ())


def test_a_card_per_face_with_label_bar_and_map() -> None:
    box = Box(-5, 10, 300, 40)  # over the picture's edge, as a detector's may be
    said = [Prediction("female", 0.03, box), Prediction("male", 0.98, box), Prediction(UNCERTAIN, 0.6, box, note="<i>")]
    html = markup.result(_seen(*said), SPEC, 0.9)
    assert html.count("<article") == 3 and "<strong>3 faces</strong>: 1 female, 1 male, 1 uncertain" in html
    assert 'aria-label="female 97.0 %, male 3.0 %"' in html and "Too close to call" in html
    assert html.count("Where the network looked") == 2 and "no single place" in html
    assert "<i>" not in html and "&lt;i&gt;" in html
    assert "http" not in html, "pictures are in the page, not behind an address"


def test_how_a_models_pictures_are_framed_is_said_once_in_the_head() -> None:
    as_they_are = markup.remark(Cropper(Framing(32), "auto", placement=None).remark)
    assert as_they_are.startswith("<p") and "used as they are" in as_they_are and "faces=detect" in as_they_are
    assert markup.remark(Cropper(Framing(32), "auto").remark) == ""
    assert "<b>" not in markup.remark("<b>")


def test_no_face_is_a_sentence() -> None:
    assert "No face was found" in markup.result(_seen(), SPEC, 0.9)


@pytest.mark.parametrize(("probability", "said"), [(1.0, "&gt; 99.9 %"), (0.0, "&lt; 0.1 %"), (0.5, "50.0 %")])
def test_no_one_is_certain(probability: float, said: str) -> None:
    assert f"male {said}" in markup.bar(probability, SPEC, 0.5)


def test_the_zone_of_no_label_is_where_none_is_given() -> None:
    assert "left:10.00%;width:80.00%" in markup.bar(0.5, SPEC, 0.9)
    assert "gl-zone" not in markup.bar(0.5, SPEC, 0.0)


def test_a_table_of_files_that_no_spreadsheet_runs() -> None:
    rows = [Row("=cmd()|x.jpg", "male", 0.75, ""), Row('<b>"a,b".png', "unreadable", None, "it is <empty>", picture=1)]
    html = markup.batch_result(rows, SPEC)
    assert "<b>" not in html and "<empty>" not in html and html.count("<tr>") == 3
    said = "<strong>Counted: 1 face in 1 of 2 pictures.</strong> Not counted: 1 picture unreadable ("
    assert said in html and "Not counted" not in markup.batch_result(rows[:1], SPEC)
    table = list(csv.reader(io.StringIO(markup.to_csv(rows, SPEC))))
    assert table[0] == ["file", "label", "probability_male", "note"]
    assert table[1] == ["'=cmd()|x.jpg", "male", "0.750000", ""] and table[2][0] == '<b>"a,b".png'
    assert math.isclose(float(table[1][2]), 0.75)
