"""One file that holds weights and everything needed to use them; read without Hydra, Lightning or the network."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from gender_lightning.data.framing import CELEBA, FRAMING_FIELDS, Framing, Placement
from gender_lightning.errors import UserError
from gender_lightning.models.answer import Answer
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoints.field_checks import CHECKS, shown
from gender_lightning.models.checkpoints.files import (
    KEY,
    checkpoint_file,
    is_safetensors,
    read_torch_file,
    read_weights_file,
    write_safetensors,
    write_torch_file,
)
from gender_lightning.models.zooms import TestTime, averaged
from gender_lightning.plain_files import read_yaml
from gender_lightning.transforms import Normalize

__all__ = ["KEY", "Answer", "ModelSpec", "Network", "load_network", "package_version", "read_checkpoint",
           "save_weights", "update_spec"]  # fmt: skip


def package_version() -> str:
    """Version of the installed package; ``0+unknown`` where it runs from a folder."""
    try:
        return importlib.metadata.version("gender_lightning")
    except importlib.metadata.PackageNotFoundError:
        return "0+unknown"


@dataclass(frozen=True)
class ModelSpec:
    """The specification of a set of weights: the network, and how its images must be prepared.

    Attributes:
        backbone: Name of the network, see `create_backbone`.
        framing: The part of a picture that the network sees, and its size.
        placement: Where the eyes are in a typical training picture; None if the training pictures were used as they
            are and the places of their faces are unknown.
        dropout: Dropout before the head.
        arguments: Further arguments of the backbone's builder: scalars and lists.
        mean: Mean of each channel, for pixels in 0..1.
        std: Standard deviation of each channel.
        test_time_flip: Whether the logits of an image and its mirror image are averaged.
        test_time_zooms: Views of a framed image whose logits are averaged, see `models.zooms`.
        class_names: Names of labels 0 and 1.
        threshold: Probability from which an image counts as class 1, in [0, 1].
        threshold_rule: The rule by which it was chosen on valid: ``half``, ``balanced`` or ``worst_group``; empty
            if that was not recorded.
        temperature: The probability is sigmoid(logit / temperature); above 0.
        package_version: Version of the package that made the weights.
    """

    backbone: str
    framing: Framing
    placement: Placement | None = CELEBA
    dropout: float = 0.0
    arguments: dict[str, Any] = field(default_factory=dict)
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    test_time_flip: bool = False
    test_time_zooms: tuple[float, ...] = (1.0,)
    class_names: tuple[str, ...] = ("female", "male")
    threshold: float = 0.5
    threshold_rule: str = ""
    temperature: float = 1.0
    packages: tuple[str, ...] = ()
    package_version: str = field(default_factory=package_version)

    def __post_init__(self) -> None:
        assert isinstance(self.framing, Framing), self.framing

    @property
    def test_time(self) -> TestTime:
        """The views of an image whose logits are averaged, as arguments of `models.zooms`."""
        return {"flip": self.test_time_flip, "zooms": self.test_time_zooms}

    @property
    def image_size(self) -> int:
        """Side of the network's input in pixels."""
        return self.framing.image_size

    def to_dict(self) -> dict[str, Any]:
        """Plain scalars, lists and dictionaries for `from_dict`; the fields of the framing lie among the others."""
        plain = dataclasses.asdict(self)
        plain |= plain.pop("framing")
        plain["placement"] = None if self.placement is None else self.placement.to_list()
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelSpec:
        """Check the values and build the spec.

        Raises:
            UserError: Keys are unknown or missing, or values have the wrong type or are out of range.
        """
        version = values.get("package_version", "unknown")
        wrong = [f"{name!r:.60} is unknown" for name in values if name not in CHECKS]
        wrong += [f"{name!r} is missing" for name in ("backbone", "image_size") if name not in values]
        wrong += [
            f"{name}={shown(value)} is not valid"
            for name, value in values.items()
            if name in CHECKS and not CHECKS[name](value)
        ]
        if wrong:
            version = version if CHECKS["package_version"](version) else "unknown"
            raise UserError(
                f"The checkpoint's description of the model cannot be read: {', '.join(wrong[:5])} (written "
                f"by gender_lightning {version}, read by {package_version()}).",
                "Use the version that wrote it.",
            )
        fields: dict[str, Any] = {name: tuple(v) if name in _TUPLES else v for name, v in values.items()}
        framing = Framing(**{name: fields.pop(name) for name in FRAMING_FIELDS if name in fields})
        if fields.get("placement") is not None:
            fields["placement"] = Placement.from_list(fields["placement"])
        return cls(framing=framing, **fields)


