"""`gender-lightning data audit`: what is doubtful in a data set, on one page and in one file."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from gender_lightning.audit.auditing import Auditing
from gender_lightning.audit.duplicates import near_pairs
from gender_lightning.audit.findings import Audit, to_json
from gender_lightning.audit.limits import check_limits, crossed
from gender_lightning.audit.measuring import CACHE, measure
from gender_lightning.audit.reading import open_material
from gender_lightning.commands.steps.reporting import set_up_logging
from gender_lightning.config import DataCommandConfig
from gender_lightning.console import console, shown
from gender_lightning.data.decoding import decode
from gender_lightning.data.reading import make_data
from gender_lightning.data.sources.images import ImageStore
from gender_lightning.errors import UserError
from gender_lightning.inference.faces.crops import load_detector
from gender_lightning.machine.hardware import available_cores
from gender_lightning.progress import progress_bar
from gender_lightning.reports.audit_page import audit_page, headlines
from gender_lightning.reports.pictures import face_uri
from gender_lightning.runs import write_text

PAGE, RECORD = "audit.html", "audit.json"


def audit(config: DataCommandConfig) -> Audit:
    """Look at labels, pictures and what models say of them; write `audit.html` and `audit.json`.

    Raises:
        UserError: The data are missing or malformed, or there is nothing to judge the labels with.
        SystemExit: Code 1, where a limit of `fail_on` is crossed.
    """
    set_up_logging()
    limits = config.fail_on or {}
    check_limits(limits)
    if config.folds is not None:
        from gender_lightning.commands.steps.audit_models import check_recipe

        check_recipe(config)
    if config.checkpoint is not None:
        from gender_lightning.commands.steps.audit_models import check_checkpoints

        check_checkpoints(config)
    make_data(config.data)
    output = _folder(config.output)
    section = config.data.model_copy(update={"root": str(Path(os.path.expanduser(config.data.root)).absolute())})
    material = open_material(section)
    auditing = Auditing(material, section)
    auditing.look_at_labels(config.smallest_cell)
    records = _look_at_pictures(auditing, config, output)
    _judge(auditing, config, output, records)
    result = auditing.result()
    said = list(crossed(result, limits))
    write_text(output / RECORD, json.dumps(to_json(result), indent=1) + "\n")
    face = None if material.store is None or not config.images else _faces(material.store)
    write_text(output / PAGE, audit_page(result, said, shlex.join(["gender-lightning", *sys.argv[1:]]), face))
    _print(result)
    console.print(f"written to {shown(output / PAGE)} and {RECORD}", markup=False)
    for sentence in said:
        console.print(sentence, markup=False)
    if said:
        sys.exit(1)
    return result


def _look_at_pictures(auditing: Auditing, config: DataCommandConfig, output: Path) -> NDArray[np.void] | None:
    """The numbers of all pictures; None where there are no pictures."""
    material = auditing.material
    if material.store is None:
        auditing.left_out.append("There are no pictures here: only the label files were audited.")
        return None
    if not config.detect:
        auditing.left_out.append("Faces were not counted (detect=true does).")
    detector = load_detector() if config.detect else None
    with auditing.timed("measuring pictures"), progress_bar("Measuring pictures") as report:
        records = measure(
            material.index, material.store, output / CACHE,
            detector=detector, workers=available_cores(), progress=report,
        )  # fmt: skip
    auditing.look_at_pictures(records)
    return records


def _judge(auditing: Auditing, config: DataCommandConfig, output: Path, records: NDArray[np.void] | None) -> None:
    """Suspect labels, and pictures that look alike to a model, where there is one."""
    if config.checkpoint is None and config.folds is None:
        auditing.left_out.append(
            "Labels were not judged by models (folds=5 trains small ones for it, checkpoint=RUN takes one of yours, "
            "which also finds recropped and mirrored copies)."
        )
        return
    if records is None:
        raise UserError(
            "There are no pictures here that a model could judge.", "Leave out folds and checkpoint.", field="folds"
        )
    from gender_lightning.commands.steps.audit_models import by_checkpoints, by_folds, features  # they load what trains

    material, read = auditing.material, np.flatnonzero(records["read"])
    pairs = read[near_pairs(records["hash"][read], records["fine_hash"][read])]
    if config.checkpoint is not None:
        with auditing.timed("comparing features"):
            auditing.look_at_features(features(config, material, records["read"], output), read, pairs)
    with auditing.timed("judging labels"):
        if config.folds is not None:
            probability, judges = by_folds(config, material, records["read"], pairs, output)
        else:
            probability, judges = by_checkpoints(config, material, records["read"], output)
    auditing.look_at_probabilities(probability, judges)


def _faces(store: ImageStore) -> Callable[[str], str | None]:
    def face(image_id: str) -> str | None:
        try:
            return face_uri(decode(store.read(image_id.encode()), path=image_id))
        except UserError:
            return None

    return face


def _folder(name: str) -> Path:
    output = Path(os.path.expanduser(name))
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{output} cannot be made ({error.strerror}).", "Choose another folder: output=...", field="output"
        ) from error
    return output


def _print(result: Audit) -> None:
    table = Table("what was looked for", title=f"{result.images:,} images", title_justify="left")
    table.add_column("found", justify="right")
    table.add_column("of")
    table.add_column("share", justify="right")
    for found in result.findings:
        table.add_row(found.title, f"{found.count:,}", f"{found.total:,} {found.unit}", f"{100 * found.share:.2f} %")
    console.print(table)
    for sentence in (*headlines(result), *result.left_out):
        console.print(sentence, markup=False)
