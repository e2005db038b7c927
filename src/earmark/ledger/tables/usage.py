"""Roll-ups of what was used, for reports."""

from __future__ import annotations
