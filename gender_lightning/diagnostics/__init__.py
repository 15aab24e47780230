"""Diagnostics that run a network on pictures: heat maps, galleries, robustness to corruptions."""
