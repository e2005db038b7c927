"""The command line: `earmark`. Imports nothing heavy until a command runs."""
