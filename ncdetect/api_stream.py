"""/v1/stream: sound over a WebSocket while it comes, rolling verdicts back, and at the end the offline one.

The first message says what comes: `{"format": "s16le", "rate": 48000, "channels": 1}`, or f32le, or opus,
which is Ogg or WebM as MediaRecorder writes it and says its rate itself. Then follow binary messages, cut
anywhere, and `{"end": true}`. The server sends `{"type": "rolling", ...}` (`streaming.Rolling`) about every
half second of sound, and `{"type": "final", "verdict": ...}`, the JSON of /v1/check. What cannot go on is
told as `{"type": "error", "code": ..., "detail": ...}`, and closed with 4000 + the status that HTTP would
have, and the code as the reason.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from ncdetect.api import Api, problem_of
from ncdetect.api_door import problem_answer
from ncdetect.api_limits import Problem, too_large
from ncdetect.audio import Source
from ncdetect.decoding import MAX_DURATION_S
from ncdetect.service import Unavailable
from ncdetect.stream_decoding import StreamDecoder
from ncdetect.streaming import SAMPLE_TYPES, Rolling, RollingVerdicts, StreamingChecker

log = logging.getLogger(__name__)

OPUS = "opus"
_FORMATS = (*SAMPLE_TYPES, OPUS)
MESSAGE_BYTES = 2**20
"""Of one message; the server closes with 1009 where there are more."""
_CLOSE = 4000
"""Codes above are for applications to use."""
_TICK_S = 0.5
_RETRY_S = 5


@dataclass(frozen=True)
class StreamLimits:
    """What streams may take."""

    streams: int = 8
    """At once."""
    idle_s: float = 15.0
    """Without a message."""
    open_s: float = 2.0 * MAX_DURATION_S
    """For all messages of a stream; the sound itself may last `decoding.MAX_DURATION_S`."""


class _Input(Protocol):
    """What takes the binary messages of a stream."""

    async def add(self, data: bytes) -> None:
        """Take the next ones.

        Raises:
            AudioError: If they are no sound that can be judged.
        """

    def rolling(self) -> RollingVerdicts | None:
        """What gives rolling verdicts, once it is known what comes."""

    def source(self) -> Source:
        """All that came, for the final verdict."""

    async def close(self) -> None:
        """Let go of what it holds."""


class _Samples:
    """Plain samples."""

    def __init__(self, checker: StreamingChecker, changed: Callable[[], None]):
        self.checker, self.changed = checker, changed

    async def add(self, data: bytes) -> None:
        self.checker.add(data)
        self.changed()

    def rolling(self) -> RollingVerdicts:
        return self.checker.rolling

    def source(self) -> Source:
        return self.checker.source()

    async def close(self) -> None:
        pass


class _Container:
    """Opus in a container, decoded as it comes; what cannot be decoded shows in the final verdict."""

    def __init__(self, api: Api, decoder: StreamDecoder, changed: Callable[[], None]):
        self.api, self.decoder, self.changed = api, decoder, changed
        self.data, self.verdicts = bytearray(), None
        self.pump = asyncio.create_task(self._decode())

    async def add(self, data: bytes) -> None:
        if len(self.data) + len(data) > self.api.limits.file_bytes:
            raise too_large(self.api.limits.file_bytes)
        self.data += data
        if self.pump.done():
            self.pump.result()  # what it raised
        else:
            await self.decoder.add(data)

    async def _decode(self) -> None:
        async for rate_hz, block in self.decoder.blocks():
            if self.verdicts is None:
                self.verdicts = RollingVerdicts(self.api.service.judge.predictor, rate_hz, block.shape[1])
            self.verdicts.add(block)
            self.changed()

    def rolling(self) -> RollingVerdicts | None:
        return self.verdicts

    def source(self) -> Source:
        return bytes(self.data)

    async def close(self) -> None:
        self.pump.cancel()
        await asyncio.gather(self.pump, return_exceptions=True)
        await self.decoder.close()


def stream_router(api: Api, limits: StreamLimits | None = None) -> APIRouter:
    """The route /v1/stream of an API."""
    router, limits = APIRouter(), limits or StreamLimits()
    room = asyncio.Semaphore(limits.streams)
    judging = asyncio.Semaphore(api.service.threads)

    @router.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        try:
            _admit(api, socket)
            if room.locked():
                detail = f"Too many streams are open at the moment: try again in {_RETRY_S} seconds."
                raise Problem(503, "busy", detail, {"Retry-After": str(_RETRY_S)}, retry_after_s=_RETRY_S)
        except (Problem, Unavailable) as error:
            refusal = problem_answer(problem_of(error), socket.scope["state"]["request_id"])
            return await socket.send_denial_response(refusal)
        async with room:
            await socket.accept()
            await _Stream(api, limits, judging, socket).answer()

    return router


def _admit(api: Api, socket: WebSocket) -> None:
    """Refuse whoever may not open a stream, or not now.

    Browsers let any site open a WebSocket to any other: where one says on whose behalf it asks, that must be
    this server's own page.

    Raises:
        Problem: 401, 403 or 429.
        Unavailable: If nothing is judged now.
    """
    api.tokens.check(socket)
    origin = socket.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != socket.headers.get("host"):
        raise Problem(403, "origin", "A page of another site asks: only this server's own page may.")
    api.rate.check(socket.client.host if socket.client else None)
    api.service.admit()


class _Stream:
    """One stream."""

    def __init__(self, api: Api, limits: StreamLimits, judging: asyncio.Semaphore, socket: WebSocket):
        self.api, self.limits, self.judging, self.socket = api, limits, judging, socket
        self.until = time.monotonic() + limits.open_s
        self.changed = asyncio.Event()

    async def answer(self) -> None:
        """Everything from the first message to the last."""
        try:
            with self.api.held.counting() as take:
                verdict = await self._verdict(take)
            await self.socket.send_json({"type": "final", "verdict": verdict})
            await self.socket.close()
        except WebSocketDisconnect:
            return
        except Exception as error:
            problem = problem_of(error)
            if problem.status == 500:
                log.exception("stream %s failed", self.socket.scope["state"]["request_id"])
            told = {"type": "error", "code": problem.code, "detail": problem.detail} | problem.more
            with contextlib.suppress(WebSocketDisconnect):
                await self.socket.send_json(told)
                await self.socket.close(_CLOSE + problem.status, problem.code)

    async def _verdict(self, take: Callable[[int], None]) -> dict[str, Any]:
        source = await self._input(_told(await self._next()))
        rolling = asyncio.create_task(self._roll(source))
        try:
            while isinstance(message := await self._next(), bytes):
                take(len(message))
                await source.add(message)
        finally:
            rolling.cancel()
            await asyncio.gather(rolling, return_exceptions=True)
            await source.close()
        if _told(message) != {"end": True}:
            raise _bad_message()
        return (await self.api.judged_patiently(self.socket, source.source())).to_dict()

    async def _input(self, told: dict[str, Any]) -> _Input:
        """What takes the messages that follow the first one.

        Raises:
            Problem: 400.
            AudioError: If such a sound cannot be judged.
        """
        match told:
            case {"format": "opus", **more} if not more:
                return _Container(self.api, await StreamDecoder.start(), self.changed.set)
            case {"format": str(form), "rate": int(rate_hz), "channels": int(channels), **more} if (
                form in SAMPLE_TYPES and not more
            ):
                checker = StreamingChecker(self.api.service.judge.predictor, rate_hz, channels, form)
                return _Samples(checker, self.changed.set)
        raise _bad_message()

    async def _roll(self, source: _Input) -> None:
        """Send rolling verdicts; nothing queues, see `RollingVerdicts.update`."""
        try:
            while True:
                await self.changed.wait()
                self.changed.clear()
                verdicts = source.rolling()
                if verdicts is None or not verdicts.due:
                    continue
                async with self.judging:
                    found: Rolling | None = await asyncio.to_thread(verdicts.update)
                if found:
                    await self.socket.send_json({"type": "rolling"} | found.to_dict())
        except WebSocketDisconnect:
            pass
        except Exception:  # the final verdict does not need them
            log.exception("rolling verdicts failed")

    async def _next(self) -> bytes | str:
        """The next message.

        Raises:
            Problem: 408 if none comes, or all take too long.
            Unavailable: If the server is being stopped.
            WebSocketDisconnect: If the client goes away.
        """
        until = min(time.monotonic() + self.limits.idle_s, self.until)
        while not self.api.service.stopping:
            if time.monotonic() > until:
                raise Problem(408, "idle", "Nothing came for too long, or the stream was open for too long.")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S):
                    message = await self.socket.receive()
                if message["type"] == "websocket.disconnect":
                    raise WebSocketDisconnect(message.get("code", 1005))
                # Either may be None.
                return message.get("bytes") or message.get("text") or b""
        raise self.api.service.unready()


def _told(message: bytes | str) -> dict[str, Any]:
    """What a message of text says.

    Raises:
        Problem: 400.
    """
    with contextlib.suppress(ValueError, RecursionError):
        if isinstance(message, str) and isinstance(told := json.loads(message), dict):
            return told
    raise _bad_message()


def _bad_message() -> Problem:
    detail = (
        f"The first message must be JSON with format ({', '.join(_FORMATS)}), rate and channels, opus with "
        "format alone; then binary messages follow, and JSON with end as true."
    )
    return Problem(400, "bad_message", detail)
