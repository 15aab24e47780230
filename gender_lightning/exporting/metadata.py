"""What an exported file says about itself."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from gender_lightning.models.checkpoint import ModelSpec

CARD = "model_card.md"
_SHORT_CARD = """\
# {backbone}, {size} px: face gender as perceived

Made by gender_lightning {version}. It takes a picture of one upright face, framed as CelebA's are, and gives the
probability of the class {positive} against {negative}: a perceived gender, as annotators saw it.

It is for research and for statistics over many faces. It is not for decisions about a person, not for surveillance,
and it knows nothing of how a person identifies. Probabilities near the threshold mean that it does not know.
No measured card lay beside the checkpoint: `gender-lightning evaluate` says how good it is, and for whom.
"""


def describe(spec: ModelSpec, card: str) -> dict[str, str]:
    """Metadata of an exported file: text by name, numbers and lists as JSON.

    Returns:
        `classes` (of probability 0 and 1), `threshold` (probability from which the second class is meant),
        `temperature` (in the graph already), `backbone`, `image_size` (px, in the graph), `framing`,
        `placement` (height, width and eyes in px of a typical training picture, to which a face should be aligned; or
        "as is": pictures like those of the training go in as they are), `input`, `output`, `version` and `card`
        (Markdown).
    """
    framing = dataclasses.asdict(spec.framing)
    image_size = framing.pop("image_size")
    return {
        "classes": json.dumps(list(spec.class_names)),
        "threshold": json.dumps(spec.threshold),
        "temperature": json.dumps(spec.temperature),
        "backbone": spec.backbone,
        "image_size": json.dumps(image_size),
        "framing": json.dumps(framing),
        "placement": json.dumps("as is" if spec.placement is None else dataclasses.asdict(spec.placement)),
        "test_time_flip": json.dumps(spec.test_time_flip),
        "input": "images: uint8 [batch, 3, height, width], RGB, any height and width, one upright face each",
        "output": f"probability: float32 [batch], calibrated, of class {spec.class_names[1]}",
        "version": spec.package_version,
        "card": card,
    }


def model_card(spec: ModelSpec, run: Path | None) -> str:
    """The newest model card in a run directory, else a short one that says what can be said unmeasured."""
    cards = sorted(run.rglob(CARD), key=lambda path: path.stat().st_mtime) if run else []
    if cards:
        return cards[-1].read_text(encoding="utf-8")
    negative, positive = spec.class_names
    return _SHORT_CARD.format(
        backbone=spec.backbone, size=spec.image_size, version=spec.package_version, positive=positive, negative=negative
    )
