"""Networks that map normalised images to one logit, and their checkpoints."""
