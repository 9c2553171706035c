import contextlib
import gc
import http.client
import json
import logging
import os
import re
import socket
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from media import FORMATS, speech_like
from ncdetect import decoding
from ncdetect.api import Api, problem_of
from ncdetect.api_door import JsonLines
from ncdetect.api_limits import Held, Limits, Problem, RateLimit, Tokens
from ncdetect.api_server import Server
from ncdetect.audio import AudioError
from ncdetect.predictor import Predictor
from ncdetect.service import Service
from sentences import assert_plain_sentence

SMALL = Limits(
    file_bytes=200_000, batch_bytes=400_000, batch_files=3, silence_s=0.5, upload_s=2, linger_s=0.5
)
SLOW = (
    b"POST /v1/check HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n"
    b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
)


@dataclass
class Running:
    """A server in a thread, with a judge that waits while it is told to."""

    url: str
    address: tuple[str, int]
    server: Server
    api: Api
    judged: list
    hold: threading.Event
    begun: threading.Semaphore

    def post(self, path="/v1/check", **options):
        return httpx.post(self.url + path, timeout=60, **options)

    def raw(self, request: bytes) -> bytes:
        """What comes back for bytes."""
        with socket.create_connection(self.address, timeout=30) as connection:
            with contextlib.suppress(OSError):
                connection.sendall(request)
            return received(connection)


def received(connection) -> bytes:
    found = b""
    with contextlib.suppress(OSError):
        while piece := connection.recv(65_536):
            found += piece
    return found


