"""Several runs side by side: reading them back, one row per recipe, paired tests, costs, the verdict in words."""
