"""How well a network stands what happens to pictures: ImageNet-C's fifteen corruptions and faces' own."""
