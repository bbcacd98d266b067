"""Reads serving/deploy/kserve.yaml into the classes of KServe's own Python package.

    .venv-kserve/bin/python tests/serving/kserve_check.py

`make deploy-check` runs it in an environment of its own: the package wants other versions of what
the project needs. A field that KServe's or Kubernetes' classes do not have is an error, and so is a
value of another type, or one that a class refuses.

The two packages are imported where they are used: pytest imports every module of the tests, and its
environment has neither.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
from pathlib import Path
from typing import Any

import yaml

MANIFEST = Path(os.path.abspath(__file__)).parent.parent.parent / "serving/deploy/kserve.yaml"
# KServe writes list[str], Kubernetes List[str].
_LIST = re.compile(r"[lL]ist\[(.*)\]")
_DICT = re.compile(r"[dD]ict[(\[]str, (.*)[)\]]")
_SIMPLE = {"str": str, "int": int, "float": float, "bool": bool}


def _class(name: str) -> type | None:
    import kserve
    import kubernetes.client

    return getattr(kserve, name, None) or getattr(kubernetes.client, name, None)


def read(value: Any, kind: str, where: str) -> Any:
    """Makes an object of what a YAML file has.

    Args:
        value: of the file.
        kind: type as the packages' `openapi_types` name it.
        where: path of the value in the file.

    Raises:
        ValueError: if it is none.
    """
    many, named = _LIST.fullmatch(kind), _DICT.fullmatch(kind)
    if many and isinstance(value, list):
        return [read(item, many[1], f"{where}[{place}]") for place, item in enumerate(value)]
    if named and isinstance(value, dict):
        return {key: read(item, named[1], f"{where}.{key}") for key, item in value.items()}
    if kind in _SIMPLE:
        if type(value) is _SIMPLE[kind]:
            return value
    elif kind == "object":
        return value
    elif not many and not named:
        made = _class(kind)
        if made is not None and isinstance(value, dict):
            return _read_object(value, made, where)
    raise ValueError(f"{where}: expected {kind}. Received: {value!r}")


def _read_object(value: dict[str, Any], made: Any, where: str) -> Any:
    names = {field: name for name, field in made.attribute_map.items()}
    unknown = sorted(set(value) - set(names))
    if unknown:
        raise ValueError(f"{where}: {made.__name__} has no field {', '.join(unknown)}")
    fields = {
        names[field]: read(item, made.openapi_types[names[field]], f"{where}.{field}")
        for field, item in value.items()
    }
    return made(**fields)


def write(value: Any) -> Any:
    """Makes what a YAML file has of an object: `read` backward."""
    if isinstance(value, list):
        return [write(item) for item in value]
    if isinstance(value, dict):
        return {key: write(item) for key, item in value.items()}
    if not hasattr(value, "attribute_map"):
        return value
    items = {field: getattr(value, name) for name, field in value.attribute_map.items()}
    # The class of a model gives it an empty name.
    return {field: write(item) for field, item in items.items() if item not in (None, "")}


def check(text: str) -> Any:
    """Reads an InferenceService.

    Raises:
        ValueError: if it is none.
    """
    value = yaml.safe_load(text)
    service = read(value, "V1beta1InferenceService", "InferenceService")
    received = (service.api_version, service.kind)
    import kserve

    names = kserve.constants
    wanted = (names.KSERVE_V1BETA1, names.KSERVE_KIND_INFERENCESERVICE)
    if received != wanted:
        raise ValueError(f"expected {wanted}. Received: {received}")
    return service


def main() -> int:
    """Checks the file, and that this check can fail."""
    text = MANIFEST.read_text(encoding="utf-8")
    service = check(text)
    if write(service) != yaml.safe_load(text):
        raise ValueError("what KServe's classes would send is not what the file says")
    for right, wrong in (
        ("canaryTrafficPercent: 10", "canaryTraficPercent: 10"),
        ("minReplicas: 1", "minReplicas: one"),
        ("storageUri:", "storageUrl:"),
        ("runAsNonRoot: true", "runAsNoRoot: true"),
        ("serving.kserve.io/v1beta1", "serving.kserve.io/v1"),
    ):
        if right not in text:
            raise ValueError(f"expected {right!r} in {MANIFEST}")
        try:
            check(text.replace(right, wrong))
        except ValueError:
            continue
        raise ValueError(f"{wrong!r} was not found")
    print(f"{MANIFEST.name}: an InferenceService of kserve {importlib.metadata.version('kserve')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
