"""Tab "Live": what a microphone hears is judged while somebody speaks, and as a whole at the end.

The browser sends half a second after the other (see `microphone.js`); it lies in memory until the verdict on
the whole is there, the visitor leaves, or nothing has come for a while. None of it is ever on disk.
"""

import base64
import binascii
import functools
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import gradio as gr

from ncdetect import wording
from ncdetect.language import number, say
from ncdetect.ui import microphone_layout, model, verdict
from ncdetect.ui.private import Uploads
from ncdetect.ui.verdict import shape

if TYPE_CHECKING:
    from ncdetect.predictor import Band
    from ncdetect.streaming import Reading, Rolling, StreamingChecker

log = logging.getLogger(__name__)

LONGEST_S = 180
"""Of a recording: as a file it is small enough for the tab "Check a clip"."""
MOST_BYTES = 24 * 2**20
"""Of a recording, whatever its rate."""
MOST, FORGET_S = 8, 30.0
"""So many recordings at once, each forgotten so long after its last sound."""
SHARED_WAIT_S = 0.3
"""So long a rolling verdict waits for another visitor's; then it is left out."""
_turn = threading.Lock()


class Streams:
    """The recordings that come in now."""

    def __init__(
        self, most: int = MOST, forget_s: float = FORGET_S, clock: Callable[[], float] = time.monotonic
    ):
        """There is none.

        Args:
            most: At once.
            forget_s: After its last sound a recording is dropped.
            clock: In seconds.
        """
        self.most, self.forget_s, self._clock = most, forget_s, clock
        self._streams: dict[str, tuple[StreamingChecker, float]] = {}
        self._guard = threading.Lock()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._streams)

    def open(self, checker: "StreamingChecker") -> str | None:
        """Take a new one; its name, which nobody can guess, or None where there are too many."""
        with self._guard:
            if len(self._streams) >= self.most:
                return None
            name = secrets.token_urlsafe(16)
            self._streams[name] = checker, self._clock()
            if len(self._streams) == 1:
                self._sweep_later()
            return name

    def get(self, name: object) -> "StreamingChecker | None":
        """The one of that name, which is in use again; None where there is none."""
        with self._guard:
            if not isinstance(name, str) or name not in self._streams:
                return None
            checker, _ = self._streams[name]
            self._streams[name] = checker, self._clock()
            return checker

    def drop(self, name: object) -> None:
        """Forget one."""
        with self._guard:
            if isinstance(name, str):
                self._streams.pop(name, None)

    def sweep(self) -> None:
        """Forget those from which nothing came for too long."""
        with self._guard:
            latest = self._clock() - self.forget_s
            self._streams = {name: one for name, one in self._streams.items() if one[1] > latest}
            if self._streams:
                self._sweep_later()

    def _sweep_later(self) -> None:
        timer = threading.Timer(self.forget_s / 10, self.sweep)
        timer.daemon = True
        timer.start()


streams = Streams()


class Forgotten(RuntimeError):
    """A recording that is not here any more; `str()` is a sentence for laymen."""

    def __str__(self) -> str:
        """The sentence."""
        return say("Nothing came from your microphone for a while, so the recording was forgotten.")


