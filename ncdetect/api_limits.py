"""What the API demands of a request before its clip is judged: a token, patience, a body within limits."""

import asyncio
import hashlib
import ipaddress
import math
import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from ncdetect.decoding import MAX_BYTES

TOKENS = "NCDETECT_TOKENS"
"""Environment variable: tokens separated by commas, of which a client must send one; without it none need."""
_FORM_BYTES = 64 * 2**10  # boundaries and headers around the files
_MOST_FIELDS = 8
_KNOWN_CLIENTS = 10_000


@dataclass(frozen=True)
class Limits:
    """What one request, and all together, may take."""

    file_bytes: int = MAX_BYTES
    batch_files: int = 20
    batch_bytes: int = 100 * 2**20
    held_bytes: int = 400 * 2**20
    """Of all bodies in memory together."""
    upload_s: float = 120.0
    """For a whole body."""
    silence_s: float = 15.0
    """Between two pieces of a body."""
    linger_s: float = 2.0
    """After a refusal the rest of a body is read and dropped for so long: most clients listen only then."""
    per_minute: float = 60.0
    """Requests of one address in the long run; 0 is no limit. Clients on the same machine have none."""
    burst: int = 20
    """Requests of one address at once."""


class Problem(Exception):
    """An answer that is no verdict (RFC 9457)."""

    def __init__(
        self, status: int, code: str, detail: str, headers: dict[str, str] | None = None, **more: Any
    ):
        """Take what is told.

        Args:
            status: Of HTTP.
            code: For programs.
            detail: A sentence for people.
            headers: Of the answer.
            more: Further members.
        """
        super().__init__(status, code, detail)
        self.status, self.code, self.detail, self.headers, self.more = (
            status,
            code,
            detail,
            headers or {},
            more,
        )

    def to_dict(self) -> dict[str, Any]:
        """The members of the JSON."""
        title = HTTPStatus(self.status).phrase
        told = {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail}
        return told | {"code": self.code} | self.more


class Tokens:
    """The tokens that are accepted; compared so that the time taken tells nothing about them."""

    def __init__(self, told: str | None = None):
        """Take tokens separated by commas; None reads the environment."""
        told = os.environ.get(TOKENS, "") if told is None else told
        self._known = [_digest(token.strip()) for token in told.split(",") if token.strip()]

    def __bool__(self) -> bool:
        """Whether one is needed."""
        return bool(self._known)

    def check(self, request: Request) -> None:
        """Refuse a request without one of them.

        Raises:
            Problem: 401.
        """
        if not self._known:
            return
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        sent = _digest(token.strip())
        matches = [secrets.compare_digest(sent, known) for known in self._known]
        if not any(matches) or scheme.lower() != "bearer":
            detail = "This server answers only who sends one of its tokens: Authorization: Bearer TOKEN."
            raise Problem(401, "unauthorized", detail, {"WWW-Authenticate": "Bearer"})


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


