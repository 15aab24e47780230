"""Image corruptions to measure robustness: the fifteen of ImageNet-C and seven specific to faces."""
