"""Staying up: a bounded line of clips in front of one Predictor.

Some threads judge, so many clips may wait, first come first served, and one more is refused at once with its
place in the line, so that nobody waits without knowing. The clips of page and API stand in it.
"""

import contextvars
import io
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from ncdetect.language import say

if TYPE_CHECKING:
    from ncdetect.audio import Source
    from ncdetect.predictor import Predictor, Verdict

log = logging.getLogger(__name__)

THREADS, WAITING, DEADLINE_S = 2, 16, 60.0
LOADING_S, STOPPING_S = 5, 10
"""After how many seconds it may be worth to ask again."""
_LONGEST_RETRY_S = 120
_MEAN_WEIGHT = 0.1
"""Of the latest clip in the mean time of judging."""

Judge = Callable[["Source"], "Verdict"]


class Unavailable(RuntimeError):
    """A clip that is not judged now, for no fault of its own; `str()` is a sentence for laymen.

    Attributes:
        code: loading, broken, busy, late or stopping.
        retry_after_s: In how many seconds it may be worth to ask again.
    """

    code = "unavailable"

    def __init__(self, retry_after_s: int = LOADING_S):
        """Say when to ask again."""
        super().__init__(retry_after_s)
        self.retry_after_s = retry_after_s


class Loading(Unavailable):
    """The model is not there yet."""

    code = "loading"

    def __str__(self) -> str:
        """The sentence."""
        return say("The model is still being loaded: try again in a few seconds.")


class Broken(Unavailable):
    """The model could not be loaded."""

    code = "broken"

    def __str__(self) -> str:
        """The sentence."""
        return say("There is no model here that could judge. Something is wrong here, not with your clip.")


class Busy(Unavailable):
    """The line is full; `place` is the one that the clip would have had in it."""

    code = "busy"

    def __init__(self, place: int, retry_after_s: int):
        """Say how long the line is."""
        super().__init__(retry_after_s)
        self.place = place

    def __str__(self) -> str:
        """The sentence."""
        return say(
            "Too many clips are waiting, and this one would be number {place} in the line: try again in "
            "{seconds} seconds.",
            place=self.place,
            seconds=self.retry_after_s,
        )


class Late(Unavailable):
    """It was not judged within the time allowed."""

    code = "late"

    def __str__(self) -> str:
        """The sentence."""
        return say("The clip was not judged in time because too much else was going on: try again.")


class Stopping(Unavailable):
    """The service finishes what it has, and takes nothing new."""

    code = "stopping"

    def __str__(self) -> str:
        """The sentence."""
        return say("The server is being stopped: try again in a minute.")


@dataclass(frozen=True, eq=False)
class _Ticket:
    """A clip in the line."""

    source: "Source"
    future: Future
    context: contextvars.Context
    """Whoever brought it: reasons are said in that language."""
    until: float


