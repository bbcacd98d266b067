"""Requests of every kind, made from the description of the REST interface."""

from __future__ import annotations

import pathlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

import serving.standin
from serving.standin import rest
from serving.standin.launch import running
from serving.standin.settings import METRICS_PATH, Loading, ModelConfig, Settings
from tests.serving.standin import small_models


class _Application:
    """What Schemathesis wants at import; the server behind it comes with the fixture."""

    async def __call__(self, scope, receive, send):
        await self.behind(scope, receive, send)


APPLICATION = _Application()
SCHEMA = schemathesis.openapi.from_path(
    pathlib.Path(serving.standin.__file__).parent / "openapi.json"
)
SCHEMA.app = APPLICATION
OPERATIONS = [result.ok() for result in SCHEMA.get_all_operations()]


@pytest.fixture(scope="module")
def application(tmp_path_factory):
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
        APPLICATION.behind = rest.application(running_server.core, workers)
        yield


@pytest.mark.usefixtures("application")
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_requests_made_from_the_description(operation, mode):
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
