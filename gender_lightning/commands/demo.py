"""`gender-lightning demo`: a page on this computer that shows a checkpoint's predictions for pictures."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from gender_lightning.commands.steps.reporting import set_up_logging
from gender_lightning.config import DemoConfig, parse_config
from gender_lightning.console import console
from gender_lightning.demo.uploads import upload_folder
from gender_lightning.errors import UserError
from gender_lightning.inference.checkpoints import CheckpointSet
from gender_lightning.interruption import Interruption

HOST = "127.0.0.1"
_EXAMPLES = 6
# An upload is kept for as long as the batches before it and its own may take; if its page was closed, it goes unused.
_BATCHES = 3


def main(values: dict[str, Any]) -> None:
    """Serve the page from the composed configuration, until Ctrl-C."""
    set_up_logging()
    with Interruption().listening(["SIGTERM"]):
        demo(parse_config(DemoConfig, values))


def demo(config: DemoConfig) -> None:
    """Serve the page of a checkpoint.

    Raises:
        UserError: Gradio is not installed, the port is taken, or the checkpoint cannot be used.
    """
    with upload_folder(_BATCHES * config.max_seconds + 60) as cache:
        page, settings = _page(config, cache)
        serve(page, settings, config.port, f"shows {CheckpointSet.of(config.checkpoint)}")


def serve(page: Any, settings: dict[str, Any], port: int | None, told: str) -> None:
    """Show a Gradio page until Ctrl-C.

    Args:
        page: The `gradio.Blocks`.
        settings: The arguments of its `launch`.
        port: The port that the user gave, if any.
        told: What the page does; follows its address on the console.

    Raises:
        UserError: The port is taken.
    """
    try:
        _, address, _ = page.launch(**settings)
    except OSError as error:
        raise UserError(f"port={port} is taken.", "Choose another port, or leave port out.", field="port") from error
    console.print(f"{address} {told}; Ctrl-C ends it.", markup=False)
    try:
        page.block_thread()
    finally:
        page.close(verbose=False)


def _page(config: DemoConfig, cache: Path) -> tuple[Any, dict[str, Any]]:
    """The page and its launch settings: it is served to this computer only, and contacts no other."""
    checkpoints = CheckpointSet.of(config.checkpoint)
    _ = checkpoints.files  # fetched, if they are published, while the hub may be asked
    import_gradio("demo", cache)
    from gender_lightning.commands.steps.interactive import predictor_of
    from gender_lightning.demo.examples import drawn_faces
    from gender_lightning.demo.page import build, style, theme
    from gender_lightning.exporting.metadata import card_of
    from gender_lightning.reports.card_header import without_header

    predictor = predictor_of(config, checkpoints)
    run = checkpoints.run
    faces = drawn_faces(_EXAMPLES)
    card = without_header(card_of(predictor.spec, run.path if run else None))
    page = build(predictor, card, faces, config.max_seconds)
    page.queue(default_concurrency_limit=1, max_size=32)
    settings = launch_settings(config.port, browser=config.browser) | {
        "max_file_size": f"{config.max_megabytes}mb",
        "theme": theme(),
        "css": style(faces),
    }
    return page, settings


def import_gradio(command: str, cache: Path) -> None:
    """Import Gradio so that it asks and tells nothing outside; `cache` is its folder of temporary files.

    Raises:
        UserError: It is not installed.
    """
    # Gradio reads these variables when it is imported.
    os.environ["GRADIO_TEMP_DIR"] = str(cache)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = "1"
    if read_already := sys.modules.get("huggingface_hub.constants"):
        vars(read_already)["HF_HUB_OFFLINE"] = True
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"{command} needs {error.name}, which is not installed.",
            "Install it: pip install 'gender-lightning[demo]'.",
        ) from error


def launch_settings(port: int | None, *, browser: bool) -> dict[str, Any]:
    """Launch settings of a page that is served to this computer only."""
    return {
        "server_name": HOST,
        "server_port": port,
        "inbrowser": browser,
        "share": False,
        "quiet": True,
        "prevent_thread_lock": True,
        "footer_links": [],
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": False,
        # Otherwise it requests its own page first, and asks for a public address if that takes more than three seconds.
        "_frontend": False,
    }
