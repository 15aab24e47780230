"""The embedded synthetic faces."""
