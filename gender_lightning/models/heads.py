"""The one-logit head that every network ends in, and freezing everything but it."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from gender_lightning.errors import UserError


class LogitHead(nn.Linear):
    """A linear layer with one output: features (B, C) -> logits (B,), behind dropout.

    It keeps the parameter names of the layer that it replaces, so that one of our state dicts also loads into
    the library's own network with one class.
    """

    def __init__(self, linear: nn.Linear, dropout: float = 0.0) -> None:
        assert linear.out_features == 1
        super().__init__(linear.in_features, 1, bias=linear.bias is not None)
        self.weight, self.bias = linear.weight, linear.bias
        self.dropout = dropout

    def forward(self, input: Tensor) -> Tensor:
        """Features (B, C) to logits (B,)."""
        return super().forward(F.dropout(input, self.dropout, self.training)).squeeze(-1)


def swap_head(net: nn.Module, name: str, dropout: float) -> None:
    """Replace the last linear layer of ``net``, built with one class, by a `LogitHead`.

    ``dropout`` above 0 replaces a dropout that the network has right before its head.

    Raises:
        UserError: The network does not end in a linear layer with one output.
    """
    linears = [path for path, module in net.named_modules() if isinstance(module, nn.Linear)]
    if not linears or net.get_submodule(linears[-1]).out_features != 1:
        raise no_linear_head(name)
    replace_linear(net, linears[-1], dropout)


def no_linear_head(name: str) -> UserError:
    """The error for a network whose last layer cannot be swapped for a `LogitHead`."""
    return UserError(
        f"{name} does not end in a linear layer that can be swapped.", "Choose another model.name.", field="model.name"
    )


def replace_linear(net: nn.Module, path: str, dropout: float) -> None:
    """Put a `LogitHead` at ``path``; see `swap_head`."""
    head = net.get_submodule(path)
    assert isinstance(head, nn.Linear)
    leaves = [module for module in net.modules() if next(module.children(), None) is None]
    before = leaves[leaves.index(head) - 1]
    if dropout and isinstance(before, nn.Dropout):
        before.p, dropout = dropout, 0.0
    parent, _, child = path.rpartition(".")
    setattr(net.get_submodule(parent), child, LogitHead(head, dropout))


def main_head(net: nn.Module) -> LogitHead:
    """The head whose logit is the network's output; timm's VOLO and distilled networks have a second head."""
    heads = {path: module for path, module in net.named_modules() if isinstance(module, LogitHead)}
    main = [path for path in heads if "aux" not in path and "dist" not in path]
    return heads[main[0] if main else next(iter(heads))]


def head_paths(net: nn.Module) -> list[str]:
    """Module paths of all that is not backbone: the head, and auxiliary classifiers where there are any."""
    auxiliary: list[str] = list(getattr(net, "auxiliary", {}))
    return auxiliary + [path for path, module in net.named_modules() if isinstance(module, LogitHead)]


def is_head(parameter_name: str, paths: list[str]) -> bool:
    """Whether a parameter or buffer lies in one of `head_paths`."""
    return any(parameter_name.startswith(path + ".") for path in paths)


def head_parameters(net: nn.Module) -> list[nn.Parameter]:
    """Parameters of the head and of auxiliary classifiers: those that still train while the backbone is frozen."""
    paths = head_paths(net)
    return [parameter for name, parameter in net.named_parameters() if is_head(name, paths)]


def backbone_parameters(net: nn.Module) -> list[nn.Parameter]:
    """All parameters that are not in `head_parameters`."""
    paths = head_paths(net)
    return [parameter for name, parameter in net.named_parameters() if not is_head(name, paths)]


def frozen_at(freeze: str | int, epoch: int) -> bool:
    """Whether the backbone is frozen in ``epoch`` (from 0): a pure function, so a resume cannot go wrong.

    Args:
        freeze: ``"none"``, ``"backbone"`` (always), or the number of epochs at the start.
        epoch: Number of the epoch, from 0.
    """
    if isinstance(freeze, str):
        assert freeze in ("none", "backbone")
        return freeze == "backbone"
    return epoch < freeze


def set_frozen(net: nn.Module, backbone_frozen: bool, *, gradients: bool = True) -> None:
    """Freeze or unfreeze all but the head; batch norms of a frozen backbone stay in evaluation mode.

    Args:
        net: A network of `create_backbone`.
        backbone_frozen: Whether the backbone is frozen.
        gradients: Whether to set ``requires_grad`` too. False where something else withholds the gradients (DDP
            never synchronises a parameter that did not require a gradient when it was wrapped).
    """
    if gradients:
        for parameter in backbone_parameters(net):
            parameter.requires_grad_(not backbone_frozen)
    paths = head_paths(net)
    for path, module in net.named_modules():
        if isinstance(module, _BatchNorm) and not is_head(path + ".", paths):
            module.train(net.training and not backbone_frozen)
