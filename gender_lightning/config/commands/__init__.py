"""One root per command: what `conf/<command>.yaml` composes."""
