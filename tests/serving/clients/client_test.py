"""The client against small servers of a known model, over both protocols."""

import contextlib
import re
import threading
import time

import numpy as np
import pytest

from serving.client import Client, ServingError, Stream
from serving.clients.transport import VersionStatus
from tests.serving.clients import known, servers
from tests.serving.clients.servers import WAIT

SERVERS = {"grpc": servers.grpc_server, "rest": servers.rest_server}


@pytest.fixture(scope="module", params=SERVERS)
def running(request):
    with SERVERS[request.param]() as fake:
        yield request.param, fake


@pytest.fixture
def server(running):
    """A server with nothing to remember and nothing to fail at."""
    running[1].calls.clear()
    running[1].failures.clear()
    return running[1]


@pytest.fixture
def kind(running):
    return running[0]


@pytest.fixture
def client(server):
    with Client(server.address, "known", backoff=0.001) as client:
        yield client


def _busy(kind, code="RESOURCE_EXHAUSTED", headers=None):
    """A failure for a server of a kind."""
    if kind == "rest":
        status = {"RESOURCE_EXHAUSTED": 429, "UNAVAILABLE": 503, "INVALID_ARGUMENT": 400}[code]
        return status, headers or {}, {"error": f"so {code}"}
    import grpc

    return grpc.StatusCode[code], f"so {code}"


# --- Answers ---


@pytest.mark.parametrize("signature", ["serving_default", "chunk"])
def test_answers_are_the_models_to_the_last_bit(client, signature):
    inputs = known.batch()
    if signature == "chunk":
        inputs |= {name: known.frames(3, 1, 3)[:, 0, :4] for name in ("h", "c")}
    answer, wanted = client.predict(inputs, signature), known.predict(inputs, signature)
    assert np.isnan(answer["logits"]).any()
    known.assert_equal(answer, wanted)
    assert "\u0259".encode() in answer["classes"]


def test_what_is_not_finite_arrives(client):
    inputs = {"frame": known.frames(1, 1)[:, 0], "h": np.zeros((1, 4)), "c": np.zeros((1, 4))}
    inputs["c"][0, :3] = np.nan, np.inf, -np.inf
    answer = client.predict(inputs, "step")
    assert np.isnan(answer["next_c"][0, 0])
    assert answer["next_c"][0, 1:3].tolist() == [np.inf, -np.inf]


def test_signatures_are_asked_once(client, server):
    assert client.signatures().keys() == known.SIGNATURES.keys()
    for name, signature in client.signatures().items():
        wanted = known.SIGNATURES[name]
        for specs, known_specs in (
            (signature.inputs, wanted.inputs),
            (signature.outputs, wanted.outputs),
        ):
            assert {k: (s.dtype, s.shape) for k, s in specs.items()} == {
                k: (s.dtype, s.shape) for k, s in known_specs.items()
            }
    client.predict(known.batch())
    client.predict(known.batch())
    metadata = [name for name, _ in server.calls if "etadata" in name]
    assert len(metadata) == 1
    assert len(server.calls) == 3


def test_a_stream_is_the_whole_sequence(client):
    frames = known.frames(2, 5)
    whole = known.predict({"sequence": frames, "lengths": np.array([5, 5])})
    stream = client.stream(batch=2)
    steps = [stream.step(frames[:, time])["logits"] for time in range(3)]
    rest = stream.chunk(frames[:, 3:])["logits"]
    np.testing.assert_array_equal(
        np.concatenate([np.stack(steps, 1), rest], axis=1), whole["logits"]
    )
    np.testing.assert_array_equal(stream.states["c"], whole["c"])


def _versions(server, kind):
    """Which version each prediction asked for; None for any."""
    asked = [(name, request) for name, request in server.calls if "redict" in name]
    if kind == "rest":
        found = (re.search(r"/versions/(\d+):", name) for name, _ in asked)
        return [None if match is None else int(match[1]) for match in found]
    return [request.model_spec.version.value or None for _, request in asked]


