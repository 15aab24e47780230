"""Benchmarks against the common way of doing the same work, on the user's own machine and data."""
