"""Logging of training metrics: metrics.csv, TensorBoard, Weights & Biases."""
