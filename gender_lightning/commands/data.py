"""`gender-lightning data prepare | verify | summary | audit | review | cache clear`: get, check, inspect a data set."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from gender_lightning.config import DataCommandConfig, parse_config
from gender_lightning.console import console
from gender_lightning.data import inspection, pixel_cache
from gender_lightning.data.framing import Framing
from gender_lightning.data.reading import make_data, open_data
from gender_lightning.data.rows.identical import Fingerprints
from gender_lightning.data.rows.identical import report as report_identical
from gender_lightning.data.rows.selection import check_identities_disjoint
from gender_lightning.data.sources import catalogue
from gender_lightning.durable import writing
from gender_lightning.errors import UserError
from gender_lightning.machine.hardware import available_cores
from gender_lightning.progress import progress_bar

SHEET = "contact_sheet.png"
TILE = 96  # px
STYLES = {"ok": "green", "there": "green", "other": "yellow", "missing": "red", "quota page": "red"}


def main(values: dict[str, Any], action: str) -> None:
    """Carry out an action with the composed configuration."""
    data(action, parse_config(DataCommandConfig, values))


def data(action: str, config: DataCommandConfig) -> None:
    """Carry out ``prepare``, ``verify``, ``summary``, ``audit``, ``review`` or ``cache clear``.

    Raises:
        UserError: The data are missing or malformed, a download failed, or images do not decode.
    """
    actions = {
        "prepare": _prepare, "verify": _verify, "summary": _summary, "audit": _audit, "review": _review,
        "cache clear": _clear_cache,
    }  # fmt: skip
    if action not in actions:
        raise UserError(f"There is no `data {action}`.", f"Use one of: {', '.join(actions)}.")
    if action not in ("cache clear", "review", "audit"):  # an audit checks its recipe first
        make_data(config.data)
    actions[action](config)


def _audit(config: DataCommandConfig) -> None:
    from gender_lightning.commands.audit import audit  # what trains and draws is imported for this action alone

    audit(config)


def _review(config: DataCommandConfig) -> None:
    from gender_lightning.commands.review import review

    review(config)


def _clear_cache(config: DataCommandConfig) -> None:
    if config.data.cache is None:
        raise UserError("No cache to clear was named.", "Name its folder: data.cache=DIR.", field="data.cache")
    folder = Path(os.path.expanduser(config.data.cache))
    files, size = pixel_cache.clear(folder)
    console.print(f"Removed {files:,} files of decoded pictures ({size / 1e6:,.0f} MB) from {escape(str(folder))}.")


def _prepare(config: DataCommandConfig) -> None:
    root = Path(os.path.expanduser(config.data.root))
    if config.data.name != "celeba":
        index, _ = open_data(config.data)
        console.print(f"{len(index):,} faces are ready in {escape(str(root))}.")
        return
    with progress_bar("MD5 sums") as report:
        statuses = catalogue.prepare(root, download=config.download, progress=report)
    for status in statuses:
        _print_status(status, root)
    missing = [status.source.name for status in statuses if status.source.required and not status.usable]
    if not missing:
        console.print(
            f"Everything needed is in {escape(str(root))}. `gender-lightning data verify` decodes every image."
        )
        return
    console.print(f"Missing: {', '.join(missing)}.")
    console.print(f"All files: {catalogue.DRIVE} (about CelebA: {catalogue.PAGE})")
    console.print("download=true tries to download them. CelebA is for non-commercial research only.")


def _print_status(status: catalogue.Status, root: Path) -> None:
    """Print a line per file without a frame, so that addresses and paths can be copied."""
    need = "" if status.source.required else " (not needed)"
    console.print(f"[{STYLES[status.state]}]{status.state:<10}[/] {escape(status.source.name)}{need}")
    details = [status.note] if status.note else []
    if not status.usable:
        details += [f"from {status.source.url}", f"to   {root / status.source.name}"]
    for detail in details:
        console.print(f"{'':<11}{escape(detail)}")


def _verify(config: DataCommandConfig) -> None:
    index, store = open_data(config.data)
    fingerprints = Fingerprints(len(index))
    with progress_bar("Decoding") as report:
        unreadable = inspection.verify(
            index, store, workers=available_cores(), progress=report, fingerprints=fingerprints
        )
    for line in report_identical(fingerprints.groups(index)):
        console.print(escape(line))
    for image in unreadable:
        console.print(escape(image.reason))
    if unreadable:
        raise UserError(
            f"{len(unreadable):,} of {len(index):,} images do not decode.", "Replace or remove the files listed above."
        )
    console.print(f"All {len(index):,} images decode.")


def _summary(config: DataCommandConfig) -> None:
    index, store = open_data(config.data)
    table = Table("split", title=escape(config.data.root))
    for column in ("images", "female", "male", "male share", "identities"):
        table.add_column(column, justify="right")
    for part in inspection.summarise(index):
        total = part.female + part.male
        share = f"{part.male / total:.1%}" if total else "-"
        identities = "-" if part.identities is None else f"{part.identities:,}"
        table.add_row(part.split, f"{total:,}", f"{part.female:,}", f"{part.male:,}", share, identities)
    console.print(table)
    if index.identities is not None:
        crossing = check_identities_disjoint(index)
        console.print(
            f"{crossing:,} identities are in more than one split." if crossing else "No identity crosses splits."
        )
    sizes = inspection.image_sizes(index, store)
    width, height = (f"{low} to {high}, median {middle}" for low, middle, high in (sizes.width, sizes.height))
    console.print(f"Width {width} px, height {height} px ({sizes.images:,} images inspected).")
    framing = replace(Framing(TILE), crop=config.data.crop, zoom=config.data.zoom)
    sheet = inspection.contact_sheet(index, store, framing, seed=config.data.seed)
    console.print(f"Contact sheet: {escape(str(_save(sheet, Path(os.path.expanduser(config.output)))))}")


def _save(sheet: Any, folder: Path) -> Path:
    path = folder / SHEET
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with writing(path, "wb") as file:
            sheet.save(file, format="PNG")
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror or error}.", "Choose another folder: output=...", field="output"
        ) from error
    return path
