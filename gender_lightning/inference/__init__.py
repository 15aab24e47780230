"""Use of a checkpoint: images in, labels and probabilities out."""
