"""`earmark demo`: an embedded sidecar, some hundred simulated generations, and whether every figure agrees."""

from earmark.cli.demo.command import EXAMPLES, demo

__all__ = ["EXAMPLES", "demo"]
