"""Every network under one contract: normalised images (B, 3, S, S) in, logits (B,) out."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torchvision
from torch import nn
from torchvision.models.vision_transformer import VisionTransformer

from gender_lightning.errors import UserError
from gender_lightning.models import auxiliary
from gender_lightning.models.auxiliary import forward_train
from gender_lightning.models.checkpoints import transfer, weights
from gender_lightning.models.checkpoints.files import KEY
from gender_lightning.models.groups import parameter_groups
from gender_lightning.models.heads import (
    frozen_at,
    head_parameters,
    no_linear_head,
    replace_linear,
    set_frozen,
    swap_head,
)

__all__ = ["create_backbone", "fixed_image_size", "forward_train", "frozen_at", "head_parameters", "normalisation",
           "parameter_groups", "set_frozen"]  # fmt: skip

# What builders raise for arguments that they do not accept; most of them check nothing.
_REFUSALS = (
    TypeError, ValueError, AssertionError, LookupError, AttributeError, ArithmeticError, RuntimeError, MemoryError,
)  # fmt: skip
_CHECK = "Check model.arguments and data.image_size."
Triple = tuple[float, float, float]
IMAGENET: tuple[Triple, Triple] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
TIMM = "timm/"
# With these, timm and torchvision would read a pickle or use the network; a checkpoint holds arguments too.
_NOT_ARGUMENTS = (
    "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "weights",
    "weights_backbone", "progress", "num_classes", "features_only", "scriptable", "exportable", "no_jit", "device",
    "dtype", "name", "model_name",
)  # fmt: skip


def create_backbone(
    name: str,
    *,
    pretrained: bool | str = False,
    dropout: float = 0.0,
    image_size: int = 224,
    arguments: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build a network that maps normalised float images (B, 3, S, S) to logits (B,) of class male.

    Args:
        name: Name of any torchvision classification model, or ``timm/`` and the name of a timm model.
        pretrained: True for the library's recommended weights, or the path of a state dict or checkpoint.
        dropout: Dropout before the last layer, in place of what the network has there; 0 leaves that alone.
        image_size: Side S in pixels.
        arguments: Further arguments of the library's builder.

    Raises:
        UserError: The name or an argument is unknown, the network does not accept the size, or the weights cannot be
            fetched or do not fit.

    Example:
        >>> import torch
        >>> net = create_backbone("resnet18", image_size=112).eval()
        >>> net(torch.zeros(2, 3, 112, 112)).shape
        torch.Size([2])
    """
    _check_arguments(arguments or {})
    if name.startswith(TIMM):
        net = _create_timm(name, pretrained is True, dropout, image_size, dict(arguments or {}))
    else:
        net = _create_torchvision(name, dropout, image_size, dict(arguments or {}))
        if pretrained is True:
            transfer.load_pretrained(net, weights.fetch_torchvision(name), source=f"torchvision's {name}")
    if isinstance(pretrained, str):
        transfer.load_pretrained(net, transfer.read_weights(Path(pretrained)), source=pretrained)
    return net


