"""`earmark demo --catalog`: a month in the life of a credit system, on the test clock."""

from earmark.cli.demo.month.command import run_month

__all__ = ["run_month"]
