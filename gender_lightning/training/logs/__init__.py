"""Where a training's numbers go: metrics.csv, TensorBoard, Weights & Biases."""
