"""Which rows of a data set are used, and in what order: pure functions of an index and a seed."""
