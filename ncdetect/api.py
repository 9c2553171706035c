"""The API of `python -m ncdetect serve`: a sound file in, the same Verdict as the page says as JSON out."""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

import ncdetect
from ncdetect import api_schema
from ncdetect.api_door import Door, Metrics, failed, problem_answer
from ncdetect.api_limits import Held, Limits, Problem, RateLimit, Tokens, read_files
from ncdetect.api_schema import form, problems
from ncdetect.audio import AudioError, Source
from ncdetect.predictor import Predictor, Verdict
from ncdetect.service import Busy, Late, Service, Unavailable

if TYPE_CHECKING:
    from ncdetect.api_stream import StreamLimits

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json"})


def problem_of(error: Exception) -> Problem:
    """What is told of an error."""
    match error:
        case Problem():
            return error
        case AudioError():
            return Problem(413 if error.code == "too_large" else 422, error.code, str(error))
        case Unavailable():
            more = {"place": error.place} if isinstance(error, Busy) else {}
            wait_s = error.retry_after_s
            return Problem(
                503, error.code, str(error), {"Retry-After": str(wait_s)}, retry_after_s=wait_s, **more
            )
        case RequestValidationError():
            return Problem(422, "invalid", "The request is not of the form that this address takes.")
        case ClientDisconnect():
            return Problem(400, "gone", "The client went away before it was answered.")
        case HTTPException(status_code=404):
            return Problem(404, "no_such_address", "There is nothing at this address.")
        case HTTPException(status_code=405):
            allowed = (error.headers or {}).get("Allow", "")
            detail = f"This address knows only {allowed or 'other methods'}."
            return Problem(405, "method", detail, dict(error.headers or {}))
        case HTTPException():
            return Problem(error.status_code, "refused", "The request is refused.", dict(error.headers or {}))
    return failed()


