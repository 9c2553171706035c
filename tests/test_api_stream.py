"""/v1/stream, from a real client through the real server: verdicts, refusals, limits, what is left behind."""

import asyncio
import contextlib
import json
import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import media
from ncdetect import api_stream, stream_decoding
from ncdetect.api import Api, about
from ncdetect.api_limits import Limits, Tokens
from ncdetect.api_server import MESSAGE_BYTES, Server
from ncdetect.api_stream import StreamLimits
from ncdetect.decoding_process import Decoders
from ncdetect.predictor import Predictor
from ncdetect.service import Judging, Service
from ncdetect.stream_decoding import StreamDecoder
from sentences import assert_plain_sentence

PCM = {"format": "s16le", "rate": 16_000, "channels": 1}
END = json.dumps({"end": True})
PRACTICE = Path(__file__).parents[1] / "assets" / "practice" / "clips"


@pytest.fixture(scope="module")
def judging():
    decoders = Decoders(1)
    yield Judging(Predictor.from_pretrained("tiny-resnet", decode=decoders.load))
    decoders.close()


@dataclass
class Running:
    address: str
    server: Server
    api: Api
    predictor: Predictor

    @contextlib.contextmanager
    def open(self, first=PCM, **options):
        address = f"ws://{self.address}/v1/stream"
        with connect(address, open_timeout=60, close_timeout=5, **options) as socket:
            if first is not None:
                socket.send(json.dumps(first))
            yield socket

    def free(self):
        """Whether nothing of any stream is left."""
        return not self.server.door.inside and not self.api.held.bytes


