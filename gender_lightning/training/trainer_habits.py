"""Habits of Lightning's Trainer that are switched off here; each is private to Lightning and has a test."""

from __future__ import annotations

from types import MethodType

import pytorch_lightning as pl


def leave_signals_alone(trainer: pl.Trainer) -> None:
    """Keep Lightning from handling SIGTERM and SLURM's signal, which `interruption` handles.

    Lightning's handlers save nothing at SIGTERM, and they communicate with other processes from inside a signal
    handler, which hangs if another exchange is under way. For the same purpose it exchanges a flag before each batch,
    and waits for the device.
    """
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]


def resume_by_epochs(trainer: pl.Trainer) -> None:
    """Resume a training with `max_steps` like any other.

    Otherwise Lightning takes a checkpoint from the end of an epoch for one from its middle, and ends that epoch twice.
    """

    def never(loop: object) -> bool:
        return False

    trainer.fit_loop._iteration_based_training = MethodType(never, trainer.fit_loop)  # type: ignore[method-assign]
