"""Only what was tested on the same images is compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from comparison.simulated_runs import MakeRun
from gender_lightning.comparison.runs.images import on_the_same_images
from gender_lightning.comparison.runs.reading import RunResult, choose_split, read_runs
from gender_lightning.errors import UserError, UserErrors
from gender_lightning.evaluation.predictions import read_predictions, write_predictions
from gender_lightning.runs import Run


def read(*paths: Path, split: str = "test") -> list[RunResult]:
    return read_runs([Run.open(path) for path in paths], split, None)  # type: ignore[arg-type]


def keep(run: Path, rows: slice) -> None:
    file = run / "predictions" / "test.parquet"
    write_predictions(read_predictions(file).iloc[rows], file)


def test_the_order_of_a_table_does_not_matter(make_run: MakeRun) -> None:
    one, two = make_run("a"), make_run("b", seed=2)
    keep(two, slice(None, None, -1))
    first, second = on_the_same_images(read(one, two), "same")[0]
    assert list(first.table["image_id"]) == list(second.table["image_id"])
    assert (first.labels == second.labels).all()


def test_different_images_are_refused_by_name(make_run: MakeRun) -> None:
    paths = [make_run(name, seed=place) for place, name in enumerate(("a", "b", "c"))]
    keep(paths[1], slice(0, 100))
    with pytest.raises(UserError, match=r"a, c on 400 images; b on 100, 100 of them among the former\..*images=common"):
        on_the_same_images(read(*paths), "same")


def test_or_compared_on_those_that_all_share(make_run: MakeRun) -> None:
    one, two = make_run("a"), make_run("b", seed=2)
    keep(one, slice(0, 300))
    keep(two, slice(100, 400))
    runs, note = on_the_same_images(read(one, two), "common")
    assert note is not None and "200 (of up to 300) shared" in note
    assert all(run.table["image_id"].tolist() == [f"{row:06d}.jpg" for row in range(100, 300)] for run in runs)
    keep(two, slice(250, 300))
    keep(one, slice(0, 50))
    with pytest.raises(UserError, match="No image was tested by all runs"):
        on_the_same_images(read(one, two), "common")


def test_other_pictures_of_the_same_names_are_found_out(make_run: MakeRun) -> None:
    one, two = make_run("a"), make_run("b", world=1)
    with pytest.raises(UserError, match="b and a disagree about the label or person of"):
        on_the_same_images(read(one, two), "same")


def test_people_that_one_table_does_not_know_are_no_contradiction(make_run: MakeRun) -> None:
    one, two = make_run("a"), make_run("b", seed=2)
    file = two / "predictions" / "test.parquet"
    table = read_predictions(file)
    table["identity"] = table["identity"].where(table.index < 0)
    write_predictions(table, file)
    assert len(on_the_same_images(read(one, two), "same")[0]) == 2


def test_runs_without_predictions_are_told_all_at_once(make_run: MakeRun) -> None:
    paths = [make_run("a"), make_run("b", splits=("valid",)), make_run("c", splits=())]
    with pytest.raises(UserErrors) as caught:
        read(*paths)
    first, second = caught.value.messages
    assert f"{paths[1]} has no predictions of test" in first and "split=valid" in first
    assert f"evaluate checkpoint={paths[2]} split=test." in second


def test_trials_of_a_search_are_compared_on_valid(make_run: MakeRun) -> None:
    tested, trial = (
        Run.open(make_run(name, splits=splits)) for name, splits in (("a", ("valid", "test")), ("b", ("valid",)))
    )
    assert choose_split([tested], "auto", None) == ("test", None)
    split, note = choose_split([tested, trial], "auto", None)
    assert split == "valid" and note is not None and "1 of 2 runs have not seen the test split" in note
    split, note = choose_split([trial], "auto", None)
    assert split == "valid" and note is not None and "compared on valid" in note
    assert choose_split([tested], "valid", None)[0] == "valid"
    assert choose_split([tested], "auto", "folder-test") == ("test", None)


def test_predictions_of_evaluate_on_the_runs_own_data_count(make_run: MakeRun) -> None:
    run = make_run("a", "data=celeba")
    place = run / "evaluation" / "celeba-test" / "predictions.parquet"
    place.parent.mkdir(parents=True)
    (run / "predictions" / "test.parquet").rename(place)
    assert read(run)[0].predictions == place


def test_logits_that_are_not_finite_are_refused(make_run: MakeRun) -> None:
    run = make_run("a")
    file = run / "predictions" / "test.parquet"
    table = read_predictions(file)
    table.loc[3, "logit"] = float("nan")
    write_predictions(table, file)
    with pytest.raises(UserError, match="logits that are not finite"):
        read(run)
