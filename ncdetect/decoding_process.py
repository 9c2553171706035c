"""Decoding in a process of its own: what a hostile file does to a decoder ends with that process.

`Decoders.load` gives what `audio.load` gives, bit for bit. The bytes of a file go to the process through a
pipe and its waveform comes back through another: nothing of a clip is written to disk, and nothing is left of
it where a process is killed. The process may use so much memory and time, may write no file, and is replaced
when it dies or has to be killed.

This module is also what runs there: `python -m ncdetect.decoding_process BYTES`, importing only what decoding
needs.
"""

import contextlib
import dataclasses
import json
import logging
import math
import os
import queue
import re
import signal
import struct
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ncdetect import audio
from ncdetect.audio import Audio, AudioError
from ncdetect.decoding import DECODE_DEADLINE_S

try:
    import resource
except ImportError:  # Windows has no such limits; the deadline holds there as well
    resource = None

log = logging.getLogger(__name__)

MEMORY_BYTES = 768 * 2**20
"""What a process may use beyond its libraries. The longest clip allowed needs about 200 MB."""
KILL_AFTER_S = DECODE_DEADLINE_S + 2
"""The decoders look at the clock themselves; a process that still has not answered by then is killed."""
_START_S = 120.0
_REQUEST, _ANSWER = (
    struct.Struct("<Q"),
    struct.Struct("<I"),
)  # lengths of a file, and of the JSON before samples
_READY = b"."
_PIPE_BYTES = 2**20
SECRET = re.compile("TOKEN|SECRET|PASSWORD|KEY", re.IGNORECASE)


class Decoders:
    """Some decoding processes, each started when it is first needed; any number of threads may use them."""

    def __init__(self, count: int = 2, kill_after_s: float = KILL_AFTER_S, memory_bytes: int = MEMORY_BYTES):
        """Nothing runs yet.

        Args:
            count: As many files are decoded at once; further ones wait.
            kill_after_s: A process that takes longer over one file is killed.
            memory_bytes: What a process may use beyond its libraries.
        """
        self.kill_after_s, self.memory_bytes = kill_after_s, memory_bytes
        self._idle: queue.LifoQueue[_Process | None] = queue.LifoQueue()
        for _ in range(count):
            self._idle.put(None)
        weakref.finalize(self, _end, self._idle)

    def load(self, source: audio.Source) -> Audio:
        """Decode a clip to mono at 16 kHz, as `audio.load` does; arrays, which nothing parses, here.

        Raises:
            AudioError: If the source cannot be judged; `too_slow` also if its process had to be killed,
                `truncated` also if its process died of it.
            RuntimeError: If no process can be started.
        """
        if isinstance(source, tuple):
            return audio.load(source)
        data = audio.read_bytes(source)
        process = self._idle.get()
        try:
            if process is None or not process.alive():
                process = _Process(self.memory_bytes)
            return process.load(data, self.kill_after_s)
        finally:
            # The next one starts at once, so that nobody waits for its imports.
            self._idle.put(process if process is None or process.alive() else _Process(self.memory_bytes))

    def start(self) -> None:
        """Start all processes that are idle and do not run, so that the first clip need not wait for one."""
        taken = []
        with contextlib.suppress(queue.Empty):
            while True:
                taken.append(self._idle.get_nowait())
        for process in taken:
            self._idle.put(process or _Process(self.memory_bytes))

    def close(self) -> None:
        """End the processes that are idle."""
        _end(self._idle)


def _end(idle: "queue.LifoQueue[_Process | None]") -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            process = idle.get_nowait()
            if process:
                process.end()


