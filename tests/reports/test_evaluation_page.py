"""The page of an evaluation in a real Chromium: nothing asked of the outside, no overflow, sorting, print."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gender_lightning.commands.steps.evaluation_report import evaluation_table, sentences
from gender_lightning.commands.steps.model_looks import CorruptionResults, write_report
from gender_lightning.diagnostics.corruption_results import COLUMNS, conditions
from gender_lightning.diagnostics.looks import Look, Looks
from gender_lightning.evaluation.corruptions.catalogue import CORRUPTIONS
from gender_lightning.evaluation.evaluating import Subject, evaluate_table
from gender_lightning.evaluation.results import Evaluation
from gender_lightning.evaluation.suspects import suspects_table
from gender_lightning.reports.evaluation_page import Findings, report_page
from gender_lightning.reports.model_card import model_card

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NASTY = "<img src=x onerror=alert(1)>\"'.jpg"
MODEL = {
    "backbone": "resnet18",
    "image_size": 64,
    "parameters": 11_000_000,
    "test_time_flip": True,
    "test_time_zooms": [1.0, 1.4],
}
browser_needed = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


def _table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400).astype(np.int8)
    logits = ((labels * 2 - 1) * 2 + rng.normal(0, 1.6, 400)).astype(np.float32)
    names = [f"{row:06d}.jpg" for row in range(399)] + [NASTY]
    logits[-1] = -9 if labels[-1] else 9  # the worst mistake, and a suspect
    return pd.DataFrame({
        "image_id": names, "split": "test", "label": labels, "logit": logits,
        "probability": (1 / (1 + np.exp(-logits))).astype(np.float32),
        "identity": pd.array(np.arange(400) // 4, dtype="Int32"),
        "Eyeglasses": rng.random(400) < 0.2, "Smiling": rng.random(400) < 0.5,
        "brightness": rng.random(400).astype(np.float32), "sharpness": rng.random(400).astype(np.float32),
    })  # fmt: skip


def _corruption_results() -> CorruptionResults:
    rows = []
    for name, severity in conditions("full"):
        accuracy = 0.95 - 0.06 * severity
        group = CORRUPTIONS[name].group if severity else "clean"
        rows.append((name, group, severity, 400, accuracy, accuracy, accuracy, 1 - accuracy, "imagenet-c"))
    return CorruptionResults(pd.DataFrame(rows, columns=list(COLUMNS)), None)


def _looks() -> Looks:
    rng = np.random.default_rng(1)
    face = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    heat = rng.random((64, 64)).astype(np.float32)
    shown = [Look(NASTY, 1, 0, 0.01, 4.6, face, heat)]
    return Looks(
        {"surest wrong": shown, "least sure": []}, shown, 1, {"male": (face, heat)}, cells=7, method="Grad-CAM"
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("report")
    subject = Subject("runs/a & b", "a & b", "celeba", "test", False, MODEL)
    evaluation = evaluate_table(subject, _table(), None, resamples=200, seed=0)
    write_report(output, evaluation, _table(), _corruption_results(), _looks())
    (output / "bare").mkdir()
    write_report(output / "bare", evaluation, _table(), None, None)
    return output


def test_the_files_are_there(written: Path) -> None:
    names = {path.stem for path in (written / "figures").glob("*.svg")}
    assert names == {path.stem for path in (written / "figures").glob("*.png")}
    assert names >= {"confusion", "roc", "precision_recall", "reliability", "risk_coverage", "slices", "properties"}
    assert names >= {f"corruptions_{group}" for group in ("noise", "blur", "weather", "digital", "face")}
    assert len(pd.read_csv(written / "corruptions.csv", keep_default_na=False)) == 111


def test_the_first_brackets_are_explained_and_the_lowest_group_is_not_called_the_worst(written: Path) -> None:
    page = (written / "report.html").read_text(encoding="utf-8")
    assert "many more people like these (95 % intervals)" in page
    assert page.index("many more people") < page.index("Is it fair?")
    assert "Worst group" not in page and "Lowest group" in page


def _bare_page(evaluation: Evaluation) -> str:
    return report_page(Findings(evaluation, [], pd.DataFrame()))


def test_corruptions_are_explained_where_they_were_measured(written: Path) -> None:
    page, bare = ((path / "report.html").read_text(encoding="utf-8") for path in (written, written / "bare"))
    assert "Corruptions: Hendrycks" in page and "Corruptions: Hendrycks" not in bare


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"test_time_zooms": [1.0, 1.4, 2.0]},
            "Logits are means over a picture and its mirror image, seen from 1, 1.4 and 2 times as far away.",
        ),
        ({"test_time_zooms": [1.0]}, "Logits are means over a picture and its mirror image."),
        (
            {"test_time_flip": False},
            "Logits are means over a picture, seen from 1 and 1.4 times as far away.",
        ),
        ({"test_time_flip": False, "test_time_zooms": None}, ""),
    ],
)
def test_the_views_that_a_logit_is_the_mean_of(changes: dict[str, Any], said: str) -> None:
    subject = Subject("runs/a", "a", "celeba", "test", False, MODEL | changes)
    page = _bare_page(evaluate_table(subject, _table(), None, resamples=100))
    assert said in page and ("Logits are means" in page) == bool(said)


def test_a_threshold_of_one_half_has_no_column_of_its_own() -> None:
    """Formerly it repeated the first one, on the page, in the terminal, in notebooks and on the card."""
    subject = Subject("runs/a", "a", "celeba", "test", False, MODEL)
    same = evaluate_table(subject, _table(), None, resamples=100)
    other = evaluate_table(replace(subject, threshold=0.4), _table(), None, resamples=100)
    told = "own threshold is 0.5 too, so that these metrics hold for it as well."
    assert "at the threshold 0." not in _bare_page(same) and told in _bare_page(same)
    assert "at the threshold 0.400" in _bare_page(other) and told not in _bare_page(other)
    assert len(evaluation_table(same).columns) == 3 and any(told in text for text in sentences(same))
    assert len(evaluation_table(other).columns) == 4 and not any(told in text for text in sentences(other))
    assert same._repr_html_().count("<th ") == 3 and told in same._repr_html_().replace("&#x27;", "'")
    assert other._repr_html_().count("<th ") == 4 and ">at 0.400<" in other._repr_html_()
    card, moved = model_card(same, {}, {}), model_card(other, {}, {})
    assert "threshold in use" not in card and told in card
    assert "at 0.400, the threshold in use" in moved and told not in moved


def test_groups_without_an_image_are_left_out_and_counted() -> None:
    """Nobody wears a hat: not one slice, group or gap of hats has an image."""
    subject = Subject("runs/a", "a", "celeba", "test", False, MODEL)
    table = _table().assign(Wearing_Hat=False)
    found = evaluate_table(subject, table, None, groups=["Wearing_Hat"], resamples=100)
    empty = sum(slice_.images == 0 for slice_ in found.slices)
    assert empty == 2  # all with a hat, and women with one
    page, card = _bare_page(found), model_card(found, {}, {})
    assert "with a hat" not in page.replace(": with a hat.", "")  # but for the name of the attribute of the groups
    assert "women without a hat" in page and "women without a hat" in card and "with a hat" not in card
    for text in (page, card):
        assert "2 of 4 groups are left out, since no image here belongs to them." in text
    assert f"2 of {len(found.slices)} slices are left out" in page
    assert f"2 of {len(found.slices)} subgroups are left out" in card
    assert "1 attribute is left out, since within each class all images here have it, or none has." in page
    small = sum(slice_.small for slice_ in found.slices)
    assert f"of {len(found.slices) - 2} slices" in page and f"{small} of {len(found.slices)} slices are too" not in page
    full = evaluate_table(subject, _table(), None, groups=["Smiling"], resamples=100)
    assert "left out, since" not in _bare_page(full) + model_card(full, {}, {})


def test_a_gap_without_an_interval_sorts_behind_all_others() -> None:
    """Five images of hats, all wrong, would stand on top with a gap of some 90 points."""
    table = _table()
    table["Wearing_Hat"] = (table["label"] == 1) & ((table["label"] == 1).cumsum() <= 5)
    table.loc[table["Wearing_Hat"], ["logit", "probability"]] = (-4.0, 0.02)
    subject = Subject("runs/a", "a", "celeba", "test", False, MODEL)
    page = _bare_page(evaluate_table(subject, table, None, resamples=100))
    rows = re.findall(
        r"<tr[^>]*>(?:(?!</tr>).)*</tr>", page.split('aria-label="Gaps by attribute')[1].split("</table>")[0], re.S
    )
    assert "with a hat" in rows[-1] and re.search(r'data-value="">\s*-\d', rows[-1])
    assert not re.search(r'data-value="-[\d.]+"', rows[-1]) and re.search(r'data-value="-?[\d.]+">\s*[-+]', rows[1])
    assert "A number without an interval is not judged" in page and "Such gaps come last" in page


def test_where_persons_are_unknown_there_is_no_column_of_them() -> None:
    table = _table().assign(identity=pd.array([None] * 400, dtype="Int32"))
    subject = Subject("runs/a", "a", "folder", "test", False, MODEL)
    found = evaluate_table(subject, table, None, groups=["Smiling"], resamples=100)
    page, card = _bare_page(found), model_card(found, {}, {})
    assert "every person once" not in page + card and "| group | images | right | p |" in card
    assert "| group | images | persons | right | right, every person once | p |" in model_card(
        evaluate_table(subject, _table(), None, groups=["Smiling"], resamples=100), {}, {}
    )


def test_contradicted_labels_are_not_called_wrong() -> None:
    subject = Subject("runs/a", "a", "celeba", "test", False, MODEL)
    found = evaluate_table(subject, _table(), None, resamples=100)
    assert found.suspects
    page = report_page(Findings(found, [], suspects_table(_table())))
    for text in (page, model_card(found, {}, {}), " ".join(sentences(found))):
        assert "The model contradicts" in text and "its own mistakes" in text
        assert "labels are wrong" not in text and "are suspect" not in text


def test_names_are_escaped_and_pictures_can_be_left_out(written: Path) -> None:
    page, bare = (written / "report.html").read_text(), (written / "bare" / "report.html").read_text()
    assert "onerror=alert(1)>" not in page and "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "data:image/jpeg" in page and "data:image" not in bare
    assert not (written / "bare" / "corruptions.csv").exists() and 'id="corruptions"' not in bare
    assert all(re.search(r'alt="[^"]+"', tag) for tag in re.findall(r"<img [^>]*>", page))
    assert page.count('role="img"') == page.count("<svg") == len(list((written / "figures").glob("*.svg")))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def _opened(browser: Any, path: Path, width: int, scheme: str = "light") -> tuple[Any, list[str]]:
    page = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme).new_page()
    noted: list[str] = []
    page.on("console", lambda message: noted.append(message.text))
    page.on("pageerror", lambda error: noted.append(str(error)))
    page.on(
        "request",
        lambda request: None if request.url.startswith(("data:", path.as_uri())) else noted.append(request.url),
    )
    page.goto(path.as_uri())
    return page, noted


@browser_needed
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "light"), (1280, "dark")])
def test_it_opens_without_a_complaint_a_request_or_a_sideways_scroll(
    written: Path, browser: Any, width: int, scheme: str
) -> None:
    page, noted = _opened(browser, written / "report.html", width, scheme)
    assert noted == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(18, 23, 29)")
    ink = page.evaluate("getComputedStyle(document.querySelector('figure svg text')).fill")
    assert ink == ("rgb(27, 36, 48)" if scheme == "light" else "rgb(231, 236, 241)")
    assert page.evaluate("[...document.images].every(it => it.complete && it.naturalWidth > 0)")


@browser_needed
def test_a_click_sorts_the_slices(written: Path, browser: Any) -> None:
    page, _ = _opened(browser, written / "report.html", 1280)
    table = page.get_by_label("All slices, sortable").locator("table")
    column = [cell.inner_text().strip() for cell in table.locator("thead th").all()].index("accuracy")
    read = f"rows => [...rows].map(it => it.cells[{column}].dataset.value).filter(it => it !== '').map(Number)"
    rows = table.locator("tbody tr")
    button = table.locator("thead th").nth(column).locator("button")
    button.click()
    rising = rows.evaluate_all(read)
    assert rising == sorted(rising) and len(set(rising)) > 2
    button.press("Enter")
    assert rows.evaluate_all(read) == rising[::-1] or rows.evaluate_all(read) == sorted(rising, reverse=True)
    assert table.locator("thead th").nth(column).get_attribute("aria-sort") == "descending"


@browser_needed
def test_it_prints(written: Path, browser: Any, tmp_path: Path) -> None:
    page, _ = _opened(browser, written / "report.html", 1280, "dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    pdf = page.pdf(path=str(tmp_path / "report.pdf"), format="A4", print_background=True)
    assert pdf.startswith(b"%PDF") and len(pdf) > 50_000
    # Chromium leaves buttons out where it repeats a table's head on the next page, so print has none.
    assert page.locator("th button").evaluate_all("all => all.every(it => getComputedStyle(it).display === 'none')")
    heading = page.locator("table.sortable thead th").nth(1)
    shown = heading.evaluate("it => getComputedStyle(it, '::before').content.replaceAll('\"', '')")
    assert shown == heading.evaluate("it => it.textContent.trim()") != ""
