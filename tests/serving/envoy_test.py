"""The proxy of serving/deploy: what it lets through, to whom, and what it writes down."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from serving.clients import request_log
from tests.serving.deployment import SERVERS, compose, model, read

EXTENSIONS = {
    "transport_sockets.tls.v3.DownstreamTlsContext",
    "filters.network.http_connection_manager.v3.HttpConnectionManager",
    "filters.http.local_ratelimit.v3.LocalRateLimit",
    "filters.http.tap.v3.Tap",
    "filters.http.router.v3.Router",
    "upstreams.http.v3.HttpProtocolOptions",
}


def resources() -> dict[str, Any]:
    return read("envoy.yaml")[0]["static_resources"]


def chain() -> dict[str, Any]:
    (listener,) = resources()["listeners"]
    (chain,) = listener["filter_chains"]
    return chain


def manager() -> dict[str, Any]:
    return chain()["filters"][0]["typed_config"]


def filters() -> dict[str, dict[str, Any]]:
    return {
        each["name"].rpartition(".")[2]: each["typed_config"] for each in manager()["http_filters"]
    }


def types(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from ([value["@type"]] if "@type" in value else [])
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from types(each)


def way(path: str, is_grpc: bool) -> str | None:
    """Where a request goes: to the first route that matches it."""
    (host,) = manager()["route_config"]["virtual_hosts"]
    for route in host["routes"]:
        match = route["match"]
        assert set(match) <= {"path", "prefix", "grpc"}
        fits = path == match["path"] if "path" in match else path.startswith(match["prefix"])
        if fits and (is_grpc or "grpc" not in match):
            return route["route"]["cluster"]
    return None


def test_its_parts_are_envoys_own() -> None:
    """Each field was read by Envoy's own messages (xds-protos) when it was written."""
    prefix = "type.googleapis.com/envoy.extensions."
    assert {each.removeprefix(prefix) for each in types(resources())} == EXTENSIONS


@pytest.mark.parametrize(
    ("path", "is_grpc", "cluster"),
    [
        (request_log.PREDICT, True, "grpc"),
        ("/tensorflow.serving.PredictionService/GetModelMetadata", True, "grpc"),
        ("/tensorflow.serving.ModelService/GetModelStatus", True, "grpc"),
        (f"/v1/models/{model().name}:predict", False, "rest"),
        ("/tensorflow.serving.ModelService/HandleReloadConfigRequest", True, None),
        ("/tensorflow.serving.ModelService/HandleReloadConfigRequest", False, None),
        ("/monitoring/prometheus/metrics", False, None),
        ("/", False, None),
    ],
)
def test_only_what_callers_need_goes_through(path: str, is_grpc: bool, cluster: str | None) -> None:
    assert way(path, is_grpc) == cluster


def test_the_server_is_where_it_looks_for_it() -> None:
    flags = SERVERS["compose"]()
    found = {}
    for cluster in resources()["clusters"]:
        assert cluster["load_assignment"]["cluster_name"] == cluster["name"]
        ((endpoint,),) = (each["lb_endpoints"] for each in cluster["load_assignment"]["endpoints"])
        address = endpoint["endpoint"]["address"]["socket_address"]
        assert address["address"] in compose()
        found[cluster["name"]] = str(address["port_value"])
        # gRPC is HTTP/2 only.
        is_http2 = "typed_extension_protocol_options" in cluster
        assert is_http2 == (cluster["name"] == "grpc")
    assert found == {"grpc": flags["port"], "rest": flags["rest_api_port"]}
    (listener,) = resources()["listeners"]
    port = listener["address"]["socket_address"]["port_value"]
    assert compose()["envoy"]["ports"] == [f"{port}:{port}"]


def test_callers_need_tls() -> None:
    tls = chain()["transport_socket"]["typed_config"]["common_tls_context"]
    assert tls["tls_params"]["tls_minimum_protocol_version"] in ("TLSv1_2", "TLSv1_3")
    assert tls["alpn_protocols"] == ["h2", "http/1.1"]
    mounts = {mount["target"]: mount for mount in compose()["envoy"]["volumes"]}
    (certificate,) = tls["tls_certificates"]
    for file in certificate.values():
        mount = mounts[pathlib.PurePath(file["filename"]).parent.as_posix()]
        assert mount["read_only"] and mount["source"].startswith("${CERTIFICATES:-")
    assert compose()["envoy"]["profiles"] == ["edge"]
    assert compose()["envoy"]["command"][1] in mounts


def test_more_requests_than_the_limit_are_refused_as_the_server_does() -> None:
    limit = filters()["local_ratelimit"]
    bucket = limit["token_bucket"]
    assert bucket["max_tokens"] >= bucket["tokens_per_fill"] > 0
    for switch in ("filter_enabled", "filter_enforced"):
        assert limit[switch]["default_value"] == {"numerator": 100, "denominator": "HUNDRED"}
    # A code that our clients wait and ask again for.
    assert limit["rate_limited_as_resource_exhausted"] is True
    # What is refused is not written down; the router is the last, or Envoy does not start.
    assert list(filters()) == ["local_ratelimit", "tap", "router"]


def test_what_it_writes_down_can_be_read() -> None:
    tap = filters()["tap"]["common_config"]["static_config"]
    (header,) = tap["match"]["http_request_headers_match"]["headers"]
    assert header == {"name": ":path", "string_match": {"exact": request_log.PREDICT}}
    (sink,) = tap["output_config"]["sinks"]
    assert sink["format"] == "JSON_BODY_AS_BYTES"
    folder = pathlib.PurePath(sink["file_per_tap"]["path_prefix"]).parent.as_posix()
    (mount,) = (each for each in compose()["envoy"]["volumes"] if each["target"] == folder)
    assert not mount.get("read_only")
    # A thousand bytes otherwise: no sequence.
    for limit in ("max_buffered_rx_bytes", "max_buffered_tx_bytes"):
        assert tap["output_config"][limit] >= 2**20
