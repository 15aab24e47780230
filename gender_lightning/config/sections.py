"""The groups of `conf/` other than data: model, augmentation, loss, optimizer, scheduler, trainer ..."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from gender_lightning.config.base import (
    Auto,
    Contradictions,
    Count,
    Fraction,
    NonNegative,
    Positive,
    Section,
    matching,
)
from gender_lightning.config.data import LABEL

Limit = Count | Annotated[float, Field(gt=0, le=1)]


class ModelConfig(Section):
    """The backbone under torchvision's own name, or any of timm's as `timm/<name>`."""

    name: str = Field(min_length=1, description="backbone: resnet50, vgg19, vit_b_16 ... or timm/<name>")
    pretrained: bool | str = Field(
        description="true: the library's weights; a run, checkpoint or state dict, by its path or as hf://... or "
        "wandb://...; false: from scratch"
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(description="dropout before the head")
    freeze: Literal["none", "backbone"] | Count = Field(
        description="train the head only: backbone for the whole training, a number for that many epochs; none is off"
    )
    layer_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        description="factor of the learning rate from each layer to the one below it; 1 is off"
    )
    lr_factor: Positive = Field(
        description="factor of the optimizer's default learning rate; an optimizer.lr that you set is used unchanged"
    )
    test_time_flip: bool = Field(description="average the logits of an image and its mirror image")
    test_time_zooms: list[Annotated[float, Field(ge=1, le=4)]] = Field(
        min_length=1,
        max_length=8,
        description="average the logits of an image as it is (1) and as from further away (2: at half its size, "
        "surrounded by its repeated edge)",
    )
    arguments: dict[str, Any] = Field(description="further arguments of the backbone's builder")


class Auxiliary(Section):
    """Auxiliary heads that learn other attributes, in training only; they are never an output."""

    attributes: Literal["none", "all"] | list[str] = Field(
        default="none", description="attributes that training also learns, in heads that checkpoints leave out; or all"
    )
    weight: NonNegative = Field(
        default=1.0, description="weight of the mean loss over these attributes, relative to that of the label"
    )

    @model_validator(mode="after")
    def _others(self) -> Auxiliary:
        if isinstance(self.attributes, list) and LABEL in self.attributes:
            raise Contradictions([(f"loss.auxiliary.attributes: {LABEL} is the label itself", "Leave it out.")])
        return self


def _listed(value: Any) -> Any:
    """A list of one, for a single text."""
    return [value] if isinstance(value, str) else value


class _Loss(Section):
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="share by which targets are moved towards one half"
    )
    class_weights: Literal["none", "balanced"] = Field(
        description="balanced: both classes count equally, however many images each has"
    )
    group_weights: Literal["none", "balanced"] | dict[str, Positive] = Field(
        default="none",
        description="balanced: all of data.groups count equally; or weights by group: {female_with_Eyeglasses: 3}",
    )
    logit_adjustment: NonNegative = Field(
        default=0.0,
        description="tau of logit adjustment (Menon et al. 2021), for balanced recalls; 1 is the paper's, 0 off",
    )
    auxiliary: Auxiliary = Field(default_factory=Auxiliary)


class Bce(_Loss):
    """Binary cross-entropy on the logit of male."""

    name: Literal["bce"] = Field(description="kind of loss")


class Focal(_Loss):
    """Focal loss (Lin et al. 2017): cross-entropy with less weight on what is already classified well."""

    name: Literal["focal"] = Field(description="kind of loss")
    gamma: NonNegative = Field(description="how strongly easy images are played down; 0 is cross-entropy")


class GroupDro(_Loss):
    """Group DRO (Sagawa et al. 2020): the higher the loss of one of data.groups, the more it weighs."""

    name: Literal["group_dro"] = Field(description="kind of loss")
    step_size: Positive = Field(description="how fast the weights of the groups follow their losses")
    adjustment: NonNegative = Field(description="addition to a group's loss, times 1 / sqrt(its training images)")

    @model_validator(mode="after")
    def _weighs_by_itself(self) -> GroupDro:
        names = [name for name in ("class_weights", "group_weights") if getattr(self, name) != "none"]
        if names:
            fields = " and ".join(f"loss.{name}" for name in names)
            raise Contradictions([("loss=group_dro weighs the groups by itself", f"Leave out {fields}.")])
        return self


class Distill(_Loss):
    """Distillation (Hinton et al. 2015; Beyer et al. 2022): the mean answer of trained runs is the target."""

    name: Literal["distill"] = Field(description="kind of loss")
    teacher: Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(_listed)] = Field(
        description="run directories or checkpoints whose mean logit is learned: [runs/A, runs/B]"
    )
    weight: Fraction = Field(description="share of the teachers' answers in the loss; the labels have the rest")
    temperature: Positive = Field(description="what both logits are divided by; the higher, the more doubt is learned")

    @model_validator(mode="after")
    def _taught(self) -> Distill:
        if not self.teacher:
            raise Contradictions([("loss=distill has no teacher", "Name trained runs: loss.teacher=[runs/A,runs/B].")])
        return self


def _named(section: Any) -> Any:
    """Name the loss of older runs, which were made when there was only one."""
    return {"name": "bce", **section} if isinstance(section, Mapping) else section


LossConfig = Annotated[
    Annotated[Bce | Focal | GroupDro | Distill, Field(discriminator="name")], BeforeValidator(_named)
]


class OptimizerConfig(Section):
    """Any optimizer of torch or timm by `_target_`, with its own arguments."""

    model_config = ConfigDict(extra="allow")
    target: str = Field(
        alias="_target_", description="class of torch.optim, timm.optim or gender_lightning.training.muon"
    )
    lr: Positive = Field(description="peak learning rate")
    reference_batch: Count | None = Field(
        None,
        description="images per step, over all devices, for which lr and the warm-up are meant; otherwise lr is scaled "
        "by the ratio (SGD) or its square root (others), and the warm-up keeps its steps; null: lr is used unchanged",
    )
    weight_decay: NonNegative = Field(0.0, description="decay of the weights; none on norms and biases")

    def section(self) -> dict[str, Any]:
        """The mapping that `building.build` takes: `_target_` and every argument."""
        return {"_target_": self.target, "lr": self.lr, "weight_decay": self.weight_decay, **(self.model_extra or {})}


class Cosine(Section):
    """A linear warm-up, then half a cosine down to final_ratio of the learning rate."""

    name: Literal["cosine"] = Field(description="kind of schedule")
    warmup_epochs: NonNegative = Field(description="length of the linear warm-up, epochs")
    final_ratio: Fraction = Field(description="learning rate at the end, as a share of the peak")


class OneCycle(Section):
    """Half a cosine up for peak_fraction of the training, and half a cosine down for the rest (Smith, 2018)."""

    name: Literal["one_cycle"] = Field(description="kind of schedule")
    peak_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(description="share of the training before the peak")
    initial_ratio: Annotated[float, Field(gt=0, le=1)] = Field(
        description="learning rate at the start, as a share of the peak"
    )
    final_ratio: Fraction = Field(description="learning rate at the end, as a share of the peak")


class Step(Section):
    """The learning rate is multiplied by gamma every few epochs."""

    name: Literal["step"] = Field(description="kind of schedule")
    every_epochs: Count = Field(description="epochs between two steps")
    gamma: Annotated[float, Field(gt=0, le=1)] = Field(description="factor of each step")
    warmup_epochs: NonNegative = Field(description="length of the linear warm-up, epochs")


class Plateau(Section):
    """The learning rate is multiplied by factor whenever the monitored metric has not improved for some epochs."""

    name: Literal["plateau"] = Field(description="kind of schedule")
    factor: Annotated[float, Field(gt=0, lt=1)] = Field(description="factor of each reduction")
    patience: Annotated[int, Field(ge=0)] = Field(description="epochs without an improvement before a reduction")
    monitor: str = Field(description="metric of the valid split to watch, such as val/loss")
    mode: Literal["min", "max"] = Field(description="whether the metric is better smaller or larger")


class Constant(Section):
    """The learning rate as given, after a linear warm-up."""

    name: Literal["constant"] = Field(description="kind of schedule")
    warmup_epochs: NonNegative = Field(description="length of the linear warm-up, epochs")


SchedulerConfig = Annotated[Cosine | OneCycle | Step | Plateau | Constant, Field(discriminator="name")]


class Checkpoint(Section):
    """The epoch that best.ckpt keeps, and how often last.ckpt is written."""

    monitor: Annotated[str, matching(r"val/.+", "be a metric of the valid split, such as val/accuracy")] = Field(
        description="metric of the valid split by which best.ckpt is chosen, and training stopped early"
    )
    mode: Literal["min", "max"] = Field(description="whether the metric is better smaller or larger")
    every_n_steps: Count | None = Field(
        None, description="optimizer steps between two writes of last.ckpt within an epoch; null: only at its end"
    )
    every_minutes: Positive | None = Field(
        None, description="minutes between two writes of last.ckpt within an epoch; null: only at its end"
    )


class Ema(Section):
    """Exponential moving average of the weights; it is validated, tested and kept in best.ckpt."""

    decay: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="decay of the average of the weights per optimizer step, such as 0.999; 0 is off"
    )


class EarlyStopping(Section):
    """Stop when the monitored metric has not improved for some epochs."""

    patience: Count | None = Field(description="epochs without an improvement before the training stops; null is off")
    min_delta: NonNegative = Field(description="smallest change that counts as an improvement")


class CallbacksConfig(Section):
    """Callbacks of the training: checkpoints, averaging, early stopping, and your own."""

    checkpoint: Checkpoint
    ema: Ema
    early_stopping: EarlyStopping
    gradient_norm: bool = Field(
        default=True, description="log the norm of the gradients as train/gradient_norm, where there is a logger"
    )
    extra: dict[str, dict[str, Any]] = Field(description="further Lightning callbacks by _target_")


class WandbLogger(Section):
    """Weights & Biases: online if logged in, otherwise offline; it never prompts."""

    name: Literal["wandb"] = Field(description="kind of logger")
    project: str | None = Field(description="project in W&B; null: WANDB_PROJECT, or gender_lightning")
    entity: str | None = Field(description="user or team in W&B; null: your default")
    mode: Literal["auto", "online", "offline", "disabled"] = Field(
        description="auto: online if logged in, otherwise offline"
    )
    group: str | None = Field(description="group of runs in W&B; null: WANDB_RUN_GROUP, or the sweep, if there is one")
    tags: list[str] = Field(description="tags of the run")
    run_name: str | None = Field(
        default=None,
        description="name of the run in W&B; null: WANDB_NAME, or backbone, data and directory, in a sweep what varies",
    )
    notes: str | None = Field(default=None, description="remarks on the run in W&B; null: WANDB_NOTES")
    log_model: bool = Field(description="keep the best checkpoint as an artifact")
    pictures: Literal["none", "batch", "worst"] = Field(
        default="batch",
        description="faces of your data in W&B. none; batch: a picture of the first batch; worst: also the 32 faces of "
        "valid with the largest loss",
    )


class CsvLogger(Section):
    """Only metrics.csv, which every run has."""

    name: Literal["csv"] = Field(description="kind of logger")


class TensorBoardLogger(Section):
    """TensorBoard event files in the run directory."""

    name: Literal["tensorboard"] = Field(description="kind of logger")


LoggerConfig = Annotated[WandbLogger | CsvLogger | TensorBoardLogger, Field(discriminator="name")]


class TrainerConfig(Section):
    """Lightning's Trainer, with its own names; `auto` means the fastest setting for the device."""

    accelerator: Literal["auto", "cpu", "gpu", "mps"] = Field(description="device to train on")
    devices: Count | Auto = Field(description="processes, one device each; auto: every GPU")
    num_nodes: Count = Field(description="machines")
    strategy: Literal["auto", "ddp"] = Field(description="how several devices work together")
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = Field(description="arithmetic of the network")
    compile: bool | Auto = Field(description="torch.compile of the network")
    channels_last: bool | Auto = Field(description="memory format with the channels last")
    max_epochs: Count = Field(description="length of the training, epochs")
    max_steps: Annotated[int, Field(ge=-1)] = Field(description="largest number of optimizer steps; -1: no limit")
    max_time: Annotated[str, matching(r"(\d\d:){3}\d\d", "be DD:HH:MM:SS, such as 00:01:30:00")] | None = Field(
        description="longest duration, DD:HH:MM:SS; null: no limit"
    )
    accumulate_grad_batches: Count = Field(description="batches whose gradients are added up for one optimizer step")
    gradient_clip_val: Positive | None = Field(description="largest norm of the gradients; null: no limit")
    limit_train_batches: Limit = Field(description="training batches per epoch: a count, or a share such as 0.1")
    limit_val_batches: Limit = Field(description="validation batches: a count, or a share such as 0.1")
    limit_test_batches: Limit = Field(description="test batches: a count, or a share such as 0.1")
    log_every_n_steps: Count = Field(description="steps between two logged values of the training loss")
    deterministic: bool = Field(description="deterministic algorithms only, which can be slower")
    sync_batchnorm: bool = Field(description="statistics of batch norm over all devices")
    preemption_signal: Literal["SIGUSR1", "SIGUSR2", "SIGHUP"] | None = Field(
        "SIGUSR1",
        description="signal of a scheduler that will take the machine away: save and end, as at SIGTERM "
        "(sbatch --signal=SIGUSR1@90)",
    )
    fast_dev_run: bool = Field(description="run one batch of everything, and keep nothing")
