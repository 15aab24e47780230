"""Networks that map normalised images to one logit, their checkpoints, and the Lightning module."""
