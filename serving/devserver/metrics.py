"""Counts and times for Prometheus, under the names that TensorFlow Serving uses."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import prometheus_client

_REQUEST, _SECONDS = ":tensorflow:serving", ":tensorflow:cc:saved_model"

_MICROSECONDS = tuple(10 * 1.8**power for power in range(33))
"""Bounds of TensorFlow Serving's latency histograms: 10 microseconds to about 25 minutes."""

_TOTAL = re.compile(rb"^((?:# (?:HELP|TYPE) )?:tensorflow:\w[\w:]*?)_total\b", re.MULTILINE)

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_PLAIN_0_0_4


class Metrics:
    """The metrics of one server.

    Names and labels are those of TensorFlow Serving's metrics; times are in microseconds. Metrics
    without a counterpart there begin with `serving_devserver`.
    """

    def __init__(self) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = prometheus_client.CollectorRegistry(auto_describe=False)
        counter = functools.partial(prometheus_client.Counter, registry=registry)
        gauge = functools.partial(prometheus_client.Gauge, registry=registry)
        histogram = functools.partial(
            prometheus_client.Histogram, registry=registry, buckets=_MICROSECONDS
        )
        self._registry = registry
        requests = counter(f"{_REQUEST}:request_count", "Requests.", ("model_name", "status"))
        latency = histogram(
            f"{_REQUEST}:request_latency",
            "Microseconds of a request.",
            ("model_name", "API", "entrypoint"),
        )
        runtime = histogram(
            f"{_REQUEST}:runtime_latency",
            "Microseconds of TensorFlow, batching included.",
            ("model_name", "API", "runtime"),
        )
        # The library takes 3 microseconds to find a metric by its labels.
        self._requests: Callable[..., Any] = functools.cache(requests.labels)
        self._latency: Callable[..., Any] = functools.cache(latency.labels)
        self._runtime: Callable[..., Any] = functools.cache(runtime.labels)
        self._loads = counter(
            f"{_SECONDS}:load_attempt_count", "Attempts to load.", ("model_path", "status")
        )
        self._load_latency = counter(
            f"{_SECONDS}:load_latency", "Microseconds of what was loaded.", ("model_path",)
        )
        self.running = gauge("serving_devserver_running_requests", "Calls of TensorFlow.")
        self.waiting = gauge("serving_devserver_queue_depth", "Requests that wait.")

    def request(self, model: str, api: str, entrypoint: str, status: str, seconds: float) -> None:
        """Counts an answered request.

        Args:
            model: name of the model.
            api: name of the method.
            entrypoint: `GRPC` or `REST`.
            status: name of the status code.
            seconds: time from arrival to answer.
        """
        self._requests(model, status).inc()
        self._latency(model, api, entrypoint).observe(1e6 * seconds)

    def run(self, model: str, seconds: float) -> None:
        """Counts a call of TensorFlow.

        Args:
            model: name of the model.
            seconds: duration of the call, including batching.
        """
        self._runtime(model, "Predict", "TF1").observe(1e6 * seconds)

    def load(self, path: str, status: str, seconds: float) -> None:
        """Counts an attempt to load a version.

        Args:
            path: folder of all versions of the model, because labels per version would pile up.
            status: `success` or `fail`.
            seconds: duration of the attempt.
        """
        self._loads.labels(path, status).inc()
        if status == "success":
            self._load_latency.labels(path).inc(1e6 * seconds)

    def page(self) -> bytes:
        """Returns the page for Prometheus."""
        # The client library appends _total to the names of counters; TensorFlow Serving does not.
        return _TOTAL.sub(rb"\1", prometheus_client.generate_latest(self._registry))
