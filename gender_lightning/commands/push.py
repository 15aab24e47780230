"""`gender-lightning push`: a checkpoint with its measured model card as a repository on the Hugging Face hub."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gender_lightning.commands.steps.reporting import refuse_overwriting, set_up_logging
from gender_lightning.config import PushConfig, parse_config
from gender_lightning.console import console, shown
from gender_lightning.data.kinds import KINDS, words_of
from gender_lightning.errors import UserError
from gender_lightning.evaluation.results import Evaluation
from gender_lightning.exporting.publishing import LEARNED_FROM, HubUpload, upload, write_repository
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, load_network
from gender_lightning.models.checkpoints.files import PUBLISHED_CONFIG, checkpoint_file
from gender_lightning.models.checkpoints.hugging_face import HubName
from gender_lightning.plain_files import read_json
from gender_lightning.reports.model_card import CardNotes, model_card
from gender_lightning.runs import Run

_LONGEST_LINE = 8  # trainings of which each started from the weights of the one before
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class Pushed:
    """What `push` has made.

    Attributes:
        folder: The folder that was written; None if the files were uploaded.
        upload: Address and commit; None if nothing was uploaded.
    """

    folder: Path | None = None
    upload: HubUpload | None = None


def main(values: dict[str, Any]) -> Pushed:
    """Push from the composed configuration."""
    set_up_logging()
    return push(parse_config(PushConfig, values))


def push(config: PushConfig) -> Pushed:
    """Write the repository, and upload it unless `output` names a folder for it.

    Raises:
        UserError: The checkpoint has no evaluation, may not be published, or the hub cannot take it.
    """
    target = None if config.to is None else _target(config.to)
    checkpoint = checkpoint_file(Path(config.checkpoint))
    network, run = load_network(checkpoint), Run.of(checkpoint)
    learned = list(dict.fromkeys(learned_from(checkpoint)))
    if config.output is None and not config.i_may_publish:
        _refuse_to_publish(learned)
    if run is None:
        raise UserError(
            f"{config.checkpoint} lies in no run directory, where its evaluation is.",
            "Give the run directory of the training.",
            field="checkpoint",
        )
    evaluation = _evaluation(config, run, network.spec)
    location = str(target) if target else "model.safetensors"
    notes = CardNotes(**config.card.model_dump(), location=location)
    card = model_card(evaluation, run.info(), run.config(), notes)
    if config.output is not None:
        folder = _new_folder(Path(config.output).expanduser())
        write_repository(folder, network, card, learned)
        console.print(f"written to {shown(folder)}; nothing was uploaded", markup=False)
        return Pushed(folder=folder)
    assert target is not None  # the schema sees to it
    with tempfile.TemporaryDirectory(prefix="gender-lightning-push-") as scratch:
        write_repository(Path(scratch), network, card, learned)
        with console.status(f"uploading to {target}"):
            done = upload(Path(scratch), target.repo, private=config.private)
    console.print(f"pushed to {done.url}, revision {done.revision}", markup=False)
    console.print(f"use it: gender-lightning predict checkpoint={target} input=photos", markup=False)
    return Pushed(upload=done)


def _target(to: str) -> HubName:
    target = HubName.parse(to.removeprefix("hf://"))
    if target.revision or target.file:
        raise UserError(f"to={to}: a push goes to a whole repository.", f"Write to=hf://{target.repo}", field="to")
    return target


def learned_from(checkpoint: Path, descendants: tuple[Path, ...] = ()) -> Iterator[str]:
    """Kinds of data that weights have learned from: by themselves, by the weights that they started from, by teachers.

    The libraries' weights (`model.pretrained=true`) are not followed. `unknown` stands for what is not known.

    Args:
        checkpoint: The file of the weights.
        descendants: The runs that started from these weights, which cannot have been there before them.
    """
    run = Run.of(checkpoint)
    if run is None:
        yield from _recorded(checkpoint)
        return
    if run.path in descendants or len(descendants) == _LONGEST_LINE:
        yield _UNKNOWN
        return
    config = run.config()
    yield str(_section(config, "data").get("name", _UNKNOWN))
    origins = [_section(config, "model").get("pretrained"), *(_section(config, "loss").get("teacher") or [])]
    for origin in origins:
        if not isinstance(origin, str):
            continue
        try:
            file = checkpoint_file(Path(origin))
        except UserError:  # it is gone, or cannot be fetched now
            yield _UNKNOWN
        else:
            yield from learned_from(file, (*descendants, run.path))


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = config.get(name)
    return section if isinstance(section, dict) else {}


def _recorded(checkpoint: Path) -> list[str]:
    """The kinds in the config.json beside weights that were pushed; `unknown` for any other file."""
    file = checkpoint.with_name(PUBLISHED_CONFIG)
    config = read_json(file) if file.is_file() else None
    kinds = config.get(LEARNED_FROM) if isinstance(config, dict) else None
    if not isinstance(kinds, list) or not kinds or not all(kind in KINDS for kind in kinds):
        return [_UNKNOWN]
    return kinds


def _refuse_to_publish(learned: list[str]) -> None:
    """Refuse weights whose data forbid it, or may forbid it, unless the user says that it is allowed."""
    reasons = [words.forbids for kind in learned if (words := words_of(kind)).forbids]
    if _UNKNOWN in learned:
        reasons.append("it is not known on which data they, or the weights that they started from, were trained")
    if reasons:
        raise UserError(
            f"The weights were not pushed: {'; '.join(reasons)}.",
            "If you may publish them nevertheless, add i_may_publish=true; output=FOLDER only writes the files here.",
            field="i_may_publish",
        )


def _evaluation(config: PushConfig, run: Run, spec: ModelSpec) -> Evaluation:
    """The stored evaluation of these very weights."""
    name = config.evaluation or f"{_section(run.config(), 'data').get('name')}-test"
    file = run.path / "evaluation" / name / "evaluation.json"
    remedy = f"Run gender-lightning evaluate checkpoint={run.path} first."
    if not file.is_file():
        raise UserError(
            f"{run.path} has no evaluation/{name}, from which the measured values of the card come.",
            remedy,
            field="evaluation",
        )
    content = read_json(file)
    evaluation = Evaluation.from_dict(content if isinstance(content, dict) else {})
    measured = evaluation.calibration
    pairs = ((measured.temperature, spec.temperature), (measured.threshold, spec.threshold))
    if not all(math.isclose(*pair) for pair in pairs) or evaluation.model.get("backbone") != spec.backbone:
        raise UserError(f"{file.parent} was measured with other weights than these.", remedy, field="evaluation")
    return evaluation


def _new_folder(folder: Path) -> Path:
    refuse_overwriting(folder)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be made ({error.strerror}).", "Choose another place with output=...", field="output"
        ) from error
    return folder
