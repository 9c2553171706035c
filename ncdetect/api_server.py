"""What `python -m ncdetect serve` runs: API and page behind one door, until it is told to stop."""

import asyncio
import contextlib
import functools
import logging
import os
import signal
import sys
import time
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from ncdetect.api import Api, about
from ncdetect.api_door import STRICT, Door, JsonLines, problem_answer
from ncdetect.api_limits import Limits, Problem
from ncdetect.api_stream import MESSAGE_BYTES
from ncdetect.decoding_process import Decoders
from ncdetect.predictor import Predictor
from ncdetect.service import STOPPING_S, Judging, Service
from ncdetect.ui import model

_HEADERS_S = 10
"""A connection that has asked for nothing by then is closed."""
_IDLE_S = 65
"""Between two requests on a connection; proxies in front close theirs after 60."""
_STREAMS_S = 2
"""After the API's last answer, so long is waited for what the page still sends."""


class _Connection(H11Protocol):
    """A connection on which something must be asked soon; what is no HTTP gets a problem, too."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self.loop.call_later(_HEADERS_S, self._close_if_silent)

    def _close_if_silent(self) -> None:
        taken_over = self.transport.get_protocol() is not self  # by a stream
        if self.cycle is None and not taken_over and not self.transport.is_closing():
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        detail = "This is no request of HTTP, or its headers are too large."
        answer = problem_answer(Problem(400, "bad_request", detail), "")
        head = f"HTTP/1.1 400 Bad Request\r\nContent-Security-Policy: {STRICT}\r\nConnection: close\r\n"
        head += "".join(f"{name.decode()}: {value.decode()}\r\n" for name, value in answer.raw_headers)
        self.transport.write(f"{head}X-Content-Type-Options: nosniff\r\n\r\n".encode() + answer.body)
        self.transport.close()


class Server(uvicorn.Server):
    """Told to stop, it refuses what is new, answers what it has, and only then stops to listen."""

    def __init__(self, door: Door, service: Service, host: str, port: int):
        """Serve a door; port 0 is a free one."""
        super().__init__(
            uvicorn.Config(
                door,
                host,
                port,
                http=_Connection,
                ws="websockets-sansio",
                ws_max_size=MESSAGE_BYTES,
                ws_per_message_deflate=False,
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_STREAMS_S,
                timeout_keep_alive=_IDLE_S,
            )
        )
        self.door, self.service = door, service

    async def shutdown(self, sockets: Any = None) -> None:
        """Stop."""
        self.door.stopping = True
        await asyncio.to_thread(self.service.stop)
        until = time.monotonic() + STOPPING_S
        while self.door.inside and not self.force_exit and time.monotonic() < until:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)


def page_app() -> ASGIApp:
    """The page; its clips lie in a folder that goes with this process."""
    from ncdetect.ui.private import PrivateFolder

    private = PrivateFolder()
    # Both before gradio is imported, as app.py does.
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(private.path)}
    import gradio

    from ncdetect.ui import page

    app, demo = FastAPI(openapi_url=None), page.build(private.path)
    return gradio.mount_gradio_app(app, demo, "/", **page.launch_options())


def serve(
    host: str, port: int, checkpoint: str, with_page: bool, limits: Limits, threads: int, waiting: int
) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        host: Address to listen on.
        port: To listen on.
        checkpoint: What judges.
        with_page: Whether there is a page as well.
        limits: Of requests.
        threads: Clips judged at once.
        waiting: Clips that may wait.
    """
    log_as_json()
    # The server raises the signal again when it has stopped; the page's folder goes when Python ends orderly.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

    page = page_app() if with_page else None
    model.line |= {"threads": threads, "waiting": waiting}
    if with_page and checkpoint == model.NAME:
        service = model.service()
    else:
        decode = Decoders(threads).load
        load = functools.partial(Predictor.from_pretrained, checkpoint, decode=decode)
        service = Service(lambda: Judging(load()), threads, waiting)
    door = Api(service, lambda: [about(service.judge.predictor)], limits).app(page)
    with contextlib.suppress(KeyboardInterrupt):
        Server(door, service, host, port).run()


def log_as_json() -> None:
    """Write a line of JSON to standard error for each request and whatever else there is to tell."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("ncdetect").setLevel(logging.INFO)
