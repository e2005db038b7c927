"""Pure rules: no I/O, no clock. Imports only `earmark.errors` and `earmark.credits`."""
