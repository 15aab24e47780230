"""Several networks used as one: the mean of their calibrated logits, and how much they disagree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from gender_lightning.data.framing import SideBySide
from gender_lightning.errors import UserError
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, Network, package_version


class Ensemble(Network):
    """The mean of several networks, with the interface of one.

    Its logit is the mean of the members' logits, each divided by the temperature of its own checkpoint. An image holds
    the face in the framing of each member, see `SideBySide`; members of the same framing look at the same pixels.
    """

    def __init__(self, networks: Sequence[Network], names: Sequence[str]) -> None:
        """Join networks; temperature and threshold of the mean are 1 and 0.5 until `calibrated`.

        Args:
            networks: At least two, on the same device.
            names: What each is called in messages.

        Raises:
            UserError: The networks tell other classes apart, or expect faces at other places.
        """
        nn.Module.__init__(self)  # `net` and `normalize` belong to a single network
        self.networks = nn.ModuleList(networks)
        self.spec = joined_spec([network.spec for network in networks], names)
        parts = self.spec.framing.parts
        self._view_of = [parts.index(network.spec.framing) for network in networks]

    @property
    def members(self) -> tuple[Network, ...]:
        """The networks whose mean this is."""
        return tuple(network for network in self.networks if isinstance(network, Network))

    def calibrated(self, temperature: float, threshold: float, rule: str) -> Ensemble:
        """The same object, with temperature and threshold of the mean, and the rule by which the latter was chosen."""
        self.spec = replace(self.spec, temperature=temperature, threshold=threshold, threshold_rule=rule)
        return self

    def member_logits(self, images: Tensor) -> Tensor:
        """Map images, uint8 (B, 3, H, W), to the calibrated logits of each member, float32 (M, B)."""
        views = self.spec.framing.views(images)
        return self._calibrated(
            [network(views[place]) for network, place in zip(self.members, self._view_of, strict=True)]
        )

    def _calibrated(self, logits: Sequence[Tensor]) -> Tensor:
        return torch.stack(
            [logit / network.spec.temperature for logit, network in zip(logits, self.members, strict=True)]
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images, uint8 (B, 3, H, W), to the mean logit of class male, float32 (B,)."""
        return self.member_logits(images).mean(dim=0)

    def joined(self, logits: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The result of `logits_and_disagreement` from what the net of each member says, (B,) each."""
        return _mean_and_disagreement(self._calibrated(logits))

    def logits_and_disagreement(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The mean logit, and `mutual_information` of the members' calibrated probabilities, each float32 (B,)."""
        return _mean_and_disagreement(self.member_logits(images))


def _mean_and_disagreement(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Of the members' calibrated logits, (M, B)."""
    return logits.mean(dim=0), mutual_information(torch.sigmoid(logits))


def mutual_information(probabilities: Tensor) -> Tensor:
    """Mutual information of the label and the member that gives it, in nats.

    H(mean of p) - mean of H(p), with the binary entropy H(p) = -p ln p - (1 - p) ln(1 - p): the uncertainty of the mean
    that the members do not have themselves. It is 0 where all members say the same, however unsure they are, and at
    most ln 2 = 0.69 where half of them are certain of one class and half of the other (Houlsby et al. 2011, Bayesian
    Active Learning for Classification and Preference Learning; for ensembles, Lakshminarayanan et al. 2017).

    Args:
        probabilities: Probabilities of one class by each member, (M, B).

    Returns:
        (B,), in 0..ln 2.
    """
    return (_entropy(probabilities.mean(dim=0)) - _entropy(probabilities).mean(dim=0)).clamp(min=0)


def _entropy(p: Tensor) -> Tensor:
    entropy: Tensor = torch.special.entr(p) + torch.special.entr(1 - p)
    return entropy


def joined_spec(specs: Sequence[ModelSpec], names: Sequence[str]) -> ModelSpec:
    """The specification of the mean, uncalibrated: its framing holds those of all members.

    Raises:
        UserError: The members tell other classes apart, or expect faces at other places.
    """
    first = specs[0]
    for spec, name in zip(specs[1:], names[1:], strict=True):
        if spec.class_names != first.class_names:
            raise UserError(
                f"{name} tells {' and '.join(spec.class_names)} apart, {names[0]} {' and '.join(first.class_names)}.",
                "Give checkpoints of the same classes.",
                field="checkpoint",
            )
        if spec.placement != first.placement:
            raise UserError(
                f"{name} was trained on pictures with the faces at other places than those of {names[0]}, so that no "
                "alignment suits both.",
                "Give checkpoints that were trained on pictures of the same kind.",
                field="checkpoint",
            )
    backbones = [spec.backbone for spec in specs]
    return replace(
        first,
        backbone=" + ".join(
            f"{backbones.count(name)} x {name}" if backbones.count(name) > 1 else name
            for name in dict.fromkeys(backbones)
        ),
        framing=SideBySide.join([spec.framing for spec in specs]),
        dropout=0.0,
        arguments={},
        test_time_flip=any(spec.test_time_flip for spec in specs),
        test_time_zooms=tuple(sorted({zoom for spec in specs for zoom in spec.test_time_zooms})),
        threshold=0.5,
        threshold_rule="half",
        temperature=1.0,
        packages=tuple(dict.fromkeys(package for spec in specs for package in spec.packages)),
        package_version=package_version(),
    )
