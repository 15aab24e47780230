"""Pretrained weights: fetched by torchvision, or read from a file, and laid into a one-logit network."""

from __future__ import annotations

import contextlib
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torchvision
from torch import Tensor, nn
from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

from gender_lightning.errors import UserError
from gender_lightning.models.files import KEY, checkpoint_file, read_torch_file
from gender_lightning.models.heads import head_paths, is_head

TIMEOUT = 15.0  # seconds without an answer after which a server counts as out of reach
REMEDY = "Train from scratch with model.pretrained=false, or name a file with model.pretrained=PATH."


def fetch_torchvision(name: str) -> dict[str, Tensor]:
    """State dict of torchvision's recommended weights, from the cache in TORCH_HOME or the network.

    Raises:
        UserError: There are none, or they are neither cached nor can be fetched.
    """
    with reporting(name), _socket_timeout(TIMEOUT):
        # torchvision's own builder, since it mends the names in some of its files
        donor = torchvision.models.get_model(name, weights=torchvision.models.get_model_weights(name).DEFAULT)
        state: dict[str, Tensor] = donor.state_dict()
        return state


@contextlib.contextmanager
def reporting(name: str) -> Iterator[None]:
    """Turn what a download throws into one sentence that names model.pretrained=false."""
    try:
        yield
    except UserError:
        raise
    except (OSError, RuntimeError) as error:  # URLError, timeouts and the hub's errors are OSErrors
        raise UserError(f"Pretrained weights of {name} could not be fetched ({reason_of(error)}). {REMEDY}") from error


def reason_of(error: Exception) -> str:
    """What a download failed of, in one line: the first sentence of what was thrown."""
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
    """Spare timm's hub its minute of retries without a network; what is cached is still found."""
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
        return True  # an answer, if no kind one
    except OSError:
        return False
    return True


def read_weights(path: Path) -> dict[str, Tensor]:
    """State dict of a backbone from a file: a checkpoint of ours, of another trainer, or a bare state dict.

    Raises:
        UserError: See `read_torch_file`; or no tensors in there.
    """
    content = read_torch_file(checkpoint_file(path))
    for key in ("state_dict", "model"):
        if isinstance(content.get(key), Mapping):
            content = dict(content[key])
            break
    content.pop(KEY, None)
    if not content or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()):
        raise UserError(f"{path} holds no state dict. Give a checkpoint or a state dict as model.pretrained.")
    return bare_names(content)


def bare_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take off the prefix that a LightningModule (net.) or DistributedDataParallel (module.) put on."""
    for prefix in ("net.", "module."):
        if any(name.startswith(prefix) for name in state):
            return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    return dict(state)


def load_pretrained(net: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Lay pretrained weights into ``net``: positions interpolated, a head of another shape left out.

    Args:
        net: A network of `create_backbone`.
        state: Weights by the names of the same network, with a head or without.
        source: What to call them in a message.

    Raises:
        UserError: Anything but the head does not fit.
    """
    if isinstance(net, VisionTransformer) and "encoder.pos_embedding" in state:
        state = interpolate_embeddings(net.image_size, net.patch_size, dict(state))
    own, paths = net.state_dict(), head_paths(net)
    fitting = {n: v for n, v in state.items() if n in own and own[n].shape == v.shape}
    wrong = [n for n in (own.keys() | state.keys()) - fitting.keys() if not is_head(n, paths)]
    if wrong:
        shown = ", ".join(sorted(wrong)[:3]) + (", ..." if len(wrong) > 3 else "")
        raise UserError(
            f"{source} does not hold weights of this model: {len(wrong)} entries are missing, foreign or of "
            f"another shape ({shown}). Set model.name and model.arguments to what the weights belong to."
        )
    net.load_state_dict(fitting, strict=False)


def mean_std(preset: Any) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and deviation per channel as two triples of plain numbers."""
    mean, std = tuple(map(float, preset.mean)), tuple(map(float, preset.std))
    assert len(mean) == len(std) == 3
    return mean, std
