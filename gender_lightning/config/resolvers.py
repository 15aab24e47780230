"""The functions that `conf/` may use: `${times:a,b}` and `${side:share,image_size}`."""

from __future__ import annotations


def register_resolvers() -> None:
    """Register the functions with OmegaConf; repeated calls do no harm."""
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver("times", _times, replace=True)
    OmegaConf.register_new_resolver("side", _side, replace=True)


def _times(a: float, b: float) -> float:
    return float(f"{a * b:.12g}")  # 1.0e-3 times 0.3 is 0.0003, also in print


def _side(share: float, image_size: int) -> int:
    """The share of an image's side, px: a multiple of 8, which suits the strides of networks, and not below 16."""
    return max(16, 8 * round(share * image_size / 8))
