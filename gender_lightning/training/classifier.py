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
from gender_lightning.evaluation.metrics import classification_metrics
from gender_lightning.evaluation.subgroups.group_metrics import key_of
from gender_lightning.models.attribute_heads import AttributeHeads
from gender_lightning.models.backbones import (
    create_backbone,
    fixed_image_size,
    forward_train,
    parameter_groups,
)
from gender_lightning.models.checkpoints.checkpoint import KEY
from gender_lightning.models.heads import backbone_parameters, frozen_at, set_frozen
from gender_lightning.models.rows import Rows, Table, assert_complete
from gender_lightning.models.zooms import averaged
from gender_lightning.training.buffers import take_from_first
from gender_lightning.training.losses.epoch_loss import EpochLoss
from gender_lightning.training.losses.loss import Criterion
from gender_lightning.training.losses.signals import Targets
from gender_lightning.training.losses.teachers import Teachers
from gender_lightning.training.losses.training_groups import TrainingGroups
from gender_lightning.training.optimizers import adapt, make_optimizer
from gender_lightning.training.schedules import EPOCH_LENGTHS, follow_epochs, make_schedule, make_scheduler
from gender_lightning.training.sections import augmentation_settings, make_spec
from gender_lightning.training.seeding import seed_generators
from gender_lightning.transforms import Augment, mix, step_key
from gender_lightning.transforms.geometry import shrink

_EPOCH_LOSS = "epoch_loss"  # in Lightning's checkpoint: float32 (ranks, 2), see `EpochLoss.sums`


