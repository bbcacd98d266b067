"""Requests of every kind, made from the description of the REST interface.

Schemathesis takes seconds to import, in every process that collects tests: where it is used.
"""

from __future__ import annotations

import json
import pathlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable

import serving.standin
from serving.standin import rest
from serving.standin.launch import running
from serving.standin.settings import METRICS_PATH, Loading, ModelConfig, Settings
from tests.serving.standin import small_models

DESCRIPTION = pathlib.Path(serving.standin.__file__).parent / "openapi.json"
OPERATIONS = [
    (method, path)
    for path, item in json.loads(DESCRIPTION.read_text("utf-8"))["paths"].items()
    for method in item
    if method in ("get", "post", "put", "delete", "patch")
]


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    import schemathesis

    folder = tmp_path_factory.mktemp("models") / "m"
    small_models.write(folder, 3)
    server = Settings(
        (ModelConfig("m", folder, labels={"stable": 3}),),
        loading=Loading(labels_for_unavailable_models=True),
        grpc_port=None,
        rest_port=None,
        metrics_path=METRICS_PATH,
    )
    with running(server) as running_server, ThreadPoolExecutor(2) as workers:
        schema = schemathesis.openapi.from_path(DESCRIPTION)
        schema.app = rest.application(running_server.core, workers)
        yield schema


@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_requests_made_from_the_description(schema, method, path, mode):
    from schemathesis.generation import GenerationMode
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    operation, mode = schema[path][method], GenerationMode(mode)

    @given(operation.as_strategy(generation_mode=mode))
    @settings(
        # Paths alone differ in little more than the model's name.
        max_examples=5 if operation.body else 2,
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    def check(case):
        # Which tensors a model takes, no description of the server can say.
        case.call_and_validate(excluded_checks=[positive_data_acceptance])

    try:
        check()
    except Unsatisfiable:
        # Without parameters there is nothing to get wrong.
        assert mode == GenerationMode.NEGATIVE and not operation.path_parameters
