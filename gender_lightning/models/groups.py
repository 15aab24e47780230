"""Parameter groups: no weight decay where it does harm, and learning rates that fall towards the stem."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from torch import nn

from gender_lightning.models.heads import head_paths, is_head

# tables and tokens that are not the weights of a layer, whatever their number of dimensions
UNDECAYED = ("pos_embed", "pos_embedding", "class_token", "cls_token", "dist_token", "reg_token", "layer_scale",
             "relative_position_bias_table")  # fmt: skip


def parameter_groups(
    net: nn.Module, *, lr: float, weight_decay: float, layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """Sort the parameters of a network into an optimizer's groups, each parameter exactly once.

    Args:
        net: A network of `create_backbone`.
        lr: Learning rate of the head.
        weight_decay: Weight decay of the weights; norms, biases, positions and tokens get none.
        layer_decay: Learning rate of each unit of the network (see `layer_depths`) as a multiple of the next unit's;
            1 for equal rates.

    Returns:
        Dictionaries with ``params``, ``lr`` and ``weight_decay``, from the head down to the stem.
    """
    depths = layer_depths(net)
    last = max(depths.values())
    undecayed = undecayed_names(net)
    groups: dict[tuple[int, bool], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in net.named_parameters():
        rank = last - depths[name] if layer_decay != 1.0 else 0
        groups[rank, name in undecayed].append(parameter)
    return [
        {"params": groups[key], "lr": lr * layer_decay ** key[0], "weight_decay": 0.0 if key[1] else weight_decay}
        for key in sorted(groups)
    ]


def undecayed_names(net: nn.Module) -> set[str]:
    """Names of the parameters that get no weight decay: vectors (norms, biases), positions, tokens."""
    listed = getattr(net, "no_weight_decay", None)  # timm's networks name theirs
    names: set[str] = set(listed()) if callable(listed) else set()
    for name, parameter in net.named_parameters():
        if parameter.ndim <= 1 or any(part in UNDECAYED for part in name.split(".")):
            names.add(name)
    return names


def layer_depths(net: nn.Module) -> dict[str, int]:
    """Depth of every parameter: 0 for the stem, one more for each unit in order, the largest for the head.

    A unit is a residual block, an inception module, a transformer block, or a single convolution or linear
    layer outside of these; norms belong to the unit before them, positions and tokens to the stem (as in
    Bao et al. 2021, BEiT; resnet18 has a stem, 8 blocks and a head).
    """
    paths = head_paths(net)
    depths: dict[str, int] = {}
    depth = -1
    for unit in _units(net, ""):
        parameters = [(n, p) for n, p in net.named_parameters() if n.startswith(unit + ".") and not is_head(n, paths)]
        if not parameters:
            continue
        if depth < 0 or any(parameter.ndim > 1 for _, parameter in parameters):
            depth += 1
        depths.update((name, depth) for name, _ in parameters)
    for name, _ in net.named_parameters():
        if is_head(name, paths):
            depths[name] = depth + 1
        else:
            depths.setdefault(name, 0)
    return depths


def _units(module: nn.Module, path: str) -> list[str]:
    """Paths of the units below a module that is not a unit itself."""
    units: list[str] = []
    for name, child in module.named_children():
        child_path = f"{path}.{name}" if path else name
        units += _units(child, child_path) if _is_container(child) else [child_path]
    return units


def _is_container(module: nn.Module) -> bool:
    """Whether a module is a list of units, or holds a stack of equal blocks (a stage, an encoder)."""
    if type(module) in (nn.Sequential, nn.ModuleList):
        return True
    return _is_stack(module) or any(_is_stack(child) for child in module.children())


def _is_stack(module: nn.Module) -> bool:
    """Whether a module is a list of equal blocks; a list of single layers makes up one block."""
    if not isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict) or len(module) < 2:
        return False
    children = list(module.children())
    return len({type(child) for child in children}) == 1 and all(
        sum(parameter.ndim > 1 for parameter in child.parameters()) > 1 for child in children
    )
