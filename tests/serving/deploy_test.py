"""The samples of serving/deploy: valid by the tools' own schemas, and of one mind."""

from __future__ import annotations

import copy
import importlib.metadata
import pathlib
import re
import subprocess
import sys
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from common.errors import InputError
from serving.devserver import configuration
from serving.runtime import messages
from tests.serving.clients import certificate_files
from tests.serving.deployment import (
    CONFIGURATION,
    DEPLOY,
    SERVERS,
    arguments,
    compose,
    container,
    generated,
    kubernetes,
    model,
    read,
)

KUBERNETES = ("1.30", "1.34", "1.37")

# --- By schema ---


def check_compose(path: pathlib.Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    return subprocess.run([*command, str(path)], text=True, capture_output=True, check=False)


def test_compose_file_fits_the_schema_of_compose(tmp_path: pathlib.Path) -> None:
    done = check_compose(DEPLOY / "docker-compose.yaml")
    assert done.returncode == 0, done.stdout
    wrong = tmp_path / "docker-compose.yaml"
    text = (DEPLOY / "docker-compose.yaml").read_text().replace("cap_drop", "cap_dropp")
    wrong.write_text(text)
    assert "cap_dropp" in check_compose(wrong).stdout


@pytest.mark.parametrize("version", KUBERNETES)
def test_manifests_fit_the_schemas_of_kubernetes(version: str) -> None:
    kinds = [thing["kind"] for thing in read("kubernetes.yaml")]
    assert kinds == [
        *("Namespace", "PersistentVolumeClaim", "Deployment", "Service"),
        *("PodDisruptionBudget", "NetworkPolicy"),
    ]
    for thing in read("kubernetes.yaml"):
        assert kubernetes_validate.validate(thing, version, strict=True) == version


def test_a_misspelt_manifest_is_found() -> None:
    wrong = kubernetes("Deployment")
    probe = wrong["spec"]["template"]["spec"]["containers"][0].pop("readinessProbe")
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = probe
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(wrong, KUBERNETES[0], strict=True)


def strict(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


TEXT, NUMBER, OBJECT = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "object"}
TEXTS = {"type": "array", "items": TEXT, "minItems": 1}
# The fields used here, as kustomize's reference of the file has them.
KUSTOMIZATION = strict(
    {
        "apiVersion": {"const": "kustomize.config.k8s.io/v1beta1"},
        "kind": {"const": "Kustomization"},
        "resources": TEXTS,
        "configMapGenerator": {
            "type": "array",
            "items": strict(
                {
                    "name": TEXT,
                    "namespace": TEXT,
                    "files": TEXTS,
                    "options": strict({"disableNameSuffixHash": {"type": "boolean"}}),
                },
                *("name", "files"),
            ),
        },
    },
    *("apiVersion", "kind", "resources"),
)


def test_kustomization_has_the_fields_of_kustomize() -> None:
    (kustomization,) = read("kustomization.yaml")
    jsonschema.validate(kustomization, KUSTOMIZATION)
    # Below its own folder, else kustomize refuses them.
    assert all((DEPLOY / name).is_file() for name in kustomization["resources"])
    (hot,) = (each for each in kustomization["configMapGenerator"] if "options" in each)
    assert hot["files"] == ["models.config"] and hot["options"] == {"disableNameSuffixHash": True}
    for name, files in generated().items():
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": files}
        kubernetes_validate.validate(made, KUBERNETES[0], strict=True)
    spaces = {each["namespace"] for each in kustomization["configMapGenerator"]}
    assert spaces == {kubernetes("Namespace")["metadata"]["name"]}
    kustomization["configMapGenerator"][0]["file"] = []
    with pytest.raises(jsonschema.ValidationError, match="file"):
        jsonschema.validate(kustomization, KUSTOMIZATION)


# The fields used here, as V1beta1InferenceService of KServe 0.21 has them; `make deploy-check` asks
# its own classes.
INFERENCE_SERVICE = strict(
    {
        "apiVersion": {"const": "serving.kserve.io/v1beta1"},
        "kind": {"const": "InferenceService"},
        "metadata": strict({"name": TEXT, "namespace": TEXT}, "name"),
        "spec": strict(
            {
                "predictor": strict(
                    {
                        "canaryTrafficPercent": {**NUMBER, "maximum": 100},
                        "minReplicas": NUMBER,
                        "maxReplicas": NUMBER,
                        "timeout": NUMBER,
                        "model": strict(
                            {
                                "modelFormat": strict({"name": TEXT, "version": TEXT}, "name"),
                                "protocolVersion": {"enum": ["v1", "v2", "grpc-v1", "grpc-v2"]},
                                "runtimeVersion": TEXT,
                                "storageUri": {
                                    "type": "string",
                                    "pattern": "^(pvc|gs|s3|https)://",
                                },
                                "args": {"type": "array", "items": TEXT},
                                "resources": OBJECT,
                                "securityContext": OBJECT,
                            },
                            "modelFormat",
                            "storageUri",
                        ),
                    },
                    "model",
                )
            },
            "predictor",
        ),
    },
    *("apiVersion", "kind", "metadata", "spec"),
)


def test_inference_service_has_the_fields_of_kserve() -> None:
    (service,) = read("kserve.yaml")
    jsonschema.validate(service, INFERENCE_SERVICE)
    wrong = copy.deepcopy(service)
    wrong["spec"]["predictor"]["canaryTraficPercent"] = 10
    with pytest.raises(jsonschema.ValidationError, match="canaryTraficPercent"):
        jsonschema.validate(wrong, INFERENCE_SERVICE)


def test_security_contexts_of_kserve_are_those_of_kubernetes() -> None:
    (service,) = read("kserve.yaml")
    described = service["spec"]["predictor"]["model"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "music"},
        "spec": {
            "containers": [
                {
                    "name": "kserve-container",
                    **{key: described[key] for key in ("args", "resources", "securityContext")},
                }
            ]
        },
    }
    kubernetes_validate.validate(pod, KUBERNETES[0], strict=True)


