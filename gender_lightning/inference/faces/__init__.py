"""Detection of faces and their alignment to CelebA's framing, without Lightning or Hydra."""
