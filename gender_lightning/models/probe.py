"""One training pass without data or memory, to see whether a network accepts an image size and a batch size."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gender_lightning.errors import UserError
from gender_lightning.models.auxiliary import forward_train
from gender_lightning.models.backbones import create_backbone, native_size
from gender_lightning.models.heads import set_frozen

log = logging.getLogger(__name__)
# What layers raise for shapes that they cannot take; few of them check anything themselves.
_REFUSALS = (
    RuntimeError, ValueError, AssertionError, LookupError, TypeError, AttributeError, ArithmeticError,
    NotImplementedError,
)  # fmt: skip
_STEP = 32  # pixels: the factor by which most networks reduce an image
_STEPS = 8  # number of sizes that are tried on each side


def check_network(
    name: str, image_size: int, *, arguments: Mapping[str, Any] | None = None, batch_size: int = 2, frozen: bool = False
) -> None:
    """Make one training pass of a network on the meta device, which computes shapes only.

    Args:
        name: Name of the network, see `create_backbone`.
        image_size: Side of the images in pixels.
        arguments: Arguments of the builder, see `create_backbone`.
        batch_size: Number of images in a batch on one device.
        frozen: Whether the backbone stays frozen, so that its batch norms do not use the batch.

    Raises:
        UserError: The network cannot be built, or cannot take such images or such a batch; the message names the
            nearest sizes that work.
    """
    arguments = dict(arguments or {})
    fault = _fault(name, image_size, arguments, images=2, frozen=frozen)
    if isinstance(fault, UserError) and fault.field == "data.image_size":
        raise fault  # its message names the sizes
    if fault is not None:
        sizes = [size for size in _nearest(name, image_size, arguments) if size is not None]
        if sizes:
            raise UserError(
                f"{name} cannot take images of {image_size} pixels.",
                f"Set data.image_size={' or '.join(map(str, sizes))}.",
                field="data.image_size",
            ) from fault
        if isinstance(fault, UserError):
            raise fault
        raise UserError(
            f"{name} cannot be trained on images of three channels and {image_size} pixels, nor of a size near that "
            f"({_reason(fault)}).",
            "Check model.arguments, or choose another model.name.",
            field="model.name",
        ) from fault
    if batch_size == 1:
        _check_single(name, image_size, arguments, frozen)


def _check_single(name: str, image_size: int, arguments: Mapping[str, Any], frozen: bool) -> None:
    fault = _fault(name, image_size, arguments, images=1, frozen=frozen)
    if fault is not None:
        raise UserError(
            f"{name} cannot be trained on batches of one image of {image_size} pixels, since a batch norm at its end "
            "sees one value per channel.",
            "Give each device at least two images: set data.batch_size=2 or more.",
            field="data.batch_size",
        ) from fault


def _nearest(name: str, image_size: int, arguments: Mapping[str, Any]) -> Iterator[int | None]:
    """The nearest sizes that work, below and above, among likely ones."""
    grid = {native_size(name)}
    for step, reach in ((4, 1), (8, 1), (16, 1), (_STEP, _STEPS)):
        grid |= {(image_size // step + count) * step for count in range(-reach, reach + 1)}
    likely = sorted(size for size in grid if size is not None and size > 0 and size != image_size)
    below = [size for size in reversed(likely) if size < image_size]
    above = [size for size in likely if size > image_size]
    for sizes in (below, above):
        yield next((size for size in sizes if _fault(name, size, arguments, images=2) is None), None)


def _fault(
    name: str, image_size: int, arguments: Mapping[str, Any], *, images: int, frozen: bool = False
) -> Exception | None:
    """The error of a training pass, or None; a pass that the meta device cannot check is repeated on the CPU."""
    lookups = _ComputedLookups()
    with lookups:
        fault = _try("meta", name, image_size, arguments, images, frozen)
    if fault is None and lookups.found:
        return _try("cpu", name, image_size, arguments, images, frozen)
    if fault is None or isinstance(fault, UserError):
        return fault
    log.debug("on the meta device: %s", fault)
    if "meta" in str(fault).lower() or isinstance(fault, NotImplementedError):
        return _try("cpu", name, image_size, arguments, images, frozen)
    return fault


def _try(
    device: str, name: str, image_size: int, arguments: Mapping[str, Any], images: int, frozen: bool
) -> Exception | None:
    try:
        with torch.device(device), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = create_backbone(name, image_size=image_size, arguments=arguments).train()
            set_frozen(net, frozen, gradients=False)
            with torch.no_grad():
                logits, auxiliary = forward_train(net, torch.zeros(images, 3, image_size, image_size))
    except (UserError, *_REFUSALS) as error:
        return error
    outputs = [logits, *(other for _, other in auxiliary)]
    if not all(isinstance(output, Tensor) and output.shape == (images,) for output in outputs):
        shapes = [tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__ for output in outputs]
        return ValueError(f"it gives {shapes[0]} where one logit per image is expected")
    return None


class _ComputedLookups(TorchFunctionMode):
    """A mode that notices when a network looks up positions in a table that it computes during the pass.

    The meta device has no values and checks no bounds: MViT's table of positions is too short for most sizes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found = False
        self._positions: list[Tensor] = []  # kept alive, so that no other tensor gets the id of one of them
        self._known: set[int] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is Tensor.__getitem__:
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            self.found |= any(id(part) in self._known for part in index)
        tensors = [argument for argument in args if isinstance(argument, Tensor)]
        computed = func is torch.arange or (tensors and all(id(tensor) in self._known for tensor in tensors))
        if computed and isinstance(result, Tensor):
            self._positions.append(result)
            self._known.add(id(result))
        return result


def _reason(error: Exception) -> str:
    """The first line of a layer's error, or a sentence in its place if it has no text."""
    lines = str(error).strip().rstrip(".").splitlines()
    return lines[0][:160] if lines else "one of its layers needs another size"
