"""Audio: turn what a visitor has into one waveform, cut it into windows, say what weakens a verdict on it."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soxr

from ncdetect.decoding import (  # noqa: F401 - the limits are public here, where everybody looks for them
    DECODE_DEADLINE_S,
    MAX_BYTES,
    MAX_CHANNELS,
    MAX_DURATION_S,
    MAX_RATE_HZ,
    MIN_DURATION_S,
    MIN_RATE_HZ,
    AudioError,
    decode,
    read_bytes,
)
from ncdetect.language import number, say

SAMPLE_RATE = 16_000  # Hz
WINDOW_SAMPLES = 3 * SAMPLE_RATE
HOP_SAMPLES = WINDOW_SAMPLES // 2
SPARED_SAMPLES = SAMPLE_RATE // 4
SILENCE_PEAK = 1e-4  # of full scale, -80 dBFS

# Where the warnings begin. Measured on 4,006 clips of 537 generators and 100 sources, see `high_band_level`.
SHORT_S = 1.5
FULL_SCALE = 0.98  # the largest mu-law sample; 8 and 16 bit reach 0.99 and 1
CLIPPED_SHARE = 0.002  # of the samples, in runs at full scale
QUIET_DBFS = -45.0
NARROW_RATE_HZ = 11_025  # such a source holds nothing above 5.5 kHz
NARROW_BAND_DB = -45.0
ACTIVE_RANGE_DB = 35.0  # below the loudest frame
ACTIVE_SHARE = 1 / 3  # of the frames; with fewer, a clip is mostly silence

_LEVEL_FRAME_SAMPLES = SAMPLE_RATE // 50  # 20 ms
_CANCELLED = 0.01  # of the loudest channel's power; one channel of eight alone leaves 1/64


@dataclass(frozen=True, eq=False)
class Audio:
    """A decoded clip.

    Attributes:
        wave: Mono waveform at 16 kHz, float32, shape (T,), in [-1, 1].
        duration_s: Length of what was decoded.
        source_rate_hz: Sample rate of the source.
        channels: Channels of the source, before the down-mix.
        format: Container and codec, such as `wav/pcm_16`, `mov/aac` or `array/int16`.
        clipped_share: Fraction of the source's samples in runs at full scale, in its worst channel.
        truncated: True if the source breaks off or a part of it could not be decoded.
    """

    wave: np.ndarray
    duration_s: float
    source_rate_hz: int
    channels: int
    format: str
    clipped_share: float = 0.0
    truncated: bool = False


Source = str | Path | bytes | tuple[int, np.ndarray]
"""A clip: path of a file, its bytes, or (sample rate in Hz, samples)."""


@dataclass(frozen=True)
class QualityWarning:
    """Something about a clip that makes the verdict on it less sure: a code, and a sentence for the page."""

    code: str
    sentence: str


def load(source: Source) -> Audio:
    """Decode a clip to mono at 16 kHz.

    The channels are averaged; where they cancel each other (a reversed wire), the loudest one is taken.
    Samples beyond full scale, as in a floating-point file, scale the whole clip down.

    Args:
        source: Path of a file, its bytes, or (sample rate in Hz, samples) as Gradio gives it: samples of
            shape (T,) or (T, C), 8 to 32 bit integers or floating point.

    Returns:
        The clip, between 0.3 s and 10 min long and not silent.

    Raises:
        AudioError: If the source cannot be judged, whatever the reason.
    """
    deadline = time.monotonic() + DECODE_DEADLINE_S
    readable = source if isinstance(source, tuple) else read_bytes(source)
    decoded = decode(readable, _Mix, deadline)
    if (loudest := decoded.mix.loudest_if_cancelled()) is not None:
        decoded = decode(readable, partial(_Mix, channel=loudest), deadline)
    mix, duration_s = decoded.mix, decoded.frames / decoded.rate_hz
    if duration_s < MIN_DURATION_S and decoded.truncated:
        raise AudioError("truncated")
    if duration_s < MIN_DURATION_S:
        raise AudioError("too_short", int(100 * duration_s) / 100)
    if (mix.high - mix.low) / 2 < SILENCE_PEAK:
        raise AudioError("silent")
    # A decoder overshoots full scale by some dB; beyond that the file has a scale of its own.
    has_scale = max(-mix.low, mix.high) < 2
    return Audio(
        wave=mix.finish(),
        duration_s=duration_s,
        source_rate_hz=decoded.rate_hz,
        channels=decoded.channels,
        format=decoded.format,
        clipped_share=float(mix.clipped / decoded.frames) if has_scale else 0.0,
        truncated=decoded.truncated,
    )


class _Mix:
    """Takes decoded blocks as they come, keeps only the 16 kHz mono mix and what the checks need."""

    def __init__(self, rate_hz: int, channels: int, channel: int | None = None):
        """Mix all channels (None) or keep one."""
        self.channel = channel
        self.frames = self.clipped = 0
        self.low, self.high = np.inf, -np.inf
        self.totals = np.zeros((2, channels + 1))  # sums and sums of squares of the channels and of the mix
        self.resampler = soxr.ResampleStream(rate_hz, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
        self.chunks: list[np.ndarray] = []

    def add(self, block: np.ndarray) -> None:
        """Take the next samples, float32, shape (n, C)."""
        mono = block.mean(axis=1) if self.channel is None else block[:, self.channel]
        both = np.column_stack((block, mono)).astype(np.float64)
        self.totals += both.sum(axis=0), np.square(both).sum(axis=0)
        self.frames += len(block)
        self.low, self.high = min(self.low, mono.min()), max(self.high, mono.max())
        full = np.abs(block) >= FULL_SCALE
        self.clipped += (full[2:] & full[1:-1] & full[:-2]).sum(axis=0).max()
        self.chunks.append(self.resampler.resample_chunk(np.ascontiguousarray(mono)))

    def loudest_if_cancelled(self) -> int | None:
        """Index of the loudest channel if the mix lost what the channels hold, else None."""
        mean, square = self.totals / self.frames
        *channels, mix = square - mean**2
        return int(np.argmax(channels)) if mix < _CANCELLED * max(channels) else None

    def finish(self) -> np.ndarray:
        """The waveform, float32, shape (T,), in [-1, 1]."""
        self.chunks.append(self.resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        wave = np.concatenate(self.chunks)
        peak = np.abs(wave).max()
        return wave / peak if peak > 1 else wave


def repeat_to(wave: np.ndarray, length: int) -> np.ndarray:
    """Repeat a waveform from its start until it has `length` samples; a longer one is cut.

    Never zero-padded: a detector would learn the silence instead of the voice.

    Args:
        wave: Waveform, shape (T,), not empty.
        length: Samples wanted.

    Returns:
        Float32, shape (length,).

    Raises:
        ValueError: If `wave` is empty.
    """
    if not len(wave):
        raise ValueError("an empty waveform cannot be repeated")
    return np.resize(np.asarray(wave, np.float32), length)


def windows(
    wave: np.ndarray, length: int = WINDOW_SAMPLES, hop: int = HOP_SAMPLES
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a waveform into overlapping windows; the last one ends where the waveform ends.

    Where less than a quarter second would be left over after the last whole step, it is left out instead: a
    window that only repeats its neighbour would double the cost of the commonest clips, of a little over 3 s.

    Args:
        wave: Waveform, shape (T,), not empty.
        length: Samples of a window; a shorter waveform is repeated to it.
        hop: Samples from one start to the next; the last step may be shorter.

    Returns:
        Starts in samples, int64, shape (B,), increasing; windows, float32, shape (B, length).

    Raises:
        ValueError: If `wave` is empty or not of shape (T,), or if `length` or `hop` is below 1.
    """
    wave = np.asarray(wave, np.float32)
    if wave.ndim != 1 or length < 1 or hop < 1:
        raise ValueError(f"shape {wave.shape}, length {length}, hop {hop}; allowed: (T,), at least 1 each")
    if len(wave) <= length:
        return np.zeros(1, np.int64), repeat_to(wave, length)[None]
    last = len(wave) - length
    starts = np.arange(0, last + 1, hop, dtype=np.int64)
    if last - starts[-1] >= min(SPARED_SAMPLES, length):
        starts = np.append(starts, last)
    return starts, np.lib.stride_tricks.sliding_window_view(wave, length)[starts]


