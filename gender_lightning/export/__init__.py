"""A checkpoint as one file for other runtimes: pixels of any size in, calibrated probabilities out."""
