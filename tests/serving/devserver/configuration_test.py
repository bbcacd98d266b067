"""Configuration files: what they mean, and that those that are wrong get one line."""

from __future__ import annotations

import pathlib

import pytest

from common.errors import InputError
from serving.devserver import configuration
from serving.devserver.settings import TLS, Batching, ModelConfig
from tests.serving.clients import certificate_files


@pytest.fixture
def file(tmp_path):
    def write(text: str) -> pathlib.Path:
        path = tmp_path / "file.config"
        path.write_text(text, encoding="latin-1")
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
    labels = {"stable": 3, "canary": 4}
    assert models == (
        ModelConfig("a", pathlib.Path("/models/a")),
        ModelConfig("b", pathlib.Path("/models/b"), 1, frozenset({3, 4}), labels),
        ModelConfig("c", pathlib.Path("/c"), latest=0),
        ModelConfig("d", pathlib.Path("/d"), latest=2),
    )


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
    assert configuration.read_batching(file(text)) == Batching(32, 2000, 100, 3, True)
    assert configuration.read_batching(file("")) == Batching(max_batch_size=1000)


def test_metrics(file):
    read = configuration.read_metrics_path
    assert read(file("")) is None
    assert read(file("prometheus_config { enable: true }")) == "/monitoring/prometheus/metrics"
    assert read(file('prometheus_config { enable: true, path: "/m" }')) == "/m"


def test_tls(file, tmp_path):
    made = certificate_files.make(tmp_path)
    key, certificate = made.key.read_text(), made.certificate.read_text()
    quoted = [text.replace("\n", "\\n") for text in (key, certificate)]
    text = 'server_key: "{}" server_cert: "{}"'.format(*quoted)
    assert configuration.read_tls(file(text)) == TLS(key, certificate)
    text += f' client_verify: true custom_ca: "{quoted[1]}"'
    assert configuration.read_tls(file(text)) == TLS(key, certificate, certificate, True)


MODEL = 'model_config_list {{ config {{ name: "a" {} }} }}'
KEY = 'server_key: "-----BEGIN k" '
WRONG = {
    configuration.read_models: [
        "model_config_list {\n config {\n nam: 1 }}",
        "",
        "\xff",
        MODEL.format('base_path: "models/a"'),
        MODEL.format('base_path: "/a" model_platform: "torch"'),
        MODEL.format('base_path: "/a" model_version_policy { specific {} }'),
        'model_config_list { config { base_path: "/a" } }',
        2 * MODEL.format('base_path: "/a"'),
    ],
    configuration.read_batching: [
        "max_batch_size: 3",
        "max_batch_sise { value: 3 }",
        "num_batch_threads { value: 0 }",
        "batch_timeout_micros { value: -1 }",
    ],
    configuration.read_metrics_path: ['prometheus_config { enable: true, path: "m" }'],
    configuration.read_tls: [
        f'{KEY} server_cert: "c.pem"',
        f'{KEY} server_cert: "-----BEGIN c" client_verify: true',
        f'{KEY} server_cert: "-----BEGIN c"',
    ],
}


@pytest.mark.parametrize(("read", "text"), [(read, text) for read in WRONG for text in WRONG[read]])
def test_a_wrong_file_is_one_line_that_names_it(file, read, text):
    path = file(text)
    with pytest.raises(InputError, match="expected") as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
    path.unlink()
    with pytest.raises(InputError, match=f"^{path}: No such file"):
        read(path)
