"""The last linear layer of any network: what comes into it as features, and other weights in its place.

The logit of nearly every network is linear in the inputs of its last linear layer, also where two such layers are
averaged (distilled transformers) and where the logits of several views of an image are (`test_time_flip`,
`test_time_zooms`): it is then linear in the mean of all inputs. Where a network adds something else to it (the largest
logit of the patches in VOLO), that layer is only ever scaled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gender_lightning.errors import UserError
from gender_lightning.models.checkpoints.checkpoint import Network
from gender_lightning.models.heads import LogitHead, main_head

Floats = NDArray[np.float64]
_TOLERANCE = 1e-3  # of a logit, relative to its size where that is above 1


@dataclass(frozen=True)
class LastLayer:
    """Where a network's features are, and how they become its logit.

    Attributes:
        paths: The linear layers whose inputs are the features, one after the other.
        widths: Number of features of each.
        factors: The weight of each layer's output in the logit.
        others: Linear layers of the head whose outputs enter the logit in another way.
    """

    paths: tuple[str, ...]
    widths: tuple[int, ...]
    factors: tuple[float, ...]
    others: tuple[str, ...] = ()

    def has_bias(self, net: nn.Module) -> bool:
        """Whether the layer has a constant term; few networks lack one (MaxViT)."""
        return _head(net, self.paths[0]).bias is not None


@dataclass(frozen=True)
class Change:
    """Other weights for the last layer: `scale` times the old ones, plus something.

    Attributes:
        scale: Factor of the old weights; 0 forgets them.
        weight: What is added, one number per feature, float64 (C,).
        bias: What is added to the constant term.
    """

    scale: float
    weight: Floats
    bias: float

    def logits(self, features: NDArray[np.floating[Any]], old: NDArray[np.floating[Any]]) -> Floats:
        """New logits, float64 (N,), from features (N, C) and old logits (N,)."""
        new: Floats = features.astype(np.float64) @ self.weight
        return self.scale * old.astype(np.float64) + new + self.bias

    def step(self, share: float, cut: float) -> Change:
        """The change that goes this share of the way from the old head, which decides male from `cut` on."""
        return Change(1 - share + share * self.scale, share * self.weight, share * self.bias - (1 - share) * cut)

    @classmethod
    def mean(cls, changes: list[Change]) -> Change:
        """The change whose logits are the mean of the logits of several."""
        weight = np.mean([change.weight for change in changes], axis=0)
        scale, bias = (float(np.mean([getattr(change, name) for change in changes])) for name in ("scale", "bias"))
        return cls(scale, weight, bias)


def find_last_layer(network: Network, images: Tensor) -> LastLayer:
    """Look at one pass of a network.

    Args:
        network: A network in evaluation mode.
        images: A few images, uint8 (B, 3, S, S), on the network's device.

    Raises:
        UserError: The logit is not a linear function of what comes into the last linear layers.
    """
    heads = [path for path, module in network.net.named_modules() if isinstance(module, LogitHead)]
    with torch.no_grad(), recorded(network.net, heads) as inputs:
        network(images)
    called = [path for path in heads if inputs[path]]
    paths = tuple(path for path in called if inputs[path][0].ndim == 2)
    others = tuple(path for path in called if path not in paths)
    if not paths:
        raise _not_linear(network)
    widths = tuple(_head(network.net, path).in_features for path in paths)
    factors = (1.0,) if len(called) == 1 else tuple(_factor(network, path, images) for path in paths)
    layer = LastLayer(paths, widths, factors, others)
    _check(network, layer, images)
    return layer


@contextmanager
def recorded(net: nn.Module, paths: list[str] | tuple[str, ...]) -> Iterator[dict[str, list[Tensor]]]:
    """Collect what comes into these layers, per layer, one tensor for each pass within the block."""
    found: dict[str, list[Tensor]] = {path: [] for path in paths}

    def keep(path: str) -> Any:
        return lambda module, arguments: found[path].append(arguments[0].detach())

    with ExitStack() as hooks:
        for path in paths:
            handle = net.get_submodule(path).register_forward_pre_hook(keep(path))
            hooks.callback(handle.remove)
        yield found


def features_and_logits(network: Network, layer: LastLayer, images: Tensor) -> tuple[Tensor, Tensor]:
    """Features, float32 (B, C), and logits, float32 (B,), of images, uint8 (B, 3, S, S), in one pass.

    With `test_time_flip` or `test_time_zooms`, features are the mean of those of all views.
    """
    with recorded(network.net, layer.paths) as inputs:
        logits = network(images)
    parts = [torch.stack([one.float() for one in inputs[path]]).mean(dim=0) for path in layer.paths]
    return torch.cat(parts, dim=1), logits.float()


def changed_state(net: nn.Module, layer: LastLayer, change: Change) -> dict[str, Tensor]:
    """The state dict with the changed last layer; all other tensors are the same objects.

    Args:
        net: The network with its old weights, which are not touched.
        layer: Its last layer.
        change: New weights, with a `bias` of 0 where the layer has none.
    """
    state = dict(net.state_dict())
    added: dict[str, Floats] = {}
    start = 0
    for path, width, factor in zip(layer.paths, layer.widths, layer.factors, strict=True):
        added[f"{path}.weight"] = change.weight[None, start : start + width] / factor
        start += width
    added[f"{layer.paths[0]}.bias"] = np.array([change.bias / layer.factors[0]])
    for key in (f"{path}.{name}" for path in (*layer.paths, *layer.others) for name in ("weight", "bias")):
        if key in state:
            exact = state[key].double().cpu() * change.scale + torch.from_numpy(added.get(key, np.zeros(1)))
            state[key] = exact.to(state[key])  # rounded once
    assert change.bias == 0 or f"{layer.paths[0]}.bias" in state, "the layer has no constant term"
    return state


def of_main_head(net: nn.Module, layer: LastLayer, features: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Those of the features (N, C) that come into the main head, as `models.features.observed` keeps them.

    None if the features are not those of the main head.
    """
    edges = np.cumsum([0, *layer.widths])
    main = main_head(net)
    for path, start, end in zip(layer.paths, edges, edges[1:], strict=False):
        if net.get_submodule(path) is main:
            return features[:, start:end]
    return None


