"""The exported module, which maps pixels to probabilities, and its graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError
from gender_lightning.exporting.resizing import GraphFraming
from gender_lightning.models.checkpoints.checkpoint import Network
from gender_lightning.models.zooms import views

INPUT = "images"
OUTPUTS = ("probability", "disagreement")  # the second of an `Ensemble` only
# Export specialises on special values: hence two images, whose sides differ from each other and from the network's.
_EXAMPLE = (2, 3, 90, 70)


class ExportableClassifier(nn.Module):
    """Framing, normalisation, network and calibration: from a decoded picture to a probability.

    Of an `Ensemble` also to the disagreement of its members, as `Network.answers` has it.

    Members of an `Ensemble` that have the same framing share the framed picture.
    """

    def __init__(self, network: Network, framing: Framing) -> None:
        """Wrap a network that `load_network` returned, or an `Ensemble`, on the CPU, with its framing."""
        super().__init__()
        self.framings = nn.ModuleList(map(GraphFraming, framing.parts))
        self.network = network
        self.answer = GraphAnswer(network)
        self._view_of = [framing.parts.index(member.spec.framing) for member in network.members]

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Map RGB images, uint8 (B, 3, H, W), to `OUTPUTS`, float32 (B,) each."""
        views = [framing(images) for framing in self.framings]
        members = zip(self.network.members, self._view_of, strict=True)
        answer: Tensor | tuple[Tensor, Tensor] = self.answer(
            [_logits(member, views[place]) for member, place in members]
        )
        return answer


class GraphAnswer(nn.Module):
    """What follows the nets: the mean, the calibration and the disagreement, a module so that the graph names them."""

    def __init__(self, network: Network) -> None:
        """Take what is known of a network, not its weights."""
        super().__init__()
        self._joined, self._temperature = network.joined, network.spec.temperature

    def forward(self, logits: list[Tensor]) -> Tensor | tuple[Tensor, Tensor]:
        """Map what the net of each member says, (B,) each, to `OUTPUTS`."""
        logit, disagreement = self._joined(logits)
        probability = torch.sigmoid(logit / self._temperature)
        return probability if disagreement is None else (probability, disagreement)


def _logits(network: Network, images: Tensor) -> Tensor:
    """Logits (B,) of a single network for framed images, float32 (B, 3, S, S) with whole levels in 0..255."""
    # Not `normalize` itself, which works in place: a graph cannot.
    faces = images * (network.normalize.scale / 255) + network.normalize.shift
    seen = list(views(faces, **network.spec.test_time))
    if len(seen) == 1:
        logits: Tensor = network.net(faces)
        return logits
    # One pass over all, unlike the checkpoint's several, so that the graph contains the network only once.
    mean: Tensor = network.net(torch.cat(seen)).unflatten(0, (len(seen), -1)).mean(dim=0)
    return mean


def capture(network: Network, framing: Framing) -> ExportedProgram:
    """Capture the graph of a network, with dynamic batch size, height and width.

    Raises:
        UserError: The backbone cannot be captured; the message says why.
    """
    model = ExportableClassifier(network, framing).eval()
    example = torch.zeros(_EXAMPLE, dtype=torch.uint8)
    open_sides = {0: Dim("batch", min=1), 2: Dim("height", min=1), 3: Dim("width", min=1)}
    try:
        with torch.no_grad():
            return torch.export.export(model, (example,), dynamic_shapes={INPUT: open_sides}, strict=False)
    except Exception as error:  # torch raises a dozen types, its own and Python's
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{network.spec.backbone} cannot be exported: torch.export does not capture its graph ({reason}).",
            "Use the checkpoint itself through gender_lightning.load, or train another backbone.",
        ) from error
