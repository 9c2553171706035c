"""The page in a process of its own and a Chromium to look at it, for the browser tests and the benchmark."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLAGS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
VERDICTS = ("Likely real", "Likely fake", "Undecided")


@dataclass(frozen=True)
class Server:
    """A served page."""

    url: str
    temporary: Path
    """Its TMPDIR: visitors' clips lie below."""
    started_s: float
    """From the start of the process to the first answer."""

    def clips(self) -> list[Path]:
        """Files of visitors that lie there now."""
        return [file for file in self.temporary.rglob("*") if file.is_file() and file.suffix != ".lock"]


@contextlib.contextmanager
def serving(temporary: Path, *arguments: str) -> Iterator[Server]:
    """Start `app.py`, or Python with other arguments, on a free port and end it by its process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port), "TMPDIR": str(temporary)}
    started = time.perf_counter()
    with (temporary / "server.lock").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *(arguments or ("app.py",))],
            cwd=ROOT,
            env=os.environ | settings,
            stdout=log,
            stderr=log,
        )
        try:
            url = f"http://127.0.0.1:{port}/"
            while True:
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(url, timeout=5).close()
                    break
                if process.poll() is not None or time.perf_counter() - started > 240:
                    raise RuntimeError((temporary / "server.lock").read_text("utf-8", "replace"))
                time.sleep(0.05)
            yield Server(url, temporary, time.perf_counter() - started)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def launch_browser(playwright, *flags: str):
    """The installed Chromium, else Playwright's own; None where there is neither."""
    installed = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    own = Path(playwright.chromium.executable_path)
    if not installed and not own.is_file():
        return None
    return playwright.chromium.launch(executable_path=installed, args=[*FLAGS, *flags])
