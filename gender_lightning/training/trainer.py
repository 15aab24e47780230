"""Lightning's Trainer, built from the configuration, the machine and the run directory."""

from __future__ import annotations

import inspect
import logging
import math
import warnings
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from pytorch_lightning.strategies import Strategy
from torch.nn.parallel import DistributedDataParallel

from gender_lightning.config import TrainerConfig
from gender_lightning.machine.hardware import Hardware, resolve_hardware, share_cores
from gender_lightning.runs import Run
from gender_lightning.training.allocator import tune_heap
from gender_lightning.training.checkpoint_files import WholeFiles
from gender_lightning.training.ranks import WatchedDDP
from gender_lightning.training.trainer_habits import leave_signals_alone, resume_by_epochs

log = logging.getLogger(__name__)


def hardware_of(config: TrainerConfig, steps: int | None = None, *, opens: bool = True) -> Hardware:
    """The hardware of the trainer section, with every `auto` resolved.

    Args:
        config: The section `trainer`.
        steps: Number of optimizer steps in the training, if known (`planned_steps`).
        opens: Whether to open the GPU; see `resolve_hardware`.

    Raises:
        UserError: The section does not fit the machine.
    """
    return resolve_hardware(
        accelerator=config.accelerator,
        devices=config.devices,
        precision=config.precision,
        compile=config.compile,
        channels_last=config.channels_last,
        steps=steps,
        opens=opens,
    )


def planned_steps(config: TrainerConfig, images: int, batch_size: int, devices: int) -> int:
    """The largest number of optimizer steps that the training can take.

    A resumed training counts from its beginning, not from where it goes on: it then makes the same choices as before
    the interruption, and computes the same.

    Args:
        config: The section `trainer`.
        images: Number of images in the train split.
        batch_size: Number of images per device and step.
        devices: Number of devices per node.
    """
    batches = max(1, images // (batch_size * devices * config.num_nodes))
    if config.fast_dev_run:
        return 1  # Lightning's meaning: one batch of one epoch, whatever the limits say
    limit = config.limit_train_batches
    batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)  # rounded down by Lightning
    per_epoch = math.ceil(batches / config.accumulate_grad_batches)
    by_epochs = config.max_epochs * per_epoch
    return by_epochs if config.max_steps < 0 else min(by_epochs, config.max_steps)


def make_trainer(
    config: TrainerConfig,
    hardware: Hardware,
    run: Run,
    *,
    callbacks: Sequence[Callback],
    loggers: Sequence[Logger],
    has_valid: bool,
    one_size: bool = True,
) -> pl.Trainer:
    """Build a Trainer with our own checkpoints, progress bar and sampler.

    Args:
        config: The section `trainer`.
        hardware: The hardware of that section, with every `auto` resolved.
        run: The run to write to.
        callbacks: All callbacks.
        loggers: All loggers.
        has_valid: Whether there is a validation split.
        one_size: Whether all training images have the same size, so that cuDNN may choose its kernels by timing them.
    """
    # the batch norms of a frozen backbone are in evaluation mode on purpose
    warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
    share_cores(hardware.devices)
    if hardware.device_type == "cpu":
        tune_heap()
    if hardware.device_type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32 for the operations that stay in float32
    arguments: dict[str, Any] = {
        "accelerator": hardware.accelerator,
        "devices": hardware.devices,
        "num_nodes": config.num_nodes,
        "strategy": _strategy(config, hardware),
        "precision": hardware.precision,
        "max_epochs": config.max_epochs,
        "max_steps": config.max_steps,
        "accumulate_grad_batches": config.accumulate_grad_batches,
        "gradient_clip_val": config.gradient_clip_val,
        "limit_train_batches": config.limit_train_batches,
        "limit_val_batches": config.limit_val_batches if has_valid else 0,
        "limit_test_batches": config.limit_test_batches,
        "log_every_n_steps": config.log_every_n_steps,
        "deterministic": config.deterministic,
        # kernels are then chosen by the clock, so that two runs may use different ones
        "benchmark": hardware.device_type == "cuda" and one_size and not config.deterministic,
        "sync_batchnorm": config.sync_batchnorm and hardware.device_type == "cuda",
        "fast_dev_run": config.fast_dev_run,
    }
    trainer = pl.Trainer(
        **arguments,
        plugins=[WholeFiles()],
        default_root_dir=run.path,
        callbacks=list(callbacks),
        logger=list(loggers) or False,
        enable_model_summary=False,
        enable_progress_bar=any(isinstance(callback, pl.callbacks.ProgressBar) for callback in callbacks),
        num_sanity_val_steps=0,  # metrics of a few batches mislead, and a quick run finds a failing validation as well
        use_distributed_sampler=False,  # data.sampling shards the data
        inference_mode=True,
    )
    leave_signals_alone(trainer)
    resume_by_epochs(trainer)
    return trainer


def _strategy(config: TrainerConfig, hardware: Hardware) -> str | Strategy:
    processes = hardware.devices * config.num_nodes
    if processes == 1 and config.strategy == "auto":
        return "auto"
    backend = "nccl" if hardware.device_type == "cuda" else "gloo"
    # the classifier exchanges buffers once before validation and saving, not before each step
    renamed = "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters  # torch 2.14
    buffers: dict[str, Any] = {"forward_sync_buffers" if renamed else "broadcast_buffers": False}
    return WatchedDDP(
        **buffers,
        process_group_backend=backend,
        gradient_as_bucket_view=True,  # gradients are not copied into the buckets that are exchanged
        find_unused_parameters=False,  # every weight has a gradient in each step, also those withheld from a frozen net
        static_graph=False,  # helps only with unused weights or checkpointed activations, and forbids other graphs
    )