class GenderClassifier(pl.LightningModule):
    """Trains a backbone to predict the logit of class male from uint8 images.

    Attributes:
        net: The bare backbone from `create_backbone`; its weights are ``net.*`` in a Lightning checkpoint.
        spec: Description of the weights that checkpoints contain.
        table: Rows of the last evaluation, by ``valid``, ``test`` and ``predict``.
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
        groups: TrainingGroups | None = None,
        teachers: Teachers | None = None,
    ) -> None:
        """Build the network.

        Args:
            model: The backbone, and how it is trained.
            optimizer: Settings for `configure_optimizers`.
            scheduler: Settings for `configure_optimizers`.
            augmentation: Augmentation of training batches, on the device.
            loss: The loss with its settings.
            framing: How the data module crops images; stored in checkpoints.
            seed: Augmentation, mixing and dropout are functions of the seed, the step and the image.
            class_counts: Number of training images of (female, male), for balanced class weights.
            transforms: Further transforms of training batches, see `Augment`.
            groups: Groups and auxiliary attributes of the images, if the training uses any.
            teachers: Trained networks whose answers are learned, for ``loss=distill``.
            fetch_weights: Whether to load ``model.pretrained``; False if a resume will overwrite the weights anyway.

        Raises:
            UserError: See `create_backbone`; or progressive resizing is set for a network that takes one size only.
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
        self.spec = make_spec(model, framing)
        settings = augmentation_settings(augmentation)
        if settings.progressive and fixed_image_size(self.net) is not None:
            raise UserError(
                f"{model.name} takes one image size only, so the size cannot grow during the training.",
                "Set augmentation.progressive=[].",
                field="augmentation.progressive",
            )
        self.augment = Augment(settings, self.spec.mean, self.spec.std, seed=seed, extra=transforms)
        self.groups, self.teachers = groups or TrainingGroups(), teachers
        self.criterion = Criterion(loss, class_counts, self.groups.shares, self.groups.class_shares)
        self.signals = self.groups.signals(loss)
        self.auxiliary_weight = loss.auxiliary.weight
        number = 0 if self.groups.attributes is None else self.groups.attributes.shape[1]
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
        """Compile the network if requested, in place, which keeps the names of the weights.

        Every size gets its own graph: by default, the second size, such as that of a progressive stage, would make the
        graph symbolic, and slower, for the rest of the training.
        """
        if self.compile_net:
            self.net.compile(dynamic=False)
            self.augment.compile_batches()
            self.compile_net = False

    def on_train_start(self) -> None:
        """Freeze the backbone if this epoch requires it, also when a resume starts in the middle of an epoch."""
        self._freeze()
        self.signals.to(self.device)
        if self.teachers is not None:
            loader: Any = self.trainer.train_dataloader
            self.teachers.to(self.device, images=len(loader.dataset), channels_last=self.channels_last)

    def on_train_epoch_start(self) -> None:
        """Freeze or unfreeze the backbone, and start the mean loss; not called when a resume starts inside an epoch."""
        self._freeze()
        self.epoch_loss.reset()
        if self.teachers is not None:
            self.teachers.start_epoch()

    def _freeze(self) -> None:
        frozen = frozen_at(self.model.freeze, self.current_epoch)
        if frozen or self._frozen:
            set_frozen(self.net, frozen, gradients=not self._withholds_gradients)
        self._frozen = frozen

    @property
    def _withholds_gradients(self) -> bool:
        # DDP reduces only the parameters that required a gradient when it was wrapped, so a backbone that will be
        # unfrozen later keeps its gradients and is left out of the step
        return isinstance(self.model.freeze, int) and self.trainer.world_size > 1

    def train(self, mode: bool = True) -> GenderClassifier:
        """Set the mode; batch norms of a frozen backbone stay in evaluation mode."""
        super().train(mode)
        if getattr(self, "_frozen", False):
            set_frozen(self.net, True, gradients=False)
        return self

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Leave a frozen backbone out of the step if its gradients could not be switched off."""
        self.criterion.end_step()
        if self._frozen and self._withholds_gradients:
            for parameter in backbone_parameters(self.net):
                parameter.grad = None

    def configure_optimizers(self) -> Any:
        """Build the optimizer and the schedule for the whole training."""
        groups = parameter_groups(
            self.net,
            lr=self.optimizer.lr,
            weight_decay=self.optimizer.weight_decay,
            layer_decay=self.model.layer_decay,
        )
        if self.attribute_heads is not None:
            groups += self.attribute_heads.parameter_groups(
                lr=self.optimizer.lr, weight_decay=self.optimizer.weight_decay
            )
        total = int(self.trainer.estimated_stepping_batches)  # sets num_training_batches too
        batches = int(self.trainer.num_training_batches)
        steps = math.ceil(batches / self.trainer.accumulate_grad_batches)
        # a fused step under a gradient scaler would clip gradients that are still scaled
        scaled = self.trainer.precision == "16-mixed" and self.trainer.gradient_clip_val is not None
        optimizer = make_optimizer(groups, self.optimizer, fused=False if scaled else None)
        self._lengths = (steps, batches)
        if self._resumed is not None:
            rates = [group["lr"] for group in optimizer.param_groups] if self.optimizer.reference_batch else None
            self._adapt(self._resumed, total, steps, batches, rates)
            for states in self._resumed["optimizer_states"]:
                adapt(states, optimizer)
            self._resumed = None
        schedule = make_scheduler(optimizer, self.scheduler, total, steps, batches_per_epoch=batches)
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def _adapt(
        self, checkpoint: dict[str, Any], total: int, steps: int, batches: int, rates: list[float] | None
    ) -> None:
        """Resume by the share of epochs done and the images seen, so that the global batch may have changed."""
        schedule = None
        if self.scheduler.name != "plateau":
            schedule = make_schedule(self.scheduler, total_steps=total, steps_per_epoch=steps)
        data: Any = getattr(self.trainer, "datamodule", None)
        done = data.batches_done() if isinstance(data, FaceDataModule) else None
        follow_epochs(checkpoint, schedule, steps=steps, batches=batches, done=done, rates=rates)

    # ---- training

    def augmented(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The input of a training step: normalised images, float32 (B, 3, S', S'), and targets, float32 (B,).

        An index occurs once per epoch, so its random numbers depend on the epoch and are the same for any number of
        ranks.
        """
        images, targets = self._augmented(batch)
        return images, targets.labels

    def _augmented(self, batch: Batch) -> tuple[Tensor, Targets]:
        size = self.image_size
        with torch.autocast(self.device.type, enabled=False):  # half precision is meant for weights, not for pixels
            images = self.augment(batch.images, batch.indices, self.current_epoch, size=size)
            images, columns = mix(
                images,
                self.signals.columns(batch),
                batch.indices,
                self.augment.settings,
                seed=self.seed,
                step=self.current_epoch,
            )
        return images, self.signals.split(columns)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of an augmented batch, computed without waiting for the device."""
        # dropout draws from torch's own stream, which would be at another position after a resume
        seed_generators(step_key(self.seed + self.global_rank, self.trainer.fit_loop.total_batch_idx), self.device)
        images, (labels, groups, attributes) = self._augmented(batch)
        rows = batch.indices if self.augment.changes_nothing else None
        teacher = None if self.teachers is None else self.teachers(images, self.augment.normalize, rows)
        logits, auxiliary = forward_train(self.net, images)
        loss: Tensor = self.criterion(logits, labels, groups, teacher)
        for weight, auxiliary_logits in auxiliary:
            loss = loss + weight * self.criterion(auxiliary_logits, labels, groups, teacher, observe=False)
        if self.attribute_heads is not None:
            loss = loss + self.auxiliary_weight * self.attribute_heads(attributes)
        value, n = loss.detach(), len(images)
        self.epoch_loss.update(value, n)
        self._only_validates = False
        self.log("train/loss", self.epoch_loss, on_step=False, on_epoch=True)
        self.log("train/loss_step", value, on_step=True, on_epoch=False, batch_size=n)
        return loss

    def on_train_epoch_end(self) -> None:
        """Log the weights of group DRO, by group."""
        if self.criterion.dro is not None and self.groups.shares is not None:
            names = [f"train/weight_{key_of(name)}" for name in self.groups.shares.names]
            self.log_dict(dict(zip(names, self.criterion.dro.weights, strict=True)))

    def _total_steps(self) -> float:
        return self.trainer.estimated_stepping_batches

    def _steps_done(self) -> int:
        """Steps done if all epochs had been as long as this one; `global_step` counts the steps that were taken."""
        steps, _ = self._lengths or (0, 0)
        batch = self.trainer.fit_loop.batch_idx
        return self.current_epoch * steps + max(0, batch) // self.trainer.accumulate_grad_batches

    def _progress(self) -> float:
        """Share of the training's steps that are done, 0 to 1."""
        return min(1.0, self._steps_done() / max(1, self._total_steps()))

    @property
    def image_size(self) -> int | None:
        """Side of the images that the training uses now, in pixels, while it is smaller than the full size."""
        if not self.augmentation.progressive or self.trainer.state.fn != "fit":
            return None
        return self.augment.settings.size_at(self._progress())

    def step_costs(self) -> tuple[float, float]:
        """Cost of a step now, and the mean of the steps to come, by their pixels: 1 is a step at the full size."""
        if not self.augmentation.progressive:
            return 1.0, 1.0
        full = self.spec.image_size
        return ((self.image_size or full) / full) ** 2, self.augment.settings.pixels_from(self._progress(), full)

    @property
    def _distributed(self) -> bool:
        return self.trainer.world_size > 1

    # ---- evaluation

    def on_validation_start(self) -> None:
        """Use the same statistics on every rank, since DDP is set not to exchange them before each step."""
        self._share_buffers()

    def _share_buffers(self) -> None:
        if self._distributed:
            take_from_first(self.net.buffers())

    def forward(self, images: Tensor) -> Tensor:
        """Map images, uint8 (B, 3, S, S), to logits, float32 (B,): the mean over the views that the model asks for."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        normalised = self.augment.normalize(images).contiguous(memory_format=layout)
        # no graphs for evaluation: compiling one would take as long as the whole evaluation without it
        with torch.compiler.set_stance("force_eager"):
            return averaged(self.net, normalised, **self.spec.test_time)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep logits, labels and indices on the device; the images have the size that the training uses now.

        At another size, a network that has learned from one size only is close to chance.
        """
        size = self.image_size
        images = batch.images if size is None else shrink(batch.images, size)
        self._rows.add(batch.indices, self(images), batch.labels)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep logits, labels and indices on the device."""
        self._rows.add(batch.indices, self(batch.images), batch.labels)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Do the same as `test_step`, and return indices, int64 (B,), and logits, float32 (B,)."""
        logits = self(batch.images)
        self._rows.add(batch.indices, logits, batch.labels)
        return {"indices": batch.indices, "logits": logits}

    def on_validation_epoch_start(self) -> None:
        """Drop the rows of an earlier evaluation, finished or not."""
        self._rows = Rows()

    on_test_epoch_start = on_predict_epoch_start = on_validation_epoch_start

    def on_validation_epoch_end(self) -> None:
        """Compute metrics over the whole split, and log them as val/*."""
        if not self.trainer.sanity_checking:
            self._evaluate("valid", "val", self.trainer.val_dataloaders, self.trainer.num_val_batches)
        if self._only_validates and self.trainer.state.fn == "fit":
            self.log("train/loss", self.epoch_loss.compute())

    def on_test_epoch_end(self) -> None:
        """Compute metrics over the whole split, and log them as test/*."""
        self._evaluate("test", "test", self.trainer.test_dataloaders, self.trainer.num_test_batches)

    def on_predict_epoch_end(self) -> None:
        """Keep the table, without metrics."""
        trainer = self.trainer
        self._collect("predict", trainer.predict_dataloaders, trainer.num_predict_batches)

    def _evaluate(self, split: str, prefix: str, loader: Any, batches: list[int | float]) -> None:
        table = self._collect(split, loader, batches)
        self.metrics[split] = classification_metrics(table.labels, table.logits) | self.group_metrics(split)
        values = {f"{prefix}/{name}": float(value) for name, value in self.metrics[split].items()}
        # the validation of the best weights after the fit would add a false last point to the curve
        logger = False if self.trainer.state.fn == "validate" else None
        # every rank has all rows, so the mean changes nothing
        self.log_dict(values, sync_dist=self._distributed, logger=logger)

    def group_metrics(self, split: str, *, sizes: bool = False) -> dict[str, float]:
        """Accuracy of each group on the last table of a split, and its size if `sizes`; empty without groups."""
        return self.groups.metrics(split, self.table[split], sizes=sizes)

    def groups_line(self) -> str:
        """Describe the accuracy and size of each group of valid; empty without groups, or before an evaluation."""
        return self.groups.line(self.table["valid"]) if "valid" in self.table else ""

    def _collect(self, split: str, loader: Any, batches: list[int | float]) -> Table:
        """The table of the rows since the start of the epoch, which is complete unless the batches are limited."""
        table = self._rows.table(self.device)
        self._rows = Rows()
        if sum(batches) == len(loader):
            assert_complete(table, len(loader.dataset))
        self.table[split] = table
        return table

    # ---- checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the specification in Lightning's checkpoint, so that last.ckpt can be used like any other."""
        self._share_buffers()  # as every rank will have them after a resume
        checkpoint[KEY] = self.spec.to_dict()
        if self._lengths is not None:
            checkpoint[EPOCH_LENGTHS] = list(self._lengths)
        sums = self.all_gather(self.epoch_loss.sums())
        assert isinstance(sums, Tensor)
        checkpoint[_EPOCH_LOSS] = sums.reshape(-1, 2).cpu()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Continue the mean loss of an epoch that was interrupted."""
        self._resumed = checkpoint  # Lightning restores its schedule after `configure_optimizers`
        if _EPOCH_LOSS in checkpoint:
            self.epoch_loss.restore(checkpoint[_EPOCH_LOSS], self.global_rank, self.trainer.world_size)
            self._only_validates = True
