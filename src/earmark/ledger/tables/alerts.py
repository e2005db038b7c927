"""Alerts that were set off, and their deliveries."""

from __future__ import annotations