def frame_levels(wave: np.ndarray) -> np.ndarray:
    """RMS level of each whole 20 ms, (..., T) -> (..., L), in dBFS and not below -120."""
    frame = min(_LEVEL_FRAME_SAMPLES, wave.shape[-1])
    frames = wave[..., : wave.shape[-1] // frame * frame].reshape(*wave.shape[:-1], -1, frame)
    return 10 * np.log10(np.square(frames).mean(axis=-1) + 1e-12)


def active_windows(cut: np.ndarray) -> np.ndarray:
    """Which windows of a clip hold enough signal to be judged.

    A 20 ms frame is active if its level is within 35 dB of the clip's loudest frame, and a window needs 0.3 s
    of them. This goes by energy alone: steady noise as loud as that counts, too.

    Args:
        cut: All windows of one clip, shape (B, T).

    Returns:
        Bool, shape (B,); the window with most active frames is always kept.
    """
    levels = frame_levels(cut)
    active_s = (levels > levels.max() - ACTIVE_RANGE_DB).sum(axis=1) * _LEVEL_FRAME_SAMPLES / SAMPLE_RATE
    keep = active_s >= MIN_DURATION_S
    keep[active_s.argmax()] = True
    return keep


def high_band_level(wave: np.ndarray) -> float:
    """How much there is above the telephone band, in dB.

    The 95th percentile over frames (a few sibilants are enough) of the power density at 4.5 to 7.5 kHz,
    relative to the mean power density at 0.3 to 3.4 kHz. It was below -45 for 99 % of the clips recorded at
    8 kHz, and for 0.8 % of those at 16 kHz or more, most of which had been telephone speech as well.

    Args:
        wave: Waveform at 16 kHz, shape (T,), at least 32 ms.
    """
    size = 512
    step = max(size // 2, len(wave) // 2000)  # 2,000 frames tell enough of a long clip
    frames = np.lib.stride_tricks.sliding_window_view(wave, size)[::step]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(size).astype(np.float32))))  # (L, F)
    hertz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    high = np.percentile(power[:, (hertz >= 4500) & (hertz < 7500)].mean(axis=1), 95)
    voice = power[:, (hertz >= 300) & (hertz < 3400)].mean()
    return float(10 * np.log10((high + 1e-20) / (voice + 1e-20)))


