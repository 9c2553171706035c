"""The door that every request passes: its name, its line in the log, its counts, and headers for safety.

What is logged is what a request was about, how it ended and how long that took: no file names, no addresses,
nothing of a clip.
"""

import asyncio
import json
import logging
import re
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ncdetect.api_limits import Limits, Problem
from ncdetect.service import Service

log = logging.getLogger(__name__)

FRAMES = "frame-ancestors 'self' https://huggingface.co https://*.hf.space"
STRICT = f"default-src 'none'; {FRAMES}"
"""Of answers that are no page."""
PAGE = (
    # Gradio's page holds its settings in a script, and makes functions of the texts in `js_on_load`.
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; "
    f"base-uri 'self'; form-action 'self'; {FRAMES}"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), payment=(), usb=()",
}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_OTHER = "other"


class Metrics:
    """What Prometheus reads."""

    def __init__(self, service: Service):
        """All is zero."""
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "ncdetect_requests_total", "Requests by route and status.", ("route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "ncdetect_request_seconds", "Time to the answer.", ("route",), registry=registry, buckets=_SECONDS
        )
        self.verdicts = Counter("ncdetect_verdicts_total", "Verdicts.", ("verdict",), registry=registry)
        self.refused = Counter("ncdetect_refused_total", "Clips without one.", ("code",), registry=registry)
        waiting = Gauge("ncdetect_waiting", "Clips in the line.", registry=registry)
        waiting.set_function(lambda: service.queued)
        running = Gauge("ncdetect_judging", "Clips being judged.", registry=registry)
        running.set_function(lambda: service.running)


def failed() -> Problem:
    """A fault of ours."""
    return Problem(500, "failed", "Something went wrong in the server: try again later.")


def problem_answer(problem: Problem, request_id: str) -> JSONResponse:
    """A problem as an answer of HTTP."""
    told = problem.to_dict() | {"request_id": request_id}
    return JSONResponse(told, problem.status, problem.headers, "application/problem+json")


class Door:
    """Stands before the API and, where there is one, the page."""

    def __init__(
        self, api: ASGIApp, page: ASGIApp | None, paths: frozenset[str], metrics: Metrics, limits: Limits
    ):
        """Lead to one of two applications.

        Args:
            api: Gets what lies at `paths` or below /v1, and all there is where there is no page.
            page: Gets the rest.
            paths: Of the API.
            metrics: Counts.
            limits: How long to linger.
        """
        self.api, self.page, self.paths, self.metrics, self.limits = api, page, paths, metrics, limits
        self.stopping = False
        self.inside = 0
        """Requests to the API that are not yet answered."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await (self.page or self.api)(scope, receive, send)
        elif scope["type"] == "http":
            path = scope["path"]
            is_api = not self.page or path in self.paths or path == "/v1" or path.startswith("/v1/")
            self.inside += is_api
            try:
                await _Visit(self, scope, receive, send, is_api).answer()
            finally:
                self.inside -= is_api
        elif scope["type"] == "websocket":
            self.inside += 1
            try:
                await _Call(self, scope, receive, send).answer()
            finally:
                self.inside -= 1


def _request_id(headers: Headers) -> str:
    """What a client calls its request, where that is sane, or a name of our own."""
    asked = headers.get("x-request-id", "")
    return asked if _REQUEST_ID.fullmatch(asked) else uuid.uuid4().hex


class _Visit:
    """One request on its way through the door."""

    def __init__(self, door: Door, scope: Scope, receive: Receive, send: Send, is_api: bool):
        self.door, self.scope, self._receive, self._send, self.is_api = door, scope, receive, send, is_api
        self.headers = Headers(scope=scope)
        self.request_id = _request_id(self.headers)
        scope.setdefault("state", {})["request_id"] = self.request_id
        self.begun, self.status, self.bytes = time.perf_counter(), 0, 0
        self.ended = self.complete = False  # the body, the answer

    async def answer(self) -> None:
        """Have it answered, and keep count."""
        app = self.door.api if self.is_api else self.door.page
        try:
            await app(self.scope, self.receive, self.send)
        except Exception:
            log.exception("request %s failed", self.request_id)
            if self.complete:
                return
            if self.status:
                raise
            await problem_answer(failed(), self.request_id)(self.scope, self.receive, self.send)
        finally:
            self._count()

    async def receive(self) -> Message:
        """What the client sends next."""
        message = await self._receive()
        self.ended = message["type"] == "http.disconnect" or not message.get("more_body", False)
        self.bytes += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        """Send on to the client."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(raw=list(message["headers"]))
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers["Content-Security-Policy"] = STRICT if self.is_api else PAGE
            headers["X-Request-ID"] = self.request_id
            if self.is_api:
                headers["Cache-Control"] = "no-store"
                await self._linger()
                if not self.ended or self.door.stopping:
                    headers["Connection"] = "close"
            message = {**message, "headers": headers.raw}
        else:
            self.complete = not message.get("more_body", False)
        await self._send(message)

    async def _linger(self) -> None:
        """Drop what still comes, for a while: most clients listen only when they have sent all.

        One that asks first whether it may send is told at once.
        """
        if not {"content-length", "transfer-encoding"} & set(self.headers):
            self.ended = True  # there is no body
        if self.headers.get("expect", "").lower() == "100-continue" and not self.bytes:
            return
        try:
            async with asyncio.timeout(self.door.limits.linger_s):
                while not self.ended:
                    await self.receive()
        except TimeoutError:
            pass

    def _count(self) -> None:
        route = getattr(self.scope.get("route"), "path", _OTHER) if self.is_api else "page"
        seconds = time.perf_counter() - self.begun
        self.door.metrics.requests.labels(route, str(self.status)).inc()
        self.door.metrics.seconds.labels(route).observe(seconds)
        probed = (
            self.scope["path"] in self.door.paths
        )  # every few seconds, by whatever watches over the server
        if (self.is_api and not probed) or self.status == 500:
            # The method of an unknown route may be any text, and be long.
            fields = {
                "request_id": self.request_id, "method": self.scope["method"][:16], "route": route,
                "status": self.status, "seconds": round(seconds, 4), "bytes": self.bytes,
            }  # fmt: skip
            log.info("request", extra={"fields": fields})