VALID = "valid"  # where a checkpoint keeps what it remembers of its valid split
_TUPLES = ("mean", "std", "test_time_zooms", "class_names", "packages")
assert CHECKS.keys() == {item.name for item in dataclasses.fields(ModelSpec)} - {"framing"} | {*FRAMING_FIELDS}


def save_weights(path: Path, net_state: Mapping[str, Tensor], spec: ModelSpec) -> None:
    """Write weights and spec as one file, atomically.

    Args:
        path: File to write or replace; `.safetensors` has the spec in its metadata.
        net_state: State dict of a network of `create_backbone`, on any device.
        spec: The specification of the weights.

    Raises:
        UserError: The file could not be written.
    """
    if is_safetensors(path):
        write_safetensors(path, net_state, spec.to_dict())
        return
    state = {name: value.detach().cpu() for name, value in net_state.items()}
    write_torch_file(path, {KEY: spec.to_dict(), "state_dict": state})


def update_spec(path: Path, valid: Mapping[str, Any] | None = None, **changes: Any) -> None:
    """Change fields of a checkpoint's spec (temperature, threshold ...), atomically; weights stay as they are.

    Args:
        path: The checkpoint.
        valid: What it is to remember of its valid split, see `models.checkpoints.memory`; None keeps what it remembers.
        changes: The fields.
    """
    path = checkpoint_file(path)
    content = read_torch_file(path)
    _check_ours(path, content)
    described = {**content[KEY], **changes}
    ModelSpec.from_dict(described)
    further = {} if valid is None else {VALID: dict(valid)}
    write_torch_file(path, {**content, **further, KEY: described})


def read_checkpoint(path: Path) -> tuple[ModelSpec, dict[str, Tensor]]:
    """Read a checkpoint.

    Args:
        path: A file (best.ckpt, last.ckpt, .safetensors), or a name of one, see `checkpoint_file`.

    Returns:
        The spec, and the weights under the names that they have in the bare backbone.

    Raises:
        UserError: The file is missing or damaged, is not one of ours, or comes from another version.
    """
    path = checkpoint_file(path)
    content = read_weights_file(path)
    _check_ours(path, content)
    spec = ModelSpec.from_dict(content[KEY])
    if "placement" not in content[KEY]:
        spec = replace(spec, placement=_placement_before(path))
    state = content["state_dict"]
    if "optimizer_states" in content:  # last.ckpt has the names of a LightningModule; a network may have its own `net`
        state = {name.removeprefix("net."): value for name, value in state.items() if name.startswith("net.")}
    return spec, state


def _placement_before(path: Path) -> Placement | None:
    """The placement for a checkpoint of a version without placements: None for folders, otherwise CelebA's.

    Only the run directory knows what the training pictures were.
    """
    run = path.absolute().parent.parent
    if not (run / "run.json").is_file() or not (run / "config.yaml").is_file():
        return CELEBA
    config = read_yaml(run / "config.yaml")
    data = config.get("data") if isinstance(config, dict) else None
    return None if isinstance(data, dict) and data.get("name") == "folder" else CELEBA


def _check_ours(path: Path, content: Mapping[str, Any]) -> None:
    state = content.get("state_dict")
    named = isinstance(state, dict) and all(isinstance(name, str) for name in state)
    if not isinstance(content.get(KEY), dict) or not named:
        raise UserError(
            f"{path} is not a checkpoint of gender_lightning: it does not describe how to use its weights.",
            "Give one that `gender-lightning train` wrote (bare weights go into model.pretrained=PATH).",
        )