@contextlib.contextmanager
def running(limits=SMALL, tokens="", **options):
    judged, hold, begun = [], threading.Event(), threading.Semaphore(0)
    hold.set()

    def judge(source):
        judged.append(source)
        begun.release()
        assert hold.wait(60)
        if source.startswith(b"%PDF"):
            raise AudioError("not_audio", "pdf")
        if source == b"bug":
            raise RuntimeError("a bug about secret-name.wav")
        return SimpleNamespace(verdict="real", to_dict=lambda: {"verdict": "real", "size": len(source)})

    service = Service(lambda: judge, **options)
    service._loaded.wait(30)
    api = Api(service, lambda: [{"name": "made"}], limits, Tokens(tokens))
    server = Server(api.app(), service, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        address = server.servers[0].sockets[0].getsockname()
        yield Running("http://{}:{}".format(*address), address, server, api, judged, hold, begun)
    finally:
        hold.set()
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


def until(true):
    ends = time.monotonic() + 30
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.fixture(scope="module")
def api():
    with running() as found:
        yield found


def file(data=b"sound", name="clip.wav"):
    return {"file": (name, data)}


def assert_problem(answer, status, code):
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    told = answer.json()
    assert (told["status"], told["code"], told["type"]) == (status, code, "about:blank")
    assert told["request_id"] == answer.headers["x-request-id"]
    assert_plain_sentence(told["detail"])
    return told


# Answers


def test_a_file_gets_its_verdict(api):
    answer = api.post(files=file(b"x" * 100))
    assert answer.status_code == 200 and answer.json() == {"verdict": "real", "size": 100}
    assert answer.headers["content-type"] == "application/json"


def test_a_batch_keeps_its_order_and_one_bad_file_stops_nothing(api):
    files = [
        ("files", ("a.wav", b"one")),
        ("files", ("<b>.wav", b"%PDF-1.7")),
        ("files", ("c.wav", b"three")),
    ]
    first, second, third = api.post("/v1/check/batch", files=files).json()["results"]
    assert first == {"verdict": {"verdict": "real", "size": 3}} and third["verdict"]["size"] == 5
    assert (second["problem"]["status"], second["problem"]["code"]) == (422, "not_audio")
    assert_problem(api.post("/v1/check/batch", files=[*files, files[0]]), 400, "bad_form")


def test_health_models_and_document(api):
    assert httpx.get(api.url + "/healthz").json() == httpx.get(api.url + "/readyz").json() == {"status": "ok"}
    assert httpx.get(api.url + "/v1/models").json() == {"models": [{"name": "made"}]}
    document = httpx.get(api.url + "/openapi.json").json()
    assert set(document["paths"]) == {
        "/healthz", "/readyz", "/metrics", "/v1/check", "/v1/check/batch", "/v1/models",
    }  # fmt: skip
    verdict = document["components"]["schemas"]["Verdict"]
    example = document["paths"]["/v1/check"]["post"]["responses"]["200"]["content"]["application/json"][
        "example"
    ]
    assert set(verdict["properties"]) == set(example)
    neighbour = document["components"]["schemas"]["Neighbour"]
    assert set(neighbour["properties"]) == set(neighbour["required"]) == set(example["neighbours"][0])
    assert "application/problem+json" in document["paths"]["/v1/check"]["post"]["responses"]["503"]["content"]


def test_metrics_count_requests_verdicts_and_refusals(api):
    def figures():
        text = httpx.get(api.url + "/metrics").text
        return {name: float(value) for name, value in re.findall(r"^(\w[^ ]*) ([\d.e+]+)$", text, re.M)}

    before = figures()
    api.post(files=file())
    api.post(files=file(b"%PDF-1.7"))
    httpx.get(api.url + "/" + "x" * 50)
    after = figures()
    assert not any("x" * 50 in name for name in after)
    grown = {name: after[name] - before.get(name, 0) for name in after if "_created" not in name}
    assert grown['ncdetect_requests_total{route="/v1/check",status="200"}'] == 1
    assert grown['ncdetect_requests_total{route="/v1/check",status="422"}'] == 1
    assert grown['ncdetect_requests_total{route="other",status="404"}'] == 1
    assert grown['ncdetect_request_seconds_count{route="/v1/check"}'] == 2
    assert (
        grown['ncdetect_verdicts_total{verdict="real"}']
        == grown['ncdetect_refused_total{code="not_audio"}']
        == 1
    )
    assert after["ncdetect_waiting"] == after["ncdetect_judging"] == 0


WAV, FORM = {"Content-Type": "audio/wav"}, {"Content-Type": "multipart/form-data"}


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code"),
    [
        ("GET", "/nowhere", {}, 404, "no_such_address"),
        ("GET", "/v1/nowhere", {}, 404, "no_such_address"),
        ("GET", "/v1/check", {}, 405, "method"),
        ("DELETE", "/healthz", {}, 405, "method"),
        ("BREW", "/v1/models", {}, 405, "method"),
        ("POST", "/v1/check", {"json": {"file": "x" * 10**6}}, 415, "not_a_form"),
        ("POST", "/v1/check", {"content": b"RIFF", "headers": WAV}, 415, "not_a_form"),
        ("POST", "/v1/check", {}, 415, "not_a_form"),
        ("POST", "/v1/check", {"files": {"clip": b"x"}}, 422, "missing"),
        ("POST", "/v1/check", {"files": {"file": (None, "http://127.0.0.1:9/a.wav")}}, 422, "not_a_file"),
        ("POST", "/v1/check", {"files": [("file", b"x"), ("file", b"y")]}, 400, "bad_form"),
        ("POST", "/v1/check", {"files": {f"f{i}": (None, "x") for i in range(20)}}, 400, "bad_form"),
        ("POST", "/v1/check", {"files": {"note": (None, "x" * 10**5)}}, 400, "bad_form"),
        ("POST", "/v1/check", {"content": b"x", "headers": FORM}, 400, "bad_form"),
        ("POST", "/v1/check", {"files": file(b"%PDF-1.7")}, 422, "not_audio"),
        ("POST", "/v1/check", {"files": file(b"x" * 300_000)}, 413, "too_large"),
        ("POST", "/v1/check/batch", {"files": {"files": b"x" * 500_000}}, 413, "too_large"),
        ("POST", "/v1/check", {"files": file(b"bug")}, 500, "failed"),
    ],
)  # fmt: skip
def test_every_error_is_a_problem(api, method, path, options, status, code):
    answer = httpx.request(method, api.url + path, timeout=60, **options)
    assert_problem(answer, status, code)
    assert answer.headers.get("allow", "POST") in ("POST", "GET")
    assert "secret-name" not in answer.text


