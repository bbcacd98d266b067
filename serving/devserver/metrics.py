"""Counts and times for Prometheus, under the names that TensorFlow Serving uses."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""Type of the page."""

_SERVING, _LOADING = ":tensorflow:serving", ":tensorflow:cc:saved_model"

_MICROSECONDS = tuple(10 * 1.8**power for power in range(33))
"""Bounds of TensorFlow Serving's latency histograms: 10 microseconds to about 25 minutes."""

_TOTAL = re.compile(rb"^((?:# (?:HELP|TYPE) )?:tensorflow:\w[\w:]*?)_total\b", re.MULTILINE)


class Metrics:
    """The metrics of one server.

    Names and labels are those of TensorFlow Serving's metrics; times are in microseconds. Metrics
    without a counterpart there begin with `serving_devserver`.

    Attributes:
        running: gauge of the requests that TensorFlow runs.
        waiting: gauge of the requests that wait.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry(auto_describe=False)

        def made(kind: Any, name: str, text: str, *labels: str) -> Callable[..., Any]:
            options = {"buckets": _MICROSECONDS} if kind is Histogram else {}
            # The library takes 3 microseconds to find a metric by its labels.
            return functools.cache(kind(name, text, labels, registry=registry, **options).labels)

        self._requests = made(
            Counter, f"{_SERVING}:request_count", "Requests.", "model_name", "status"
        )
        self._latency = made(
            *(Histogram, f"{_SERVING}:request_latency", "Microseconds of a request."),
            *("model_name", "API", "entrypoint"),
        )
        self._runtime = made(
            *(Histogram, f"{_SERVING}:runtime_latency"),
            "Microseconds of TensorFlow, batching included.",
            *("model_name", "API", "runtime"),
        )
        self._loads = made(
            Counter, f"{_LOADING}:load_attempt_count", "Attempts to load.", "model_path", "status"
        )
        self._load_time = made(
            Counter, f"{_LOADING}:load_latency", "Microseconds of what was loaded.", "model_path"
        )
        gauge = functools.partial(Gauge, registry=registry)
        self.running = gauge("serving_devserver_running_requests", "Requests that run.")
        self.waiting = gauge("serving_devserver_queue_depth", "Requests that wait.")

    def request(self, model: str, api: str, entrypoint: str, status: str, seconds: float) -> None:
        """Counts an answered request over an entrypoint, `GRPC` or `REST`."""
        self._requests(model, status).inc()
        self._latency(model, api, entrypoint).observe(1e6 * seconds)

    def run(self, model: str, seconds: float) -> None:
        """Counts a call of TensorFlow, which took so long with the wait for its batch."""
        self._runtime(model, "Predict", "TF1").observe(1e6 * seconds)

    def load(self, path: str, status: str, seconds: float) -> None:
        """Counts an attempt to load a version: `success` or `fail`.

        Args:
            path: folder of all versions of the model, because labels per version would pile up.
            status: how it ended.
            seconds: how long it took.
        """
        self._loads(path, status).inc()
        if status == "success":
            self._load_time(path).inc(1e6 * seconds)

    def page(self) -> bytes:
        """Returns the page for Prometheus."""
        # The client library appends _total to the names of counters; TensorFlow Serving does not.
        return _TOTAL.sub(rb"\1", generate_latest(self._registry))
