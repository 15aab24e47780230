"""`train -m`: every job of a sweep is a process tree of its own."""
