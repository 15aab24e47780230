"""Help texts, made from the registry of commands, the typed schema and `conf/`; neither torch nor Hydra is imported."""
