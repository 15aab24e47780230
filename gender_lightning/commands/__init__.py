"""One thin file per verb, the only place that sees the composed configuration."""