def _check_arguments(arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that make a builder read files or fetch weights, or that are ours to give."""
    for name in arguments:
        if name in _NOT_ARGUMENTS:
            raise UserError(
                f"model.arguments: {name} is not for the user to give.",
                f"Leave it out. {weights.REMEDY}",
                field="model.arguments",
            )
    for name in ("in_chans", "in_channels"):
        if arguments.get(name, 3) != 3:
            raise UserError(
                f"model.arguments: {name}={arguments[name]}, but pictures have three channels; grey ones have three "
                "equal ones.",
                f"Leave {name} out.",
                field="model.arguments",
            )
    for name, value in arguments.items():
        # builders would let the first forward pass find out
        if name.endswith(("_rate", "dropout", "_prob")) and not (isinstance(value, int | float) and 0 <= value <= 1):
            raise UserError(
                f"model.arguments: {name} is a probability, between 0 and 1.", "Change it.", field="model.arguments"
            )


def _create_torchvision(name: str, dropout: float, image_size: int, arguments: dict[str, Any]) -> nn.Module:
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise _unknown(name, known)
    builder = auxiliary.NETWORKS.get(name) or torchvision.models.get_model_builder(name)
    if builder.__module__ == VisionTransformer.__module__:
        _check_patches(name, int(name.rpartition("_")[2]), image_size)
        arguments = {"image_size": image_size} | arguments
    elif builder.__module__ == "torchvision.models.maxvit":
        arguments = {"input_size": (image_size, image_size)} | arguments
    try:
        net: nn.Module = builder(num_classes=1, **arguments)
    except UserError:
        raise
    except _REFUSALS as error:
        raise UserError(f"{name} cannot be built: {_first_line(error)}.", _CHECK) from error
    swap_head(net, name, dropout)
    return net


def _create_timm(name: str, pretrained: bool, dropout: float, image_size: int, arguments: dict[str, Any]) -> nn.Module:
    import timm  # takes seconds, and most models need none of it

    short = name.removeprefix(TIMM)
    if not timm.is_model(short.partition(".")[0]):
        raise _unknown(name, [TIMM + known for known in timm.list_models()])
    config = _timm_config(short)
    if pretrained and not config.has_weights:
        raise UserError(f"timm has no pretrained weights for {name}.", weights.REMEDY, field="model.pretrained")
    arguments = {"num_classes": 1, "drop_rate": dropout} | arguments
    if config.fixed_input_size:
        arguments = {"img_size": image_size} | arguments
    try:
        if pretrained:
            with weights.reporting(name), weights.hub_offline_if_unreachable():
                net = timm.create_model(short, pretrained=True, **arguments)
        else:
            net = timm.create_model(short, **arguments)
    except UserError:
        raise
    except _REFUSALS as error:
        raise UserError(f"{name} cannot be built: {_first_line(error)}.", _CHECK) from error
    _swap_timm_heads(net, name)
    patch = getattr(getattr(net, "patch_embed", None), "patch_size", None)
    if config.fixed_input_size and patch is not None:
        _check_patches(name, max(patch) if isinstance(patch, tuple) else int(patch), image_size)
    return net


def _first_line(error: Exception) -> str:
    lines = str(error).strip().rstrip(".").splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _timm_config(short: str) -> Any:
    import timm

    try:
        return timm.get_pretrained_cfg(short) or timm.models.PretrainedCfg()  # a network of the user's own has none
    except RuntimeError as error:  # an unknown tag after the dot
        raise UserError(
            f"There is no model named {TIMM}{short}: {error}.", "Leave out the part after the dot.", field="model.name"
        ) from error


def _swap_timm_heads(net: Any, name: str) -> None:
    """Swap what timm calls the classifier; distilled networks have two, and average them."""
    found = net.get_classifier()
    classifiers = [*found] if isinstance(found, tuple | list) else [found]
    if isinstance(getattr(net, "aux_head", None), nn.Linear):
        classifiers.append(net.aux_head)  # of the patches, whose greatest logit VOLO adds
    inside = {id(module) for classifier in classifiers for module in classifier.modules()}
    linears = [p for p, m in net.named_modules() if id(m) in inside and isinstance(m, nn.Linear)]
    if not linears or any(net.get_submodule(path).out_features != 1 for path in linears):
        raise no_linear_head(name)
    for path in linears:
        replace_linear(net, path, 0.0)


def _check_patches(name: str, patch: int, image_size: int) -> None:
    if image_size % patch:
        below, above = image_size // patch * patch, (image_size // patch + 1) * patch
        sizes = f"{below} or {above}" if below else f"{above}"
        raise UserError(
            f"{name} cuts images into patches of {patch} pixels, and {image_size} pixels is not a multiple of that.",
            f"Set data.image_size={sizes}.",
            field="data.image_size",
        )


def _unknown(name: str, known: list[str]) -> UserError:
    close = difflib.get_close_matches(name, known, n=2, cutoff=0.6)
    hint = f"Did you mean {' or '.join(close)}?" if close else "Take a torchvision name, or timm/<name>."
    own = " For a network of your own, add packages=[ITS_PACKAGE]." if name.startswith(TIMM) else ""
    return UserError(f"There is no model named {name}.", hint + own, field="model.name")


def native_size(name: str) -> int | None:
    """Side in pixels of the images that a network was designed for; None where its library does not say."""
    if name.startswith(TIMM):
        return int(_timm_config(name.removeprefix(TIMM)).input_size[-1])
    if name not in torchvision.models.list_models(module=torchvision.models):
        return None
    return int(torchvision.models.get_model_weights(name).DEFAULT.transforms().crop_size[0])


def fixed_image_size(net: nn.Module) -> int | None:
    """The only side in pixels that a network accepts, if there is only one (ViT); otherwise None."""
    if isinstance(net, VisionTransformer):
        return int(net.image_size)
    embed = getattr(net, "patch_embed", None)
    size = getattr(embed, "img_size", None)
    if size is None or not getattr(embed, "strict_img_size", False):
        return None
    return int(size[0])


def normalisation(name: str, pretrained: bool | str = False) -> tuple[Triple, Triple]:
    """Mean and standard deviation per channel (images in 0..1) that the weights were trained with.

    Args:
        name: Name of the network, see `create_backbone`.
        pretrained: Its weights, see `create_backbone`. A checkpoint of ours names its own values; any other file
            has those of the library's weights of this name; a network without weights has ImageNet's.
    """
    if isinstance(pretrained, str):
        spec = transfer.read_pretrained(Path(pretrained)).get(KEY)
        if isinstance(spec, dict) and _is_triple(spec.get("mean")) and _is_triple(spec.get("std"), above=0):
            return tuple(spec["mean"]), tuple(spec["std"])
    if not pretrained:
        return IMAGENET
    if name.startswith(TIMM):
        return weights.mean_std(_timm_config(name.removeprefix(TIMM)))
    if name in auxiliary.NETWORKS:
        # their weights came from TensorFlow, which torchvision makes up for by transform_input
        return (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    return weights.mean_std(torchvision.models.get_model_weights(name).DEFAULT.transforms())


def _is_triple(value: Any, *, above: float = -1e9) -> bool:
    plain = isinstance(value, list | tuple) and len(value) == 3
    return plain and all(isinstance(number, int | float) and above < number < 1e9 for number in value)
