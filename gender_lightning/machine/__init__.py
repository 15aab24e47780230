"""What this machine has and allows, and what a result says about it."""