# --- By the server's own messages ---


def test_models_are_served_by_number_and_label() -> None:
    served = model()
    assert served.name == "music"
    assert served.specific
    # A label of a version that is not served would stop the server.
    assert served.labels
    assert set(served.labels.values()) <= served.specific


def test_batches_are_as_the_server_wants_them() -> None:
    path = DEPLOY / "batching_parameters.txt"
    batching = configuration.read_batching(path)
    message = messages.read_text(path, messages.BatchingParameters())
    assert message.allowed_batch_sizes[-1] == batching.max_batch_size
    # Sequences of different lengths would otherwise never meet.
    assert batching.pad_variable_length_inputs
    assert 0 < batching.batch_timeout_micros <= 10_000
    assert batching.num_batch_threads == int(container()["resources"]["limits"]["cpu"])


def test_commands_in_the_ssl_sample_make_the_file(tmp_path: pathlib.Path) -> None:
    lines = (DEPLOY / "ssl.config.sample").read_text(encoding="utf-8").splitlines()
    commands = "\n".join(line[5:] for line in lines if line.startswith("#     "))
    assert "umask" in commands
    pems = certificate_files.make(tmp_path)
    named = {"server.key": pems.key, "server.crt": pems.certificate, "ca.crt": pems.certificate}
    texts = {name: path.read_text() for name, path in named.items()}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    subprocess.run(["bash", "-euc", commands], cwd=tmp_path, check=True)
    made = tmp_path / "ssl.config"
    assert made.stat().st_mode & 0o077 == 0
    tls = configuration.read_tls(made)
    assert (tls.server_key, tls.server_cert, tls.custom_ca, tls.client_verify) == (
        *texts.values(),
        True,
    )
    # The sample itself has every field, too, but no key.
    with pytest.raises(InputError, match="expected a key, its certificate, and authorities"):
        configuration.read_tls(DEPLOY / "ssl.config.sample")


# --- Of one mind ---


@pytest.mark.parametrize("where", SERVERS)
def test_flags_point_to_files_that_are_mounted(where: str) -> None:
    flags = SERVERS[where]()
    files = {value for name, value in flags.items() if name.endswith("_file")}
    assert files == {f"/config/{name}" for name in CONFIGURATION}


def test_both_start_the_server_alike() -> None:
    assert SERVERS["compose"]() == SERVERS["kubernetes"]()
    assert compose()["serving"]["entrypoint"] == container()["command"]
    assert compose()["serving"]["image"] == container()["image"]


def test_kserve_batches_as_the_others_do() -> None:
    flags = arguments(read("kserve.yaml")[0]["spec"]["predictor"]["model"]["args"])
    assert flags
    assert flags.items() <= SERVERS["kubernetes"]().items()


