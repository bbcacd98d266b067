from __future__ import annotations

import pytest

from common.errors import InputError
from tuner.parallel import strategies


def test_auto_is_one_device_unless_there_is_a_tpu() -> None:
    assert strategies.choose("auto", {}) == "one"
    assert strategies.choose("auto", {"TPU_NAME": ""}) == "one"
    assert strategies.choose("auto", {"TPU_NAME": "local"}) == "tpu"
    assert strategies.choose("auto", {"COLAB_TPU_ADDR": "10.0.0.2:8470"}) == "tpu"
    assert strategies.choose("mirrored", {"TPU_NAME": "local"}) == "mirrored"


CLUSTER = '"cluster": {"worker": ["a:1", "b:1"]}'


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (None, "--strategy=multiworker: expected the cluster in TF_CONFIG"),
        ("", "Received: nothing"),
        ("{", "TF_CONFIG: expected JSON"),
        ("[]", "TF_CONFIG: expected addresses of workers"),
        ('{"cluster": {}}', "TF_CONFIG: expected addresses of workers"),
        ('{"cluster": {"worker": "a:1"}}', "TF_CONFIG: expected addresses of workers"),
        ('{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}}', "TF_CONFIG: expected addresses"),
        (f"{{{CLUSTER}}}", 'TF_CONFIG: expected "task"'),
        (f'{{{CLUSTER}, "task": "worker"}}', 'TF_CONFIG: expected "task"'),
        (f'{{{CLUSTER}, "task": {{"type": "chief", "index": 0}}}}', "Received: "),
        (f'{{{CLUSTER}, "task": {{"type": "worker", "index": 2}}}}', '"index": 2'),
        (f'{{{CLUSTER}, "task": {{"type": "worker", "index": "0"}}}}', '"index": "0"'),
    ],
)
def test_a_damaged_cluster_is_one_line(config: str | None, expected: str) -> None:
    environment = {} if config is None else {"TF_CONFIG": config}
    with pytest.raises(InputError) as caught:
        strategies.choose("multiworker", environment)
    assert expected in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "config",
    [
        f'{{{CLUSTER}, "task": {{"type": "worker", "index": 1}}}}',
        '{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "chief", "index": 0}}',
    ],
)
def test_good_clusters_pass(config: str) -> None:
    assert strategies.choose("multiworker", {"TF_CONFIG": config}) == "multiworker"
