"""The samples of tuner/deploy: of the forms that Kubernetes and KubeRay know, and of one mind."""

from __future__ import annotations

import copy
import os
import pathlib
import re
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

ROOT = pathlib.Path(os.path.abspath(__file__)).parent.parent.parent
DEPLOY = ROOT / "tuner" / "deploy"
VERSION = "1.34"


def _object(required: tuple[str, ...], **fields: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": fields,
        "required": list(required),
        "additionalProperties": False,
    }


COUNT = {"type": "integer", "minimum": 0}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
POD = _object(("spec",), metadata={"type": "object"}, spec={"type": "object"})
# The types RayClusterSpec, AuthOptions, HeadGroupSpec and WorkerGroupSpec of ray.io/v1 in KubeRay's
# ray-operator/apis/ray/v1/raycluster_types.go (1.5.1 or later), as far as they are plain.
RAY_CLUSTER = _object(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayCluster"},
    metadata={"type": "object", "required": ["name"]},
    spec=_object(
        ("headGroupSpec",),
        rayVersion={"type": "string"},
        authOptions=_object(("mode",), mode={"enum": ["disabled", "token"]}),
        enableInTreeAutoscaling={"type": "boolean"},
        suspend={"type": "boolean"},
        headServiceAnnotations=TEXTS,
        headGroupSpec=_object(
            ("rayStartParams", "template"),
            serviceType={"type": "string"},
            enableIngress={"type": "boolean"},
            rayStartParams=TEXTS,
            template=POD,
        ),
        workerGroupSpecs={
            "type": "array",
            "items": _object(
                ("groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"),
                groupName={"type": "string"},
                replicas=COUNT,
                minReplicas=COUNT,
                maxReplicas=COUNT,
                numOfHosts=COUNT,
                rayStartParams=TEXTS,
                template=POD,
            ),
        },
    ),
)


def manifests() -> tuple[dict[str, Any], dict[str, Any]]:
    volume, cluster = yaml.safe_load_all((DEPLOY / "ray-cluster.yaml").read_text("utf-8"))
    return volume, cluster


def groups(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    return [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]


def check(cluster: dict[str, Any]) -> None:
    """Checks a RayCluster and its pods."""
    jsonschema.validate(cluster, RAY_CLUSTER)
    for group in groups(cluster):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **group["template"]}
        kubernetes_validate.validate(pod, VERSION, strict=True)


def test_manifest_has_the_form_of_kuberay_and_kubernetes() -> None:
    volume, cluster = manifests()
    kubernetes_validate.validate(volume, VERSION, strict=True)
    check(cluster)
    wrong = copy.deepcopy(cluster)
    # A number in the file, as one is tempted to write.
    groups(wrong)[0]["rayStartParams"]["num-cpus"] = 0
    with pytest.raises(jsonschema.ValidationError, match="is not of type 'string'"):
        check(wrong)
    wrong = copy.deepcopy(cluster)
    wrong["spec"]["workerGroupSpec"] = []
    with pytest.raises(jsonschema.ValidationError, match="workerGroupSpec"):
        check(wrong)
    wrong = copy.deepcopy(cluster)
    groups(wrong)[1]["template"]["spec"]["containers"][0]["ressources"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="ressources"):
        check(wrong)


def test_samples_are_of_one_mind() -> None:
    volume, cluster = manifests()
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    version = cluster["spec"]["rayVersion"]
    assert f"ray[default]=={version}" in dockerfile
    assert f"=={version}'" in (ROOT / "Makefile").read_text(encoding="utf-8")
    containers = [group["template"]["spec"]["containers"][0] for group in groups(cluster)]
    images = {container["image"] for container in containers}
    assert len(images) == 1 and f"--tag {min(images)} " in dockerfile

    head, *workers = groups(cluster)
    spec = head["template"]["spec"]
    assert spec["volumes"][0]["persistentVolumeClaim"]["claimName"] == volume["metadata"]["name"]
    (mount,) = containers[0]["volumeMounts"]
    page = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    assert f"--study_dir={mount['mountPath']}/music" in page
    assert f"svc/{cluster['metadata']['name']}-head-svc" in page
    assert f"--tag={min(images)} " in page
    # As many processors as the page reckons with.
    (group,) = workers
    cpus = int(containers[1]["resources"]["limits"]["cpu"])
    (named,) = set(re.findall(r"on (\d+) cores", page))
    assert group["replicas"] * cpus == int(named)
    # Everything that the study imports is in the image.
    for room in ("common", "serving", "tuner", "zoo"):
        assert f"COPY {room} {room}\n" in dockerfile
