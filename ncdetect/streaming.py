"""Judging sound that is still coming: a rough verdict every half second, and the true one at the end.

The true one is that of the whole recording, by `Predictor.check`: every other door says the same of the same
samples. The rolling ones are rougher. They rest on the windows judged so far, on a stream resampled as it
comes, and on the loudest sound so far, none of which need be what the whole recording will show.
"""

import math
import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import soxr
from numpy.typing import NDArray

from ncdetect.audio import (
    ACTIVE_RANGE_DB,
    HOP_SAMPLES,
    MAX_DURATION_S,
    MIN_DURATION_S,
    QUIET_DBFS,
    SAMPLE_RATE,
    WINDOW_SAMPLES,
    AudioError,
    frame_levels,
    repeat_to,
)
from ncdetect.decoding import Decoded

if TYPE_CHECKING:
    from ncdetect.predictor import Decision, Predictor, Verdict, Word

STEP_SAMPLES = SAMPLE_RATE // 2
"""From one rolling verdict to the next."""
FIRST_SAMPLES = 3 * SAMPLE_RATE // 2
"""From here on there is a preliminary verdict, on a sound shorter than a window, which is repeated to one.

On 120 clips of the eval splits it said what the whole window said in 81 %, and the opposite never; where it
decided it was right in 89 % (of the whole windows: 92 %). At half a second that was 58 % and 80 %.
"""
_KEPT_SAMPLES = WINDOW_SAMPLES + HOP_SAMPLES + STEP_SAMPLES
"""What the next rolling verdict may need: the newest window, and the one before it on the grid."""
SAMPLE_TYPES = {"s16le": np.dtype("<i2"), "f32le": np.dtype("<f4")}
"""Forms of samples, by the names that FFmpeg has for them."""

State = Literal["listening", "quiet", "judged"]


@dataclass(frozen=True)
class Reading:
    """What is said of a stretch; the numbers are those of a `Verdict`."""

    verdict: "Word"
    reason_code: str
    reason: str
    probability: float
    distance_real: float
    distance_fake: float
    nearest_mean: str
    agreement: bool
    windows: int
    """So many windows it rests on."""

    @classmethod
    def of(cls, decision: "Decision", windows: int) -> "Reading":
        """A reading of a decision."""
        return cls(
            verdict=decision.verdict,
            reason_code=decision.reason_code,
            reason=decision.reason,
            probability=decision.probability,
            distance_real=decision.distance_real,
            distance_fake=decision.distance_fake,
            nearest_mean=decision.nearest.word,
            agreement=decision.nearest == decision.called,
            windows=windows,
        )


