"""What the background jobs count, as Prometheus metrics."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

__all__ = ["JobMetrics"]

_LAGS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0)
_BATCHES = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0)


class JobMetrics:
    """One per process: a registry takes each name once."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.flushed = Counter(
            "earmark_flush_records", "Settled records that this process wrote to SQL.", registry=registry
        )
        self.passed_over = Counter(
            "earmark_flush_passed_over", "Records that SQL held already, with the same content.", registry=registry
        )
        self.fenced = Counter(
            "earmark_flush_fenced", "Flushes that SQL refused because another flusher went on.", registry=registry
        )
        self.failures = Counter(
            "earmark_flush_failures", "Flushes that failed and are repeated, a store being away.", registry=registry
        )
        self.lag = Histogram(
            "earmark_flush_lag_seconds",
            "Time from a settled entry to its being durable in SQL, for the oldest of each batch.",
            buckets=_LAGS,
            registry=registry,
        )
        self.batch = Histogram("earmark_flush_batch", "Records per flush.", buckets=_BATCHES, registry=registry)
        self.backlog = Gauge(
            "earmark_flush_backlog",
            "Settled records that wait for SQL, of the partitions that this process flushes.",
            registry=registry,
        )
        self.held = Gauge(
            "earmark_flush_partitions_held", "Partitions whose flush lease this process holds.", registry=registry
        )
        self.stopped = Gauge(
            "earmark_flush_partitions_stopped",
            "Partitions that are not flushed because their records contradict the ledger: raise an alarm above 0.",
            registry=registry,
        )
        self.trim_lag = Gauge(
            "earmark_flush_trim_lag_seconds", "How far trimming of the streams lags behind.", registry=registry
        )
        self.retired = Counter(
            "earmark_sweep_retired", "Ended records removed after their replay window.", registry=registry
        )
        self.evicted = Counter("earmark_sweep_evicted", "Idle accounts removed from Redis.", registry=registry)
        self.touched = Counter(
            "earmark_sweep_accounts_touched",
            "Accounts loaded or read because a grant of theirs had expired.",
            registry=registry,
        )
        self.relayed = Counter(
            "earmark_relay_operations",
            "Administrative operations brought to Redis in the background.",
            registry=registry,
        )
        self.warned = Counter(
            "earmark_alerts_expiring_soon", "Grants whose account was warned that they expire soon.", registry=registry
        )
        self.deliveries = Counter(
            "earmark_alert_deliveries",
            "Attempts to deliver an alert, by how they ended: delivered, repeated later, failed for good.",
            ["channel", "outcome"],
            registry=registry,
        )
        self.cycles = Counter("earmark_billing_cycles", "Billing cycles that this process began.", registry=registry)
        self.credits_refused = Counter(
            "earmark_billing_credits_refused",
            "Credits of cycles that Redis refused, to accounts with too many grants; they are tried again.",
            registry=registry,
        )
        self.memory_used = Gauge("earmark_redis_memory_bytes", "Memory that Redis uses.", registry=registry)
        self.memory_limit = Gauge("earmark_redis_memory_limit_bytes", "maxmemory of Redis.", registry=registry)
        self.memory_full = Gauge(
            "earmark_redis_memory_full", "Whether new reservations are refused for lack of memory.", registry=registry
        )
        self.restarts = Counter(
            "earmark_job_restarts", "Background jobs that failed and were started again.", ["job"], registry=registry
        )
