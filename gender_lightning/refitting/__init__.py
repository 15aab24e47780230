"""A new last layer for a trained network: features, fits, nested choice, and what it gained."""