@pytest.mark.parametrize("code", decoding.CODES)
def test_every_reason_to_refuse_a_file_keeps_its_code_and_sentence(code):
    error = AudioError(code, 30.0)
    problem = problem_of(error)
    assert (problem.status, problem.code) == (413 if code == "too_large" else 422, code)
    assert problem.detail == str(error)


def test_an_unreadable_body_is_a_problem(api):
    head = b"POST /v1/check HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    for body in (
        b"--b\r\nX: " + b"y" * 100_000,
        b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--",
        b"\0" * 9,
    ):
        found = api.raw(head + f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        assert b"400 Bad Request" in found and b'"bad_form"' in found


def test_what_is_no_http_or_has_huge_headers_is_a_problem(api):
    for request in (b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"y" * 300_000 + b"\r\n\r\n"):
        found = api.raw(request)
        assert found.startswith(b"HTTP/1.1 400 ") and b"application/problem+json" in found
        assert b"X-Content-Type-Options: nosniff" in found


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "a\\..\\b.wav",
        "<img src=x onerror=alert(1)>.wav",
        "n\0l.wav",
        "x" * 999,
    ],
)
def test_file_names_are_never_used_nor_echoed_nor_logged(api, name, caplog):
    caplog.set_level(logging.DEBUG)
    for data, status in ((b"sound", 200), (b"%PDF-1.7", 422)):
        answer = api.post(files=file(data, name))
        assert answer.status_code == status
        assert name not in answer.text + caplog.text and "<" not in answer.text
    assert not [record for record in caplog.records if record.name.startswith("ncdetect") and record.exc_info]


# Headers, ids and logs


def test_every_answer_has_the_headers_and_an_id(api):
    for path in ("/healthz", "/metrics", "/nowhere", "/v1/check"):
        headers = httpx.get(api.url + path).headers
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "same-origin"
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert policy.endswith("frame-ancestors 'self' https://huggingface.co https://*.hf.space")
        assert re.fullmatch("[0-9a-f]{32}", headers["x-request-id"]) and "server" not in headers
        assert headers["cache-control"] == "no-store"


def test_a_sane_request_id_is_kept(api):
    for sent in ("abc-1.2_3", "x" * 64):
        assert httpx.get(api.url + "/healthz", headers={"X-Request-ID": sent}).headers["x-request-id"] == sent
    for sent in ("", "x" * 65, "a b", "<b>", 'a"b'):
        assert httpx.get(api.url + "/healthz", headers={"X-Request-ID": sent}).headers["x-request-id"] != sent


def test_a_request_is_one_line_of_json_that_tells_nothing_of_the_clip(api, caplog):
    caplog.set_level(logging.INFO, "ncdetect")
    api.post(files=file(b"very secret sound", "very-secret.wav"), headers={"X-Request-ID": "known"})
    until(
        lambda: any(getattr(record, "fields", {}).get("request_id") == "known" for record in caplog.records)
    )
    lines = [JsonLines().format(record) for record in caplog.records]
    (told,) = [json.loads(line) for line in lines if '"known"' in line]
    assert (told["method"], told["route"], told["status"]) == ("POST", "/v1/check", 200)
    assert told["seconds"] >= 0 and told["bytes"] > 17 and set(told) == {
        "time", "level", "logger", "message", "request_id", "method", "route", "status", "seconds", "bytes",
    }  # fmt: skip
    assert "secret" not in "".join(lines) and all("\n" not in line for line in lines)


