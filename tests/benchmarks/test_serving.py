"""Does the server stay up: many clients at once, many requests one after the other. Prints the figures."""

import http.client
import os
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from media import FORMATS, speech_like
from ncdetect import audio
from ncdetect.decoding_process import Decoders

CLIENTS, SECONDS = 100, float(os.environ.get("NCDETECT_BENCH_SECONDS", "120"))
REQUESTS = 2000
CLIP = FORMATS["wav-16"][2](speech_like(3.0), audio.SAMPLE_RATE)
KIND = {"Content-Type": "multipart/form-data; boundary=b"}
BODY = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + CLIP + b"\r\n--b--\r\n"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """`serve` in a process of its own: its address and process id."""
    log = tmp_path_factory.mktemp("log") / "log.txt"
    port = "8497"
    command = [sys.executable, "-m", "ncdetect", "serve", "--no-page", "--port", port, "--threads", "2"]
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as told:
        process = subprocess.Popen(command, stderr=told, env=os.environ | {"OMP_NUM_THREADS": "1"})
    try:
        while True:
            assert process.poll() is None, log.read_text()
            try:
                if httpx.get(url + "/readyz", timeout=5).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(60)


class Client(threading.Thread):
    """Sends one clip after the other; where it is refused it waits as long as it is told to."""

    def __init__(self, url: str, goes_on):
        super().__init__()
        self.address, self.goes_on = urlsplit(url).netloc, goes_on
        self.outcomes, self.seconds = Counter(), []

    def run(self):
        connection = http.client.HTTPConnection(self.address, timeout=120)
        while self.goes_on():
            begun, wait_s = time.perf_counter(), 0
            try:
                connection.request("POST", "/v1/check", BODY, KIND)
                answer = connection.getresponse()
                answer.read()
                self.outcomes[str(answer.status)] += 1
                if answer.status == 200:
                    self.seconds.append(time.perf_counter() - begun)
                wait_s = int(answer.headers.get("Retry-After", "0"))
            except (OSError, http.client.HTTPException) as error:
                self.outcomes[type(error).__name__] += 1
                connection.close()
            if wait_s:
                connection.close()
                time.sleep(wait_s)
        connection.close()


def run(clients):
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    seconds = sorted(second for client in clients for second in client.seconds)
    return sum((client.outcomes for client in clients), Counter()), seconds


def state(pid: int) -> tuple[float, int]:
    """Memory in MB and open files of a server with its decoding processes."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(p.memory_info().rss for p in processes) / 1e6, sum(p.num_fds() for p in processes)


def test_a_hundred_clients_at_once(server):
    url, _ = server
    ends = time.monotonic() + SECONDS
    outcomes, seconds = run([Client(url, lambda: time.monotonic() < ends) for _ in range(CLIENTS)])
    p99 = seconds[int(0.99 * len(seconds))]
    print(
        f"\n{CLIENTS} clients for {SECONDS:.0f} s: {dict(outcomes)}; answers "
        f"{len(seconds) / SECONDS:.1f} a second, median {statistics.median(seconds):.2f} s, "
        f"99 % within {p99:.2f} s"
    )
    assert set(outcomes) <= {"200", "503"}


def test_memory_and_files_over_many_requests(server):
    url, pid = server
    for count in (50, REQUESTS):
        left = iter(range(count))
        before = state(pid)
        outcomes, _ = run([Client(url, lambda left=left: next(left, None) is not None) for _ in range(4)])
    after = state(pid)
    print(
        f"\n{REQUESTS} requests: {dict(outcomes)}; memory {before[0]:.0f} -> {after[0]:.0f} MB, "
        f"open files {before[1]} -> {after[1]}"
    )
    assert set(outcomes) == {"200"}


def test_what_the_decoding_process_adds():
    decoders = Decoders(1)
    for name, seconds in (("wav-16", 3), ("mp3", 3), ("wav-16", 60)):
        rate_hz, _, encode = FORMATS[name]
        data = encode(speech_like(seconds, rate_hz), rate_hz)
        times = {}
        for way, load in (("here", audio.load), ("process", decoders.load)):
            load(data)
            taken = []
            for _ in range(100):
                begun = time.perf_counter()
                load(data)
                taken.append(1000 * (time.perf_counter() - begun))
            times[way] = min(taken), statistics.median(taken)
        least, middle = (times["process"][index] - times["here"][index] for index in (0, 1))
        print(f"\n{name} of {seconds} s: ms least and median {times}; added {least:.2f} and {middle:.2f} ms")
    decoders.close()
