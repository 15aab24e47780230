"""Tests of the data package; a package, so that they share `conftest`."""
