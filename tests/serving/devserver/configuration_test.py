"""Configuration files: what they mean, and what is said of those that are wrong."""

from __future__ import annotations

import pathlib
import time

import pytest

from common.errors import InputError
from serving.devserver import configuration
from serving.devserver.settings import All, Batching, Latest, Specific
from serving.devserver.versions import find_versions
from tests.serving.clients import certificate_files


@pytest.fixture
def file(tmp_path):
    def write(text: str) -> pathlib.Path:
        path = tmp_path / "file.config"
        path.write_text(text)
        return path

    return write


def test_models(file):
    models = configuration.read_models(
        file("""
        model_config_list {
          config { name: "a" base_path: "/models/a" model_platform: "tensorflow" }
          config {
            name: "b" base_path: "/models/b"
            model_version_policy { specific { versions: 3 versions: 4 } }
            version_labels { key: "stable" value: 3 }
            version_labels { key: "canary" value: 4 }
          }
          config { name: "c" base_path: "/c" model_version_policy { all {} } }
          config { name: "d" base_path: "/d" model_version_policy { latest { num_versions: 2 } } }
        }
        """)
    )
    assert [(model.name, str(model.base_path)) for model in models] == [
        ("a", "/models/a"),
        ("b", "/models/b"),
        ("c", "/c"),
        ("d", "/d"),
    ]
    assert [model.policy for model in models] == [
        Latest(1),
        Specific(frozenset({3, 4})),
        All(),
        Latest(2),
    ]
    assert models[1].labels == {"stable": 3, "canary": 4}


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        (Latest(), {10}),
        (Latest(2), {9, 10}),
        (All(), {1, 9, 10}),
        (Specific(frozenset({1, 7})), {1}),
    ],
)
def test_policies(policy, chosen):
    assert policy.choose([10, 1, 9]) == chosen
    assert policy.choose([]) == set()


CONFIG = 'model_config_list {{ config {{ name: "a" {} }} }}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_config_list {\n config {\n nam: 1 }}", "line 3: expected a ModelServerConfig"),
        ("", "expected a model_config_list"),
        (CONFIG.format('base_path: "models/a"'), "Expected model a to have an absolute path"),
        (CONFIG.format('base_path: "/a" model_platform: "torch"'), "unsupported platform torch"),
        (
            CONFIG.format('base_path: "/a" model_version_policy { specific {} }'),
            "expected versions in the specific policy of model a",
        ),
        ('model_config_list { config { base_path: "/a" } }', "expected a name"),
        (
            'model_config_list { config { name: "a" base_path: "/a" } '
            'config { name: "a" base_path: "/b" } }',
            "Illegal to list model a multiple times",
        ),
    ],
)
def test_wrong_models(file, text, message):
    path = file(text)
    with pytest.raises(InputError) as error:
        configuration.read_models(path)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_batching(file):
    text = """
        max_batch_size { value: 32 }
        batch_timeout_micros { value: 2000 }
        max_enqueued_batches { value: 100 }
        num_batch_threads { value: 3 }
        thread_pool_name { value: "pool" }
        allowed_batch_sizes: 1 allowed_batch_sizes: 4 allowed_batch_sizes: 32
        pad_variable_length_inputs: true
    """
    assert configuration.read_batching(file(text)) == Batching(32, 2000, 100, 3, (1, 4, 32), True)
    assert configuration.read_batching(file("")) == Batching(max_batch_size=1000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size: 3", "line 1: expected a BatchingParameters as text"),
        ("max_batch_sise { value: 3 }", 'has no field named "max_batch_sise"'),
        ("num_batch_threads { value: 0 }", "num_batch_threads: expected at least 1. Received: 0"),
        ("batch_timeout_micros { value: -1 }", "expected at least 0. Received: -1"),
        ("allowed_batch_sizes: 4 allowed_batch_sizes: 2", "expected rising positive numbers"),
        (
            "allowed_batch_sizes: 4 max_batch_size { value: 8 }",
            "expected max_batch_size, 8, as the last one. Received: 4",
        ),
    ],
)
def test_wrong_batching(file, text, message):
    with pytest.raises(InputError, match=".*") as error:
        configuration.read_batching(file(text))
    assert message in str(error.value)


def test_metrics(file):
    read = configuration.read_metrics_path
    assert read(file("")) is None
    assert read(file("prometheus_config { enable: true }")) == "/monitoring/prometheus/metrics"
    assert read(file('prometheus_config { enable: true, path: "/m" }')) == "/m"
    with pytest.raises(InputError, match="begins with /"):
        read(file('prometheus_config { enable: true, path: "m" }'))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A key and its certificate, as the file quotes them."""
    made = certificate_files.make(tmp_path_factory.mktemp("tls"))
    return [path.read_text().replace("\n", "\\n") for path in (made.key, made.certificate)]


def test_tls(file, pair):
    key, certificate = pair
    text = f'server_key: "{key}" server_cert: "{certificate}"'
    tls = configuration.read_tls(file(text))
    assert (tls.client_verify, tls.custom_ca) == (False, "")
    assert tls.server_key.startswith("-----BEGIN")
    tls = configuration.read_tls(file(f'{text} client_verify: true custom_ca: "{certificate}"'))
    assert tls.client_verify and tls.custom_ca.startswith("-----BEGIN")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('server_key: "{0}" server_cert: "c.pem"', "server_cert: expected PEM text"),
        ('server_key: "{0}" server_cert: "{1}" client_verify: true', "custom_ca: expected PEM"),
        ('server_key: "-----BEGIN k" server_cert: "{1}"', "expected a key, its certificate"),
        ('server_key: "{0}" server_cert: "-----BEGIN c"', "expected a key, its certificate"),
        (
            'server_key: "{0}" server_cert: "{1}" client_verify: true custom_ca: "-----BEGIN x"',
            "expected a key, its certificate, and authorities",
        ),
    ],
)
def test_wrong_tls(file, pair, text, message):
    """What gRPC would call a port that is not free."""
    path = file(text.format(*pair))
    with pytest.raises(InputError) as error:
        configuration.read_tls(path)
    assert message in str(error.value) and str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_many_models_take_no_time_of_others(file):
    """Eight thousand, which anybody may send; quadratic, they took a second."""
    one = 'config {{ name: "m{0}" base_path: "/m/{0}" }}'
    text = "".join(one.format(number) for number in range(8000))
    start = time.process_time()
    assert len(configuration.read_models(file(f"model_config_list {{ {text} }}"))) == 8000
    assert time.process_time() - start < 5


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"none: No such file"):
        configuration.read_tls(tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(InputError, match="UTF-8"):
        configuration.read_tls(tmp_path / "bytes")


# --- Folders ---


def test_versions_are_folders_named_by_numbers(tmp_path):
    for name in ("1", "0012", "v3", ".tmp-4", "5x", "99999999999999999999", "1.5", "-7"):
        (tmp_path / name).mkdir()
    (tmp_path / "6").write_text("a file")
    found = find_versions(tmp_path)
    assert {number: path.name for number, path in found.items()} == {1: "1", 12: "0012", -7: "-7"}
    with pytest.raises(OSError):
        find_versions(tmp_path / "none")
