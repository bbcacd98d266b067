"""Alerts, probe and dashboard of serving/deploy: they ask for what the server shows."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from serving.devserver.metrics import Metrics
from tests.serving.deployment import DEPLOY, compose, model, read

TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "object", "additionalProperties": TEXT}
DURATION = {"type": "string", "pattern": r"^\d+[smh]$"}
# As Prometheus documents a file of rules.
RULES = {
    "type": "object",
    "required": ["groups"],
    "additionalProperties": False,
    "properties": {
        "groups": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "rules"],
                "additionalProperties": False,
                "properties": {
                    "name": TEXT,
                    "rules": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["alert", "expr", "for", "labels", "annotations"],
                            "additionalProperties": False,
                            "properties": {
                                "alert": TEXT,
                                "expr": TEXT,
                                "for": DURATION,
                                "labels": TEXTS,
                                "annotations": TEXTS,
                            },
                        },
                    },
                },
            },
        }
    },
}
PROBED = {"probe_success"}
"""What the probe shows."""


def rules() -> dict[str, dict[str, Any]]:
    (file,) = read("alerts.yml")
    jsonschema.validate(file, RULES)
    return {rule["alert"]: rule for group in file["groups"] for rule in group["rules"]}


def dashboard() -> dict[str, Any]:
    return json.loads((DEPLOY / "grafana/serving.json").read_text(encoding="utf-8"))


def queries() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules().values())
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for variable in dashboard()["templating"]["list"]:
        wanted = variable["query"]["query"]
        name, label = re.fullmatch(r"label_values\((.+), (\w+)\)", wanted).groups()
        yield f"sum by ({label}) ({name})"


def shown() -> dict[str, set[str]]:
    """The metrics of a server that has loaded a model and answered requests, and their labels."""
    metrics = Metrics()
    metrics.request("music", "predict", "GRPC", "OK", 0.01)
    metrics.run("music", 0.01)
    metrics.load("/models/music", "success", 1.0)
    found: dict[str, set[str]] = {}
    for line in metrics.page().decode().splitlines():
        if not line.startswith("#"):
            name, labels = re.fullmatch(r"([:\w]+)(?:\{(.*)\})? \S+", line).groups()
            found[name] = set(re.findall(r'(\w+)="', labels or ""))
    return found


FUNCTIONS = {"histogram_quantile", "sum", "rate", "increase", "by", "le"}


@pytest.mark.parametrize("query", sorted(set(queries())))
def test_a_query_asks_for_what_there_is(query: str) -> None:
    """Metrics, the labels that they are chosen and summed by, and brackets that close."""
    series = shown()
    names = set(re.findall(r"(?<![\w:$])[:a-z][:\w]*_[:\w]*(?=[\[{ ,)]|$)", query))
    labels = {
        *re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', query),
        *(name for names in re.findall(r"by \((.*?)\)", query) for name in names.split(", ")),
    }
    names -= FUNCTIONS | labels
    assert names and names <= series.keys() | PROBED
    for name in names - PROBED:
        assert labels <= series[name] | {"le"}
    for opened, closed in ("()", "[]", "{}"):
        assert query.count(opened) == query.count(closed)


def test_three_alerts_say_what_is_wrong() -> None:
    found = rules()
    assert list(found) == ["SlowRequests", "FailedRequests", "VersionNotAvailable"]
    for rule in found.values():
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["labels"]["severity"] in ("warning", "critical")
        asked = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        assert asked <= {"model_name", "instance"} and asked
    # A histogram's borders are microseconds: the limit is one that they can tell.
    limit = float(found["SlowRequests"]["expr"].split(">")[1])
    assert 1e3 < limit < 1e7
    assert found["VersionNotAvailable"]["expr"].startswith('probe_success{job="versions"}')


def test_prometheus_has_the_probe_ask_for_every_label() -> None:
    (file,) = read("prometheus.yml")
    jobs = {job["job_name"]: job for job in file["scrape_configs"]}
    assert set(jobs) == {"tensorflow-serving", "versions"}
    probe = jobs["versions"]
    base = f"http://serving:8501/v1/models/{model().name}/labels"
    assert probe["static_configs"] == [{"targets": [f"{base}/{label}" for label in model().labels]}]
    (module,) = probe["params"]["module"]
    assert set(read("blackbox.yml")[0]["modules"]) == {module}
    host, port = probe["relabel_configs"][-1]["replacement"].split(":")
    assert host in compose() and port == "9115"
    assert [rule.get("target_label") for rule in probe["relabel_configs"]] == [
        "__param_target",
        "instance",
        "__address__",
    ]
    mounts = {
        pathlib.PurePath(mount["target"]): mount["source"]
        for mount in compose()["prometheus"]["volumes"]
    }
    for name in file["rule_files"]:
        assert mounts[pathlib.PurePath("/etc/prometheus", name)] == f"./{name}"


def test_the_probe_knows_a_version_that_is_loaded() -> None:
    """The answers are as the server writes them."""
    (module,) = read("blackbox.yml")[0]["modules"].values()
    (pattern,) = module["http"]["fail_if_body_not_matches_regexp"]
    text = '{\n "model_version_status": [\n  {\n   "version": "1",\n   "state": "%s",\n'
    assert re.search(pattern, text % "AVAILABLE") and not re.search(pattern, text % "UNLOADING")
    assert module["prober"] == "http"


def test_the_dashboard_has_a_place_and_a_source_for_every_panel() -> None:
    board = dashboard()
    (source,) = read("grafana/datasources.yml")[0]["datasources"]
    wanted = {"type": source["type"], "uid": source["uid"]}
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        assert panel["datasource"] == wanted
        assert [target["datasource"] for target in panel["targets"]] == [wanted] * len(
            panel["targets"]
        )
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24 and not cells & taken
        taken |= cells
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    assert source["url"] == "http://prometheus:9090" and "prometheus" in compose()


def test_grafana_finds_what_is_mounted() -> None:
    mounts = {mount["target"]: mount["source"] for mount in compose()["grafana"]["volumes"]}
    for target, source in mounts.items():
        if source.startswith("."):
            assert (DEPLOY / source).is_file()
            assert target.startswith("/etc/grafana/provisioning/")
    (provider,) = read("grafana/dashboards.yml")[0]["providers"]
    home = compose()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home in mounts
    assert provider["options"]["path"] == pathlib.PurePath(home).parent.as_posix()
