"""What is doubtful in a data set: contradictions, duplicates, poor pictures, suspect labels, small cells."""