class Api:
    """What the routes share."""

    def __init__(
        self,
        service: Service,
        models: Callable[[], list[dict[str, Any]]],
        limits: Limits | None = None,
        tokens: Tokens | None = None,
        clock: Callable[[], float] = time.monotonic,
        streams: "StreamLimits | None" = None,
    ):
        """Put an API before a service.

        Args:
            service: Judges.
            models: Tells of the model that judges, once there is one.
            limits: Of requests.
            tokens: None takes those of the environment.
            clock: Of the rate limit, in seconds.
            streams: Limits of /v1/stream.
        """
        self.service, self.models, self.limits = service, models, limits or Limits()
        self.tokens = Tokens() if tokens is None else tokens
        self.rate, self.held = RateLimit(self.limits, clock), Held(self.limits.held_bytes)
        self.metrics, self.streams = Metrics(service), streams

    def app(self, page: ASGIApp | None = None) -> Door:
        """The application, with the page behind the same door where there is one."""
        from ncdetect.api_stream import stream_router  # which needs this module

        app = FastAPI(
            title=api_schema.TITLE, version=ncdetect.__version__, description=api_schema.ABOUT, docs_url=None,
            redoc_url=None,
        )  # fmt: skip
        app.include_router(self._health())
        app.include_router(self._judging())
        app.include_router(stream_router(self, self.streams))
        api_schema.complete(app)
        told = (Problem, AudioError, Unavailable, RequestValidationError, ClientDisconnect, HTTPException)
        for kind in (*told, Exception):
            app.add_exception_handler(kind, _answer_problem)
        return Door(app, page, OPEN_PATHS, self.metrics, self.limits)

    async def admit(self, request: Request) -> None:
        """Refuse whoever may not ask, or not now.

        A coroutine, so that all requests are counted by one thread.

        Raises:
            Problem: 401 or 429.
        """
        self.tokens.check(request)
        self.rate.check(request.client.host if request.client else None)

    def _health(self) -> APIRouter:
        router = APIRouter(tags=["health"])

        @router.get("/healthz", responses=api_schema.STATUS)
        async def alive() -> JSONResponse:
            """Is the server there?"""
            return JSONResponse({"status": "ok"})

        @router.get("/readyz", responses=api_schema.STATUS | problems(503))
        async def ready() -> JSONResponse:
            """Does it take clips? Not while the model is being loaded, nor once it is being stopped."""
            if not self.service.ready:
                raise self.service.unready()
            return JSONResponse({"status": "ok"})

        @router.get("/metrics", response_class=Response)
        async def metrics() -> Response:
            """Figures for Prometheus."""
            return Response(generate_latest(self.metrics.registry), media_type=CONTENT_TYPE_LATEST)

        return router

    def _judging(self) -> APIRouter:
        needs = [Depends(HTTPBearer(auto_error=False))] if self.tokens else []
        router = APIRouter(prefix="/v1", tags=["judging"], dependencies=[*needs, Depends(self.admit)])
        refusals = problems(400, 401, 408, 413, 415, 422, 429, 503)
        most = self.limits.batch_files

        @router.post("/check", responses=api_schema.VERDICT | refusals, openapi_extra=form("file"))
        async def check(request: Request) -> JSONResponse:
            """Judge one sound file, of at most 25 MB and 10 minutes: the form's field `file`."""
            self.service.admit()
            with self.held.counting() as take:
                size = self.limits.file_bytes
                (data,) = await read_files(request, "file", 1, size, self.limits, take)
                verdict = await self._judged(request, data)
            return JSONResponse(verdict.to_dict())

        @router.post(
            "/check/batch", responses=api_schema.RESULTS | refusals, openapi_extra=form("files", most)
        )
        async def check_batch(request: Request) -> JSONResponse:
            """Judge at most 20 files, of 100 MB together: the form's fields `files`."""
            self.service.admit()
            with self.held.counting() as take:
                size = self.limits.batch_bytes
                files = await read_files(request, "files", most, size, self.limits, take)
                return JSONResponse({"results": [await self._result(request, data) for data in files]})

        @router.get("/models", responses=api_schema.MODELS | problems(401, 429, 503))
        async def models() -> JSONResponse:
            """Which model judges here."""
            if self.service.judge is None:
                raise self.service.unready()
            return JSONResponse({"models": self.models()})

        return router

    async def _judged(self, client: Request | WebSocket, source: Source) -> Verdict:
        """The verdict on a clip; one whose client goes away leaves the line."""
        try:
            waiting = asyncio.wrap_future(self.service.submit(source))
            gone = asyncio.ensure_future(client.receive())  # behind the clip nothing else can come
            try:
                within_s = self.service.deadline_s
                await asyncio.wait({waiting, gone}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
                if not waiting.done():
                    raise ClientDisconnect if gone.done() else Late()
                verdict = waiting.result()
            finally:
                waiting.cancel()
                gone.cancel()
        except (AudioError, Unavailable) as error:
            self.metrics.refused.labels(error.code).inc()
            raise
        self.metrics.verdicts.labels(verdict.verdict).inc()
        return verdict

    async def judged_patiently(self, client: Request | WebSocket, source: Source) -> Verdict:
        """The verdict on a clip; where the line is full, it waits for room, as long as any clip may."""
        until = time.monotonic() + self.service.deadline_s
        while True:
            try:
                return await self._judged(client, source)
            except Busy as error:
                if time.monotonic() + error.retry_after_s > until:
                    raise
                await asyncio.sleep(error.retry_after_s)

    async def _result(self, request: Request, data: bytes) -> dict[str, Any]:
        """The verdict on a file of a batch, or its problem."""
        try:
            return {"verdict": (await self.judged_patiently(request, data)).to_dict()}
        except (AudioError, Unavailable) as error:
            return {"problem": problem_of(error).to_dict()}


async def _answer_problem(request: Request, error: Exception) -> JSONResponse:
    return problem_answer(problem_of(error), request.state.request_id)


def about(predictor: Predictor) -> dict[str, Any]:
    """What /v1/models tells of a model."""
    return {
        "name": predictor.name,
        "architecture": predictor.config.model,
        "sha256": predictor.trained.sha256,
        "version": ncdetect.__version__,
        "real_below": predictor.config.real_below,
        "fake_above": predictor.config.fake_above,
    }
