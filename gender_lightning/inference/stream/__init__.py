"""Pictures of any number, one after the other: where they come from, what is done to them, where the rows go."""
