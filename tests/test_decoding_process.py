import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings

from media import FORMATS, read, speech_like
from mutations import mutated
from ncdetect import audio, decoding_process
from ncdetect.audio import SAMPLE_RATE, AudioError
from ncdetect.decoding_process import Decoders
from sentences import assert_plain_sentence

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc and sends signals")


@pytest.fixture(scope="module")
def decoders():
    with_one = Decoders(1)
    yield with_one
    with_one.close()


@pytest.fixture(scope="module")
def speech():
    return FORMATS["wav-16"][2](speech_like(3.0), SAMPLE_RATE)


def process_of(decoders: Decoders) -> psutil.Process:
    """The idle process of decoders that have one."""
    found = decoders._idle.get()
    decoders._idle.put(found)
    return psutil.Process(found.process.pid)


def in_background(decoders: Decoders, data: bytes) -> tuple[threading.Thread, list]:
    found = []
    thread = threading.Thread(target=lambda: found.append(read(decoders.load, data)))
    thread.start()
    return thread, found


def test_every_format_is_the_same_bit_for_bit(decoders, tmp_path):
    for rate_hz, _, encode in list(FORMATS.values())[::3]:
        data = encode(speech_like(1.2, rate_hz), rate_hz)
        assert read(decoders.load, data) == read(audio.load, data)
    (tmp_path / "clip").write_bytes(data)
    clip = decoders.load(tmp_path / "clip")
    assert clip.wave.dtype == np.float32 and clip.wave.flags.writeable and len(clip.wave) > SAMPLE_RATE


def test_broken_files_are_the_same_and_one_process_reads_them_all(decoders, speech):
    """A few of them; all go through the page, and through `make fuzz`."""
    m4a = FORMATS["m4a"][2](speech_like(1.5, 44_100), 44_100)
    mp3 = FORMATS["mp3"][2](speech_like(1.5, 44_100), 44_100)
    broken = [data[: int(cut * len(data))] for data in (speech, m4a, mp3) for cut in (0.001, 0.3, 0.9)]
    broken += [b"", b"R", bytes(5000), b"%PDF-1.7", b"PK\3\4" + speech, b"<svg/>", speech[:200], m4a[::-1]]
    broken += [speech[:24] + bytes(4) + speech[28:], speech[:22] + b"\xff\xff" + speech[24:]]
    decoders.load(speech)
    before = process_of(decoders).pid
    for data in broken:
        assert read(decoders.load, data) == read(audio.load, data), data[:20]
    assert process_of(decoders).pid == before


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(mutated())
def test_files_with_mistakes_are_read_or_refused_with_a_sentence(decoders, data):
    """More of them in `make fuzz`."""
    try:
        clip = decoders.load(data)
    except AudioError as error:
        assert_plain_sentence(str(error))
    else:
        assert abs(clip.wave).max() <= 1 and clip.duration_s >= audio.MIN_DURATION_S


def test_arrays_need_no_process(monkeypatch):
    monkeypatch.setattr(decoding_process, "_Process", None)
    source = (SAMPLE_RATE, speech_like(1.0))
    assert read(Decoders().load, source) == read(audio.load, source)


def test_a_process_that_dies_midway_is_the_clip_s_error_and_is_replaced(speech):
    decoders = Decoders(1)
    decoders.load(speech)
    process = process_of(decoders)
    process.suspend()
    thread, found = in_background(decoders, speech)
    while not decoders._idle.empty():
        time.sleep(0.01)
    process.kill()
    thread.join(60)
    assert found == [("truncated", None)]
    assert decoders.load(speech).duration_s == 3 and process_of(decoders).pid != process.pid
    decoders.close()


def test_a_process_that_died_unasked_costs_nobody_anything(speech):
    decoders = Decoders(1)
    decoders.start()
    process = process_of(decoders)
    process.kill()
    process.wait(20)
    assert decoders.load(speech).duration_s == 3
    decoders.close()


def test_a_decode_that_overruns_is_killed(speech):
    decoders = Decoders(1)
    decoders.load(speech)
    decoders.kill_after_s = 0.3
    process = process_of(decoders)
    process.suspend()
    # More than the pipe holds: the process is stuck while it is written to.
    assert read(decoders.load, speech + bytes(2**22)) == ("too_slow", None)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    decoders.kill_after_s = 60
    assert decoders.load(speech).duration_s == 3
    decoders.close()


def test_processor_time_is_limited_by_the_kernel(speech, monkeypatch):
    decoders = Decoders(1)
    decoders.load(speech)
    process, limits = process_of(decoders), []
    for _ in range(2):
        decoders.load(speech)
        soft, _ = process.rlimit(psutil.RLIMIT_CPU)
        used = sum(process.cpu_times()[:2])
        limits.append(soft)
        assert used < soft <= used + decoding_process.KILL_AFTER_S + 1
    process.suspend()
    thread, found = in_background(decoders, speech)
    while not decoders._idle.empty():
        time.sleep(0.01)
    process.send_signal(signal.SIGXCPU)
    process.resume()
    thread.join(60)
    assert found == [("too_slow", None)]
    decoders.close()


def test_memory_is_limited_and_the_next_clip_is_read(speech):
    long = FORMATS["flac"][2](np.resize(speech_like(9.0), 590 * SAMPLE_RATE), SAMPLE_RATE)
    decoders = Decoders(1, memory_bytes=24 * 2**20)
    assert len(read(decoders.load, long)) == 2  # an error
    assert decoders.load(speech).duration_s == 3
    decoders.close()


def test_a_tiny_file_that_claims_hours_takes_no_memory(decoders, speech):
    flac = FORMATS["flac"][2](speech_like(1.6), SAMPLE_RATE)
    hours = flac[:21] + bytes([flac[21] | 15]) + b"\xff" * 4 + flac[26:]
    gigabytes = speech[:4] + b"\xff" * 4 + speech[8:40] + (2**31).to_bytes(4, "little") + speech[44:]
    decoders.load(speech)
    before = process_of(decoders).memory_info().rss
    for data in (hours, gigabytes):
        assert decoders.load(data).duration_s < 4
    assert process_of(decoders).memory_info().rss < before + 32 * 2**20


def test_it_may_write_no_file_and_knows_no_secret(speech, monkeypatch):
    for name in ("NCDETECT_TOKENS", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "open sesame")
    decoders = Decoders(1)
    decoders.load(speech)
    process = process_of(decoders)
    assert process.rlimit(psutil.RLIMIT_FSIZE)[0] == process.rlimit(psutil.RLIMIT_CORE)[0] == 0
    assert "open sesame" not in process.environ().values() and "PATH" in process.environ()
    mapped = " ".join(mapping.path for mapping in process.memory_maps())
    assert "torch" not in mapped and "sklearn" not in mapped
    decoders.close()


def test_a_process_that_cannot_start_is_our_fault_not_the_clip_s(speech, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="ended at its start with 1"):
        Decoders(1).load(speech)


def test_threads_share_processes(speech):
    decoders = Decoders(2)
    whole = read(audio.load, speech)
    started = [in_background(decoders, speech) for _ in range(8)]
    for thread, _ in started:
        thread.join(60)
    assert [found for _, found in started] == [[whole]] * 8
    decoders.close()


def test_the_process_ends_with_its_parent_however_that_ends():
    code = (
        "import sys; from ncdetect.decoding_process import Decoders; d = Decoders(1); d.start();"
        "print(d._idle.get().process.pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).resolve().parent.parent,
    )  # fmt: skip
    process = psutil.Process(int(parent.stdout.readline()))
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate()
    process.wait(60)
    assert not process.is_running()