class _Call:
    """One WebSocket on its way through the door; those of unknown addresses are refused by the API."""

    def __init__(self, door: Door, scope: Scope, receive: Receive, send: Send):
        self.door, self.scope, self._receive, self._send = door, scope, receive, send
        self.request_id = _request_id(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = self.request_id
        self.begun, self.status, self.bytes = time.perf_counter(), 0, 0

    async def answer(self) -> None:
        """Have it answered, and keep count."""
        try:
            await self.door.api(self.scope, self.receive, self.send)
        finally:
            self._count()

    async def receive(self) -> Message:
        """What the client sends next."""
        message = await self._receive()
        self.bytes += len(message.get("bytes") or message.get("text") or "")
        return message

    async def send(self, message: Message) -> None:
        """Send on to the client."""
        if message["type"] in ("websocket.accept", "websocket.http.response.start"):
            self.status = message.get("status", 101)
            headers = MutableHeaders(raw=list(message.get("headers", [])))
            for name, value in (*_HEADERS.items(), ("Cache-Control", "no-store")):
                headers.setdefault(name, value)
            headers["Content-Security-Policy"] = STRICT
            headers["X-Request-ID"] = self.request_id
            message = {**message, "headers": headers.raw}
        elif message["type"] == "websocket.close":
            self.status = message["code"] if self.status else 403
        await self._send(message)

    def _count(self) -> None:
        """In the log it is what the stream was closed with, where it was opened."""
        route = getattr(self.scope.get("route"), "path", _OTHER)
        seconds = time.perf_counter() - self.begun
        self.door.metrics.requests.labels(route, str(self.status)).inc()
        fields = {
            "request_id": self.request_id, "method": "WEBSOCKET", "route": route, "status": self.status,
            "seconds": round(seconds, 4), "bytes": self.bytes,
        }  # fmt: skip
        log.info("request", extra={"fields": fields})


class JsonLines(logging.Formatter):
    """A line of JSON for each record."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time_ = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told: dict[str, Any] = {"time": time_, "level": record.levelname.lower(), "logger": record.name}
        told |= {"message": record.getMessage()} | getattr(record, "fields", {})
        if record.exc_info:
            told["trace"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)
