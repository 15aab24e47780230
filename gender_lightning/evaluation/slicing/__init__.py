"""Subgroups of a split: which there are, and how a model does on each."""
