"""Weights of other runs, trainers and libraries, read from a file and loaded into a one-logit network."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

from gender_lightning.errors import UserError
from gender_lightning.models.checkpoints.files import checkpoint_file, read_weights_file
from gender_lightning.models.heads import head_paths, is_head

log = logging.getLogger(__name__)
# where trainers keep the weights in a checkpoint, in the order in which they are looked for
CONTAINERS = (
    "state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "model_ema", "ema_state_dict",
    "state_dict_ema", "ema_model", "ema", "student", "teacher", "backbone", "encoder", "module",
)  # fmt: skip
# counters that files from before PyTorch 0.4.1 lack, and indices that a network computes by itself
_COMPUTED = ("num_batches_tracked", "relative_position_index", "attn_mask")
_FIELD = "model.pretrained"


def read_pretrained(path: Path) -> dict[str, Any]:
    """All that the file of `model.pretrained` holds; the problem of a file that cannot be read names that field.

    Args:
        path: See `read_weights`.

    Raises:
        UserError: See `checkpoint_file` and `read_torch_file`.
    """
    try:
        return read_weights_file(checkpoint_file(path))
    except UserError as error:
        raise UserError(f"{_FIELD}: {error.problem}", error.remedy, field=_FIELD) from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the state dict of a network from a checkpoint of ours, of another trainer, or a bare state dict.

    Args:
        path: A file of `torch.save` or a `.safetensors` file, or a name, see `checkpoint_file`.

    Raises:
        UserError: See `read_pretrained`; or the file holds no tensors in any known place.
    """
    content = read_pretrained(path)
    candidates = [content[key] for key in CONTAINERS if isinstance(content.get(key), Mapping)]
    for candidate in (*candidates, content):
        state = {name: value for name, value in candidate.items() if isinstance(value, Tensor)}
        if state and all(isinstance(name, str) for name in state):
            return state
    raise UserError(
        f"{path} holds no state dict, neither by itself nor under {', '.join(CONTAINERS[:3])} or the like.",
        f"Give a checkpoint or a state dict as {_FIELD}.",
        field=_FIELD,
    )


def fitting_prefix(own: Iterable[str], names: Iterable[str]) -> str:
    """The prefix (`module.`, `_orig_mod.`, `backbone.`, any chain of them) under which a file has most of our names.

    If two have equally many, the one of an average of weights (EMA) is used, or else the shorter one.

    Args:
        own: Names in the state dict of the network.
        names: Names in the file.
    """
    own, names = list(own), set(names)
    anchors = own[:: max(1, len(own) // 8)]  # the right prefix stands before one of them
    found = {name.removesuffix(key) for key in anchors for name in names if name.endswith("." + key)}

    def merit(prefix: str) -> tuple[int, bool, int, str]:
        return sum(prefix + key in names for key in own), "ema" in prefix, -len(prefix), prefix

    return max({"", *found}, key=merit)


@dataclass
class _Fit:
    """The entries of a file that go into a network, and those that do not."""

    fitting: dict[str, Tensor]
    left_out: list[str]  # heads, and modules that the network does not have
    wrong: list[str]  # entries that are missing, have another shape, or do not belong to this network


def _fit(net: nn.Module, state: Mapping[str, Tensor]) -> _Fit:
    own, paths = net.state_dict(), head_paths(net)
    fitting = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    modules = {name.partition(".")[0] for name in own}
    others = {name for name in state if name not in own and name.partition(".")[0] not in modules}
    misfits = [
        name
        for name in sorted((own.keys() | state.keys()) - fitting.keys() - others)
        if not is_head(name, paths) and not name.endswith(_COMPUTED)
    ]
    return _Fit(fitting, sorted(state.keys() - fitting.keys() - set(misfits)), misfits)


def load_pretrained(net: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Load weights into ``net``, and log in one line what was loaded, left out and resampled.

    Names may have a common prefix. Position embeddings and tables are resampled to the size of the network, a stem
    for grey images is spread over three channels, heads of another width and modules that the network does not have
    are left out.

    Args:
        net: A network of `create_backbone`.
        state: Weights, named as in the same network, with or without a head.
        source: Name of the weights in messages.

    Raises:
        UserError: Something other than the head does not fit.
    """
    prefix = fitting_prefix(net.state_dict(), state)
    bare = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    adapted = _with_colour_stem(net, bare)
    fit = _fit(net, adapted)
    for adapt in (_with_torchvision_positions, _with_timm_filter):
        if fit.wrong:
            changed = adapt(net, adapted)
            better = _fit(net, changed)
            if len(better.wrong) < len(fit.wrong):
                adapted, fit = changed, better
    if fit.wrong:
        raise UserError(
            f"{source} does not hold weights of this model: {len(fit.wrong)} entries are missing, foreign or of "
            f"another shape ({_few(fit.wrong)}).",
            "Set model.name and model.arguments to those of the weights.",
            field=_FIELD,
        )
    net.load_state_dict(fit.fitting, strict=False)
    resampled = [name for name in fit.fitting if name in bare and bare[name].shape != fit.fitting[name].shape]
    outside = [name for name in state if not name.startswith(prefix)]
    log.info(
        "Weights from %s: %d entries loaded%s; left out: %s; resampled: %s.",
        source,
        len(fit.fitting),
        f" (names after {prefix})" if prefix else "",
        _few([*fit.left_out, *outside]) or "none",
        _few(resampled) or "none",
    )


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _with_colour_stem(net: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights with a stem for grey images spread over three channels, so that a grey image gives the same output."""
    own = net.state_dict()

    def spread(name: str, value: Tensor) -> Tensor:
        wanted = own[name].shape if name in own else value.shape
        grey = value.ndim == 4 and value.shape[1] == 1 and wanted == (len(value), 3, *value.shape[2:])
        return value.expand(wanted) / 3 if grey else value

    return {name: spread(name, value) for name, value in state.items()}


def _with_torchvision_positions(net: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    positions = state.get("encoder.pos_embedding")
    if not isinstance(net, VisionTransformer) or positions is None or positions.shape[2:] != (net.hidden_dim,):
        return dict(state)
    try:
        return dict(interpolate_embeddings(net.image_size, net.patch_size, dict(state)))
    except ValueError as error:  # positions of no square
        log.debug("positions were not resampled: %s", error)
        return dict(state)


def _with_timm_filter(net: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights after timm's own filter for the family: older names, position embeddings and tables of another size."""
    module = sys.modules[type(net).__module__]
    convert = getattr(module, "checkpoint_filter_fn", None) if module.__name__.startswith("timm.") else None
    if convert is None:
        return dict(state)
    try:
        with torch.no_grad():
            return dict(convert(dict(state), net))
    except (RuntimeError, LookupError, AttributeError, TypeError, ValueError, AssertionError) as error:
        log.debug("timm's filter does not know these weights: %s", error)
        return dict(state)
