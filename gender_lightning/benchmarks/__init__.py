"""Measuring our speed beside the common way, on the user's own machine and data."""
