"""What is measured of each row of a comparison."""
