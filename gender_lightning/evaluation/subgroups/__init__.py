"""How good a model is for whom: slices, groups, and gaps between them."""