def test_models_and_configuration_are_mounted_for_reading_only() -> None:
    targets = {mount["target"]: mount for mount in compose()["serving"]["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in container()["volumeMounts"]}
    for path in (str(model().base_path.parent), "/config"):
        assert targets[path]["read_only"]
        assert mounts[path]["readOnly"]
    assert (DEPLOY / targets["/config"]["source"]).resolve() == DEPLOY.resolve()
    volumes = {
        volume["name"]: volume
        for volume in kubernetes("Deployment")["spec"]["template"]["spec"]["volumes"]
    }
    assert {mount["name"] for mount in container()["volumeMounts"]} == set(volumes)
    claim = kubernetes("PersistentVolumeClaim")["metadata"]["name"]
    assert volumes["models"]["persistentVolumeClaim"]["claimName"] == claim
    # Every file is in one of the maps, and every map in the folder.
    assert sorted(name for files in generated().values() for name in files) == sorted(CONFIGURATION)
    mounted = volumes["config"]["projected"]["sources"]
    assert [source["configMap"]["name"] for source in mounted] == list(generated())


def test_ports_are_those_of_the_flags() -> None:
    flags = SERVERS["kubernetes"]()
    grpc, rest = int(flags["port"]), int(flags["rest_api_port"])
    assert {port["name"]: port["containerPort"] for port in container()["ports"]} == {
        "grpc": grpc,
        "rest": rest,
    }
    service = kubernetes("Service")["spec"]
    assert service["type"] == "ClusterIP"
    assert {port["targetPort"]: port["port"] for port in service["ports"]} == {
        "grpc": grpc,
        "rest": rest,
    }
    published = [port.split(":") for port in compose()["serving"]["ports"]]
    assert published == [["127.0.0.1", str(port), str(port)] for port in (grpc, rest)]
    allowed = kubernetes("NetworkPolicy")["spec"]["ingress"]
    assert [[port["port"] for port in rule["ports"]] for rule in allowed] == [
        ["grpc", "rest"],
        ["rest"],
    ]


def test_every_published_port_is_for_this_machine_only() -> None:
    ports = [
        port
        for name, service in compose().items()
        for port in service.get("ports", ())
        # It is there to let others in.
        if name != "envoy"
    ]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_everything_selects_the_pods() -> None:
    deployment = kubernetes("Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    assert kubernetes("Service")["spec"]["selector"] == labels
    assert kubernetes("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert kubernetes("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    budget = kubernetes("PodDisruptionBudget")["spec"]["minAvailable"]
    assert budget < deployment["replicas"]
    namespace = kubernetes("Namespace")["metadata"]["name"]
    spaced = [thing for thing in read("kubernetes.yaml") if thing["kind"] != "Namespace"]
    assert {thing["metadata"]["namespace"] for thing in spaced} == {namespace}
    assert read("kserve.yaml")[0]["metadata"]["namespace"] == namespace


def test_probes_ask_for_the_model() -> None:
    for probe in ("startupProbe", "readinessProbe"):
        request = container()[probe]["httpGet"]
        assert request == {"path": f"/v1/models/{model().name}", "port": "rest"}
    startup = container()["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 60
    pod = kubernetes("Deployment")["spec"]["template"]["spec"]
    pause = container()["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > pause


def test_prometheus_reads_what_the_server_shows() -> None:
    path = configuration.read_metrics_path(DEPLOY / "monitoring.config")
    rest = SERVERS["compose"]()["rest_api_port"]
    job = read("prometheus.yml")[0]["scrape_configs"][0]
    assert job["metrics_path"] == path
    assert job["static_configs"] == [{"targets": [f"serving:{rest}"]}]
    mounts = {mount["target"]: mount["source"] for mount in compose()["prometheus"]["volumes"]}
    assert (DEPLOY / mounts["/etc/prometheus/prometheus.yml"]).is_file()
    annotations = kubernetes("Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] == path
    assert annotations["prometheus.io/port"] == rest


def test_server_is_no_older_than_the_exporting_tensorflow() -> None:
    wanted = importlib.metadata.version("tensorflow").split(".")[:2]
    pins = [
        compose()["serving"]["image"].removeprefix("tensorflow/serving:"),
        container()["image"].removeprefix("tensorflow/serving:"),
        read("kserve.yaml")[0]["spec"]["predictor"]["model"]["runtimeVersion"],
    ]
    for pin in pins:
        assert re.fullmatch(r"\d+\.\d+\.\d+", pin)
        assert [int(part) for part in pin.split(".")[:2]] >= [int(part) for part in wanted]
    for service in compose().values():
        assert re.fullmatch(r"[\w/-]+:v?\d+\.\d+\.\d+", service["image"])


@pytest.mark.parametrize("where", ["compose", "pod", "kserve"])
def test_containers_may_do_nothing(where: str) -> None:
    if where == "compose":
        for service in compose().values():
            assert service["read_only"]
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]
        assert not compose()["serving"]["user"].startswith("0")
        return
    if where == "pod":
        pod = kubernetes("Deployment")["spec"]["template"]["spec"]
        context = {**pod["securityContext"], **container()["securityContext"]}
        assert pod["automountServiceAccountToken"] is False
        limits = container()["resources"]
    else:
        described = read("kserve.yaml")[0]["spec"]["predictor"]["model"]
        context, limits = described["securityContext"], described["resources"]
    assert context["runAsNonRoot"] and context["runAsUser"] > 0
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert set(limits) == {"requests", "limits"}
