"""What Earmark does, one behaviour a test, on a real engine: read it as a tutorial, in this order.

reserve, commit, release, expiry, grants, debt, replays, extend, waiting, administration, observing, residence,
batches.
"""
