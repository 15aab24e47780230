"""A page on this computer that shows what a checkpoint says of pictures, and where it looks."""