@contextlib.contextmanager
def running(judge, limits=None, streams=None, tokens="", **options):
    service = Service(lambda: judge, **options)
    service._loaded.wait(60)
    api = Api(service, lambda: [about(judge.predictor)], limits or Limits(), Tokens(tokens), streams=streams)
    server = Server(api.app(), service, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        address = "{}:{}".format(*server.servers[0].sockets[0].getsockname())
        yield Running(address, server, api, judge.predictor)
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


def until(true):
    ends = time.monotonic() + 60
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.fixture(scope="module")
def stream(judging):
    with running(judging) as found:
        yield found


@pytest.fixture(scope="module")
def short(judging):
    """Streams that may do little."""
    with running(judging, streams=StreamLimits(streams=1, idle_s=0.6)) as found:
        yield found


def samples(seconds, rate_hz=16_000):
    return np.round(32_000 * media.speech_like(seconds, rate_hz)).astype("<i2")


def answers(socket):
    """All messages, and what the server closed with."""
    found = []
    try:
        while True:
            found.append(json.loads(socket.recv(timeout=60)))
    except ConnectionClosed as closed:
        return found, closed.rcvd.code, closed.rcvd.reason


def refused(stream, code, reason, **options):
    """The sentence with which a stream that is opened so is refused."""
    with pytest.raises(InvalidStatus) as raised, stream.open(**options):
        pass
    answer = raised.value.response
    told = json.loads(answer.body)
    assert (answer.status_code, told["code"]) == (code, reason)
    assert answer.headers["content-type"] == "application/problem+json"
    assert told["request_id"] == answer.headers["x-request-id"]
    assert_plain_sentence(told["detail"])
    return told["detail"]


@pytest.mark.parametrize(("rate_hz", "channels", "form"), [(48_000, 1, "s16le"), (44_100, 2, "f32le")])
def test_the_final_verdict_is_that_of_v1_check(stream, rate_hz, channels, form):
    wave = np.stack([media.speech_like(4.2, rate_hz)] * channels, axis=1)
    sent = wave if form == "f32le" else np.round(32_000 * wave).astype("<i2")
    with stream.open({"format": form, "rate": rate_hz, "channels": channels}) as socket:
        data = sent.tobytes()
        for start in range(0, len(data), 50_001):
            socket.send(data[start : start + 50_001])
        socket.send(END)
        found, code, _ = answers(socket)
    *rolling, final = found
    assert code == 1000 and {one["type"] for one in rolling} <= {"rolling"}
    assert final["type"] == "final"
    assert final["verdict"] == json.loads(json.dumps(stream.predictor.check((rate_hz, sent)).to_dict()))
    until(stream.free)


def test_rolling_verdicts_come_while_the_sound_does(stream):
    sound, found = samples(4.6), []
    with stream.open() as socket:
        for start in range(0, len(sound), 8_000):
            socket.send(sound[start : start + 8_000].tobytes())
            if start + 8_000 <= len(sound):  # each half second is answered before the next is sent
                found.append(json.loads(socket.recv(timeout=60)))
    assert [one["type"] for one in found] == ["rolling"] * 9
    assert [one["until_s"] for one in found] == [0.5 * n for n in range(1, 10)]
    assert [one["state"] for one in found] == ["listening"] * 2 + ["judged"] * 7
    offline = stream.predictor.check((16_000, sound[:72_000]))
    assert found[8]["so_far"]["probability"] == pytest.approx(offline.probability, abs=1e-5)
    assert found[8]["skipped"] == 0 and not found[8]["preliminary"] and found[3]["preliminary"]
    until(stream.free)


@pytest.fixture
def started(monkeypatch):
    """The processes that decode."""
    begin, found = StreamDecoder.start, []

    async def start():
        found.append(await begin())
        return found[-1]

    monkeypatch.setattr(StreamDecoder, "start", start)
    return found


@pytest.mark.parametrize("container", ["webm", "ogg"])
def test_opus_is_judged_while_it_comes_and_then_as_the_file_it_is(stream, started, container):
    wave = media.speech_like(6.0, 48_000)
    options = {"live": "1"} if container == "webm" else {"page_duration": "100000"}
    data = media.with_ffmpeg(wave, 48_000, container, "libopus", **options)
    with stream.open({"format": "opus"}) as socket:
        for start in range(0, len(data), len(data) // 12 + 1):
            socket.send(data[start : start + len(data) // 12 + 1])
        rolling = json.loads(socket.recv(timeout=60))
        socket.send(END)
        found, code, _ = answers(socket)
    assert rolling["type"] == "rolling" and code == 1000
    assert found[-1]["verdict"] == json.loads(json.dumps(stream.predictor.check(data).to_dict()))
    until(stream.free)
    assert [one._process.returncode is not None for one in started] == [True]


def test_what_decodes_is_told_no_secrets(monkeypatch):
    monkeypatch.setenv("NCDETECT_TOKENS", "secret")
    monkeypatch.setenv("A_PASSWORD", "secret")
    assert "secret" not in stream_decoding._environment().values()


def test_what_is_no_opus_is_told_at_the_end(stream):
    with stream.open({"format": "opus"}) as socket:
        for _ in range(20):
            socket.send(b"This is a letter, not a recording. " * 500)
        socket.send(END)
        found, code, reason = answers(socket)
    assert found[-1]["code"] == reason == "not_audio" and code == 4422
    assert_plain_sentence(found[-1]["detail"])
    until(stream.free)


BAD = [None, 3, [], {}, {"end": True}, PCM | {"rate": "fast"}, PCM | {"format": "mp3"}, PCM | {"more": 1}]
BAD += [{"format": "opus", "rate": 48_000}]


@pytest.mark.parametrize("first", BAD, ids=str)
def test_a_first_message_that_says_nothing_is_a_problem(stream, first):
    with stream.open(None) as socket:
        socket.send(json.dumps(first))
        (told,), code, reason = answers(socket)
    assert (told["type"], told["code"], reason, code) == ("error", "bad_message", "bad_message", 4400)


@pytest.mark.parametrize(
    ("first", "then", "code", "reason"),
    [
        (PCM | {"rate": 10}, None, 4422, "sample_rate"),
        (PCM | {"channels": 40}, None, 4422, "channels"),
        (PCM | {"format": "f32le"}, b"\xff" * 4_000, 4422, "not_finite"),
        (PCM, END, 4422, "empty"),
        (PCM, json.dumps({"stop": 1}), 4400, "bad_message"),
        (PCM, "{" * 5_000, 4400, "bad_message"),
        (PCM, b"\x00" * (MESSAGE_BYTES + 1), 1009, None),
    ],
    ids=["rate", "channels", "nan", "nothing", "stop", "torn", "large"],
)
def test_what_cannot_go_on_is_told_and_closed_with_a_reason(stream, first, then, code, reason):
    with stream.open(first) as socket:
        if then is not None:
            with contextlib.suppress(ConnectionClosed):
                socket.send(then)
        found, closed, why = answers(socket)
    assert closed == code and (reason is None or (found[-1]["code"], why) == (reason, reason))
    until(stream.free)


def test_binary_before_the_first_message_is_a_problem(stream):
    with stream.open(None) as socket:
        socket.send(b"\x00\x00")
        assert answers(socket)[1:] == (4400, "bad_message")


def test_too_much_sound_ends_the_stream(stream):
    with stream.open(PCM | {"rate": 4_000}) as socket, contextlib.suppress(ConnectionClosed):
        for _ in range(6):
            socket.send(b"\x00" * 1_000_000)
        found, code, reason = answers(socket)
        assert (found[-1]["code"], code, reason) == ("too_long", 4422, "too_long")


def test_a_silent_client_is_given_up_and_one_more_stream_is_refused(short):
    with short.open() as socket:
        refused(short, 503, "busy")
        found, code, reason = answers(socket)
        assert (found[-1]["code"], code, reason) == ("idle", 4408, "idle")
    until(short.free)
    with short.open() as socket:  # there is room again
        socket.send(samples(1.0).tobytes())
        socket.send(END)
        assert answers(socket)[1] == 1000


def test_a_client_that_goes_away_leaves_nothing(stream):
    with stream.open() as socket:
        socket.send(samples(1.0).tobytes())
        socket.recv(timeout=60)
        assert stream.api.held.bytes and stream.server.door.inside
        socket.socket.shutdown(2)  # without a word
        until(stream.free)


def test_only_this_server_s_own_page_may_ask_from_a_browser(stream):
    refused(stream, 403, "origin", origin="https://elsewhere.example")
    refused(stream, 403, "origin", origin="null")
    with stream.open(origin=f"http://{stream.address}") as socket:
        socket.send(samples(0.5).tobytes())
        assert json.loads(socket.recv(timeout=60))["state"] == "listening"


def test_a_token_is_needed_where_there_are_some(judging):
    with running(judging, tokens="right") as stream:
        refused(stream, 401, "unauthorized")
        refused(stream, 401, "unauthorized", additional_headers={"Authorization": "Bearer wrong"})
        with stream.open(additional_headers={"Authorization": "Bearer right"}) as socket:
            socket.send(END)
            assert answers(socket)[2] == "empty"


def test_too_many_streams_of_an_address_in_a_short_time(judging, monkeypatch):
    with running(judging, Limits(burst=1)) as stream:
        monkeypatch.setattr("ncdetect.api_limits._network", lambda address: "somewhere")
        with stream.open(None):
            pass
        refused(stream, 429, "too_many")


def test_other_addresses_know_no_stream(stream):
    with pytest.raises(InvalidStatus) as raised, connect(f"ws://{stream.address}/v1/check"):
        pass
    assert raised.value.response.status_code == 403


def test_a_quiet_stream_outlives_the_time_that_a_request_may_take_to_begin(judging, monkeypatch):
    monkeypatch.setattr("ncdetect.api_server._HEADERS_S", 0.3)
    with running(judging) as stream, stream.open() as socket:
        time.sleep(0.8)
        socket.send(samples(0.5).tobytes())
        assert json.loads(socket.recv(timeout=60))["type"] == "rolling"


def test_stopping_ends_streams_with_a_reason(judging):
    with running(judging) as stream, stream.open() as socket:
        socket.send(samples(0.5).tobytes())
        socket.recv(timeout=60)
        stream.server.should_exit = True
        found, code, reason = answers(socket)
    assert (found[-1]["code"], code, reason) == ("stopping", 4503, "stopping")


def test_a_fault_of_ours_in_a_rolling_verdict_spares_the_final_one(stream, monkeypatch):
    monkeypatch.setattr(api_stream.RollingVerdicts, "update", lambda self: 1 / 0)
    with stream.open() as socket:
        socket.send(samples(2.0).tobytes())
        socket.send(END)
        found, code, _ = answers(socket)
    assert [one["type"] for one in found] == ["final"] and code == 1000


def test_a_stream_is_counted_and_is_one_line_of_the_log(stream, caplog):
    caplog.set_level(logging.INFO, logger="ncdetect")
    with stream.open(additional_headers={"X-Request-ID": "my-stream"}) as socket:
        assert socket.response.headers["X-Request-ID"] == "my-stream"
        assert socket.response.headers["Content-Security-Policy"].startswith("default-src 'none'")
        socket.send(samples(1.0).tobytes())
        socket.send(END)
        answers(socket)
    until(stream.free)
    (fields,) = [record.fields for record in caplog.records if hasattr(record, "fields")]
    assert fields["request_id"] == "my-stream" and fields["route"] == "/v1/stream"
    assert fields["status"] == 1000 and fields["bytes"] == 32_000 + len(json.dumps(PCM)) + len(END)
    figures = httpx.get(f"http://{stream.address}/metrics", timeout=60).text
    assert 'ncdetect_requests_total{route="/v1/stream",status="1000"}' in figures


def test_nothing_is_written_to_disk(stream, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with stream.open({"format": "opus"}) as socket:
        socket.send(media.with_ffmpeg(media.speech_like(2.0, 48_000), 48_000, "webm", "libopus"))
        socket.send(END)
        assert answers(socket)[1] == 1000
    assert not list(tmp_path.iterdir())


def test_the_document_tells_of_it(stream):
    about_it = httpx.get(f"http://{stream.address}/openapi.json", timeout=60).json()["info"]["description"]
    assert "/v1/stream" in about_it and '{"end": true}' in about_it


def test_a_decoder_with_much_unread_is_ended_all_the_same():
    async def ended():
        decoder = await StreamDecoder.start()
        await decoder.add(next(PRACTICE.glob("*.opus")).read_bytes())
        decoder._process.stdin.close()
        while len(decoder._process.stdout._buffer) <= 2**17:  # beyond it asyncio stops reading
            await asyncio.sleep(0.01)
        await asyncio.wait_for(decoder.close(), 20)
        found.append("ended")

    found = []
    thread = threading.Thread(target=asyncio.run, args=(ended(),))
    thread.start()
    thread.join(60)
    assert found == ["ended"]
