"""Training every cell on two replicas equals training it on one."""

from __future__ import annotations

import json
import pathlib

from tests.zoo import harness, reference

MIRRORED = pathlib.Path(__file__).with_name("mirrored.py")


def test_two_replicas_equal_one() -> None:
    # Logical devices must be made before TensorFlow starts, hence the process.
    found = json.loads(harness.run_python(str(MIRRORED)).splitlines()[-1])
    assert found["replicas"] == 2
    assert list(found["difference"]) == list(reference.CODES)
    for code in reference.CODES:
        # Float32, two updates of size 0.05: halves of a batch are summed in another order.
        assert found["difference"][code] < 1e-6, code
        assert found["change"][code] > 1e-3, code
