"""Export of a checkpoint to one file for other runtimes: pictures of any size in, calibrated probabilities out."""
