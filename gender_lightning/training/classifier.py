"""The LightningModule: a backbone with its loss, its optimizer and its evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gender_lightning.config import (
    AugmentationConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    SchedulerConfig,
)
from gender_lightning.data.datamodule import FaceDataModule
from gender_lightning.data.dataset import Batch
from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError
from gender_lightning.evaluation.group_metrics import described, group_metrics, group_sizes
from gender_lightning.evaluation.metrics import classification_metrics
from gender_lightning.models.attribute_heads import AttributeHeads
from gender_lightning.models.backbones import (
    create_backbone,
    fixed_image_size,
    forward_train,
    normalisation,
    parameter_groups,
)
from gender_lightning.models.checkpoint import KEY, ModelSpec, flip_averaged
from gender_lightning.models.heads import backbone_parameters, frozen_at, set_frozen
from gender_lightning.models.rows import Rows, Table, assert_complete
from gender_lightning.training.annotated import Targets
from gender_lightning.training.epoch_loss import EpochLoss
from gender_lightning.training.known import Known
from gender_lightning.training.loss import Criterion
from gender_lightning.training.optimizers import make_optimizer
from gender_lightning.training.schedules import EPOCH_LENGTHS, follow_epochs, make_schedule, make_scheduler
from gender_lightning.transforms import (
    Augment,
    AugmentationSettings,
    ColorJitter,
    ProgressiveStage,
    mix,
    step_key,
)

_EPOCH_LOSS = "epoch_loss"  # in Lightning's checkpoint: float32 (ranks, 2), see `EpochLoss.sums`


class GenderClassifier(pl.LightningModule):
    """Trains a backbone to tell the logit of class male from uint8 images.

    Attributes:
        net: The bare backbone of `create_backbone`; its weights are ``net.*`` in a Lightning checkpoint.
        spec: What a checkpoint says about the weights.
        table: Rows of the last evaluation, by ``valid``, ``test``, ``predict``.
        metrics: Metrics of these tables in full precision, by ``valid`` and ``test``.
        channels_last: Memory format of network and images; set before fit.
        compile_net: Whether to compile the network in place at the start of fit; set before fit.
    """

    def __init__(
        self,
        model: ModelConfig,
        optimizer: OptimizerConfig,
        scheduler: SchedulerConfig,
        augmentation: AugmentationConfig,
        loss: LossConfig,
        *,
        framing: Framing,
        seed: int = 1,
        class_counts: tuple[int, int] | None = None,
        fetch_weights: bool = True,
        transforms: Sequence[nn.Module] = (),
        known: Known | None = None,
    ) -> None:
        """Build the network.

        Args:
            model: Which, and how it is trained.
            optimizer: For `configure_optimizers`.
            scheduler: For `configure_optimizers`.
            augmentation: Of training batches, on the device.
            loss: Which loss, with its settings.
            framing: How the data module cuts images; travels with the checkpoint.
            seed: Augmentation, mixing and dropout are a function of it, of the step, and of the image.
            class_counts: Training images of (female, male), for balanced class weights.
            transforms: Of training batches beside `augmentation`, see `Augment`.
            known: Groups and auxiliary attributes of the images, where the training looks at some.
            fetch_weights: False spares loading ``model.pretrained`` where a resume overwrites it anyway.

        Raises:
            UserError: See `create_backbone`; progressive resizing of a network of one size.
        """
        super().__init__()
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler
        self.augmentation, self.seed = augmentation, seed
        self.channels_last = False
        self.compile_net = False
        self.net = create_backbone(
            model.name,
            pretrained=model.pretrained if fetch_weights else False,
            dropout=model.dropout,
            image_size=framing.image_size,
            arguments=model.arguments,
        )
        self.spec = _make_spec(model, framing)
        settings = augmentation_settings(augmentation)
        if settings.progressive and fixed_image_size(self.net) is not None:
            raise UserError(f"{model.name} takes one image size only. Set augmentation.progressive=[].")
        self.augment = Augment(settings, self.spec.mean, self.spec.std, seed=seed, extra=transforms)
        self.known = known or Known()
        self.criterion = Criterion(loss, class_counts, self.known.shares, self.known.class_shares)
        self.annotated = self.known.annotated(loss)
        self.auxiliary_weight = loss.auxiliary.weight
        number = 0 if self.known.attributes is None else self.known.attributes.shape[1]
        self.attribute_heads = AttributeHeads(self.net, number) if number else None
        self.epoch_loss = EpochLoss()
        self.table: dict[str, Table] = {}
        self.metrics: dict[str, dict[str, float]] = {}
        self._rows = Rows()
        self._frozen = False
        self._resumed: dict[str, Any] | None = None
        self._lengths: tuple[int, int] | None = None  # steps and batches of an epoch
        self._only_validates = False  # a resume in the validation of an epoch has no training step before it

    # ---- before and around training

    def setup(self, stage: str) -> None:
        """Bring network and images into one memory format; freeze before DDP looks at the parameters."""
        if self.channels_last:
            self.net.to(memory_format=torch.channels_last)
        self.augment.channels_last = self.channels_last
        if stage == "fit":
            self._freeze()

    def on_fit_start(self) -> None:
        """Compile in place where asked to, which leaves the names of the weights alone."""
        if self.compile_net:
            self.net.compile()
            self.compile_net = False

    def on_train_start(self) -> None:
        """Freeze as the epoch wants it, also where a resume starts in the middle of one."""
        self._freeze()
        self.annotated.to(self.device)

    def on_train_epoch_start(self) -> None:
        """Freeze or thaw as the epoch wants it, and begin the mean loss; not called where a resume starts inside."""
        self._freeze()
        self.epoch_loss.reset()

    def _freeze(self) -> None:
        frozen = frozen_at(self.model.freeze, self.current_epoch)
        if frozen or self._frozen:
            set_frozen(self.net, frozen, gradients=not self._withholds_gradients)
        self._frozen = frozen

    @property
    def _withholds_gradients(self) -> bool:
        # DDP reduces what required a gradient when it was wrapped, and nothing that does so later: a backbone
        # to be thawed keeps its gradients there, and is spared the step
        return isinstance(self.model.freeze, int) and self.trainer.world_size > 1

    def train(self, mode: bool = True) -> GenderClassifier:
        """Set the mode; batch norms of a frozen backbone stay in evaluation mode."""
        super().train(mode)
        if getattr(self, "_frozen", False):
            set_frozen(self.net, True, gradients=False)
        return self

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Spare a frozen backbone the step where its gradients could not be switched off."""
        self.criterion.end_step()
        if self._frozen and self._withholds_gradients:
            for parameter in backbone_parameters(self.net):
                parameter.grad = None

    def configure_optimizers(self) -> Any:
        """Optimizer and schedule over the whole training."""
        groups = parameter_groups(
            self.net,
            lr=self.optimizer.lr,
            weight_decay=self.optimizer.weight_decay,
            layer_decay=self.model.layer_decay,
        )
        if self.attribute_heads is not None:
            rates = {"lr": self.optimizer.lr, "weight_decay": self.optimizer.weight_decay}
            groups += self.attribute_heads.parameter_groups(**rates)
        total = int(self.trainer.estimated_stepping_batches)  # sets num_training_batches too
        batches = int(self.trainer.num_training_batches)
        steps = math.ceil(batches / self.trainer.accumulate_grad_batches)
        # a fused step under a gradient scaler would clip gradients that are still scaled
        scaled = self.trainer.precision == "16-mixed" and self.trainer.gradient_clip_val is not None
        optimizer = make_optimizer(groups, self.optimizer, fused=False if scaled else None)
        self._lengths = (steps, batches)
        if self._resumed is not None:
            self._adapt(self._resumed, total, steps, batches)
            self._resumed = None
        schedule = make_scheduler(optimizer, self.scheduler, total, steps, batches_per_epoch=batches)
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def _adapt(self, checkpoint: dict[str, Any], total: int, steps: int, batches: int) -> None:
        """Resume by the share of epochs done and the images seen, whatever the global batch was then."""
        schedule = None
        if self.scheduler.name != "plateau":
            schedule = make_schedule(self.scheduler, total_steps=total, steps_per_epoch=steps)
        data: Any = getattr(self.trainer, "datamodule", None)
        done = data.batches_done() if isinstance(data, FaceDataModule) else None
        follow_epochs(checkpoint, schedule, steps=steps, batches=batches, done=done)

    # ---- training

    def augmented(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What a training step sees of a batch: normalised float32 (B, 3, S', S') and targets float32 (B,).

        An index comes once per epoch, so the epoch keys its random numbers: the same on any number of ranks.
        """
        images, targets = self._augmented(batch)
        return images, targets.labels

    def _augmented(self, batch: Batch) -> tuple[Tensor, Targets]:
        progress = self._steps_done() / max(1, self._total_steps()) if self.augmentation.progressive else 0.0
        size = self.augment.settings.size_at(progress)
        with torch.autocast(self.device.type, enabled=False):  # half precision is for weights, not for pixels
            images = self.augment(batch.images, batch.indices, self.current_epoch, size=size)
            images, columns = mix(
                images,
                self.annotated.columns(batch),
                batch.indices,
                self.augment.settings,
                seed=self.seed,
                step=self.current_epoch,
            )
        return images, self.annotated.split(columns)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of an augmented batch; nothing in here waits for the device."""
        # dropout draws from torch's own stream, which a resume would find elsewhere
        torch.manual_seed(step_key(self.seed + self.global_rank, self.trainer.fit_loop.total_batch_idx))
        images, (labels, groups, attributes) = self._augmented(batch)
        logits, auxiliary = forward_train(self.net, images)
        loss: Tensor = self.criterion(logits, labels, groups)
        for weight, auxiliary_logits in auxiliary:
            loss = loss + weight * self.criterion(auxiliary_logits, labels, groups, observe=False)
        if self.attribute_heads is not None:
            loss = loss + self.auxiliary_weight * self.attribute_heads(attributes)
        value, n = loss.detach(), len(images)
        self.epoch_loss.update(value, n)
        self._only_validates = False
        self.log("train/loss", self.epoch_loss, on_step=False, on_epoch=True)
        self.log("train/loss_step", value, on_step=True, on_epoch=False, batch_size=n)
        return loss

    def _total_steps(self) -> float:
        return self.trainer.estimated_stepping_batches

    def _steps_done(self) -> int:
        """As if all epochs had been as long as this one; `global_step` counts them as they were."""
        steps, _ = self._lengths or (0, 0)
        batch = self.trainer.fit_loop.batch_idx
        return self.current_epoch * steps + max(0, batch) // self.trainer.accumulate_grad_batches

    @property
    def _distributed(self) -> bool:
        return self.trainer.world_size > 1

    # ---- evaluation

    def forward(self, images: Tensor) -> Tensor:
        """Images uint8 (B, 3, S, S) to logits float32 (B,), averaged over the flip if the model says so."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        normalised = self.augment.normalize(images).contiguous(memory_format=layout)
        return flip_averaged(self.net, normalised, self.spec.test_time_flip)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep logits, labels and indices, on the device."""
        self._rows.add(batch.indices, self(batch.images), batch.labels)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """As `validation_step`."""
        self._rows.add(batch.indices, self(batch.images), batch.labels)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """As `validation_step`; returns indices int64 (B,) and logits float32 (B,) too."""
        logits = self(batch.images)
        self._rows.add(batch.indices, logits, batch.labels)
        return {"indices": batch.indices, "logits": logits}

    def on_validation_epoch_start(self) -> None:
        """Forget the rows of an evaluation before, finished or not."""
        self._rows = Rows()

    on_test_epoch_start = on_predict_epoch_start = on_validation_epoch_start

    def on_validation_epoch_end(self) -> None:
        """Metrics over the whole split, logged as val/*."""
        if not self.trainer.sanity_checking:
            self._evaluate("valid", "val", self.trainer.val_dataloaders, self.trainer.num_val_batches)
        if self._only_validates and self.trainer.state.fn == "fit":
            self.log("train/loss", self.epoch_loss.compute())

    def on_test_epoch_end(self) -> None:
        """Metrics over the whole split, logged as test/*."""
        self._evaluate("test", "test", self.trainer.test_dataloaders, self.trainer.num_test_batches)

    def on_predict_epoch_end(self) -> None:
        """Keep the table; no metrics."""
        trainer = self.trainer
        self._collect("predict", trainer.predict_dataloaders, trainer.num_predict_batches)

    def _evaluate(self, split: str, prefix: str, loader: Any, batches: list[int | float]) -> None:
        table = self._collect(split, loader, batches)
        self.metrics[split] = classification_metrics(table.labels, table.logits) | self.group_metrics(split)
        values = {f"{prefix}/{name}": float(value) for name, value in self.metrics[split].items()}
        self.log_dict(values, sync_dist=self._distributed)  # every rank has all rows: the mean changes nothing

    def group_metrics(self, split: str, *, sizes: bool = False) -> dict[str, float]:
        """Accuracy of the groups on the last table of a split, with `sizes` their images too; empty without groups."""
        table, groups = self.table[split], self.known.groups_of.get(split)
        if groups is None or self.known.shares is None:
            return {}
        of_rows, names = groups[table.indices], self.known.shares.names
        found = group_metrics(table.labels, table.logits, of_rows, names)
        return found | group_sizes(of_rows, names) if sizes else found

    def groups_line(self) -> str:
        """The accuracy of each group on valid with its images, for people; empty without groups."""
        found = self.group_metrics("valid", sizes=True) if "valid" in self.table else {}
        return described(found, self.known.shares.names) if found and self.known.shares else ""

    def _collect(self, split: str, loader: Any, batches: list[int | float]) -> Table:
        """Table of the rows since the start of the epoch; complete unless Lightning was told to limit batches."""
        table = self._rows.table(self.device)
        self._rows = Rows()
        if sum(batches) == len(loader):
            assert_complete(table, len(loader.dataset))
        self.table[split] = table
        return table

    # ---- checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say in Lightning's checkpoint how to use the weights, so that last.ckpt can be read as any other."""
        checkpoint[KEY] = self.spec.to_dict()
        if self._lengths is not None:
            checkpoint[EPOCH_LENGTHS] = list(self._lengths)
        sums = self.all_gather(self.epoch_loss.sums())
        assert isinstance(sums, Tensor)
        checkpoint[_EPOCH_LOSS] = sums.reshape(-1, 2).cpu()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the mean loss of an epoch that was broken off in its middle."""
        self._resumed = checkpoint  # Lightning restores its schedule after `configure_optimizers`
        if _EPOCH_LOSS in checkpoint:
            self.epoch_loss.restore(checkpoint[_EPOCH_LOSS], self.global_rank, self.trainer.world_size)
            self._only_validates = True


def _make_spec(model: ModelConfig, framing: Framing) -> ModelSpec:
    mean, std = normalisation(model.name, model.pretrained)
    return ModelSpec(
        backbone=model.name,
        framing=framing,
        dropout=model.dropout,
        arguments=dict(model.arguments),
        mean=mean,
        std=std,
        test_time_flip=model.test_time_flip,
    )


def augmentation_settings(augmentation: AugmentationConfig) -> AugmentationSettings:
    """The section as the transforms take it."""
    values = augmentation.model_dump(exclude={"extra"})
    values["color_jitter"] = ColorJitter(**values["color_jitter"])
    values["random_scale"] = tuple(values["random_scale"])
    values["progressive"] = tuple(ProgressiveStage(**stage) for stage in values["progressive"])
    return AugmentationSettings(**values)
