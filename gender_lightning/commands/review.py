"""`gender-lightning data review`: people judge the doubtful labels of an audit, and some that are not doubtful."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gender_lightning.audit.reading import AuditData, open_material
from gender_lightning.audit.review import queue, read_answers, read_audit, summary
from gender_lightning.commands.audit import RECORD
from gender_lightning.commands.demo import import_gradio, launch_settings, serve
from gender_lightning.commands.steps.reporting import set_up_logging
from gender_lightning.config import DataCommandConfig, parse_config
from gender_lightning.console import console, shown
from gender_lightning.data.decoding import decode
from gender_lightning.errors import UserError
from gender_lightning.interruption import Interruption

CORRECTIONS = "corrections.csv"


def review(config: DataCommandConfig) -> None:
    """Serve the page until Ctrl-C, then say what the review has shown.

    Raises:
        UserError: There is no such audit, its data are gone or have no pictures, Gradio is not installed, or the
            port is taken.
    """
    set_up_logging()
    if config.audit is None:
        raise UserError("No audit to review was named.", "Name its folder: audit=DIR.", field="audit")
    folder = Path(os.path.expanduser(config.audit))
    folder = folder.parent if folder.is_file() else folder
    section, doubts = read_audit(folder / RECORD)
    material = open_material(_data(config, section))
    if material.store is None:
        raise UserError("These data have no pictures to look at.", "Put them beside the label files.")
    items = queue(material.index, doubts, config.sample, config.data.seed)
    if not items:
        raise UserError("There is nothing to look at.", "Audit with folds=5 first, or raise sample=...")
    answers = read_answers(folder / CORRECTIONS)
    with TemporaryDirectory(prefix="gender-lightning-") as cache, Interruption().listening(["SIGTERM"]):
        import_gradio("data review", Path(cache))
        from gender_lightning.demo.review_page import Review

        state = Review(items, answers, folder / CORRECTIONS, len(material.index))
        try:
            _serve(config, state, material)
        finally:
            console.print(summary(items, answers, len(material.index)), markup=False)
            console.print(f"answers: {shown(folder / CORRECTIONS)} (data.corrections=FILE uses them)", markup=False)


def _serve(config: DataCommandConfig, state: Any, material: AuditData) -> None:
    from gender_lightning.demo.page import style, theme
    from gender_lightning.demo.review_page import CSS, SCRIPT, build

    store = material.store
    assert store is not None

    def read(image_id: str) -> NDArray[np.uint8]:
        return decode(store.read(image_id.encode()), path=image_id)

    page = build(state, read)
    settings = launch_settings(config.port, browser=config.browser)
    settings |= {"theme": theme(), "css": style([]) + CSS, "head": SCRIPT}
    serve(page, settings, config.port, f"asks about {len(state.items):,} images")


def _data(config: DataCommandConfig, section: dict[str, Any]) -> Any:
    """The data of the audit, unless the command line names others."""
    from hydra.core.hydra_config import HydraConfig

    typed = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    if any(text.lstrip("+").startswith("data") for text in typed):
        return config.data
    return parse_config(DataCommandConfig, {**config.model_dump(), "data": section}).data