def told(handler: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """A handler for the browser: what goes wrong becomes a sentence, and the recording is forgotten."""

    @functools.wraps(handler)
    def answering(request: Any) -> dict[str, Any]:
        from ncdetect.audio import AudioError
        from ncdetect.service import Unavailable

        request = request if isinstance(request, Mapping) else {}
        try:
            return handler(request)
        except (AudioError, Forgotten, Unavailable) as error:
            sentence = str(error)
        except Exception:
            log.exception("a recording could not be judged live")
            sentence = say("Something is wrong here, not with your microphone. Please try again.")
        streams.drop(request.get("id"))
        return {"error": sentence}

    return answering


@told
def live_start(request: Mapping[str, Any]) -> dict[str, Any]:
    """Begin a recording.

    Args:
        request: rate, in Hz.

    Returns:
        Its id, how many seconds it may last, and the stretches of the distance bars in which known clips lie;
        or an error.
    """
    from ncdetect.audio import AudioError
    from ncdetect.streaming import StreamingChecker

    rate = request.get("rate")
    if not isinstance(rate, int | float) or not 0 < rate < 1e6:
        raise AudioError("bad_samples")
    longest_s = min(LONGEST_S, MOST_BYTES // (2 * int(rate)))
    # The browser stops by itself; the last piece may be a little longer.
    name = streams.open(StreamingChecker(model.predictor(), int(rate), longest_s=longest_s + 5))
    if name is None:
        return {"error": say("Too many people are being listened to at the moment: try again in a minute.")}
    bands = model.bands()
    stretches = {
        label: [100 * band.low / _full(bands), 100 * (band.high - band.low) / _full(bands)]
        for label, band in bands.items()
    }
    return {"id": name, "longest": longest_s, "bands": stretches}


@told
def live_chunk(request: Mapping[str, Any]) -> dict[str, Any]:
    """Take the next samples, and say what the newest 3 s sound like; nothing where another visitor's turn is.

    Args:
        request: id, and pcm: 16 bit, little-endian, as base64.
    """
    checker = _taken(request)
    if not _turn.acquire(timeout=SHARED_WAIT_S):
        return {}
    try:
        rolling = checker.update()
    finally:
        _turn.release()
    return shown(rolling, model.bands()) if rolling else {}


@told
def live_stop(request: Mapping[str, Any]) -> dict[str, Any]:
    """Take the last samples, forget the recording, and judge it as a whole, as any clip is judged.

    Args:
        request: As `live_chunk` takes it.
    """
    checker = _taken(request)
    streams.drop(request["id"])
    found = model.service().check(checker.source())
    card = verdict.card(found, model.bands(), model.facts().get("agreement"), None)
    return {"card": card + verdict.timeline(found), "spoken": verdict.spoken(found)}


def live_drop(request: Any) -> None:
    """Forget a recording: its visitor has left.

    Args:
        request: id.
    """
    if isinstance(request, Mapping):
        streams.drop(request.get("id"))


def _taken(request: Mapping[str, Any]) -> "StreamingChecker":
    """The recording, with the samples that came for it."""
    from ncdetect.audio import AudioError

    checker = streams.get(request.get("id"))
    if checker is None:
        raise Forgotten()
    try:
        checker.add(base64.b64decode(request.get("pcm"), validate=True))
    except (binascii.Error, TypeError):
        raise AudioError("bad_samples") from None
    return checker


def shown(rolling: "Rolling", bands: "dict[str, Band]") -> dict[str, Any]:
    """What the browser shows of a rolling verdict."""
    found = {
        "until": rolling.until_s,
        "state": rolling.state,
        "hint": _hint(rolling),
        "last": _reading(rolling.last),
        "so_far": _reading(rolling.so_far),
    }
    if rolling.so_far:
        so_far, full = rolling.so_far, _full(bands)
        values = {"real": so_far.distance_real, "fake": so_far.distance_fake}
        found["distances"] = {
            label: {"value": number(value, ".2f"), "width": min(100.0, 100 * value / full)}
            for label, value in values.items()
        }
        found["nearest"] = so_far.nearest_mean
    return found


def _reading(reading: "Reading | None") -> dict[str, Any] | None:
    if reading is None:
        return None
    sure = wording.confidence(reading)
    if reading.verdict == "undecided":
        words = say("{percent} % {leans}, which does not settle it", percent=sure.percent, leans=sure.said)
    else:
        words = f"{sure.percent} % · {sure.words}"
    return {
        "word": reading.verdict,
        "headline": wording.headline(reading.verdict),
        "share": wording.percent(reading.probability),
        "words": words,
        "shape": shape(reading.verdict),
    }


def _hint(rolling: "Rolling") -> str:
    if rolling.state == "listening":
        from ncdetect.streaming import FIRST_SAMPLES, SAMPLE_RATE

        wanted_s = FIRST_SAMPLES / SAMPLE_RATE - rolling.until_s
        return say("Listening: {seconds} s more until a first impression.", seconds=number(wanted_s, ".1f"))
    if rolling.state == "quiet":
        return say("Hardly any sound at the moment: speak, or come closer.")
    if rolling.preliminary:
        wanted = number(rolling.wanted_s, ".1f")
        return say("A first impression: {seconds} s more until a whole stretch is there.", seconds=wanted)
    return say("What the last 3 seconds sound like.")


def _full(bands: "dict[str, Band]") -> float:
    """Distance at the right end of the bars: beyond nearly all known clips."""
    return max(1e-9, 1.25 * max(band.high for band in bands.values()))


def build(_: Uploads) -> None:
    """Lay it out; its script runs when the tab is first opened."""
    gr.HTML(
        microphone_layout.page(LONGEST_S // 60), js_on_load="ncdetect.microphone(element, server)",
        apply_default_css=False, elem_id="live",
        server_functions=[live_start, live_chunk, live_stop, live_drop],
    )  # fmt: skip
