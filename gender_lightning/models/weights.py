"""Pretrained weights: fetched by torchvision, or read from a file, and loaded into a one-logit network."""

from __future__ import annotations

import contextlib
import logging
import math
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
from gender_lightning.models.files import checkpoint_file, read_torch_file
from gender_lightning.models.heads import head_paths, is_head

log = logging.getLogger(__name__)
# where trainers keep the weights in a checkpoint, in the order in which they are looked for
CONTAINERS = (
    "state_dict", "model_state_dict", "model", "net", "network", "weights", "model_ema", "ema_state_dict",
    "state_dict_ema", "ema", "student", "params",
)  # fmt: skip
TIMEOUT = 15.0  # seconds without an answer after which a server counts as out of reach
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
    """Why a download failed, in one line: the first sentence of the error."""
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
        return True  # an error is an answer too
    except OSError:
        return False
    return True


def read_weights(path: Path) -> dict[str, Tensor]:
    """State dict of a backbone from a file: a checkpoint of ours or of another trainer, or a bare state dict.

    Raises:
        UserError: The file cannot be read (see `read_torch_file`), or holds no tensors.
    """
    content = _read_safetensors(path) if path.suffix == ".safetensors" else read_torch_file(checkpoint_file(path))
    found: Any = next((content[key] for key in CONTAINERS if isinstance(content.get(key), Mapping)), content)
    state = {name: value for name, value in found.items() if isinstance(value, Tensor)}
    if not state or not all(isinstance(name, str) for name in state):
        raise UserError(f"{path} holds no state dict.", "Give a checkpoint or a state dict as model.pretrained.")
    return state


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.", "Give a file of weights.") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged, or not a safetensors file.", "Give an intact file.") from error


def fitting_names(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the chain of prefixes (`module.`, `_orig_mod.`, `backbone.`...) that hides the names of the network.

    Args:
        own: State dict of the network.
        state: Weights whose names may share a prefix; entries without it are then left out.
    """
    prefixes = {""} | {name.removesuffix(key) for name in state for key in _anchors(own) if name.endswith("." + key)}

    def hits(prefix: str) -> tuple[int, int]:
        return sum(prefix + key in state for key in own), -len(prefix)

    best = max(sorted(prefixes), key=hits)
    return {name.removeprefix(best): value for name, value in state.items() if name.startswith(best)}


def _anchors(own: Mapping[str, Tensor]) -> list[str]:
    """A few names from along the network; a prefix that fits the network stands before one of them."""
    names = list(own)
    return names[:: max(1, len(names) // 4)]


_AUXILIARY = ["aux1", "aux2", "AuxLogits"]  # of a file, where the network was built without them


def _resampled(net: Any, name: str, value: Tensor, own: Mapping[str, Tensor]) -> Tensor:
    """An entry of another shape brought to the network's: a stem for grey images, timm's position embedding."""
    if name not in own or own[name].shape == value.shape:
        return value
    wanted = own[name].shape
    if value.ndim == 4 and value.shape[1] == 1 and wanted == (len(value), 3, *value.shape[2:]):
        return value.expand(wanted) / 3  # a grey image in three channels then gives what it gave in one
    if name == "pos_embed" and value.ndim == 3 and hasattr(getattr(net, "patch_embed", None), "grid_size"):
        from timm.layers import resample_abs_pos_embed  # type: ignore[attr-defined]

        tokens = 0 if getattr(net, "no_embed_class", False) else getattr(net, "num_prefix_tokens", 0)
        old = math.isqrt(max(0, value.shape[1] - tokens))
        if old > 0 and old**2 + tokens == value.shape[1] and value.shape[2] == wanted[2]:
            resized: Tensor = resample_abs_pos_embed(value, list(net.patch_embed.grid_size), num_prefix_tokens=tokens)
            return resized
    return value


def load_pretrained(net: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Load pretrained weights into ``net``: positions are interpolated, a head of another shape is left out.

    Args:
        net: A network of `create_backbone`.
        state: Weights under the names of the same network, with or without a head.
        source: What to call them in a message.

    Raises:
        UserError: Anything but the head does not fit.
    """
    own, paths = net.state_dict(), head_paths(net)
    state = fitting_names(own, state)
    if isinstance(net, VisionTransformer) and "encoder.pos_embedding" in state:
        state = interpolate_embeddings(net.image_size, net.patch_size, dict(state))
    state = {name: _resampled(net, name, value, own) for name, value in state.items()}
    fitting = {n: v for n, v in state.items() if n in own and own[n].shape == v.shape}
    wrong = [n for n in (own.keys() | state.keys()) - fitting.keys() if not is_head(n, paths + _AUXILIARY)]
    if wrong:
        shown = ", ".join(sorted(wrong)[:3]) + (", ..." if len(wrong) > 3 else "")
        raise UserError(
            f"{source} does not hold weights of this model: {len(wrong)} entries are missing, foreign or of "
            f"another shape ({shown}).",
            "Set model.name and model.arguments to what the weights belong to.",
        )
    net.load_state_dict(fitting, strict=False)
    left = sorted(state.keys() - fitting.keys())
    log.info("%s: %d entries were loaded, left out: %s.", source, len(fitting), ", ".join(left) or "none")


def mean_std(preset: Any) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation per channel as two triples of plain numbers."""
    mean, std = tuple(map(float, preset.mean)), tuple(map(float, preset.std))
    assert len(mean) == len(std) == 3
    return mean, std
