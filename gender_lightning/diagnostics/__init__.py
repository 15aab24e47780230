"""What needs a network to be run on pictures: heat maps, galleries, disturbed pictures."""
