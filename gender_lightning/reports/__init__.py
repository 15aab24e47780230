"""Figures and HTML pages of evaluations, comparisons and benchmarks."""
