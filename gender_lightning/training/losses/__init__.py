"""What a training minimises, and what it must know of each image for that."""
