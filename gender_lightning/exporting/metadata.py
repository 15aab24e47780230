"""The metadata of an exported file, with its model card."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from gender_lightning.models.checkpoints.checkpoint import ModelSpec

CARD = "model_card.md"
_SHORT_CARD = """\
# {backbone}, {size} px: face gender as perceived

Made by gender_lightning {version}. It takes a picture of one upright face, framed as CelebA's are, and gives the
probability of the class {positive} as opposed to {negative}: gender as annotators perceived it.

It is meant for research and for statistics over many faces, not for decisions about a person and not for surveillance,
and it knows nothing about how a person identifies. A probability near the threshold means that the model is unsure.
No measured model card was found with the checkpoint: `gender-lightning evaluate` measures how good the model is, and
for whom.
"""


def describe(spec: ModelSpec, card: str, members: Sequence[ModelSpec] = ()) -> dict[str, str]:
    """Metadata of an exported file: text by name, numbers and lists as JSON.

    Args:
        spec: The specification of the network, or of the mean of several.
        card: Its model card.
        members: The specifications of the networks whose mean it is.

    Returns:
        `classes` (for probabilities 0 and 1), `threshold` (probability from which the label is the second class),
        `temperature` (applied in the graph already), `backbone`, `image_size` (px, in the graph), `framing`,
        `placement` (height, width and eyes in px of a typical training picture, to which a face should be aligned; or
        "as is", for pictures that are used whole), `input`, `output`, `version` and `card` (Markdown). For the mean of
        several networks, `members` has `backbone`, `framing` and `temperature` of each, applied in the graph too, and
        `disagreement` describes the second output; the other entries are those of the mean and of the largest image.
    """
    framing = dataclasses.asdict(spec.framing.parts[0])
    image_size = framing.pop("image_size")
    told = [
        {"backbone": one.backbone, "framing": dataclasses.asdict(one.framing), "temperature": one.temperature}
        for one in members
    ]
    said = "disagreement: float32 [batch], mutual information of label and member in nats, 0 to 0.69"
    several = {"members": json.dumps(told), "disagreement": said} if len(members) > 1 else {}
    return several | {
        "classes": json.dumps(list(spec.class_names)),
        "threshold": json.dumps(spec.threshold),
        "temperature": json.dumps(spec.temperature),
        "backbone": spec.backbone,
        "image_size": json.dumps(image_size),
        "framing": json.dumps(framing),
        "placement": json.dumps("as is" if spec.placement is None else dataclasses.asdict(spec.placement)),
        "test_time_flip": json.dumps(spec.test_time_flip),
        "test_time_zooms": json.dumps(spec.test_time_zooms),
        "input": "images: uint8 [batch, 3, height, width], RGB, any height and width, one upright face each",
        "output": f"probability: float32 [batch], calibrated, of class {spec.class_names[1]}",
        "version": spec.package_version,
        "card": card,
    }


def card_of(spec: ModelSpec, run: Path | None) -> str:
    """The newest model card in a run directory, or else a short one without measurements."""
    cards = sorted(run.rglob(CARD), key=lambda path: path.stat().st_mtime) if run else []
    if cards:
        return cards[-1].read_text(encoding="utf-8")
    negative, positive = spec.class_names
    return _SHORT_CARD.format(
        backbone=spec.backbone, size=spec.image_size, version=spec.package_version, positive=positive, negative=negative
    )
