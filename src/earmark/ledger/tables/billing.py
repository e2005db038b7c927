"""Subscriptions, claimed identities, purchases."""

from __future__ import annotations