def linear_part(net: nn.Module, layer: LastLayer) -> tuple[Floats, float]:
    """Weights float64 (C,) and constant with which the features alone make the logit."""
    heads = [_head(net, path) for path in layer.paths]
    pairs = list(zip(heads, layer.factors, strict=True))
    scaled = [factor * head.weight.detach().double().cpu().numpy()[0] for head, factor in pairs]
    biases = [factor * float(head.bias.detach()) for head, factor in pairs if head.bias is not None]
    return np.concatenate(scaled), float(sum(biases))


def _factor(network: Network, path: str, images: Tensor) -> float:
    """The rise of the logit per unit of the output of a layer."""
    head = _head(network.net, path)
    with torch.no_grad():
        before = network(images)
        if head.bias is None:
            return 1.0
        with _with({path: (head.weight, head.bias + 1)}, network.net):
            return float((network(images) - before).mean())


def _check(network: Network, layer: LastLayer, images: Tensor) -> None:
    silent = {path: (_head(network.net, path).weight * 0, _zero(_head(network.net, path))) for path in layer.others}
    with torch.no_grad(), _with(silent, network.net):
        features, logits = features_and_logits(network, layer, images)
    weight, bias = linear_part(network.net, layer)
    expected = features.double().cpu().numpy() @ weight + bias
    found = logits.double().cpu().numpy()
    if not (np.abs(found - expected) <= _TOLERANCE * np.maximum(1, np.abs(found))).all():
        raise _not_linear(network)


def _zero(head: LogitHead) -> Tensor | None:
    return None if head.bias is None else head.bias * 0


@contextmanager
def _with(weights: Mapping[str, tuple[Tensor, Tensor | None]], net: nn.Module) -> Iterator[None]:
    """Other weights in some layers for the length of a block."""
    heads = {path: _head(net, path) for path in weights}
    before = {path: (head.weight, head.bias) for path, head in heads.items()}
    try:
        for path, head in heads.items():
            _put(head, *weights[path])
        yield
    finally:
        for path, head in heads.items():
            _put(head, *before[path])


def _put(head: LogitHead, weight: Tensor, bias: Tensor | None) -> None:
    head.weight = weight if isinstance(weight, nn.Parameter) else nn.Parameter(weight.detach())
    if bias is not None:
        head.bias = bias if isinstance(bias, nn.Parameter) else nn.Parameter(bias.detach())


def _head(net: nn.Module, path: str) -> LogitHead:
    head = net.get_submodule(path)
    assert isinstance(head, LogitHead), path
    return head


def _not_linear(network: Network) -> UserError:
    return UserError(
        f"The logit of {network.spec.backbone} is not a linear function of what comes into its last layer.",
        "Refit a run of another backbone.",
        field="checkpoint",
    )
