"""Trainings that a page watches: one at a time, each in its own process, with progress, cancel and limits.

Nothing here imports torch; `live_process` is what the process does.
"""

import dataclasses
import json
import logging
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ncdetect.corpora import Manifest

log = logging.getLogger(__name__)

LIMIT_S, ABANDONED_S = 300.0, 15.0
TASK_FILE, LOG_FILE = "task.json", "log.txt"
_WATCH_EVERY_S, _PATIENCE_S = 0.1, 10


@dataclass(frozen=True)
class Task:
    """Trainings one after the other, alike but for their clips. Defaults end within two minutes on two cores.

    Raises:
        ValueError: If there is no training.
    """

    runs: Mapping[str, Manifest]
    """Train clips of each training, by name."""
    dev: Manifest
    """Clips that choose the epoch."""
    test: Manifest
    """Clips on which the trained models are compared."""
    epochs: int = 8
    epoch_clips: int = 640
    """Clips drawn in an epoch."""
    learning_rate: float = 2e-3
    """Peak of a cosine schedule."""
    precision: str = "auto"

    def __post_init__(self) -> None:
        """Refuse an empty one."""
        if not self.runs:
            raise ValueError("there is nothing to train")

    def write(self, folder: Path) -> None:
        """Write it into a folder, from which `read` makes it again."""
        parts = {f"run-{index}": manifest for index, manifest in enumerate(self.runs.values())}
        parts |= {"dev": self.dev, "test": self.test}
        for name, manifest in parts.items():
            manifest.write(folder / f"{name}.csv")
        roots = {name: str(Path(manifest.root).resolve()) for name, manifest in parts.items()}
        facts = {name: value for name, value in vars(self).items() if name not in ("runs", "dev", "test")}
        text = json.dumps({"runs": list(self.runs), "roots": roots, "facts": facts})
        (folder / TASK_FILE).write_text(text, "utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Task":
        """Read what `write` wrote."""
        told = json.loads((folder / TASK_FILE).read_text("utf-8"))
        parts = {name: Manifest.read(folder / f"{name}.csv", root) for name, root in told["roots"].items()}
        runs = {name: parts[f"run-{index}"] for index, name in enumerate(told["runs"])}
        return cls(runs, parts["dev"], parts["test"], **told["facts"])


class Busy(RuntimeError):
    """Another training is running."""

    def __init__(self, started_s: float, left_s: float | None):
        """Keep how long it has run and about how long it will.

        Args:
            started_s: Seconds since its start.
            left_s: Seconds that it will still take; None if nobody knows yet.
        """
        super().__init__(started_s, left_s)
        self.started_s, self.left_s = started_s, left_s


@dataclass
class Status:
    """How far a training has come."""

    state: str = "running"
    """running, done, failed, cancelled, abandoned (nobody asked for a while) or late (over the limit)."""
    run: str = ""
    """The training that runs now; `test` while the models are compared."""
    share: float = 0.0
    """Done, 0 to 1."""
    left_s: float | None = None
    """Seconds to go; None if nobody knows yet."""
    history: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Fields of `training.Epoch` of each finished epoch, by training."""
    result: dict[str, Any] | None = None
    """See `live_process.compare`."""
    message: str = ""
    """What went wrong."""


class _Training:
    """One training: its process, its folder, and the threads that listen and watch."""

    def __init__(self, folder: Path, limit_s: float, abandoned_s: float):
        """Start the process on a folder with a task."""
        self.name, self.folder = secrets.token_urlsafe(12), folder
        self.limit_s, self.abandoned_s = limit_s, abandoned_s
        self.started = self.asked = time.monotonic()
        self.status, self.guard = Status(), threading.Lock()
        package = str(Path(__file__).resolve().parents[1])
        paths = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
        with (folder / LOG_FILE).open("wb") as told:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ncdetect.live_process", str(folder)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=told, text=True, encoding="utf-8",
                env=os.environ | {"PYTHONPATH": paths},
            )  # fmt: skip
        self.listener = threading.Thread(target=self._listen, name="live-listen", daemon=True)
        self.watcher = threading.Thread(target=self._watch, name="live-watch", daemon=True)
        self.listener.start()
        self.watcher.start()

    def _listen(self) -> None:
        begun = None
        for line in self.process.stdout:
            event = json.loads(line)
            with self.guard:
                status = self.status
                if event["event"] == "step":
                    begun = begun or time.monotonic()
                    status.run, status.share = event["run"], max(status.share, event["share"])
                    spent = time.monotonic() - begun
                    # The first steps also decode the clips: too slow to tell the rest from.
                    known = status.share >= 0.04 and spent > 2
                    status.left_s = spent * (1 - status.share) / status.share if known else None
                elif event["event"] == "epoch":
                    status.history.setdefault(event["run"], []).append(event["epoch"])
                elif event["event"] == "result":
                    status.result, status.share, status.left_s = event["result"], 1.0, 0.0
                elif event["event"] == "error":
                    status.message = event["message"]

    def _watch(self) -> None:
        while self.process.poll() is None:
            time.sleep(_WATCH_EVERY_S)
            if time.monotonic() - self.started > self.limit_s:
                self.stop("late")
            elif time.monotonic() - self.asked > self.abandoned_s:
                self.stop("abandoned")
        self.listener.join()
        self.process.stdin.close()
        with self.guard:
            if self.status.state == "running":
                self.status.state = "done" if self.status.result else "failed"
            if self.status.state == "failed":
                told = (self.folder / LOG_FILE).read_text("utf-8", "replace")[-4000:]
                log.error("a training failed (%s)\n%s", self.process.returncode, told)
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self, state: str) -> None:
        """End the process; the watcher tidies up."""
        with self.guard:
            if self.status.state == "running" and not self.status.result:
                self.status.state = state
        self.process.terminate()
        try:
            self.process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def running(self) -> bool:
        """Whether the process, its folder or its listener is still there."""
        return self.watcher.is_alive()


class LiveTraining:
    """A server's trainings: one runs at a time, and it is stopped when nobody asks for it any more."""

    def __init__(
        self, folder: Path | None = None, limit_s: float = LIMIT_S, abandoned_s: float = ABANDONED_S
    ):
        """Nothing runs yet.

        Args:
            folder: Where trainings have their temporary folders; None: where the system has them.
            limit_s: A training may take this long.
            abandoned_s: It is stopped when `poll` was not called for so long.
        """
        self.folder, self.limit_s, self.abandoned_s = folder, limit_s, abandoned_s
        self._current: _Training | None = None
        self._guard = threading.Lock()

    def start(self, task: Task) -> str:
        """Start a training.

        Returns:
            Its name, for `poll` and `cancel`: whoever does not know it cannot touch it.

        Raises:
            Busy: If one runs.
        """
        with self._guard:
            current = self._current
            if current and current.running():
                raise Busy(time.monotonic() - current.started, current.status.left_s)
            folder = Path(tempfile.mkdtemp(prefix="ncdetect-training-", dir=self.folder))
            try:
                task.write(folder)
                self._current = _Training(folder, self.limit_s, self.abandoned_s)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            return self._current.name

    def poll(self, name: str) -> Status | None:
        """How far a training has come; None if it is not known (any more)."""
        current = self._named(name)
        if current is None:
            return None
        current.asked = time.monotonic()
        with current.guard:
            history = {name: list(epochs) for name, epochs in current.status.history.items()}
            status = dataclasses.replace(current.status, history=history)
        # Not told as ended before its folder is gone and the next one may start.
        return dataclasses.replace(status, state="running") if current.running() else status

    def cancel(self, name: str) -> None:
        """Stop a training; returns when its process and its folder are gone. One that ended is left alone."""
        current = self._named(name)
        if current:
            current.stop("cancelled")
            current.watcher.join(_PATIENCE_S)

    def _named(self, name: str) -> _Training | None:
        current = self._current
        return current if current and secrets.compare_digest(current.name, str(name)) else None
