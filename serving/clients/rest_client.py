"""Client for TensorFlow Serving's REST API; does not need TensorFlow."""

from __future__ import annotations

import email.utils
import http.cookiejar
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any

from common.errors import InputError, install
from serving.clients.errors import ServingError
from serving.clients.predictor import Array
from serving.clients.retrying import persistently
from serving.clients.transport import Description, Target, VersionStatus
from serving.runtime.specs import Signature
from serving.runtime.status import Code

_CONNECTIONS = 100
_SHOWN = 200


class RestClient:
    """A `Transport` over HTTP; threads may share it.

    Args:
        target: the model.

    Raises:
        InputError: if orjson or requests is not installed.
    """

    def __init__(self, target: Target) -> None:
        try:
            import orjson  # noqa: F401
            import requests
            import requests.adapters
        except ImportError as error:
            raise InputError(
                f"{target}: expected the packages orjson and requests. "
                f"Received: not installed; run `{install('serving')}`"
            ) from error

        self._target = target
        model = urllib.parse.quote(target.model, "")
        self._url = f"{target.scheme}://{target.place}/v1/models/{model}"
        self._session = requests.Session()
        # Cookies are the only state through which threads could interfere with each other.
        self._session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=_CONNECTIONS)
        self._session.mount(f"{target.scheme}://", adapter)
        certificates = target.certificates
        own = (certificates.certificate, certificates.key)
        self._tls: dict[str, Any] = {
            "verify": str(certificates.roots) if certificates.roots else True,
            "cert": tuple(map(str, own)) if certificates.certificate else None,
        }

    def describe(self) -> Description:
        """See `Transport.describe`."""
        from serving.runtime import json_tensors

        response = self._json("GET", self._path() + "/metadata")
        try:
            version = response.get("model_spec", {}).get("version")
            return Description(
                json_tensors.read_signatures(response["metadata"]),
                None if version is None else int(version),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._nonsense("metadata with a signature_def", repr(error)) from error

    def predict(
        self,
        inputs: Mapping[str, Array],
        name: str,
        signature: Signature,
        version: int | None = None,
    ) -> dict[str, Array]:
        """See `Transport.predict`."""
        from serving.runtime import json_tensors

        body = json_tensors.request_body(inputs, name)
        response = self._json("POST", self._path(version) + ":predict", body)
        try:
            return json_tensors.read_outputs(response["outputs"], signature)
        except (KeyError, TypeError, ValueError) as error:
            outputs = ", ".join(signature.outputs)
            raise self._nonsense(f"the outputs {outputs} as tensors", repr(error)) from error

    def status(self) -> tuple[VersionStatus, ...]:
        """See `Transport.status`."""
        response = self._json("GET", self._path())
        try:
            statuses = [
                VersionStatus(
                    int(one["version"]),
                    one["state"],
                    one["status"]["error_code"],
                    one["status"]["error_message"],
                )
                for one in response["model_version_status"]
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise self._nonsense("model_version_status", repr(error)) from error
        return tuple(sorted(statuses, key=lambda status: -status.version))

    def close(self) -> None:
        """See `Transport.close`."""
        self._session.close()

    def _path(self, version: int | None = None) -> str:
        """Returns the end of the URL, which names a version or a label."""
        version = self._target.version if version is None else version
        if version is not None:
            return f"/versions/{version}"
        label = self._target.label
        return "" if label is None else f"/labels/{urllib.parse.quote(label, '')}"

    def _json(self, method: str, path: str, body: bytes | None = None) -> Any:
        from serving.runtime import json_tensors

        content = persistently(
            lambda seconds: self._content(method, path, body, seconds), self._target.patience
        )
        try:
            return json_tensors.read_json(content)
        except ValueError as error:
            shown = content[:_SHOWN].decode("utf-8", "replace")
            raise self._nonsense("JSON", repr(shown)) from error

    def _content(self, method: str, path: str, body: bytes | None, seconds: float) -> bytes:
        """Makes one attempt."""
        import requests

        headers = {"Content-Type": "application/json"} if body else {}
        try:
            response = self._session.request(
                method, self._url + path, data=body, headers=headers, timeout=seconds, **self._tls
            )
        except requests.exceptions.Timeout as error:
            waited = f"expected an answer within {self._target.patience.timeout:g} s"
            raise self._error("DEADLINE_EXCEEDED", f"{waited}. Received: none") from error
        except requests.exceptions.SSLError as error:
            raise self._error("UNAUTHENTICATED", f"TLS failed: {_cause(error)}") from error
        except requests.exceptions.RequestException as error:
            raise self._error("UNAVAILABLE", f"no connection: {_cause(error)}") from error
        if response.ok:
            return response.content
        code = Code.of_http(response.status_code).name
        raise self._error(code, _message(response), _retry_after(response))

    def _error(self, code: str, message: str, retry_after: float = 0.0) -> ServingError:
        return ServingError(code, f"{self._target}: {message}", retry_after=retry_after)

    def _nonsense(self, expected: str, received: str) -> ServingError:
        return self._error("INTERNAL", f"expected {expected}. Received: {received}")


def _message(response: Any) -> str:
    """Returns the server's error message."""
    from serving.runtime import json_tensors

    try:
        return str(json_tensors.read_json(response.content)["error"])
    except (KeyError, TypeError, ValueError):
        # Not from TensorFlow Serving, but perhaps an HTML page of a proxy in front of it.
        return f"HTTP {response.status_code} {response.reason}"


def _retry_after(response: Any) -> float:
    """Returns the seconds that the server asks to wait (a number or a date); 0 if it does not."""
    value = response.headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(date.timestamp() - time.time(), 0.0)


def _cause(error: Exception) -> str:
    """Returns the message of the innermost of the errors that HTTP libraries nest."""
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    return str(cause) or type(cause).__name__
