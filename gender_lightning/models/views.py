"""One network, or the mean of several, that sees a face at several zooms: `faces=tta`."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gender_lightning.models.checkpoints.checkpoint import Network
from gender_lightning.models.ensemble import Ensemble, mutual_information

ZOOMS = (1.0, 0.9, 0.8)  # as fractions of the framing of the training


class Views(Ensemble):
    """The mean over the views of a face, calibrated like the network that sees them."""

    def __init__(self, network: Network) -> None:
        """Take a network, or an ensemble; the weights are shared with it."""
        members = network.members if isinstance(network, Ensemble) else (network,)
        spec = network.spec
        # the logits of one network are divided by its temperature at the end, like those on valid
        temperatures = [member.spec.temperature if isinstance(network, Ensemble) else 1.0 for member in members]
        views = [
            _view(member, zoom, temperature)
            for zoom in ZOOMS
            for member, temperature in zip(members, temperatures, strict=True)
        ]
        super().__init__(views, [spec.backbone] * len(views))
        self.spec = replace(spec, framing=self.spec.framing)
        self._scale = 1.0 if isinstance(network, Ensemble) else spec.temperature

    def logits_and_disagreement(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The mean logit, and `mutual_information` of the calibrated probabilities of the views, each float32 (B,)."""
        logits = self.member_logits(images)
        return logits.mean(dim=0), mutual_information(torch.sigmoid(logits / self._scale))


def _view(network: Network, zoom: float, temperature: float) -> Network:
    framing = replace(network.spec.framing, zoom=network.spec.framing.zoom * zoom)
    view = Network(network.net, replace(network.spec, framing=framing, temperature=temperature))
    return view.to(network.normalize.shift.device).eval()
