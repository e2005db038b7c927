"""Background work: flush, sweep, relay, recovery, reconciliation."""
