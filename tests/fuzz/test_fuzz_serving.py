"""Hostile files and requests, many of them, through the decoding process and the API."""

import threading
import time
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from malformed import make_malformed
from mutations import mutated, whole_files
from ncdetect import audio
from ncdetect.api import Api
from ncdetect.api_limits import Limits, Tokens
from ncdetect.api_server import Server
from ncdetect.audio import AudioError
from ncdetect.decoding_process import Decoders
from ncdetect.service import Service
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
    def read(load, file):
        try:
            clip = load(file)
        except AudioError as error:
            return error.args
        return clip.wave.tobytes(), {name: value for name, value in vars(clip).items() if name != "wave"}

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