# Limits


def test_size_is_limited_while_the_body_streams(api):
    """Without Content-Length, and without reading on for ever."""
    head = (
        b"POST /v1/check HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    )
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    before, sent = len(api.judged), 0
    with socket.create_connection(api.address, timeout=30) as connection:
        connection.sendall(head + f"{len(part):x}\r\n".encode() + part + b"\r\n")
        with contextlib.suppress(OSError):
            while True:  # an endless file
                connection.sendall(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
                sent += 0x4000
        found = received(connection)
    assert sent > SMALL.file_bytes
    assert not found or b" 413 " in found.splitlines()[0]
    assert len(api.judged) == before and api.api.held.bytes == 0


def test_who_sends_all_before_listening_hears_the_refusal(api):
    """Most clients do; the rest of what they send is dropped, not kept."""
    connection = http.client.HTTPConnection(*api.address, timeout=60)
    kind = {"Content-Type": "multipart/form-data; boundary=b", "X-Request-ID": "large"}
    connection.request("POST", "/v1/check", b"x" * 20_000_000, kind)
    answer = connection.getresponse()
    told = json.loads(answer.read())
    assert (answer.status, told["code"], told["request_id"]) == (413, "too_large", "large")
    connection.close()


def test_a_body_that_says_it_is_too_large_is_not_asked_for(api):
    request = (
        b"POST /v1/check HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    )
    found = api.raw(request)
    assert (
        b" 413 " in found.splitlines()[0]
        and b"100 Continue" not in found
        and b"connection: close" in found.lower()
    )


def test_a_slow_upload_is_given_up(api):
    begun = time.monotonic()
    found = api.raw(SLOW)
    assert b" 408 " in found.splitlines()[0] and b'"slow_upload"' in found
    assert time.monotonic() - begun < 20 and api.api.held.bytes == 0


def test_a_trickle_that_never_pauses_is_given_up_as_well(api):
    with socket.create_connection(api.address, timeout=30) as connection:
        connection.sendall(SLOW)
        begun = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - begun < 20:
                connection.sendall(b"x")
                connection.settimeout(0.1)
                with contextlib.suppress(TimeoutError):
                    if found := connection.recv(4096):
                        break
        assert b" 408 " in found.splitlines()[0]


def test_bodies_together_are_limited():
    held = Held(100)
    with held.counting() as take:
        take(60)
        with held.counting() as other, pytest.raises(Problem) as refused:
            other(41)
        assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "5"})
        take(40)
    assert held.bytes == 0


def test_the_bucket_empties_refills_and_is_one_s_own():
    now = [0.0]
    rate = RateLimit(Limits(per_minute=30, burst=3), lambda: now[0])
    for _ in range(3):
        rate.check("1.2.3.4")
    with pytest.raises(Problem) as refused:
        rate.check("1.2.3.4")
    assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "2"})
    rate.check("1.2.3.5")
    now[0] = 2.0  # one more every two seconds
    rate.check("1.2.3.4")
    with pytest.raises(Problem):
        rate.check("::ffff:1.2.3.4")  # the same address
    now[0] = 1e6  # never more than the burst
    for _ in range(3):
        rate.check("1.2.3.4")
    with pytest.raises(Problem):
        rate.check("1.2.3.4")


def test_networks_share_a_bucket_and_this_machine_has_none():
    rate = RateLimit(Limits(per_minute=1, burst=1), lambda: 0.0)
    rate.check("2001:db8::1")
    with pytest.raises(Problem):
        rate.check("2001:db8::ffff:2")
    rate.check("2001:db8:0:1::1")
    for address in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", None, "") * 3:
        rate.check(address)
    unlimited = RateLimit(Limits(per_minute=0, burst=1), lambda: 0.0)
    for _ in range(9):
        unlimited.check("1.2.3.4")


