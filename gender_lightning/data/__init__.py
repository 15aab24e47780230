"""Data: label files, images, datasets and their loaders."""