@pytest.mark.parametrize("begin", [Client.stream, Stream])
def test_a_stream_stays_with_the_version_that_began_it(client, server, kind, begin):
    frames = known.frames(1, 2)
    client.predict(known.batch())
    stream = begin(client)
    stream.step(frames[:, 0])
    assert _versions(server, kind) == [None, 10]
    gone = (404, {}, {"error": "Servable not found"}) if kind == "rest" else _gone()
    server.failures.append(gone)
    states = stream.states
    with pytest.raises(ServingError, match="version 10: .* served no more.*Servable not") as caught:
        stream.step(frames[:, 1])
    assert caught.value.code == "NOT_FOUND"
    np.testing.assert_array_equal(stream.states["h"], states["h"])


def _gone():
    import grpc

    return grpc.StatusCode.NOT_FOUND, "Servable not found"


def test_no_more_sequences_are_sent_than_servers_take(client, server, kind):
    """`max_batch_size` of the batching parameters beside every export."""
    sequences = [known.frames(1, 1)[0]] * 33

    def rows():
        sent = [request for name, request in server.calls if "redict" in name]
        server.calls.clear()
        if kind == "rest":
            return [len(request["inputs"]["lengths"]) for request in sent]
        return [request.inputs["lengths"].tensor_shape.dim[0].size for request in sent]

    assert len(client.predict_sequences(sequences)) == 33
    assert rows() == [32, 1]
    client.predict_sequences(sequences, batch=11)
    assert rows() == [11, 11, 11]
    with pytest.raises(ValueError, match="at least one sequence. Received: 0"):
        client.predict_sequences(sequences, batch=0)


def test_a_closed_client_is_an_error_of_its_own(server):
    client = Client(server.address, "known")
    stream = client.stream()
    client.close()
    client.close()
    for ask in (client.signatures, client.status, lambda: stream.step(known.frames(1, 1)[:, 0])):
        with pytest.raises(ServingError, match="the client is closed") as caught:
            ask()
        assert caught.value.code == "CANCELLED"


def test_a_servers_text_cannot_drive_a_terminal(client, server, kind):
    text = "\x1b]0;owned\x07\x1b[2Jno"
    client.signatures()
    if kind == "rest":
        server.failures.append((400, {}, {"error": text}))
    else:
        import grpc

        server.failures.append((grpc.StatusCode.INVALID_ARGUMENT, text))
    with pytest.raises(ServingError) as caught:
        client.predict(known.batch())
    assert str(caught.value).isprintable()
    assert "owned" in str(caught.value)


def test_sequences_of_different_lengths_come_back_cut(client):
    sequences = [known.frames(1, times, times)[0] for times in (4, 1, 7)]
    answers = client.predict_sequences(sequences)
    for sequence, answer in zip(sequences, answers, strict=True):
        alone = known.predict({"sequence": sequence[None], "lengths": np.array([len(sequence)])})
        assert answer.keys() == alone.keys()
        assert answer["text"] == alone["text"][0]
        assert answer["classes"].tolist() == alone["classes"][0].tolist()
        assert answer["logits"].shape == (len(sequence), known.OUTPUTS)
        for name in ("logits", "h", "c"):
            np.testing.assert_allclose(answer[name], alone[name][0], rtol=1e-4, atol=1e-6)


def test_large_answers_arrive(client, kind):
    """Python's gRPC takes 4 MB by default."""
    rows = 100_000 if kind == "grpc" else 1_000
    states = {name: np.zeros((rows, known.UNITS), np.float32) for name in ("h", "c")}
    answer = client.predict({"frame": known.frames(1, rows)[0], **states}, "step")
    assert answer["logits"].shape == (rows, known.OUTPUTS)
    assert kind == "rest" or sum(array.nbytes for array in answer.values()) > 4 * 2**20


def test_status(client):
    assert client.status() == (
        VersionStatus(10, "AVAILABLE"),
        VersionStatus(3, "END", "FAILED_PRECONDITION", "unloaded"),
    )


@pytest.mark.parametrize(
    ("which", "path"), [({"version": 10}, "/versions/10"), ({"label": "a b"}, "/labels/a%20b")]
)
def test_a_version_is_asked_by_number_or_label(server, kind, which, path):
    with Client(server.address, "known", **which) as client:
        client.predict(known.batch())
        client.status()
    for name, request in server.calls:
        if kind == "rest":
            assert name.startswith(f"/v1/models/known{path}")
        else:
            spec = request.model_spec
            assert {"version": spec.version.value, "label": spec.version_label} == {
                "version": 0,
                "label": "",
                **which,
            }