@dataclass(frozen=True)
class Rolling:
    """What is said while the sound is still coming."""

    state: State
    """listening: too short yet; quiet: the newest 3 s hold too little sound to be judged; judged."""
    until_s: float
    """It is about the sound up to here."""
    wanted_s: float
    """So much more is wanted before a whole window is there."""
    preliminary: bool
    """Whether it rests on less than a whole window."""
    level_dbfs: float
    """Of the loudest 20 ms of the newest 3 s, not below -120."""
    last: Reading | None
    """Of the newest 3 s."""
    so_far: Reading | None
    """Of everything so far, as a `Verdict` would be: the mean of the windows."""
    skipped: int
    """So many rolling verdicts were left out because judging was slower than the sound."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


class _Judged(NamedTuple):
    """A window on the offline grid."""

    levels: NDArray[np.floating]
    embedding: NDArray[np.float32]
    score: float


class _Ear:
    """Takes blocks as they come; keeps the newest of their 16 kHz mono mix."""

    def __init__(self, rate_hz: int, channels: int):
        self.resampler = soxr.ResampleStream(rate_hz, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
        self.tail = np.zeros(0, np.float32)
        self.samples, self.peak = 0, 1.0

    def add(self, block: NDArray[np.float32]) -> None:
        """Take the next samples, float32, shape (n, C)."""
        new = self.resampler.resample_chunk(np.ascontiguousarray(block.mean(axis=1)))
        self.tail = np.concatenate([self.tail, new])[-_KEPT_SAMPLES:]
        self.samples += len(new)
        self.peak = max(self.peak, float(np.abs(new).max(initial=0)))

    def cut(self, start: int, end: int) -> NDArray[np.float32]:
        """Samples from one place of the sound to another, scaled down where it is beyond full scale."""
        first = self.samples - len(self.tail)
        return self.tail[start - first : end - first] / np.float32(self.peak)


class RollingVerdicts:
    """Rolling verdicts on samples that come bit by bit.

    One thread may add while another judges. Nothing queues: whoever is slower than the sound judges what is
    newest when it comes to it, and leaves out what was due meanwhile.
    """

    def __init__(
        self, predictor: "Predictor", rate_hz: int, channels: int, longest_s: float = MAX_DURATION_S
    ):
        """Nothing was heard yet.

        Raises:
            AudioError: If the rate or the number of channels cannot be judged.
        """
        self.predictor, self.longest_s = predictor, longest_s
        self._decoded = Decoded(_Ear, math.inf)
        self._decoded.start(rate_hz, channels, "stream")
        self._ear: _Ear = self._decoded.mix
        self._guard, self._judging = threading.Lock(), threading.Lock()
        self._grid: dict[int, _Judged] = {}  # by their starts
        self._ended, self._skipped, self._loudest = 0, 0, -120.0

    @property
    def heard_s(self) -> float:
        """Length of what has come."""
        return self._decoded.frames / self._decoded.rate_hz

    @property
    def due(self) -> bool:
        """Whether there is something new to judge."""
        return self._ear.samples // STEP_SAMPLES * STEP_SAMPLES > self._ended

    def add(self, block: NDArray[np.float32]) -> None:
        """Take the next samples, float32, shape (n, C).

        Raises:
            AudioError: If they are no numbers of a sound, or it becomes too long.
        """
        if not len(block):
            return
        with self._guard:
            self._decoded.add(block)
            if self.heard_s > self.longest_s:
                raise AudioError("too_long")

    def update(self) -> Rolling | None:
        """Judge what is newest; None if nothing is due, or if another thread is at it."""
        if not self._judging.acquire(blocking=False):
            return None
        try:
            with self._guard:
                end = self._ear.samples // STEP_SAMPLES * STEP_SAMPLES
                if end <= self._ended:
                    return None
                self._skipped += (end - self._ended) // STEP_SAMPLES - 1
                self._ended = end
                cuts = self._cuts(end)
            return self._judge(end, cuts)
        finally:
            self._judging.release()

    def _cuts(self, end: int) -> dict[int, NDArray[np.float32]]:
        """The windows to judge by their starts: the newest, then the newest that the grid still lacks."""
        newest = end - WINDOW_SAMPLES
        if newest < 0:
            return {0: self._ear.cut(0, end)}
        starts = [newest]
        on_grid = newest // HOP_SAMPLES * HOP_SAMPLES
        if on_grid != newest and on_grid not in self._grid:
            starts.append(on_grid)
        return {start: self._ear.cut(start, start + WINDOW_SAMPLES) for start in starts}

    def _judge(self, end: int, cuts: dict[int, NDArray[np.float32]]) -> Rolling:
        levels = {start: frame_levels(cut) for start, cut in cuts.items()}
        self._loudest = max(self._loudest, *(float(level.max()) for level in levels.values()))
        newest = next(iter(cuts))
        chosen = [start for start in cuts if self._active(levels[start])] if end >= FIRST_SAMPLES else []
        found: dict[int, _Judged] = {}
        if chosen:
            windows = np.stack([repeat_to(cuts[start], WINDOW_SAMPLES) for start in chosen])
            embeddings, scores = self.predictor.embed_windows(windows)
            for start, embedding, score in zip(chosen, embeddings, scores, strict=True):
                found[start] = _Judged(levels[start], embedding, float(score))
        whole = end >= WINDOW_SAMPLES
        if whole:
            self._grid |= {start: one for start, one in found.items() if start % HOP_SAMPLES == 0}
        # The last window of a recording that ended here would be the newest.
        windows = [one for one in (self._grid | found).values() if self._active(one.levels)]
        state: State = "judged" if newest in found else "quiet" if end >= FIRST_SAMPLES else "listening"
        return Rolling(
            state=state,
            until_s=end / SAMPLE_RATE,
            wanted_s=max(0, WINDOW_SAMPLES - end) / SAMPLE_RATE,
            preliminary=not whole,
            level_dbfs=float(levels[newest].max()),
            last=self._reading([found[newest]]) if newest in found else None,
            so_far=self._reading(windows) if windows else None,
            skipped=self._skipped,
        )

    def _active(self, levels: NDArray[np.floating]) -> bool:
        """As `audio.active_windows` by the loudest frame so far; and of a quiet room nothing is said."""
        share = (levels > self._loudest - ACTIVE_RANGE_DB).mean()
        seconds = share * len(levels) / 50  # a frame has 20 ms
        return self._loudest > QUIET_DBFS and seconds >= MIN_DURATION_S

    def _reading(self, windows: list[_Judged]) -> Reading:
        embedding = np.mean([one.embedding for one in windows], axis=0, dtype=np.float64)
        score = math.fsum(one.score for one in windows) / len(windows)
        return Reading.of(self.predictor.decide(embedding, score), len(windows))


class StreamingChecker:
    """A recording that is still coming: rolling verdicts, and at its end the one on the whole of it."""

    def __init__(
        self,
        predictor: "Predictor",
        rate_hz: int,
        channels: int = 1,
        sample_type: str = "s16le",
        longest_s: float = MAX_DURATION_S,
    ):
        """Nothing was heard yet.

        Args:
            predictor: Judges.
            rate_hz: Of the samples.
            channels: Of the samples, which are interleaved.
            sample_type: One of SAMPLE_TYPES.
            longest_s: No more is taken.

        Raises:
            AudioError: If rate or channels cannot be judged.
            ValueError: If there is no such type of samples.
        """
        if sample_type not in SAMPLE_TYPES:
            raise ValueError(f"unknown samples {sample_type!r}; allowed: {', '.join(SAMPLE_TYPES)}")
        self.rolling = RollingVerdicts(predictor, rate_hz, channels, longest_s)
        self.rate_hz, self.channels, self._type = rate_hz, channels, SAMPLE_TYPES[sample_type]
        self._raw, self._read = bytearray(), 0

    @property
    def heard_s(self) -> float:
        """Length of what has come."""
        return self.rolling.heard_s

    def add(self, chunk: bytes | NDArray[Any]) -> None:
        """Take the next samples: bytes, which may end within a sample, or an array of the stream's type.

        Raises:
            AudioError: If they are no numbers of a sound, or it becomes too long.
            ValueError: If an array is of another type.
        """
        if isinstance(chunk, np.ndarray):
            if chunk.dtype != self._type:
                raise ValueError(f"samples of type {chunk.dtype}; allowed: {self._type}")
            chunk = chunk.tobytes()
        self._raw += chunk
        frame = self._type.itemsize * self.channels
        whole = len(self._raw) // frame * frame
        new = np.frombuffer(bytes(self._raw[self._read : whole]), self._type).reshape(-1, self.channels)
        self._read = whole
        wave = new.astype(np.float32)
        self.rolling.add(wave / np.float32(2**15) if self._type.kind == "i" else wave)

    def update(self) -> Rolling | None:
        """A rolling verdict, see `RollingVerdicts.update`."""
        return self.rolling.update()

    def source(self) -> tuple[int, NDArray[Any]]:
        """All that has come, as `Predictor.check` takes it; nothing may be added after that."""
        return self.rate_hz, np.frombuffer(self._raw, self._type, self._read // self._type.itemsize).reshape(
            -1, self.channels
        )

    def finish(self) -> "Verdict":
        """The verdict on the whole recording.

        Raises:
            AudioError: If it cannot be judged.
        """
        return self.rolling.predictor.check(self.source())
