"""Faces in pictures: found, and brought into CelebA's framing. Neither Lightning nor Hydra is needed."""
