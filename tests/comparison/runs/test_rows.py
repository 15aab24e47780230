"""Runs that differ in nothing but the seed are one row, and rows are told apart by what was typed."""

from __future__ import annotations

from pathlib import Path

from comparison.simulated_runs import MakeRun
from gender_lightning.comparison.runs.reading import read_runs
from gender_lightning.comparison.runs.rows import Row, make_rows
from gender_lightning.runs import Run


def rows_of(*paths: Path) -> tuple[list[Row], list[str]]:
    return make_rows(read_runs([Run.open(path) for path in paths], "test", None))


def test_seeds_of_a_recipe_are_one_row(make_run: MakeRun) -> None:
    paths = [
        make_run("0", "model=resnet18", "name=x", "logger=csv", "data.workers=2", seed=3),
        make_run("1", "model=resnet50", seed=1),
        make_run("2", "model=resnet18", "test=false", seed=1),
    ]
    rows, notes = rows_of(*paths)
    assert [(row.label, [run.seed for run in row.runs]) for row in rows] == [("ResNet18", [1, 3]), ("ResNet50", [1])]
    assert not notes


def test_trainings_that_began_from_several_seeds_of_a_recipe_are_one_row(make_run: MakeRun) -> None:
    starts = [make_run(f"start{seed}", "optimizer.lr=0.01", seed=seed) for seed in (1, 2)]
    other = make_run("other", "optimizer.lr=0.02", seed=1)
    paths = [
        *(
            make_run(f"{seed}", f"model.pretrained={start}", seed=seed)
            for seed, start in zip((1, 2), starts, strict=True)
        ),
        make_run("2 of 1", f"model.pretrained={starts[0]}/checkpoints/best.ckpt", seed=2),
        make_run("last", f"model.pretrained={starts[0]}/checkpoints/last.ckpt", seed=1),
        make_run("from other", f"model.pretrained={other}", seed=1),
    ]
    rows, notes = rows_of(*paths)
    assert [[run.name for run in row.runs] for row in rows] == [["1", "2 of 1", "2"], ["last"], ["from other"]]
    assert not notes


def test_rows_of_one_backbone_are_named_by_what_was_typed_otherwise(make_run: MakeRun) -> None:
    paths = [
        make_run("0", "model=resnet50"),
        make_run("1", "model=resnet50", "augmentation.random_erasing=0"),
        make_run("2", "model=resnet50", "augmentation=strong", "optimizer.lr=1e-3"),
        make_run("3", "model=timm", "model.name=timm/test_resnet"),
    ]
    labels = [row.label for row in rows_of(*paths)[0]]
    assert labels == [
        "ResNet50",
        "ResNet50 random_erasing=0",
        "ResNet50 augmentation=strong lr=1e-3",
        "test_resnet",
    ]


def test_long_values_are_left_out_where_the_others_tell_the_rows_apart(make_run: MakeRun) -> None:
    excluded = "data.exclude=/a/folder/of/people/who/work/elsewhere.csv"
    paths = [make_run("0"), make_run("1", "optimizer.lr=0.01", excluded)]
    assert [row.label for row in rows_of(*paths)[0]] == ["ResNet50", "ResNet50 lr=0.01"]
    (label,) = {row.label for row in rows_of(paths[0], make_run("2", excluded))[0]} - {"ResNet50"}
    assert label.startswith("ResNet50 exclude=/a/folder/of/peop") and label.endswith("...")


def test_a_callback_is_named_by_its_class(make_run: MakeRun) -> None:
    summary = "pytorch_lightning.callbacks.ModelSummary"
    paths = [
        make_run("0"),
        make_run("1", f"+callbacks.extra.rows={{_target_:{summary}}}"),
        make_run("2", f"+callbacks.extra.rows={{_target_:{summary},a:2}}"),
        make_run("3", "+callbacks.extra.stats._target_=pytorch_lightning.callbacks.DeviceStatsMonitor"),
    ]
    assert [row.label for row in rows_of(*paths)[0]] == [
        "ResNet50",
        "ResNet50 rows=ModelSummary",
        "ResNet50 rows=ModelSummary(a:2)",
        "ResNet50 stats=DeviceStatsMonitor",
    ]


def test_rows_with_many_settings_are_named_by_the_folder_of_their_seeds(make_run: MakeRun) -> None:
    many = [f"augmentation.{name}=0" for name in ("random_erasing", "random_rotation", "random_translation", "mixup")]
    set_otherwise = ["optimizer.lr=0.01", "optimizer.weight_decay=0.1", *many]
    paths = [
        *(make_run(f"plain/seed{seed}", seed=seed) for seed in (1, 2)),
        *(make_run(f"other/seed{seed}", *set_otherwise, seed=seed) for seed in (1, 2)),
    ]
    assert [row.label for row in rows_of(*paths)[0]] == ["ResNet50", "ResNet50 (other)"]
    assert [row.label for row in rows_of(*paths[::2])[0]] == ["ResNet50", "ResNet50 (other/seed1)"]


def test_what_was_not_typed_is_named_by_its_field(make_run: MakeRun) -> None:
    paths = [make_run("0"), make_run("1", "optimizer.lr=0.01")]
    for path in paths:
        (path / "overrides.yaml").unlink()
    assert [row.label for row in rows_of(*paths)[0]] == ["ResNet50 lr=0.001", "ResNet50 lr=0.01"]


def test_a_repetition_of_a_seed_says_nothing_new(make_run: MakeRun) -> None:
    old = make_run("old", info={"created": "2025-01-01"})
    rows, notes = rows_of(make_run("new", info={"created": "2026-01-01"}), old)
    (row,) = rows
    assert [run.name for run in row.runs] == ["new"] and row.n == 1
    assert notes == ["old has the recipe and seed of new, which is newer: it was left out."]


def test_the_same_folder_by_another_path_is_the_same_data(make_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "faces")
    paths = [make_run("0", f"data.root={tmp_path / 'faces'}"), make_run("1", f"data.root={tmp_path / 'link'}", seed=2)]
    assert len(rows_of(*paths)[0]) == 1
