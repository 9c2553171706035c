"""Opus in Ogg or WebM, decoded while it is still being sent, in a process of its own.

What a hostile file does to a decoder ends with that process, as in `decoding_process`: it may use so much
memory and time, and may write no file. What it decodes serves rolling verdicts only; the final one rests on
the whole container, decoded like any other file.

This module is also what runs there: `python -m ncdetect.stream_decoding`.
"""

import asyncio
import contextlib
import os
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from ncdetect import decoding_process

MEMORY_BYTES = 256 * 2**20
"""What the process may use beyond its libraries."""
LONGEST_CPU_S = 120
"""Processor time in all: ten minutes of Opus take about ten seconds."""
_BLOCK = struct.Struct("<III")  # Hz, channels, frames; then so many samples of 32 bits, interleaved
_READ_BYTES = 2**12
_OPTIONS = {"format_whitelist": "matroska,ogg", "codec_whitelist": "opus", "protocol_whitelist": "none"}
_HURRY = {"fflags": "nobuffer", "probesize": "4096", "analyzeduration": "0"}
"""Or FFmpeg looks at seconds of sound before it gives the first."""


class StreamDecoder:
    """The process, and what goes to and fro."""

    def __init__(self, process: asyncio.subprocess.Process):
        """Take a process that runs."""
        self._process = process

    @classmethod
    async def start(cls) -> "StreamDecoder":
        """Start one."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ncdetect.stream_decoding", stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env=_environment(),
        )  # fmt: skip
        return cls(process)

    async def add(self, data: bytes) -> None:
        """Send the next bytes of the container; a process that has given up takes none."""
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(data)
            await self._process.stdin.drain()

    async def blocks(self) -> AsyncIterator[tuple[int, NDArray[np.float32]]]:
        """Rate in Hz and samples, float32, (n, C), as they come; they end where nothing can be decoded."""
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                rate_hz, channels, frames = _BLOCK.unpack(await self._read(_BLOCK.size))
                samples = np.frombuffer(await self._read(4 * channels * frames), np.float32)
                yield rate_hz, samples.reshape(frames, channels)

    async def _read(self, size: int) -> bytes:
        return await self._process.stdout.readexactly(size)

    async def close(self) -> None:
        """End it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        # Not `wait`: where much is still unread, asyncio has stopped reading and never learns of the end.
        await self._process.communicate()


def _environment() -> dict[str, str]:
    """What reads hostile files is not told secrets, and needs no threads."""
    package = str(Path(__file__).resolve().parents[1])
    paths = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    told = {name: value for name, value in os.environ.items() if not decoding_process.SECRET.search(name)}
    return told | {
        "PYTHONPATH": paths,
        "PYTHONSAFEPATH": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


class _Coming:
    """Standard input as FFmpeg reads it: whatever is there, and no way back."""

    def read(self, size: int) -> bytes:
        return os.read(sys.stdin.fileno(), min(size, _READ_BYTES))


def main() -> None:
    """The process: a container in, its samples out as soon as they can be decoded."""
    decoding_process.limit_memory(MEMORY_BYTES)
    decoding_process.limit_time(LONGEST_CPU_S)
    answers = sys.stdout.buffer
    with av.open(_Coming(), options=_HURRY, container_options=_OPTIONS, buffer_size=_READ_BYTES) as container:
        stream = container.streams.audio[0]
        for packet in container.demux(stream):
            for frame in packet.decode():
                samples = frame.to_ndarray()
                # planar (C, n) or packed (1, n * C) -> (n, C)
                wave = samples.T if frame.format.is_planar else samples.reshape(frame.samples, -1)
                answers.write(_BLOCK.pack(frame.sample_rate, wave.shape[1], len(wave)))
                answers.write(np.ascontiguousarray(wave, np.float32).data.cast("B"))
            answers.flush()


if __name__ == "__main__":
    main()
