"""Where Hydra looks for plugins; the sweeper itself is `gender_lightning.sweeps.sweeper`."""

from gender_lightning.sweeps import sweeper


class ProcessSweeper(sweeper.ProcessSweeper):
    """Defined here because Hydra builds only plugins whose module lies in `hydra_plugins`."""


__all__ = ["ProcessSweeper"]
