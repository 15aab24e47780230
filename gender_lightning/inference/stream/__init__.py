"""Streams of any number of pictures: where they come from, how they are processed, and where the rows go."""
