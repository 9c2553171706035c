"""Hostile files and requests, many of them, through the decoding process and the API."""

import contextlib
import json
import threading
import time
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from malformed import make_malformed
from media import read
from mutations import mutated, whole_files
from ncdetect import audio
from ncdetect.api import Api
from ncdetect.api_limits import Limits, Tokens
from ncdetect.api_server import Server
from ncdetect.audio import AudioError
from ncdetect.decoding_process import Decoders
from ncdetect.predictor import Predictor
from ncdetect.service import Judging, Service
from sentences import assert_plain_sentence


@pytest.fixture(scope="module")
def decoders():
    made = Decoders(2)
    yield made
    made.close()


@pytest.fixture(scope="module")
def url(decoders):
    """A server that decodes what it is sent, and says how long it is."""

    def judge(source):
        clip = decoders.load(source)
        return SimpleNamespace(verdict="real", to_dict=lambda: {"duration_s": clip.duration_s})

    service = Service(lambda: judge)
    app = Api(service, lambda: [], Limits(silence_s=2, linger_s=0.2), Tokens("")).app()
    server = Server(app, service, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield "http://{}:{}".format(*server.servers[0].sockets[0].getsockname())
    server.should_exit = True
    thread.join(60)


def test_every_malformed_file_is_read_as_without_a_process(decoders, tmp_path):
    for file, kind in make_malformed(tmp_path):
        assert read(decoders.load, file) == read(audio.load, file), kind


@given(mutated())
def test_files_through_the_decoding_process(decoders, data):
    try:
        clip = decoders.load(data)
    except AudioError as error:
        assert_plain_sentence(str(error))
        assert error.code != "too_slow"
        return
    assert abs(clip.wave).max() <= 1 and 0.3 <= clip.duration_s <= 600
    assert decoders.load(whole_files()[0]).duration_s == 1  # whoever comes next is served


@given(mutated(), st.text(max_size=50))
def test_files_through_the_api(url, data, name):
    answer = httpx.post(url + "/v1/check", files={"file": (name or "a", data)}, timeout=60)
    assert answer.status_code in (200, 413, 422), answer.text
    assert "Traceback" not in answer.text


PIECES = (
    b"--b\r\n",
    b"--b--",
    b"\r\n",
    b"\r\n\r\n",
    b'Content-Disposition: form-data; name="file"',
    b'; filename="a"',
    b"Content-Type: text/plain; charset=utf-7\r\n",
    b"Content-Transfer-Encoding: base64",
)
FORM = "multipart/form-data"


@given(
    st.sampled_from(("/v1/check", "/v1/check/batch", "/v1/models", "/readyz", "/metrics")),
    st.sampled_from(("POST", "GET", "PUT", "OPTIONS")),
    st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=200)), max_size=20).map(b"".join),
    st.sampled_from((f"{FORM}; boundary=b", FORM, f"{FORM}; boundary=", "text/plain")),
)
def test_bodies_through_the_api(url, path, method, body, kind):
    answer = httpx.request(method, url + path, content=body, headers={"Content-Type": kind}, timeout=60)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"


FIRST = st.one_of(
    st.just({"format": "opus"}),
    st.fixed_dictionaries(
        {
            "format": st.sampled_from(("s16le", "f32le", "f64le", "")),
            "rate": st.one_of(
                st.sampled_from((8_000, 16_000, 44_100)), st.integers(), st.floats(), st.none()
            ),
            "channels": st.sampled_from((1, 2)) | st.integers() | st.text(max_size=3),
        }
    ),
    st.recursive(st.none() | st.integers() | st.text(max_size=9), st.lists, max_leaves=9),
)
"""What may be sent first: what is allowed, what looks like it, and any JSON."""


@pytest.fixture(scope="module")
def stream(decoders):
    """A server that judges streams."""
    predictor = Predictor.from_pretrained("tiny-resnet", decode=decoders.load)
    service = Service(lambda: Judging(predictor))
    app = Api(service, lambda: [], Limits(per_minute=1e6, burst=100), Tokens("")).app()
    server = Server(app, service, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not (server.started and service.ready):
        time.sleep(0.01)
    yield "ws://{}:{}/v1/stream".format(*server.servers[0].sockets[0].getsockname())
    server.should_exit = True
    thread.join(60)


@settings(max_examples=max(1, settings().max_examples // 5))
@given(FIRST, st.lists(st.one_of(mutated(), st.binary(max_size=99), st.text(max_size=30)), max_size=5))
def test_messages_through_a_stream(stream, first, messages):
    """Whatever comes, a stream ends with a verdict or a code, and the next one is served."""
    with connect(stream, open_timeout=60, close_timeout=60) as socket:
        with contextlib.suppress(ConnectionClosed):
            for message in (json.dumps(first), *messages, json.dumps({"end": True})):
                socket.send(message)
        told = None
        with contextlib.suppress(ConnectionClosed):
            while True:
                told = json.loads(socket.recv(timeout=60))
    assert told["type"] in ("final", "error") and told.get("code") != "failed", told
    assert socket.protocol.close_rcvd.code in (1000, 4400, 4413, 4422), told


def test_the_document_is_kept_by_schemathesis(url):
    schemathesis = pytest.importorskip("schemathesis", reason="pip install schemathesis")
    schema = schemathesis.openapi.from_url(url + "/openapi.json")
    tried = 0
    for operation in schema.get_all_operations():

        @given(operation.ok().as_strategy())
        def each(case):
            nonlocal tried
            tried += 1
            answer = case.call(timeout=60)
            assert answer.status_code < 500 and answer.status_code != 405, answer.text

        each()
    assert tried > 50
