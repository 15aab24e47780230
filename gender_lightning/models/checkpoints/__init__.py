"""Weights in files: our checkpoints, those of other libraries, and those that are published."""
