"""Counters of limits, as flushed entries make them."""

from __future__ import annotations