def test_many_addresses_take_bounded_memory(monkeypatch):
    monkeypatch.setattr("ncdetect.api_limits._KNOWN_CLIENTS", 50)
    rate = RateLimit(Limits(), lambda: 0.0)
    for index in range(500):
        rate.check(f"10.0.{index // 250}.{index % 250}")
    assert len(rate._buckets) == 50


def test_too_many_requests_of_an_address_behind_a_proxy(api):
    with running(replace(SMALL, per_minute=1, burst=2)) as limited:
        # The server believes a proxy on its own machine.
        asked = [limited.post(files=file(), headers={"X-Forwarded-For": "9.9.9.9"}) for _ in range(3)]
        assert [answer.status_code for answer in asked] == [200, 200, 429]
        assert assert_problem(asked[2], 429, "too_many")["retry_after_s"] == int(
            asked[2].headers["retry-after"]
        )
        assert limited.post(files=file()).status_code == 200
        assert httpx.get(limited.url + "/healthz", headers={"X-Forwarded-For": "9.9.9.9"}).status_code == 200


def test_with_tokens_only_who_has_one_is_judged():
    with running(tokens=" first, second ,") as guarded:
        for sent in ("", "Bearer", "Bearer third", "Basic first", "Bearer firstsecond", "first"):
            answer = guarded.post(files=file(), headers={"Authorization": sent})
            assert_problem(answer, 401, "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"
        for token in ("first", "second"):
            assert guarded.post(files=file(), headers={"Authorization": f"Bearer {token}"}).status_code == 200
        assert len(guarded.judged) == 2
        assert httpx.get(guarded.url + "/v1/models").status_code == 401
        assert httpx.get(guarded.url + "/readyz").status_code == 200


def test_tokens_come_from_the_environment(monkeypatch):
    monkeypatch.delenv("NCDETECT_TOKENS", raising=False)
    assert not Tokens()
    monkeypatch.setenv("NCDETECT_TOKENS", "a,b")
    assert Tokens() and len(Tokens()._known) == 2


# Staying up


def in_background(call):
    found = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    return thread, found


def test_busy_tells_the_place_and_the_others_are_answered():
    with running(threads=1, waiting=1) as busy:
        busy.hold.clear()
        first = in_background(lambda: busy.post(files=file(b"a")))
        assert busy.begun.acquire(timeout=30)
        second = in_background(lambda: busy.post(files=file(b"b")))
        until(lambda: busy.api.service.queued == 1)
        answer = busy.post(files=file(b"c"))
        told = assert_problem(answer, 503, "busy")
        assert told["place"] == 2 and told["retry_after_s"] == int(answer.headers["retry-after"]) >= 1
        assert httpx.get(busy.url + "/readyz").status_code == 200
        busy.hold.set()
        for thread, found in (first, second):
            thread.join(60)
            assert found[0].status_code == 200
        assert busy.judged == [b"a", b"b"]


def test_not_ready_while_the_model_loads():
    gate = threading.Event()
    service = Service(lambda: gate.wait(30))
    server = Server(Api(service, list, SMALL, Tokens("")).app(), service, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    url = "http://{}:{}".format(*server.servers[0].sockets[0].getsockname())
    for answer in (
        httpx.get(url + "/readyz"),
        httpx.post(url + "/v1/check", files=file()),
        httpx.get(url + "/v1/models"),
    ):
        assert_problem(answer, 503, "loading")
        assert answer.headers["retry-after"] == "5"
    assert httpx.get(url + "/healthz").status_code == 200
    gate.set()
    until(lambda: httpx.get(url + "/readyz").status_code == 200)
    server.should_exit = True
    thread.join(60)


def test_stopping_answers_what_is_judged_and_refuses_what_is_new():
    with running(threads=1, waiting=5) as stopped:
        stopped.hold.clear()
        taken = [in_background(lambda: stopped.post(files=file(b"x" * 1000))) for _ in range(2)]
        assert stopped.begun.acquire(timeout=30)
        until(lambda: stopped.api.service.queued == 1)
        stopped.server.should_exit = True
        until(lambda: httpx.get(stopped.url + "/readyz").status_code == 503)
        answer = stopped.post(files=file())
        assert_problem(answer, 503, "stopping")
        assert answer.headers["connection"] == "close" and "retry-after" in answer.headers
        stopped.hold.set()
        for thread, found in taken:
            thread.join(60)
            assert found[0].status_code == 200
    with pytest.raises(httpx.ConnectError):
        stopped.post(files=file())


# Lifetime of clips


def files_on_disk(folder):
    """What lies in a folder, and what this process has open there without a name."""
    opened = []
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        with contextlib.suppress(OSError):
            opened.append(os.readlink(f"/proc/self/fd/{name}"))
    return [*folder.rglob("*"), *(path for path in opened if path.startswith(str(folder)))]


def test_a_clip_is_never_on_disk_so_that_nothing_can_be_left_there(tmp_path, monkeypatch):
    """Not even as an unnamed temporary file: frameworks put bodies of more than a megabyte into one."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with running(Limits()) as served:
        served.hold.clear()
        thread, found = in_background(lambda: served.post(files=file(b"x" * 5_000_000)))
        assert served.begun.acquire(timeout=60)
        assert not files_on_disk(tmp_path) and served.api.held.bytes > 5_000_000
        served.hold.set()
        thread.join(60)
        assert found[0].json()["size"] == 5_000_000
        until(lambda: served.api.held.bytes == 0)
        gc.collect()
        until(lambda: sys.getrefcount(served.judged[0]) == 2)  # only this list and the question hold it


def test_an_upload_that_breaks_off_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with running(Limits()) as served:
        with socket.create_connection(served.address) as connection:
            connection.sendall(
                b"POST /v1/check HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
                b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + b"x" * 3_000_000
            )
            until(lambda: served.api.held.bytes > 2_900_000)
            assert not files_on_disk(tmp_path)
        until(lambda: served.api.held.bytes == 0)
        assert not served.judged and not files_on_disk(tmp_path)


def test_who_goes_away_is_not_judged():
    with running(threads=1, waiting=5) as served:
        served.hold.clear()
        thread, _ = in_background(lambda: served.post(files=file(b"first")))
        assert served.begun.acquire(timeout=30)
        with contextlib.suppress(httpx.ReadTimeout):
            httpx.post(served.url + "/v1/check", files=file(b"impatient"), timeout=0.3)
        until(lambda: served.api.service.queued == 0)
        served.hold.set()
        thread.join(60)
        assert served.judged == [b"first"]


# The same number through every door


def test_the_answer_is_the_predictor_s():
    from ncdetect.api import about
    from ncdetect.decoding_process import Decoders
    from ncdetect.service import Judging

    decoders = Decoders(1)
    predictor = Predictor.from_pretrained("tiny-resnet", decode=decoders.load)
    service = Service(lambda: Judging(predictor), threads=1)
    service._loaded.wait(120)
    server = Server(
        Api(service, lambda: [about(predictor)], tokens=Tokens("")).app(), service, "127.0.0.1", 0
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    url = "http://{}:{}".format(*server.servers[0].sockets[0].getsockname())
    examples = sorted((Path(__file__).parent.parent / "assets" / "examples").glob("*.flac"))[:2]
    clips = [*(path.read_bytes() for path in examples), FORMATS["m4a"][2](speech_like(4, 44_100), 44_100)]
    for data in clips:
        answer = httpx.post(url + "/v1/check", files=file(data), timeout=120)
        assert answer.json() == json.loads(json.dumps(predictor.check(data).to_dict()))
    assert httpx.get(url + "/v1/models").json()["models"][0]["sha256"] == predictor.trained.sha256
    server.should_exit = True
    thread.join(60)
    decoders.close()
