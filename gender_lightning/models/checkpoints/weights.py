"""Pretrained weights that a library downloads, and the errors if a server cannot be reached."""

from __future__ import annotations

import contextlib
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import torchvision
from torch import Tensor

from gender_lightning.errors import UserError

TIMEOUT = 15.0  # seconds without an answer after which a server counts as unreachable
REMEDY = "Train from scratch with model.pretrained=false, or name a file with model.pretrained=PATH."


def fetch_torchvision(name: str) -> dict[str, Tensor]:
    """State dict of torchvision's recommended weights, from the cache in TORCH_HOME or the network.

    Raises:
        UserError: There are none, or they are neither cached nor can be fetched.
    """
    with reporting(name), _socket_timeout(TIMEOUT):
        # torchvision's own builder, since it corrects the names in some of its files
        donor = torchvision.models.get_model(name, weights=torchvision.models.get_model_weights(name).DEFAULT)
        state: dict[str, Tensor] = donor.state_dict()
        return state


@contextlib.contextmanager
def reporting(name: str) -> Iterator[None]:
    """Turn what a download raises into one sentence that names model.pretrained=false."""
    try:
        yield
    except UserError:
        raise
    except (OSError, RuntimeError) as error:  # URLError, timeouts and the hub's errors are OSErrors
        raise UserError(
            f"Pretrained weights of {name} could not be fetched ({reason_of(error)}).", REMEDY, field="model.pretrained"
        ) from error


def reason_of(error: Exception) -> str:
    """The reason why a download failed, in one line: the first sentence of the error."""
    return str(getattr(error, "reason", None) or error).strip().splitlines()[0].split(". ")[0]


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def hub_offline_if_unreachable() -> Iterator[None]:
    """Skip the hub's minute of retries if there is no network; cached files are still found."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE or not _hub_answers()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _hub_answers() -> bool:
    from huggingface_hub import constants

    try:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        urllib.request.urlopen(request, timeout=TIMEOUT).close()
    except urllib.error.HTTPError:
        return True  # an error is also an answer
    except OSError:
        return False
    return True


def mean_std(preset: Any) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation per channel as two triples of plain numbers."""
    mean, std = tuple(map(float, preset.mean)), tuple(map(float, preset.std))
    assert len(mean) == len(std) == 3
    return mean, std
