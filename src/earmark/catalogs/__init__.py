"""Catalogs: documents, their validation, the presets, and the one in force."""
