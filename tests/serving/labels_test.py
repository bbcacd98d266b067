"""`models.config` as `serving.export --labels` rewrites it, read by the server's own message."""

from __future__ import annotations

import pathlib

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from common.errors import InputError
from serving.publish import labels

HAND_WRITTEN = """\
# Ours. Ask Ann.
model_config_list {
  config {
    name: "speech" base_path: "/models/speech" model_platform: "tensorflow"
    model_version_policy { latest { num_versions: 2 } }
  }
  config {
    name: "music" base_path: "/models/music" model_platform: "tensorflow"
    model_version_policy { all {} }
    version_labels { key: "stable" value: 1 }
    version_labels { key: 'shadow', value: 2 }
    # version_labels { key: "old" value: 1 }
    logging_config { sampling_config { sampling_rate: 0.5 } }
  }
}
"""


def _models(base: pathlib.Path) -> list[model_server_config_pb2.ModelConfig]:
    text = (base / "models.config").read_text()
    server = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    return list(server.model_config_list.config)


@pytest.fixture
def base(tmp_path: pathlib.Path) -> pathlib.Path:
    """Three versions of a model."""
    for version in ("1", "2", "3"):
        (tmp_path / "music" / version).mkdir(parents=True)
    return tmp_path / "music"


def _only(base: pathlib.Path) -> model_server_config_pb2.ModelConfig:
    (model,) = _models(base)
    return model


def test_labels_move_and_the_versions_they_leave_are_not_served(tmp_path: pathlib.Path) -> None:
    base = tmp_path / 'mu"sic'
    for version in ("1", "2", "3"):
        (base / version).mkdir(parents=True)
    labels.attach(["stable", "canary"], base / "1")
    config = _only(base)
    assert (config.name, config.base_path) == ('mu"sic', str(base))
    assert config.model_platform == "tensorflow"
    labels.attach(["canary"], base / "3", "/models/music")
    config = _only(base)
    assert config.base_path == "/models/music"
    assert dict(config.version_labels) == {"stable": 1, "canary": 3}
    assert list(config.model_version_policy.specific.versions) == [1, 3]
    (base / "1").rmdir()
    assert labels.attach(["next"], base / "2") == {"canary": 3, "next": 2}
    assert list(_only(base).model_version_policy.specific.versions) == [2, 3]


@pytest.mark.parametrize("label", ["", "a b", "a/b", 'a"', "ä"])
def test_a_label_that_no_address_holds_is_one_line(tmp_path: pathlib.Path, label: str) -> None:
    (tmp_path / "1").mkdir()
    with pytest.raises(InputError, match="--labels: expected letters"):
        labels.attach([label], tmp_path / "1")
    assert not (tmp_path / "models.config").exists()


def test_what_a_person_has_written_stays(base: pathlib.Path) -> None:
    (base / "models.config").write_text(HAND_WRITTEN)
    assert labels.read(base) == {"stable": 1, "shadow": 2}
    assert labels.attach(["canary"], base / "3") == {"stable": 1, "shadow": 2, "canary": 3}
    wanted = text_format.Parse(HAND_WRITTEN, model_server_config_pb2.ModelServerConfig())
    speech, music = wanted.model_config_list.config
    music.version_labels["canary"] = 3
    assert _models(base) == [speech, music]
    assert (base / "models.config").read_text().startswith("# Ours. Ask Ann.\n")


def test_versions_without_a_label_go_on_being_served(base: pathlib.Path) -> None:
    policy = "all {}", "specific { versions: 1 versions: 2 }"
    (base / "models.config").write_text(
        HAND_WRITTEN.replace(*policy).replace(" value: 2", "value: 1")
    )
    labels.attach(["stable", "shadow"], base / "3")
    assert list(_models(base)[1].model_version_policy.specific.versions) == [2, 3]


def test_another_models_file_gets_a_second_model(base: pathlib.Path) -> None:
    text = HAND_WRITTEN.replace('name: "music"', 'name: "opera"')
    (base / "models.config").write_text(text)
    assert labels.attach(["canary"], base / "3") == {"canary": 3}
    assert [model.name for model in _models(base)] == ["speech", "opera", "music"]
    assert dict(_models(base)[1].version_labels) == {"stable": 1, "shadow": 2}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("model_config_list { config { nam", "expected a ModelServerConfig as text"),
        ("\xff", "expected a ModelServerConfig as text"),
        ("custom_model_config {}", "expected a model_config_list. Received: custom"),
        (HAND_WRITTEN.replace("all {}", "latest {}"), "policy all or specific.* Received: latest"),
        (HAND_WRITTEN.replace("model_version_policy { all {} }", ""), "policy all or specific"),
    ],
)
def test_a_file_that_cannot_hold_labels_is_one_line_and_stays(
    base: pathlib.Path, text: str, problem: str
) -> None:
    path = base / "models.config"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=problem) as caught:
        labels.attach(["canary"], base / "3")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert path.read_text(encoding="latin-1") == text