class Service:
    """One Predictor, the line before it, and the threads that judge."""

    def __init__(
        self,
        load: Callable[[], Judge],
        threads: int = THREADS,
        waiting: int = WAITING,
        deadline_s: float = DEADLINE_S,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Load in the background; until that is done nothing is taken.

        Args:
            load: Called once; gives what judges a clip, see `Judging`.
            threads: Clips judged at once.
            waiting: Clips that may wait beside them.
            deadline_s: A clip that has waited so long is given up.
            clock: In seconds.
        """
        self.threads, self.waiting, self.deadline_s, self._clock = threads, waiting, deadline_s, clock
        self._line: deque[_Ticket] = deque()
        self._changed = threading.Condition()
        self.judge: Judge | None = None
        self._running, self._mean_s = 0, 1.0
        self.stopping, self.broken = False, False
        self._loaded = threading.Event()
        self._workers = [
            threading.Thread(target=self._work, name=f"judge-{index}", daemon=True)
            for index in range(threads)
        ]
        threading.Thread(target=self._start, args=(load,), name="load", daemon=True).start()

    def _start(self, load: Callable[[], Judge]) -> None:
        try:
            self.judge = load()
        except Exception:
            log.exception("the model cannot be loaded")
            self.broken = True
            self._loaded.set()
            return
        for worker in self._workers:
            worker.start()
        self._loaded.set()

    @property
    def ready(self) -> bool:
        """Whether clips are taken."""
        return self._loaded.is_set() and not self.stopping and not self.broken

    def unready(self) -> Unavailable:
        """Why no clips are taken."""
        if self.stopping:
            return Stopping(STOPPING_S)
        return Broken(_LONGEST_RETRY_S) if self.broken else Loading()

    @property
    def queued(self) -> int:
        """Clips that wait."""
        return len(self._line)

    @property
    def running(self) -> int:
        """Clips that are being judged."""
        return self._running

    def admit(self) -> None:
        """Refuse where `submit` would, before the clip is there.

        Raises:
            Unavailable: Loading, Broken, Busy or Stopping.
        """
        if not self.ready:
            raise self.unready()
        place = self._running + len(self._line) - self.threads + 1
        if place > self.waiting:
            wait_s = math.ceil(place * self._mean_s / self.threads)
            raise Busy(place, min(max(wait_s, 1), _LONGEST_RETRY_S))

    def submit(self, source: "Source") -> "Future[Verdict]":
        """Put a clip into the line; a future that is cancelled leaves it at once.

        Raises:
            Unavailable: As `admit`; the future may hold Late, or the clip's AudioError.
        """
        future: Future[Verdict] = Future()
        ticket = _Ticket(source, future, contextvars.copy_context(), self._clock() + self.deadline_s)
        with self._changed:
            self.admit()
            self._line.append(ticket)
            self._changed.notify()
        future.add_done_callback(self._leave)
        return future

    def check(self, source: "Source") -> "Verdict":
        """Judge a clip and wait for it, and before that for the model.

        Raises:
            AudioError: If the clip cannot be judged.
            Unavailable: If it is not judged now.
        """
        self._loaded.wait(self.deadline_s)
        future = self.submit(source)
        try:
            return future.result(self.deadline_s)
        except TimeoutError:
            future.cancel()
            raise Late() from None

    def stop(self, within_s: float = DEADLINE_S) -> None:
        """Take nothing new, judge what is in the line, and return when that is done."""
        with self._changed:
            self.stopping = True
            self._changed.notify_all()
        until = time.monotonic() + within_s
        for worker in self._workers:
            if worker.is_alive():
                worker.join(max(0.0, until - time.monotonic()))

    def _leave(self, future: Future) -> None:
        if future.cancelled():
            with self._changed:
                self._line = deque(ticket for ticket in self._line if ticket.future is not future)

    def _next(self) -> _Ticket | None:
        """The first of the line, as soon as there is one; None where there will be none."""
        with self._changed:
            while not self._line:
                if self.stopping:
                    return None
                self._changed.wait()
            self._running += 1
            return self._line.popleft()

    def _work(self) -> None:
        while (ticket := self._next()) is not None:
            begun, answer, error = self._clock(), None, None
            taken = ticket.future.set_running_or_notify_cancel()
            try:
                if taken and begun > ticket.until:
                    raise Late()
                if taken:
                    answer = ticket.context.run(self.judge, ticket.source)
            except BaseException as raised:  # whatever it is belongs to whoever brought the clip
                error = raised
            with self._changed:
                self._running -= 1
                if answer is not None:
                    self._mean_s += _MEAN_WEIGHT * (self._clock() - begun - self._mean_s)
            if taken:
                _settle(ticket.future, answer, error)
            del ticket, answer, error  # nothing of a clip stays while this thread waits for the next


def _settle(future: Future, answer: Any, error: BaseException | None) -> None:
    if error is None:
        future.set_result(answer)
    else:
        future.set_exception(error)


class Judging:
    """A Predictor that has decoded and judged a clip, so that the first one brought need not wait."""

    def __init__(self, predictor: "Predictor"):
        """Judge noise."""
        self.predictor = predictor
        predictor.check(noise())

    def __call__(self, source: "Source") -> "Verdict":
        """Judge a clip.

        Raises:
            AudioError: If it cannot be judged.
        """
        return self.predictor.check(source)


def noise() -> bytes:
    """Three seconds of it, as a WAV file."""
    wave, file = np.random.default_rng(0).normal(0, 0.1, 48_000), io.BytesIO()
    soundfile.write(file, wave, 16_000, format="WAV")
    return file.getvalue()
