"""Where Hydra looks for plugins; the sweeper itself is `gender_lightning.sweeps.sweeper`."""

from gender_lightning.sweeps.sweeper import ProcessSweeper

__all__ = ["ProcessSweeper"]
