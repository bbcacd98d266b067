"""Reads the samples of serving/deploy, for their tests."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import yaml

from serving.devserver import configuration, settings

ROOT = pathlib.Path(os.path.abspath(__file__)).parent.parent.parent
DEPLOY = ROOT / "serving" / "deploy"
CONFIGURATION = ("models.config", "batching_parameters.txt", "monitoring.config")


def read(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))


def generated() -> dict[str, dict[str, str]]:
    """The ConfigMaps that kustomize makes of the files, by name, without the hash in a name."""
    (kustomization,) = read("kustomization.yaml")
    return {
        each["name"]: {name: (DEPLOY / name).read_text("utf-8") for name in each["files"]}
        for each in kustomization["configMapGenerator"]
    }


def kubernetes(kind: str) -> dict[str, Any]:
    (found,) = (thing for thing in read("kubernetes.yaml") if thing["kind"] == kind)
    return found


def compose() -> dict[str, Any]:
    return read("docker-compose.yaml")[0]["services"]


def container() -> dict[str, Any]:
    (found,) = kubernetes("Deployment")["spec"]["template"]["spec"]["containers"]
    return found


def model() -> settings.ModelConfig:
    (found,) = configuration.read_models(DEPLOY / "models.config")
    return found


def arguments(words: list[str]) -> dict[str, str]:
    assert all(word.startswith("--") and "=" in word for word in words)
    return dict(word[2:].split("=", 1) for word in words)


SERVERS = {
    "compose": lambda: arguments(compose()["serving"]["command"]),
    "kubernetes": lambda: arguments(container()["args"]),
}