class Network(nn.Module):
    """A trained network with its preprocessing inside: uint8 images in, logits or probabilities out."""

    def __init__(self, net: nn.Module, spec: ModelSpec) -> None:
        """Wrap a network of `create_backbone` that has its weights."""
        super().__init__()
        self.net = net
        self.spec = spec
        self.normalize = Normalize(spec.mean, spec.std)

    def forward(self, images: Tensor) -> Tensor:
        """Map images, uint8 (B, 3, S, S), to logits of class male, float32 (B,): means over the spec's views."""
        return averaged(self.net, self.normalize(images), **self.spec.test_time)

    @property
    def members(self) -> tuple[Network, ...]:
        """The networks whose mean this is; a single network is its own only member."""
        return (self,)

    def joined(self, logits: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
        """The result of `logits_and_disagreement` from what the net of each member says, (B,) each."""
        (logit,) = logits
        return logit, None

    def logits_and_disagreement(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """The result of `forward`, and the disagreement of the members, float32 (B,); None for a single network."""
        return self(images), None

    def probability(self, images: Tensor) -> Tensor:
        """Map images, uint8 (B, 3, S, S), to calibrated probabilities of class male, float32 (B,)."""
        return torch.sigmoid(self(images) / self.spec.temperature)

    def described(self) -> dict[str, Any]:
        """What an evaluation says of the network: the entries of `Evaluation.model`."""
        return {
            "backbone": self.spec.backbone,
            "image_size": self.spec.image_size,
            "parameters": sum(weight.numel() for weight in self.parameters()),
            "test_time_flip": self.spec.test_time_flip,
            "test_time_zooms": list(self.spec.test_time_zooms),
            "threshold_rule": self.spec.threshold_rule,
        }

    def answers(self, images: Tensor) -> list[Answer]:
        """An answer for each of the images, uint8 (B, 3, S, S)."""
        logits, disagreement = self.logits_and_disagreement(images)
        probabilities = torch.sigmoid(logits / self.spec.temperature).float().tolist()
        several = [None] * len(probabilities) if disagreement is None else disagreement.tolist()
        return list(map(Answer, probabilities, several))


@contextmanager
def no_larger_than(state: Mapping[str, Tensor], path: Path) -> Iterator[None]:
    """Stop the building of a network far larger than these weights, since the arguments in a file may be anything.

    Raises:
        UserError: The network becomes several times as large; raised before its memory is touched.
    """
    numbers = sum(value.numel() for value in state.values() if isinstance(value, Tensor))
    left = {"tensors": 4 * len(state) + 1000, "numbers": 4 * numbers + 10_000_000}
    builder = threading.get_ident()

    def count(module: nn.Module, name: str, parameter: Tensor | None) -> None:
        if threading.get_ident() != builder:  # the hook is called for every network that any thread builds
            return
        left["tensors"] -= 1
        left["numbers"] -= parameter.numel() if parameter is not None else 0
        if min(left.values()) < 0:
            raise UserError(f"{path} describes a network far larger than its weights.", "Give an intact checkpoint.")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def load_network(path: Path, device: str | torch.device = "cpu") -> Network:
    """Read a checkpoint (see `read_checkpoint`) into a network in evaluation mode."""
    spec, state = read_checkpoint(path)
    try:
        with no_larger_than(state, path):
            net = create_backbone(
                spec.backbone, dropout=spec.dropout, image_size=spec.image_size, arguments=spec.arguments
            )
    except UserError as error:
        missing = [name for name in spec.packages if name not in sys.modules]
        if not missing:
            raise
        names = ",".join(missing)
        raise UserError(
            f"{error.problem} Its training imported {names.replace(',', ', ')}, which may define it.",
            f"If you trust that code, add packages=[{names}] (in Python, import it before load).",
            field="packages",
        ) from error
    try:
        net.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UserError(
            f"The weights in {path} are not those of {spec.backbone}, which it says it holds (written by "
            f"gender_lightning {spec.package_version}).",
            "Use the version that wrote it, or another checkpoint.",
        ) from error
    return Network(net, spec).to(device).eval()