def test_threads_share_a_client(client, server):
    inputs = [{"sequence": known.frames(1, 3, seed), "lengths": [3]} for seed in range(8)]
    answers = {}

    def ask(index):
        for _ in range(3):
            answers[index] = client.predict(inputs[index])

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for index, one in enumerate(inputs):
        wanted = known.predict({**one, "lengths": np.array([3])})
        np.testing.assert_array_equal(answers[index]["logits"], wanted["logits"])
    assert len(server.calls) == 25, "24 predictions and one question for the signatures"


# --- Errors ---


@pytest.mark.parametrize(
    ("inputs", "signature", "problem"),
    [
        ({"sequence": known.frames(1, 2)}, "serving_default", "expected the inputs lengths, seq"),
        (
            known.batch(),
            "walk",
            "one of the signatures chunk, serving_default, step. Received: 'walk'",
        ),
        ({**known.batch(), "lengths": [1]}, "serving_default", "inputs of one batch size"),
    ],
)
def test_wrong_inputs_are_not_sent(client, server, inputs, signature, problem):
    with pytest.raises(ServingError, match=problem) as caught:
        client.predict(inputs, signature)
    assert caught.value.code == "INVALID_ARGUMENT"
    assert f"model known at {server.address}: " in str(caught.value)
    assert len(server.calls) == 1


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED"])
def test_what_may_pass_is_asked_again(client, server, kind, code):
    client.signatures()
    server.failures += [_busy(kind, code)] * 3
    known.assert_equal(client.predict(known.batch()), known.predict(known.batch()))
    assert len(server.calls) == 5


def test_after_the_last_attempt_the_error_is_told(client, server, kind):
    client.signatures()
    server.failures += [_busy(kind)] * 9
    with pytest.raises(ServingError, match="so RESOURCE_EXHAUSTED$") as caught:
        client.predict(known.batch())
    assert caught.value.code == "RESOURCE_EXHAUSTED"
    assert len(server.calls) == 5


def test_what_stays_wrong_is_not_asked_again(client, server, kind):
    client.signatures()
    server.failures += [_busy(kind, "INVALID_ARGUMENT")] * 2
    with pytest.raises(ServingError) as caught:
        client.predict(known.batch())
    assert caught.value.code == "INVALID_ARGUMENT"
    assert str(caught.value) == f"model known at {server.address}: so INVALID_ARGUMENT"
    assert len(server.calls) == 2


def _learn_signatures(client):
    """Asks until the answer comes within the client's time limit, however busy the machine is."""
    while True:
        with contextlib.suppress(ServingError):
            return client.signatures()


def test_no_answer_in_time_is_an_error(server):
    with Client(server.address, "known", timeout=0.3) as client:
        _learn_signatures(client)
        server.failures.append(WAIT)
        start = time.monotonic()
        with pytest.raises(ServingError) as caught:
            client.predict(known.batch())
        assert caught.value.code == "DEADLINE_EXCEEDED"
        # The server would not have answered at all.
        assert time.monotonic() - start > 0.2


def test_retries_end_with_the_deadline(server, kind):
    with Client(server.address, "known", timeout=0.5, retries=100, backoff=0.1) as client:
        _learn_signatures(client)
        before = len(server.calls)
        server.failures += [_busy(kind)] * 100
        with pytest.raises(ServingError, match="so RESOURCE_EXHAUSTED|DEADLINE_EXCEEDED"):
            client.predict(known.batch())
    assert len(server.calls) - before <= 6
    server.failures.clear()


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_nobody_there(scheme):
    with servers.rest_server() as gone:
        address = scheme + gone.address.removeprefix("http://")
    with (
        Client(address, "known", retries=1, backoff=0.001) as client,
        pytest.raises(ServingError, match=re.escape(f"model known at {address}: ")) as caught,
    ):
        client.predict(known.batch())
    assert caught.value.code == "UNAVAILABLE"
    assert "\n" not in str(caught.value)
