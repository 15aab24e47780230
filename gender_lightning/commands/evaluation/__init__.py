"""What `evaluate` prints and leaves to look at."""
