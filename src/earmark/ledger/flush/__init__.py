"""Writing settled records: planned in plain Python, written by the driver of each database."""

from earmark.ledger.flush.writer import Flush, flush_writer

__all__ = ["Flush", "flush_writer"]
