"""The Redis store: keys, scripts, the link, and what executes operations."""
