"""The model behind a page or a service, as its configuration describes it."""

from __future__ import annotations

from gender_lightning.config import DemoConfig, ServeConfig
from gender_lightning.console import console
from gender_lightning.inference.checkpoints import CheckpointSet
from gender_lightning.inference.predictor import Predictor, load


def predictor_of(config: DemoConfig | ServeConfig, checkpoints: CheckpointSet) -> Predictor:
    """Load the model, and print a remark on how its pictures have to be framed, if there is one.

    Args:
        config: The configuration of the command.
        checkpoints: Its checkpoint, or several.

    Raises:
        UserError: See `load`.
    """
    predictor = load(
        checkpoints,
        config.device,
        faces=config.faces,
        face_model=config.face_model,
        min_face=config.min_face,
        rotate=config.rotate,
        min_confidence=config.min_confidence,
        target_accuracy=config.target_accuracy,
        max_disagreement=config.max_disagreement,
    )
    if predictor.cropper.remark:
        console.print(predictor.cropper.remark, markup=False)
    return predictor
