"""Pictures on standard input, answers on standard output, as in `frames.js`; knows numpy and nothing of ours."""

import contextlib
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

Picture = Any  # RGB uint8 (H, W, 3)


def answer(ask: Callable[[list[Picture]], float | None]) -> int:
    """Ask a tool about the pictures of each line, as they are and with a border; the exit code."""
    output = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # the answers have standard output for themselves
        for line in sys.stdin.buffer:
            pictures = []
            for height, width in json.loads(line)["pictures"]:
                pixels = sys.stdin.buffer.read(height * width * 3)
                pictures.append(np.frombuffer(pixels, np.uint8).reshape(height, width, 3))
            said = ask(pictures)
            output.write("\n" if said is None else f"{said:.6f}\n")
            output.flush()
    return 0
