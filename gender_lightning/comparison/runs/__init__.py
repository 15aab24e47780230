"""Which runs are compared, and what they have left: read back, joined, brought to rows."""
