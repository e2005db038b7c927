"""What a server counts, for Prometheus. Plain integers on the hot path, read when somebody scrapes."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from earmark.server.admission import Admission

__all__ = ["register"]


class _ServerCollector(Collector):
    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def collect(self) -> Iterable[Metric]:
        answered = CounterMetricFamily("earmark_calls", "Answered calls.", labels=("rpc", "outcome"))
        for (rpc, outcome), number in tuple(self._admission.counts.answered.items()):
            answered.add_metric((rpc, outcome), number)
        yield answered
        yield GaugeMetricFamily(
            "earmark_unary_calls_in_flight", "Unary calls that are being answered.", self._admission.calls
        )
        yield GaugeMetricFamily("earmark_sessions_open", "Open Session streams.", self._admission.sessions)
        yield GaugeMetricFamily("earmark_draining", "Whether this server drains.", int(self._admission.draining))


def register(registry: CollectorRegistry, admission: Admission) -> None:
    """Show a server's counts in a registry."""
    registry.register(_ServerCollector(admission))
