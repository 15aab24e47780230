"""The groups of `conf/` other than data: model, augmentation, loss, optimizer, scheduler, trainer ..."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from gender_lightning.config.base import Auto, Count, Fraction, NonNegative, Positive, Section, matching


class ModelConfig(Section):
    """`conf/model/`: a backbone under torchvision's own name, or `timm/<name>`."""

    name: str = Field(min_length=1, description="backbone: resnet50, vgg19, vit_b_16 ... or timm/<name>")
    pretrained: bool | str = Field(description="the library's weights, none, or the path of a state dict or checkpoint")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(description="before the head")
    freeze: Literal["none", "backbone"] | Count = Field(description="train only the head: always, or for N epochs")
    layer_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        description="learning-rate factor per layer from the head down"
    )
    lr_factor: Positive = Field(description="of the optimizer's default rate; a typed optimizer.lr is taken as it is")
    test_time_flip: bool = Field(description="average the logits of an image and its mirror image")
    arguments: dict[str, Any] = Field(description="further arguments of the backbone's builder")


class ColorJitter(Section):
    """Ranges as torchvision's ColorJitter has them: factor in [1 - x, 1 + x], hue shift in [-x, x]."""

    brightness: NonNegative
    contrast: NonNegative
    saturation: NonNegative
    hue: Annotated[float, Field(ge=0, le=0.5)]


class Progressive(Section):
    """Train at a smaller size until a share of the training is over."""

    until: Annotated[float, Field(gt=0, lt=1)]
    image_size: Annotated[int, Field(ge=16)]


class AugmentationConfig(Section):
    """`conf/augmentation/`: drawn per image, on the device."""

    random_rotation: Annotated[float, Field(ge=0, le=180)] = Field(description="degrees, either way")
    random_horizontal_flip: Fraction = Field(description="probability")
    color_jitter: ColorJitter
    random_erasing: Fraction = Field(description="probability")
    random_scale: list[Positive] = Field(min_length=2, max_length=2, description="[smallest, largest] zoom factor")
    random_translation: Fraction = Field(description="largest shift, as a share of the side")
    mixup: NonNegative = Field(description="alpha of the Beta distribution; 0 is off")
    cutmix: NonNegative = Field(description="alpha of the Beta distribution; 0 is off")
    fill: Literal["reflection", "border", "zeros"] = Field(description="what lies outside the picture")
    progressive: list[Progressive] = Field(description="smaller inputs early: [{until: 0.5, image_size: 64}]")
    extra: dict[str, dict[str, Any]] = Field(description="further transforms of a batch by _target_")

    @model_validator(mode="after")
    def _ordered(self) -> AugmentationConfig:
        if self.random_scale[0] > self.random_scale[1]:
            raise ValueError(f"random_scale={self.random_scale} must be [smallest, largest]")
        ends = [stage.until for stage in self.progressive]
        if ends != sorted(set(ends)):
            raise ValueError("progressive stages must come in the order of `until`")
        return self