class _Process:
    """One decoding process and the pipes to it; used by one thread at a time."""

    def __init__(self, memory_bytes: int):
        package = str(Path(__file__).resolve().parents[1])
        paths = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
        # What reads hostile files is not told secrets, and needs no threads.
        env = {name: value for name, value in os.environ.items() if not SECRET.search(name)}
        env |= {
            "PYTHONPATH": paths,
            "PYTHONSAFEPATH": "1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ncdetect.decoding_process", str(memory_bytes)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env,
            pipesize=_PIPE_BYTES,
        )  # fmt: skip
        self.ready = False

    def alive(self) -> bool:
        """Whether it runs and can take a file."""
        return not self.process.stdin.closed and self.process.poll() is None

    def load(self, data: bytes, kill_after_s: float) -> Audio:
        """Have it decode a file; where that fails for other reasons than the file's, the process is ended."""
        with self._killed_after(_START_S):
            self.ready = self.ready or self.process.stdout.read(1) == _READY
        if not self.ready:
            self.end()
            raise RuntimeError(f"the decoding process ended at its start with {self.process.returncode}")
        late = threading.Event()
        try:
            with self._killed_after(kill_after_s, late):
                return self._ask(data)
        except (OSError, EOFError):
            self.end()
            # At its limit of processor time the kernel ends it.
            slow = late.is_set() or self.process.returncode == -getattr(signal, "SIGXCPU", 0)
            log.warning("a decoding process ended with %s", self.process.returncode)
            raise AudioError("too_slow" if slow else "truncated") from None

    def _ask(self, data: bytes) -> Audio:
        self.process.stdin.write(_REQUEST.pack(len(data)))
        self.process.stdin.write(data)
        self.process.stdin.flush()
        told = json.loads(_exactly(self.process.stdout, *_ANSWER.unpack(_exactly(self.process.stdout, 4))))
        if "failure" in told:
            log.error("decoding failed with %s", told["failure"])
            raise AudioError("truncated")
        if "error" in told:
            raise AudioError(*told["error"])
        wave = np.empty(told.pop("samples"), np.float32)
        if self.process.stdout.readinto(wave.data.cast("B")) != wave.nbytes:
            raise EOFError
        return Audio(wave, **told)

    @contextlib.contextmanager
    def _killed_after(self, seconds: float, late: threading.Event | None = None) -> Iterator[None]:
        """Kill the process if the block takes longer, whether it reads or writes; `late` tells of it."""
        guard, done = threading.Lock(), False

        def kill() -> None:
            with guard:
                if not done:
                    if late:
                        late.set()
                    self.process.kill()

        timer = threading.Timer(seconds, kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with guard:
                done = True

    def end(self) -> None:
        """Kill it and let go of its pipes."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()


def _exactly(pipe: BinaryIO, size: int) -> bytes:
    """So many bytes.

    Raises:
        EOFError: If there are fewer.
    """
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return data


def limit_memory(memory_bytes: int) -> None:
    """Limit this process, for good: its memory, and no file or memory image may be written."""
    if not resource:
        return
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, 0)
    with contextlib.suppress(OSError):  # only Linux tells what the libraries take
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + memory_bytes)


def limit_time(seconds: float) -> None:
    """Limit the processor time from now on; the kernel ends the process when it is spent."""
    if resource:
        used = resource.getrusage(resource.RUSAGE_SELF)
        _lower(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime + seconds))


def _lower(limit: int, value: int) -> None:
    """Set a limit, where the one that others have set is not lower still."""
    hard = resource.getrlimit(limit)[1]
    resource.setrlimit(limit, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _answer(data: bytes) -> tuple[dict[str, Any], np.ndarray]:
    """What is said of a file, and its samples."""
    none = np.empty(0, np.float32)
    try:
        clip = audio.load(data)
    except AudioError as error:
        code, value = error.args
        return {"error": [code, value]}, none
    except Exception as error:  # a fault of ours, or no memory left: this clip's, not that of the next ones
        return {"failure": type(error).__name__}, none
    facts = {
        field.name: getattr(clip, field.name) for field in dataclasses.fields(clip) if field.name != "wave"
    }
    return facts | {"samples": len(clip.wave)}, clip.wave


def main(memory_bytes: int) -> None:
    """The process: files in, waveforms out, until nobody holds the other end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the server, and thereby its pipes
    files, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not mix with answers
    audio.load((audio.SAMPLE_RATE, np.sin(np.arange(audio.SAMPLE_RATE))))  # what is loaded at first use
    limit_memory(memory_bytes)
    answers.write(_READY)
    answers.flush()
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            (size,) = _REQUEST.unpack(_exactly(files, _REQUEST.size))
            limit_time(KILL_AFTER_S)
            told, wave = _answer(_exactly(files, size))
            written = json.dumps(told).encode()
            answers.write(_ANSWER.pack(len(written)) + written)
            answers.write(wave.data.cast("B"))
            answers.flush()
            del told, wave
    os._exit(0)  # a broken pipe cannot be flushed


if __name__ == "__main__":
    main(int(sys.argv[1]))
