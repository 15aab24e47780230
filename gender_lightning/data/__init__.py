"""Data: label files, images, datasets, and the embedded synthetic faces."""
