"""Figures of a running server in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one server, in a registry of its own.

    Args:
        queue, running, store_bytes: what is read at each look.
    """

    def __init__(
        self, queue: Callable[[], float], running: Callable[[], float], store_bytes: Callable[[], float]
    ) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Counter(
            "avatargpt_requests", "Answered requests", ["method", "route", "status"], registry=registry
        )
        self.latency = Histogram(
            "avatargpt_request_seconds", "From the head of a request to the end of its answer", ["route"],
            registry=registry, buckets=SECONDS,
        )  # fmt: skip
        self.work = Histogram(
            "avatargpt_work_seconds", "Of the model's thread, a piece of work", ["kind"], registry=registry,
            buckets=SECONDS,
        )  # fmt: skip
        self.batch = Histogram("avatargpt_batch_size", "Requests generated together", registry=registry, buckets=SIZES)
        self.motion = Counter("avatargpt_motion_seconds", "Seconds of motion made", ["kind"], registry=registry)
        self.left = Counter("avatargpt_clients_gone", "Clients that left before their answer", registry=registry)
        self.refused = Counter("avatargpt_refused", "Requests refused before a route", ["code"], registry=registry)
        self.by_key = Counter("avatargpt_key_requests", "Answered requests of named keys", ["key"], registry=registry)
        self.sockets = Gauge("avatargpt_sockets", "Open WebSockets", registry=registry)
        gauges = {
            "avatargpt_queue": ("Requests that wait for the model", queue),
            "avatargpt_running": ("Requests that are worked on", running),
            "avatargpt_store_bytes": ("Bytes of the store at the last sweep", store_bytes),
        }
        for name, (text, value) in gauges.items():
            Gauge(name, text, registry=registry).set_function(value)

    def count_work(self, kind: str, seconds: float, count: int) -> None:
        """A piece of work of the model's thread."""
        self.work.labels(kind).observe(seconds)
        if kind == "generate":
            self.batch.observe(count)

    def text(self) -> bytes:
        """What Prometheus reads."""
        return generate_latest(self.registry)
