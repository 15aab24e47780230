"""Early stopping that uses the configured patience in a resumed training, and anew for each image size."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch


class EarlyStopping(pl.callbacks.EarlyStopping):
    """Lightning's early stopping, except for what a resume restores and for images that grow.

    Lightning restores the former patience even if another one is configured now, and a training that was stopped early
    would stop again after each further epoch. Scores of smaller images (progressive resizing) are no measure for larger
    ones, so a new size starts with no score and no epoch waited. It asks after each validation; Lightning asks after
    each epoch, and counts the former score again for one that `max_steps` cuts short. The class keeps Lightning's name,
    under which checkpoints hold its state.

    Args:
        monitor: A metric of the valid split.
        extended: Whether a finished run gets more epochs; the count of epochs without improvement then starts at 0.
        options: `mode`, `patience`, `min_delta`, as Lightning has them.
    """

    def __init__(self, monitor: str, *, extended: bool, **options: Any) -> None:
        super().__init__(monitor, check_on_train_epoch_end=False, **options)
        self._extended = extended
        self._size: int | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return Lightning's state, and the side of the images while they are smaller than the full size."""
        return super().state_dict() | {"image_size": self._size}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best score, and the epochs waited so far unless early stopping had ended the training."""
        configured = self.patience
        super().load_state_dict(state_dict)
        if self._extended and self.wait_count >= self.patience:
            self.wait_count = 0
        self.patience = configured
        self._size = state_dict.get("image_size")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget the scores of smaller images, then do as Lightning does."""
        size = getattr(pl_module, "image_size", None)
        if trainer.state.fn == "fit" and not trainer.sanity_checking and size != self._size:
            self._size, self.wait_count = size, 0
            self.best_score = torch.tensor(torch.inf if self.mode == "min" else -torch.inf)
        super().on_validation_end(trainer, pl_module)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take `extended` from the first process, which alone knows it; a rank that stops would stop all of them."""
        self.wait_count = trainer.strategy.broadcast(self.wait_count)