class RateLimit:
    """A bucket of tokens for each client address; IPv6 addresses of one network (/64) share theirs."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic):
        """All buckets are full.

        Args:
            limits: How fast they fill, and how much they hold.
            clock: In seconds.
        """
        self.limits, self._clock = limits, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address -> (tokens, when)

    def check(self, address: str | None) -> None:
        """Count a request.

        Raises:
            Problem: 429, with Retry-After.
        """
        name = _network(address)
        if not self.limits.per_minute or name is None:
            return
        per_s, now = self.limits.per_minute / 60, self._clock()
        tokens, then = self._buckets.pop(name, (float(self.limits.burst), now))
        tokens = min(self.limits.burst, tokens + (now - then) * per_s)
        allowed = tokens >= 1
        self._buckets[name] = (tokens - allowed, now)
        if len(self._buckets) > _KNOWN_CLIENTS:  # who has been silent longest has a full bucket by now
            self._buckets.popitem(last=False)
        if not allowed:
            wait_s = max(1, math.ceil((1 - tokens) / per_s))
            detail = f"These are too many requests in a short time: send the next one in {wait_s} seconds."
            raise Problem(429, "too_many", detail, {"Retry-After": str(wait_s)}, retry_after_s=wait_s)


def _network(address: str | None) -> str | None:
    """What a client is known by; None for one on this machine."""
    try:
        found = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:  # a socket of this machine, or a proxy's word: one bucket a word
        return address or None
    if found.version == 6 and found.ipv4_mapped:
        found = found.ipv4_mapped
    if found.is_loopback:
        return None
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else str(found)


class Held:
    """How many bytes of bodies lie in memory."""

    def __init__(self, most: int):
        """Nothing lies there yet."""
        self.most, self.bytes = most, 0
        self._guard = threading.Lock()

    @contextmanager
    def counting(self) -> Iterator[Callable[[int], None]]:
        """Gives what takes the bytes of one request; they are given back at the end of the block."""
        taken = 0

        def take(size: int) -> None:
            nonlocal taken
            with self._guard:
                if self.bytes + size > self.most:
                    detail = "Too many files are being sent at the moment: try again in 5 seconds."
                    raise Problem(503, "busy", detail, {"Retry-After": "5"}, retry_after_s=5)
                self.bytes += size
                taken += size

        try:
            yield take
        finally:
            with self._guard:
                self.bytes -= taken


def too_large(most: int) -> Problem:
    """More was sent than is allowed."""
    return Problem(
        413, "too_large", f"More than {most / 2**20:.0f} MB were sent, the most that is taken at once."
    )


async def read_files(
    request: Request,
    field: str,
    most_files: int,
    most_bytes: int,
    limits: Limits,
    take: Callable[[int], None],
) -> list[bytes]:
    """The files of a multipart form, in memory: nothing of a clip is ever on disk.

    Args:
        request: Its body was not read yet.
        field: Of the form.
        most_files: Files allowed.
        most_bytes: Bytes allowed in all files together.
        limits: Of time.
        take: Counts what lies in memory, see `Held`.

    Raises:
        Problem: 400, 408, 413, 415, 422 or 503.
        ClientDisconnect: If the client goes away before all is there.
    """
    form = None
    try:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
            detail = f"Send the file as the field {field!r} of a multipart form."
            raise Problem(415, "not_a_form", detail, {"Accept": "multipart/form-data"})
        body = _body(request, most_bytes + _FORM_BYTES, most_bytes, limits, take)
        parser = MultiPartParser(
            request.headers, body, max_files=most_files, max_fields=_MOST_FIELDS, max_part_size=_FORM_BYTES
        )
        parser.spool_max_size = most_bytes + _FORM_BYTES + 1  # in memory, however large
        form = await parser.parse()
        found = form.getlist(field)
        if not found:
            raise Problem(422, "missing", f"The form has no field {field!r} with a file.")
        if not all(isinstance(file, UploadFile) for file in found):
            detail = f"The field {field!r} holds text: send the file itself, addresses are not fetched."
            raise Problem(422, "not_a_file", detail)
        return [file.file.read() for file in found]
    except MultiPartException:
        detail = (
            f"The form cannot be read, or holds more than {most_files} files or {_MOST_FIELDS} other fields."
        )
        raise Problem(400, "bad_form", detail) from None
    finally:
        if form is not None:
            await form.close()


async def _body(
    request: Request, most: int, told: int, limits: Limits, take: Callable[[int], None]
) -> AsyncIterator[bytes]:
    """The pieces of a body, as long as it is small and quick enough."""
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > most:
        raise too_large(told)
    size, until = 0, time.monotonic() + limits.upload_s
    while True:
        patience = min(limits.silence_s, until - time.monotonic())
        try:
            message = await asyncio.wait_for(request.receive(), max(patience, 0.0))
        except TimeoutError:
            detail = "The file came too slowly: try again with a better connection or a smaller file."
            raise Problem(408, "slow_upload", detail, {"Connection": "close"}) from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece = message.get("body", b"")
        size += len(piece)
        if size > most:
            raise too_large(told)
        take(len(piece))
        yield piece
        if not message.get("more_body"):
            return