class LossConfig(Section):
    """Binary cross-entropy on the logit of `male`."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    class_weights: Literal["none", "balanced"]


class OptimizerConfig(Section):
    """`conf/optimizer/`: any optimizer of torch or timm by `_target_`, with its own arguments."""

    model_config = ConfigDict(extra="allow")
    target: str = Field(alias="_target_")
    lr: Positive
    weight_decay: NonNegative = 0.0

    def section(self) -> dict[str, Any]:
        """The mapping that `building.build` takes: `_target_` and every argument."""
        return {"_target_": self.target, "lr": self.lr, "weight_decay": self.weight_decay, **(self.model_extra or {})}


class Cosine(Section):
    """Linear warm-up, then half a cosine down to `final_ratio` of the learning rate."""

    name: Literal["cosine"]
    warmup_epochs: NonNegative
    final_ratio: Fraction


class OneCycle(Section):
    """Up for `peak_fraction` of the training and down again, both by half a cosine (Smith, 2018)."""

    name: Literal["one_cycle"]
    peak_fraction: Annotated[float, Field(gt=0, lt=1)]
    initial_ratio: Annotated[float, Field(gt=0, le=1)]
    final_ratio: Fraction


class Step(Section):
    """Times `gamma` every `every_epochs` epochs."""

    name: Literal["step"]
    every_epochs: Count
    gamma: Annotated[float, Field(gt=0, le=1)]
    warmup_epochs: NonNegative


class Plateau(Section):
    """Times `factor` when the monitored metric has not improved for `patience` epochs."""

    name: Literal["plateau"]
    factor: Annotated[float, Field(gt=0, lt=1)]
    patience: Annotated[int, Field(ge=0)]
    monitor: str
    mode: Literal["min", "max"]


class Constant(Section):
    """The learning rate as given, after a linear warm-up."""

    name: Literal["constant"]
    warmup_epochs: NonNegative


SchedulerConfig = Annotated[Cosine | OneCycle | Step | Plateau | Constant, Field(discriminator="name")]


class Checkpoint(Section):
    """Which epoch `best.ckpt` keeps, and how often `last.ckpt` is written."""

    monitor: Annotated[str, matching(r"val/.+", "be a metric of the valid split, such as val/accuracy")]
    mode: Literal["min", "max"]
    every_n_steps: Count | None = Field(None, description="last.ckpt after so many optimizer steps too")
    every_minutes: Positive | None = Field(None, description="last.ckpt inside an epoch when it is so old")


class Ema(Section):
    """Exponential moving average of the weights; validated, tested and kept in `best.ckpt`."""

    decay: Annotated[float, Field(ge=0, lt=1)] = Field(description="per optimizer step; 0 is off")


class EarlyStopping(Section):
    """Stop when the monitored metric has not improved for `patience` epochs; null is off."""

    patience: Count | None
    min_delta: NonNegative


class CallbacksConfig(Section):
    """`conf/callbacks/`."""

    checkpoint: Checkpoint
    ema: Ema
    early_stopping: EarlyStopping
    extra: dict[str, dict[str, Any]] = Field(description="further Lightning callbacks by _target_")


class WandbLogger(Section):
    """Weights & Biases: online when logged in, else offline; never a prompt."""

    name: Literal["wandb"]
    project: str
    entity: str | None
    mode: Literal["auto", "online", "offline", "disabled"]
    group: str | None
    tags: list[str]
    log_model: bool = Field(description="keep the best checkpoint as an artifact")


class CsvLogger(Section):
    """`metrics.csv` alone, which every run has."""

    name: Literal["csv"]


class TensorBoardLogger(Section):
    """TensorBoard event files in the run directory."""

    name: Literal["tensorboard"]


LoggerConfig = Annotated[WandbLogger | CsvLogger | TensorBoardLogger, Field(discriminator="name")]


class TrainerConfig(Section):
    """`conf/trainer/`: Lightning's Trainer under its own names; `auto` means what the device gains from."""

    accelerator: Literal["auto", "cpu", "gpu", "mps"]
    devices: Count | Auto
    num_nodes: Count
    strategy: Literal["auto", "ddp"]
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
    compile: bool | Auto
    channels_last: bool | Auto
    max_epochs: Count
    max_steps: Annotated[int, Field(ge=-1)]
    max_time: Annotated[str, matching(r"(\d\d:){3}\d\d", "be DD:HH:MM:SS, such as 00:01:30:00")] | None
    accumulate_grad_batches: Count
    gradient_clip_val: Positive | None
    limit_train_batches: Count | Annotated[float, Field(gt=0, le=1)]
    limit_val_batches: Count | Annotated[float, Field(gt=0, le=1)]
    limit_test_batches: Count | Annotated[float, Field(gt=0, le=1)]
    log_every_n_steps: Count
    deterministic: bool
    sync_batchnorm: bool
    preemption_signal: Literal["SIGUSR1", "SIGUSR2", "SIGHUP"] | None = Field(
        "SIGUSR1", description="of a scheduler that will take the machine away: save and end, as at SIGTERM"
    )
    fast_dev_run: bool = Field(description="one batch of everything, nothing kept")
