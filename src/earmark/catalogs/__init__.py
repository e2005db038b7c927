"""Catalogs: documents that become values, the presets, and the version that is in force."""

from earmark.catalogs.parser import parse_catalog
from earmark.catalogs.presets import PRESETS, read_source
from earmark.catalogs.problems import InvalidCatalog, Problem

__all__ = ["PRESETS", "InvalidCatalog", "Problem", "parse_catalog", "read_source"]
