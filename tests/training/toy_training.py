"""A toy training that the callbacks are tried on: a real Trainer, a network of a few weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from gender_lightning.data.framing import Framing
from gender_lightning.interruption import Interruption
from gender_lightning.models.checkpoints.checkpoint import KEY, ModelSpec
from gender_lightning.training.callbacks.checkpoints import Checkpoints, Rhythm
from gender_lightning.training.callbacks.ema import Ema
from gender_lightning.training.callbacks.finite_loss import FiniteLoss
from gender_lightning.training.callbacks.throughput import Throughput
from gender_lightning.training.checkpoint_files import WholeFiles
from gender_lightning.training.logs.metrics_csv import MetricsCsv
from gender_lightning.training.schedules import make_scheduler
from gender_lightning.training.trainer_habits import leave_signals_alone, resume_by_epochs

BATCHES, BATCH_SIZE = 5, 4
COSINE = {"name": "cosine", "warmup_epochs": 0.5, "final_ratio": 0.0}
PLATEAU = {"name": "plateau", "factor": 0.5, "patience": 0, "monitor": "val/loss", "mode": "min"}


class ToyBatch(NamedTuple):
    images: Tensor
    labels: Tensor


class Toy(pl.LightningModule):
    """A network with BatchNorm, trained on fixed noise."""

    def __init__(self, scheduler: dict[str, Any] = COSINE, epochs: int = 4, scores: Iterable[float] = ()) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 1))
        self.spec = ModelSpec(backbone="toy", framing=Framing(8))
        self.scheduler = scheduler
        self.epochs = epochs
        self.scores = dict(enumerate(scores))
        self.validated: list[dict[str, Tensor]] = []
        self.rates: list[float] = []

    def training_step(self, batch: ToyBatch, batch_idx: int) -> Tensor:
        self.rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        loss = self.loss_of(batch)
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(batch.images))
        return loss

    def loss_of(self, batch: ToyBatch) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(self.net(batch.images).squeeze(1), batch.labels)

    def on_validation_epoch_start(self) -> None:
        self.validated.append({name: value.clone() for name, value in self.net.state_dict().items()})
        self.losses: list[Tensor] = []

    def validation_step(self, batch: ToyBatch, batch_idx: int) -> None:
        self.losses.append(self.loss_of(batch))

    def on_validation_epoch_end(self) -> None:
        loss = torch.stack(self.losses).mean()
        self.log_dict({"val/loss": loss, "val/accuracy": self.scores.get(self.current_epoch, -loss)})

    def test_step(self, batch: ToyBatch, batch_idx: int) -> None:
        self.log("test/loss", self.loss_of(batch), batch_size=len(batch.images))

    def predict_step(self, batch: ToyBatch, batch_idx: int) -> Tensor:
        return self.net(batch.images)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[KEY] = self.spec.to_dict()

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1, momentum=0.9)
        steps = -(-BATCHES // self.trainer.accumulate_grad_batches)
        made = make_scheduler(optimizer, self.scheduler.items(), steps * self.epochs, steps, batches_per_epoch=BATCHES)
        return {"optimizer": optimizer, "lr_scheduler": made}


def batches(seed: int, n: int = BATCHES) -> list[ToyBatch]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n, BATCH_SIZE, 3, 8, 8, generator=generator)
    labels = torch.randint(0, 2, (n, BATCH_SIZE), generator=generator).float()
    return [ToyBatch(x, y) for x, y in zip(images, labels, strict=True)]


def loader(seed: int, n: int = BATCHES) -> DataLoader[ToyBatch]:
    return DataLoader(batches(seed, n), batch_size=None)  # type: ignore[arg-type]


class Resumable:
    """The batches of an epoch, of the first the rest that a resumed training has not seen."""

    def __init__(self, items: list[ToyBatch], trainer: pl.Trainer) -> None:
        self.items, self.trainer = items, trainer

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[ToyBatch]:
        loop: Any = self.trainer.fit_loop
        epochs = loop.epoch_progress.current
        inside = loop.is_resuming and epochs.started > epochs.processed
        return iter(self.items[loop.epoch_loop.batch_progress.current.ready if inside else 0 :])


class Fit(NamedTuple):
    """A finished fit and its parts."""

    module: Toy
    trainer: pl.Trainer
    checkpoints: Checkpoints
    ema: Ema | None


def fit(
    folder: Path,
    *,
    epochs: int = 4,
    resume: bool = False,
    ema: float = 0.0,
    module: Toy | None = None,
    valid: bool = True,
    mode: Any = "max",
    extra: Iterable[pl.Callback] = (),
    reverse: bool = False,
    rhythm: Rhythm | None = None,
    interruption: Interruption | None = None,
    finite: FiniteLoss | None = None,
    **options: Any,
) -> Fit:
    """Runs a fit of the toy with all callbacks that write."""
    module = module or Toy()
    averaging = Ema(ema) if ema else None
    checkpoints = Checkpoints(
        folder / "checkpoints", mode=mode, ema=averaging, rhythm=rhythm, interruption=interruption, finite=finite
    )
    throughput = Throughput()
    callbacks = [throughput, MetricsCsv(folder / "metrics.csv", throughput), *extra]
    callbacks = [averaging, *callbacks, checkpoints] if averaging else [*callbacks, checkpoints]
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=callbacks[::-1] if reverse else callbacks,
        logger=False,
        default_root_dir=folder,
        enable_progress_bar=any(isinstance(c, pl.callbacks.ProgressBar) for c in callbacks),
        enable_model_summary=False,
        num_sanity_val_steps=0,
        plugins=[WholeFiles()],
        **options,
    )
    leave_signals_alone(trainer)
    resume_by_epochs(trainer)
    last = folder / "checkpoints" / "last.ckpt"
    trainer.fit(
        module,
        Resumable(batches(1), trainer),
        loader(2, 3) if valid else None,
        ckpt_path=str(last) if resume else None,
        weights_only=True if resume else None,
    )
    return Fit(module, trainer, checkpoints, averaging)
