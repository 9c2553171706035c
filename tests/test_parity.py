"""One clip, one verdict: page, REST, stream, command line and ONNX say the same of 200 clips.

NCDETECT_PARITY names another checkpoint than tiny-resnet, which is asked because it is quick.
"""

import csv
import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from websockets.sync.client import connect

from ncdetect.predictor import Predictor

ROOT = Path(__file__).parents[1]
NAME = os.environ.get("NCDETECT_PARITY", "tiny-resnet")
CLIPS = 200
AT_ONCE = 4
SERVE = """
import sys
from ncdetect.api_limits import Limits
from ncdetect.api_server import serve
from ncdetect.ui import model

model.NAME = sys.argv[1]
serve("127.0.0.1", int(sys.argv[2]), model.NAME, True, Limits(per_minute=100_000), 2, 16)
"""


@pytest.fixture(scope="module")
def clips():
    """The examples, some of which last longer than a window, and every n-th clip of the practice corpus."""
    examples = sorted((ROOT / "assets" / "examples").glob("*.flac"))
    practice = sorted((ROOT / "assets" / "practice" / "clips").glob("*.opus"))
    wanted = CLIPS - len(examples)
    return examples + [practice[index * len(practice) // wanted] for index in range(wanted)]


@pytest.fixture(scope="module")
def predictor():
    return Predictor.from_pretrained(NAME)


@pytest.fixture(scope="module")
def expected(predictor, clips):
    """What Python says, as JSON has it."""
    return [json.loads(json.dumps(predictor.check(clip).to_dict())) for clip in clips]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Address of `serve` with the page, both with the same model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("served")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, NAME, str(port)],
            cwd=ROOT, env=os.environ | {"TMPDIR": str(folder)}, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            until, ready = time.monotonic() + 120, False
            while not ready:
                assert process.poll() is None and time.monotonic() < until, (folder / "log").read_text()
                time.sleep(0.2)
                try:
                    ready = httpx.get(f"http://127.0.0.1:{port}/readyz").is_success
                except httpx.TransportError:
                    continue
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(60)


def assert_same(found, expected):
    """Equal, numbers up to what another number of threads would change in their last digits."""
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)
    else:
        assert found == expected


def all_of(ask, clips):
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(ask, clips))


def test_over_http(served, clips, expected):
    def ask(clip):
        return httpx.post(f"http://{served}/v1/check", files={"file": clip.read_bytes()}, timeout=120).json()

    assert_same(all_of(ask, clips), expected)


def test_by_a_stream(served, clips, expected):
    """Opus goes as it is, FLAC as the samples that it holds."""

    def ask(clip):
        first, data = {"format": "opus"}, clip.read_bytes()
        if clip.suffix == ".flac":
            samples, rate = soundfile.read(clip, dtype="int16", always_2d=True)
            first = {"format": "s16le", "rate": rate, "channels": samples.shape[1]}
            data = samples.astype("<i2").tobytes()
        with connect(f"ws://{served}/v1/stream", open_timeout=60) as stream:
            stream.send(json.dumps(first))
            for start in range(0, len(data), 9_999):
                stream.send(data[start : start + 9_999])
            stream.send(json.dumps({"end": True}))
            while (message := json.loads(stream.recv(timeout=120)))["type"] == "rolling":
                pass
            return message.get("verdict", message)

    assert_same(all_of(ask, clips), expected)


def test_on_the_page(served, clips, expected):
    """By the page's own endpoint, as Gradio's clients ask it."""
    page = httpx.Client(base_url=f"http://{served}/gradio_api", timeout=120)

    def ask(clip):
        (path,) = page.post("/upload", files={"files": (clip.name, clip.read_bytes())}).json()
        sent = {"path": path, "meta": {"_type": "gradio.FileData"}}
        event = page.post("/call/check", json={"data": [sent]}).json()["event_id"]
        kind, data = page.get(f"/call/check/{event}").text.strip().rsplit("\n", 1)
        assert kind.endswith("event: complete"), data
        return json.loads(data.removeprefix("data: "))[0]

    assert_same(all_of(ask, clips), expected)


def test_on_the_command_line(clips, expected, tmp_path):
    (tmp_path / "clips.csv").write_text(
        "path\n" + "".join(f"{clip.relative_to(ROOT).as_posix()}\n" for clip in clips)
    )
    command = [sys.executable, "-m", "ncdetect"]
    files = "--manifest", tmp_path / "clips.csv", "--root", ROOT, "--out", tmp_path / "scores.csv"
    subprocess.run([*command, "score", *files, "--checkpoint", NAME], cwd=ROOT, check=True)
    with (tmp_path / "scores.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["verdict"] for row in rows] == [one["verdict"] for one in expected]
    np.testing.assert_allclose(
        [float(row["score"]) for row in rows], [one["score"] for one in expected], atol=1e-4
    )
    said = subprocess.run(
        [*command, "check", clips[0], "--json", "--checkpoint", NAME],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert_same(json.loads(said), expected[0])


def test_with_onnx(clips, expected, tmp_path):
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    from ncdetect import onnx

    onnx.export(NAME, out=tmp_path, clips=clips[:3])
    found = Predictor.from_pretrained(NAME, backend="onnx", onnx_path=tmp_path)
    verdicts = [found.check(clip) for clip in clips]
    wanted = [(one["verdict"], one["reason_code"]) for one in expected]
    assert [(one.verdict, one.reason_code) for one in verdicts] == wanted
    scores = [one.score for one in verdicts], [one["score"] for one in expected]
    np.testing.assert_allclose(*scores, atol=onnx.SCORE_ERROR)


def test_the_clips_are_of_all_kinds(expected):
    assert len(expected) == CLIPS
    assert {one["verdict"] for one in expected} == {"real", "fake", "undecided"}
    assert max(len(one["windows"]) for one in expected) > 3
