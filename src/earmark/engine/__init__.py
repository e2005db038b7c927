"""The hot path: operations, the batcher, and the two stores that execute them (Redis, and the oracle in memory)."""
