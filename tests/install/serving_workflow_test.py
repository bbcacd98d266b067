"""The workflow that runs the samples of serving/deploy: what it names is there."""

from __future__ import annotations

import re

import yaml

from benchmarks.serving import IMAGE, REAL
from tests.serving.conformance import model_server_test
from tests.serving.deployment import DEPLOY, ROOT, SERVERS, compose, model

WORKFLOW = ROOT / ".github/workflows/serving.yml"


def test_the_workflow_runs_these_samples_and_these_tests() -> None:
    (job,) = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"].values()
    assert (ROOT / job["env"]["COMPOSE_FILE"]).samefile(DEPLOY / "docker-compose.yaml")
    environment = {k: v for step in job["steps"] for k, v in step.get("env", {}).items()}
    flags = SERVERS["compose"]()
    assert environment["TF_SERVING_ADDRESS"] == f"localhost:{flags['port']}"
    assert environment["TF_SERVING_REST_ADDRESS"] == f"http://localhost:{flags['rest_api_port']}"
    assert environment["TF_SERVING_IMAGE"] == compose()["serving"]["image"]
    commands = "\n".join(step.get("run", "") for step in job["steps"])
    exported = f"--pretrained={model_server_test.SOURCE} --model_base_path=models/{model().name}"
    assert exported in commands and model_server_test.MODEL == model().name
    for path in re.findall(r"(?:tests|serving)/[\w/]+(?:\.py)?", commands):
        assert (ROOT / path).exists(), path
    wanted = {model_server_test.ADDRESS, model_server_test.REST_ADDRESS, IMAGE}
    assert set(environment) == wanted
    names = re.findall(r'--only="([^"]+)"', commands)
    assert names == [REAL]
