"""The functions that `conf/` may use: `${times:a,b}`."""

from __future__ import annotations


def register_resolvers() -> None:
    """Register the functions with OmegaConf; repeated calls do no harm."""
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver("times", _times, replace=True)


def _times(a: float, b: float) -> float:
    return float(f"{a * b:.12g}")  # 1.0e-3 times 0.3 is 0.0003, also in print
