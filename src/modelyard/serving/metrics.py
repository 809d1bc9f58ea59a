"""What Prometheus is told. Several workers write to one folder of counters, and any of them answers for all."""

import contextlib
import os
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.exposition import CONTENT_TYPE_LATEST

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_DIFFERENCES = (1e-6, 1e-4, 1e-3, 1e-2, 0.05, 0.1, 0.2, 0.5, 1, 10, 100)


class Metrics:
    """The counters of one process; names begin with ``modelyard_``."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        _forget_dead_workers()
        counter, gauge, histogram = self._counter, self._gauge, self._histogram
        self.requests = counter("requests", "Answered requests.", "project", "route", "status")
        self.request_seconds = histogram("request_seconds", "From head to answer.", _SECONDS, "project", "route")
        self.batch_rows = histogram("batch_rows", "Rows predicted together.", _ROWS, "project")
        self.prediction_seconds = histogram(
            "prediction_seconds", "Decode, predict and encode of a batch.", _SECONDS, "project", "version"
        )
        self.prediction_errors = counter("prediction_errors", "Requests whose prediction failed.", "project", "version")
        self.lookup_seconds = histogram("lookup_seconds", "Online features of a request.", _SECONDS, "project")
        self.queue_rows = gauge("queue_rows", "Rows that wait.", "livesum", "project")
        self.streams = gauge("streams", "Streams that are under way.", "livesum", "project")
        self.version = gauge("model_version", "Version that serves, 0 for none.", "livemostrecent", "project", "role")
        self.degraded = gauge("degraded", "Whether an earlier champion stands in.", "livemax", "project")
        self.swaps = counter("swaps", "Versions that took over.", "project", "role", "version")
        self.refused = counter("versions_refused", "Versions that must not serve.", "project", "version", "reason")
        self.registry_up = gauge("registry_up", "Whether the registry answers.", "livemin")
        self.log_rows = counter("log_rows", "Rows of the request log.", "project", "outcome")
        self.shadow_rows = counter("shadow_rows", "Rows offered to the shadow.", "project", "version", "outcome")
        self.shadow_agreement = gauge(
            "shadow_agreement", "Share of equal values.", "livemostrecent", "project", "version", "field"
        )
        self.shadow_difference = histogram(
            "shadow_difference", "Absolute difference of numbers.", _DIFFERENCES, "project", "version", "field"
        )
        self.canary_requests = counter("canary_requests", "Requests of canary keys.", "project", "version", "outcome")
        self.canary_active = gauge("canary_active", "Whether a canary answers.", "livemostrecent", "project")
        self.rollbacks = counter("canary_rollbacks", "Canaries that ended by themselves.", "project", "version")

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        registry = self._registry
        if os.environ.get(MULTIPROCESS_VARIABLE):
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library has no types there
        return generate_latest(registry)

    def value(self, name: str, **labels: str) -> float:
        """A sample's value, 0 where there is none yet; ``name`` as Prometheus sees it."""
        return self._registry.get_sample_value(f"modelyard_{name}", labels) or 0.0

    def _counter(self, name: str, text: str, *labels: str) -> Any:
        return Counter(f"modelyard_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, mode: Any, *labels: str) -> Any:
        return Gauge(f"modelyard_{name}", text, labels, registry=self._registry, multiprocess_mode=mode)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Any:
        return Histogram(f"modelyard_{name}", text, labels, registry=self._registry, buckets=buckets)


def _forget_dead_workers() -> None:
    """A worker that was killed leaves gauges behind; whoever takes its place removes them."""
    folder = os.environ.get(MULTIPROCESS_VARIABLE)
    for path in Path(folder).glob("gauge_live*_*.db") if folder else ():
        process = int(path.stem.rpartition("_")[2])
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            with contextlib.suppress(FileNotFoundError):  # another new worker was quicker
                multiprocess.mark_process_dead(process)  # type: ignore[no-untyped-call]  # likewise
