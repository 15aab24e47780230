"""Searches with Optuna: a space, a study that sweeps may share, and what is left to look at."""
