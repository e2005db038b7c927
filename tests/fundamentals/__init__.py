"""What Earmark does, one behaviour a test, on a real engine and on the reference store.

Read it as a tutorial, in this order: reserve, commit, release, expiry, grants, debt, replays, extend, waiting,
administration, observing, limits, entitlement, silence, warnings, renewals, residence, batches.
"""