def quality_warnings(audio: Audio) -> list[QualityWarning]:
    """What makes a verdict on this clip less sure, in plain words.

    Returns:
        Warnings with the codes truncated, short, clipped, quiet, narrow_band, mostly_silence, in this order.
    """
    levels = frame_levels(audio.wave)
    active = levels > levels.max() - ACTIVE_RANGE_DB
    level = 10 * np.log10(np.mean(10 ** (levels[active] / 10)))
    narrow = audio.source_rate_hz <= NARROW_RATE_HZ or high_band_level(audio.wave) < NARROW_BAND_DB
    checks = {
        "truncated": audio.truncated,
        "short": audio.duration_s < SHORT_S,
        "clipped": audio.clipped_share > CLIPPED_SHARE,
        "quiet": level < QUIET_DBFS,
        "narrow_band": narrow,
        "mostly_silence": active.mean() < ACTIVE_SHARE,
    }
    sentences = _sentences(audio.duration_s, active.mean() * audio.duration_s)
    return [QualityWarning(code, sentences[code]) for code, found in checks.items() if found]


def _sentences(duration_s: float, active_s: float) -> dict[str, str]:
    """What each warning says."""
    return {
        "truncated": say(
            "The file is damaged or breaks off: the verdict is about the {seconds} seconds that could be "
            "read, not about the rest.",
            seconds=number(duration_s, ".1f"),
        ),
        "short": say(
            "The clip lasts only {seconds} seconds: with so little to go by, the verdict is less certain.",
            seconds=number(duration_s, ".1f"),
        ),
        "clipped": say(
            "The recording is overdriven, its loudest parts are cut off: that distortion can hide the "
            "traces of a synthetic voice or look like them."
        ),
        "quiet": say(
            "The recording is very quiet: noise may weigh more than the voice, so the verdict is less "
            "certain."
        ),
        "narrow_band": say(
            "The clip sounds like a telephone line, without high tones: much of what tells a real voice "
            "from a synthetic one is missing, so the verdict is less certain."
        ),
        "mostly_silence": say(
            "Most of the clip is silence: the verdict rests on about {seconds} seconds of sound.",
            seconds=number(active_s, ".1f"),
        ),
    }
