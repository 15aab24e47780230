"""What Lightning's Trainer does by itself and shall not do here; each is private to Lightning and has a test."""

from __future__ import annotations

from types import MethodType

import pytorch_lightning as pl


def leave_signals_alone(trainer: pl.Trainer) -> None:
    """Keep Lightning from handling SIGTERM and SLURM's signal, which `interruption` answers.

    Its handlers save nothing at SIGTERM, and take part in an exchange between processes from inside a signal
    handler, which hangs where another exchange was under way. For the same sake it exchanges a flag, and waits
    for the device, before each batch.
    """
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]


def resume_by_epochs(trainer: pl.Trainer) -> None:
    """Resume a training with `max_steps` as any other.

    Lightning then takes a checkpoint of the end of an epoch for one of its middle, and ends that epoch once more.
    """

    def never(loop: object) -> bool:
        return False

    trainer.fit_loop._iteration_based_training = MethodType(never, trainer.fit_loop)  # type: ignore[method-assign]
