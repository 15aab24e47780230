"""What lies on disk: label tables, archives, folders, encoded pictures."""
