"""Audio: decode what a visitor has into one waveform, cut it into windows, say what weakens a verdict on it.

A file is read once, within limits of size, length and time, and never trusted: the lengths, rates and channel
counts of its header allocate nothing, and a playlist cannot make the decoder open other files or addresses.
"""

import contextlib
import io
import math
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr

SAMPLE_RATE = 16_000  # Hz
WINDOW_SAMPLES = 3 * SAMPLE_RATE
HOP_SAMPLES = WINDOW_SAMPLES // 2
SPARED_SAMPLES = SAMPLE_RATE // 4

MAX_BYTES = 25 * 2**20
MAX_DURATION_S = 600
MIN_DURATION_S = 0.3
DECODE_DEADLINE_S = 20.0
MIN_RATE_HZ, MAX_RATE_HZ = 4_000, 384_000
MAX_CHANNELS = 8
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

_BLOCK_FRAMES = 2**16
_LEVEL_FRAME_SAMPLES = SAMPLE_RATE // 50  # 20 ms
_LARGEST = 1e12  # 32 bit integers written as floating point reach 2e9
_CANCELLED = 0.01  # of the loudest channel's power; one channel of eight alone leaves 1/64
_LENGTH_TOLERANCE_S = 0.2  # encoder delay and padding: some AAC frames at 8 kHz
_UNKNOWN_BYTES = 0x7FFF_0000  # who writes to a pipe puts a length near 2**31 or 2**32 into the header

# mpg123 inside libsndfile writes its complaints about MP3 to stderr, and the rarer formats of libsndfile are
# little tested against hostile files: both go to FFmpeg, or nowhere.
_SOUNDFILE_MAGICS = (b"RIFF", b"RIFX", b"RF64", b"FORM", b"fLaC", b"OggS", b"caff", b".snd")
_AUDIO_MAGICS = (*_SOUNDFILE_MAGICS, b"ID3", b"\xff\xfb", b"\xff\xf1", b"\x1aE\xdf\xa3", b"#!AMR", b"wvpk")
_FOREIGN_MAGICS = {
    b"%PDF": "a PDF document",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"PK\x03\x04": "a ZIP archive or an office document",
    b"<": "a web page or a drawing",
    b"#EXTM3U": "a playlist",
    b"[playlist]": "a playlist",
    b"ffconcat": "a playlist",
}
_DEMUXERS = "mov,matroska,mp3,aac,ogg,wav,w64,flac,aiff,amr,caf,au,asf,avi,mpegts,mpeg,ac3,eac3,wv"
_CODECS = (
    "aac,ac3,eac3,alac,amrnb,amrwb,flac,gsm,gsm_ms,mp2,mp2float,mp3,mp3float,opus,vorbis,wavpack,wmav1,wmav2,"
    "adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,pcm_alaw,pcm_mulaw,pcm_u8,pcm_s8,pcm_s16le,pcm_s16be,pcm_s24le,"
    "pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be"
)
_FFMPEG_OPTIONS = {
    "format_whitelist": _DEMUXERS,
    "codec_whitelist": _CODECS,  # or pictures and video are decoded while the streams are looked at
    "protocol_whitelist": "none",  # nothing but the bytes given is opened
}
_ENCRYPTED_TAGS = ("enca", "drms")
_DECLARES_LENGTH = ("mov", "matroska", "flac", "aiff", "caf")
# An MP3 states its length in its first frame: frame header, empty side information, and one of these words.
_XING_HEADER = re.compile(rb"\xff[\xe2-\xff]..\x00{9,34}(?:Xing|Info)", re.DOTALL)
# What is wrong with the data can surface in the decoders as any of these.
_DECODER_FAILURES = (av.error.FFmpegError, soundfile.SoundFileError, ArithmeticError, AttributeError)
_DECODER_FAILURES += (LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError)

_SENTENCES = {
    "not_found": "There is no such file: give the path of a sound file on this computer.",
    "unreadable": "The file could not be opened: check that you may read it.",
    "empty": "There is no sound here yet: choose a file that is not empty, or record something.",
    "too_large": f"The file has {{:.1f}} MB, and at most {MAX_BYTES // 2**20} MB can be checked: "
    "cut out the part that matters, or save it as MP3.",
    "not_audio": "This is {}, not a sound file that can be read: choose a WAV, MP3, M4A or similar.",
    "bad_samples": "A recording must be a sample rate and an array, (samples) or (samples, channels), of 8, "
    "16 or 32 bit integers or floating point numbers.",
    "no_audio_stream": "There is no sound in this file, which may be a silent video: choose another.",
    "protected": "The sound is copy-protected and cannot be read: choose a file without protection.",
    "unsupported_codec": "The sound is stored in a way that cannot be read here: save it as WAV, MP3 or M4A.",
    "truncated": "Hardly any sound could be read from this file, which is damaged, cut off or still being "
    "written: download or record it again.",
    "sample_rate": f"The sound has {{}} samples a second, and only {MIN_RATE_HZ} to {MAX_RATE_HZ} can be "
    "checked: export it again at 44100 or 48000.",
    "channels": f"The sound has {{}} channels, and only 1 to {MAX_CHANNELS} can be checked: "
    "export it as mono or stereo.",
    "not_finite": "The sound holds values that no sound can have: export it again from its source.",
    "too_long": f"The sound is longer than {MAX_DURATION_S // 60} minutes, the most that can be checked: "
    "cut out the part that matters.",
    "too_short": f"The sound lasts {{:.2f}} seconds, and at least {MIN_DURATION_S} are needed: "
    "choose a longer part.",
    "silent": "The sound is silent: check the microphone, or choose another part.",
    "too_slow": f"The file could not be decoded within {DECODE_DEADLINE_S:.0f} seconds: "
    "cut out the part that matters, or save it as WAV.",
}

_WARNINGS = {
    "truncated": "The file is damaged or breaks off: the verdict is about the {duration_s:.1f} seconds that "
    "could be read, not about the rest.",
    "short": "The clip lasts only {duration_s:.1f} seconds: with so little to go by, the verdict is less "
    "certain.",
    "clipped": "The recording is overdriven, its loudest parts are cut off: that distortion can hide the "
    "traces of a synthetic voice or look like them.",
    "quiet": "The recording is very quiet: noise may weigh more than the voice, so the verdict is less "
    "certain.",
    "narrow_band": "The clip sounds like a telephone line, without high tones: much of what tells a real "
    "voice from a synthetic one is missing, so the verdict is less certain.",
    "mostly_silence": "Most of the clip is silence: the verdict rests on about {active_s:.1f} seconds of "
    "sound.",
}


class AudioError(ValueError):
    """A source that cannot be judged.

    `str()` is one sentence that a layman can act on; `code`, a key of `_SENTENCES`, is for programs.
    """

    def __init__(self, code: str, *values: object):
        """Take a code and the values for the gaps in its sentence."""
        super().__init__(code, *values)  # so that it survives pickling between processes
        self.code = code

    def __str__(self) -> str:
        """The sentence."""
        return _SENTENCES[self.code].format(*self.args[1:])


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


@dataclass(frozen=True)
class QualityWarning:
    """Something about a clip that makes the verdict on it less sure: a code, and a sentence for the page."""

    code: str
    sentence: str


def load(source: str | Path | bytes | tuple[int, np.ndarray]) -> Audio:
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
    if isinstance(source, tuple):
        data, decoders = b"", [partial(_decode_array, source)]
    else:
        data = _contents(source)
        decoders = [partial(_decode_with_ffmpeg, data)]
        if data.startswith(_SOUNDFILE_MAGICS):
            decoders.insert(0, partial(_decode_with_soundfile, data))
    mix = _decode(decoders, deadline)
    if not mix.frames:
        raise _nothing_decoded(data)
    if mix.cancels:
        mix = _decode(decoders, deadline, channel=mix.loudest_channel)
    mix.truncated |= _breaks_off(data)
    return mix.finish()


def _contents(source: str | Path | bytes) -> bytes:
    """The bytes, size-limited; of a path only a regular file's: no pipe, device, folder or address."""
    try:
        if isinstance(source, str | Path):
            if not os.path.isfile(source):
                raise AudioError("not_found")
            size = os.path.getsize(source)
            with open(source, "rb") as file:
                data = file.read(MAX_BYTES + 1)
        else:
            data = b"" if source is None else memoryview(source).tobytes()
            size = len(data)
    except TypeError:
        raise AudioError("bad_samples") from None
    except (OSError, MemoryError) as error:
        raise AudioError("unreadable") from error
    if not data:
        raise AudioError("empty")
    if max(size, len(data)) > MAX_BYTES:
        raise AudioError("too_large", math.ceil(max(size, len(data)) / 2**20 * 10) / 10)
    return data


def _decode(decoders: list[Callable[["_Mix"], None]], deadline: float, channel: int | None = None) -> "_Mix":
    """Result of the first decoder that reads everything, else of the one that reads most."""
    best = _Mix(deadline, channel)
    for decoder in decoders:
        mix = _Mix(deadline, channel)
        try:
            decoder(mix)
        except AudioError:
            if not best.frames:
                raise
            continue
        except _DECODER_FAILURES:
            mix.truncated = True
        else:
            if mix.frames and not mix.truncated:
                return mix
        best = max(best, mix, key=lambda mix: mix.frames)
    return best


def _nothing_decoded(data: bytes) -> AudioError:
    """Why no decoder gave a single sample."""
    text = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    kind = next((kind for magic, kind in _FOREIGN_MAGICS.items() if text.startswith(magic)), None)
    if kind or not data:
        return AudioError("not_audio", kind) if data else AudioError("empty")
    if data.startswith(_AUDIO_MAGICS) or data[4:8] == b"ftyp":
        return AudioError("truncated")
    return AudioError("not_audio", "an unknown kind of file")


class _Mix:
    """Takes decoded blocks as they come, keeps only the 16 kHz mono mix and what the checks need."""

    def __init__(self, deadline: float, channel: int | None):
        """Mix all channels (None) or keep one, until `deadline` on the monotonic clock."""
        self.deadline, self.channel = deadline, channel
        self.frames = self.clipped = 0
        self.truncated = False
        self.low, self.high = np.inf, -np.inf
        self.chunks: list[np.ndarray] = []

    def start(self, rate_hz: int, channels: int, format: str) -> None:
        """Check what the header says before anything is decoded."""
        if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
            raise AudioError("sample_rate", rate_hz)
        if not 1 <= channels <= MAX_CHANNELS:
            raise AudioError("channels", channels)
        self.rate_hz, self.channels, self.format = rate_hz, channels, format
        self.totals = np.zeros((2, channels + 1))  # sums and sums of squares of the channels and of the mix
        self.resampler = soxr.ResampleStream(rate_hz, SAMPLE_RATE, 1, dtype="float32", quality="HQ")

    def check_time(self) -> None:
        """Stop once the deadline has passed."""
        if time.monotonic() > self.deadline:
            raise AudioError("too_slow")

    def add(self, block: np.ndarray) -> None:
        """Take the next samples, float32, shape (n, C)."""
        self.check_time()
        if not np.abs(block).max() < _LARGEST:  # nan is not, either
            raise AudioError("not_finite")
        self.frames += len(block)
        if self.frames > MAX_DURATION_S * self.rate_hz:
            raise AudioError("too_long")
        mono = block.mean(axis=1) if self.channel is None else block[:, self.channel]
        both = np.column_stack((block, mono)).astype(np.float64)
        self.totals += both.sum(axis=0), np.square(both).sum(axis=0)
        self.low, self.high = min(self.low, mono.min()), max(self.high, mono.max())
        full = np.abs(block) >= FULL_SCALE
        self.clipped += (full[2:] & full[1:-1] & full[:-2]).sum(axis=0).max()
        self.chunks.append(self.resampler.resample_chunk(np.ascontiguousarray(mono)))

    @property
    def power(self) -> np.ndarray:
        """Variance of each channel, then of the mix, shape (C + 1,)."""
        mean, square = self.totals / self.frames
        return square - mean**2

    @property
    def cancels(self) -> bool:
        """Whether the mix lost what the channels hold."""
        return bool(self.power[-1] < _CANCELLED * self.power[:-1].max())

    @property
    def loudest_channel(self) -> int:
        """Its index."""
        return int(self.power[:-1].argmax())

    def finish(self) -> Audio:
        """The clip, or the reason why it cannot be judged."""
        duration_s = self.frames / self.rate_hz
        if duration_s < MIN_DURATION_S and self.truncated:
            raise AudioError("truncated")
        if duration_s < MIN_DURATION_S:
            raise AudioError("too_short", int(100 * duration_s) / 100)
        if (self.high - self.low) / 2 < SILENCE_PEAK:
            raise AudioError("silent")
        self.chunks.append(self.resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        wave = np.concatenate(self.chunks)
        peak = np.abs(wave).max()
        # A decoder overshoots full scale by some dB; beyond that the file has a scale of its own.
        has_scale = max(-self.low, self.high) < 2
        return Audio(
            wave=wave / peak if peak > 1 else wave,
            duration_s=duration_s,
            source_rate_hz=self.rate_hz,
            channels=self.channels,
            format=self.format,
            clipped_share=float(self.clipped / self.frames) if has_scale else 0.0,
            truncated=self.truncated,
        )


def _decode_array(source: tuple, mix: _Mix) -> None:
    try:
        rate, samples = source
        rate_hz, samples = int(np.clip(float(rate), -1, 2**32)), np.asarray(samples)
    except (OverflowError, TypeError, ValueError) as error:
        raise AudioError("bad_samples") from error
    widths = {"i": (1, 2, 4), "u": (1, 2, 4), "f": (2, 4, 8)}.get(samples.dtype.kind, ())
    if samples.dtype.itemsize not in widths or samples.ndim not in (1, 2):
        raise AudioError("bad_samples")
    if not samples.size:
        return
    samples = samples.reshape(len(samples), -1)
    mix.start(rate_hz, samples.shape[1], f"array/{samples.dtype}")
    for start in range(0, len(samples), _BLOCK_FRAMES):
        mix.add(_as_float(samples[start : start + _BLOCK_FRAMES]))


def _as_float(samples: np.ndarray) -> np.ndarray:
    """Float32 in [-1, 1) from integers of any width; floating point is only cast."""
    with np.errstate(over="ignore", invalid="ignore"):
        wave = samples.astype(np.float32)
    if samples.dtype.kind == "f":
        return wave
    full_scale = np.float32(2.0 ** (8 * samples.dtype.itemsize - 1))
    return wave / full_scale - np.float32(samples.dtype.kind == "u")


class _TimedBytes(io.BytesIO):
    """Bytes that seem to end at the deadline, so that no decoder can go on reading for ever."""

    def __init__(self, data: bytes, deadline: float):
        super().__init__(data)
        self.deadline = deadline

    def read(self, size: int | None = -1) -> bytes:
        return super().read(size) if time.monotonic() < self.deadline else b""

    def readinto(self, buffer: memoryview) -> int:
        return super().readinto(buffer) if time.monotonic() < self.deadline else 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        # A broken header can send libsndfile before the start; an exception there goes to stderr.
        with contextlib.suppress(ValueError):
            super().seek(offset, whence)
        return self.tell()


def _decode_with_soundfile(data: bytes, mix: _Mix) -> None:
    with soundfile.SoundFile(_TimedBytes(data, mix.deadline)) as file:
        mix.start(file.samplerate, file.channels, f"{file.format}/{file.subtype}".lower())
        while len(block := file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
            mix.add(block)
        mix.truncated |= file.frames - mix.frames > _LENGTH_TOLERANCE_S * mix.rate_hz


def _breaks_off(data: bytes) -> bool:
    """Whether a WAV, AIFF or Ogg file, which decoders read as far as it goes, lacks its end."""
    if data.startswith(b"OggS"):
        page = data[data.rfind(b"OggS") :]
        segments = page[26] if len(page) > 26 else 0
        complete = len(page) >= 27 + segments + sum(page[27 : 27 + segments])
        return not complete or not page[5] & 4  # the flag of the stream's last page
    if not data.startswith((b"RIFF", b"FORM")):
        return False
    declared = int.from_bytes(data[4:8], "little" if data.startswith(b"RIFF") else "big")
    return declared < _UNKNOWN_BYTES and len(data) < 0.99 * declared


def _decode_with_ffmpeg(data: bytes, mix: _Mix) -> None:
    file = _TimedBytes(data, mix.deadline)
    with av.open(file, container_options=_FFMPEG_OPTIONS, metadata_errors="replace") as container:
        if not container.streams.audio:
            raise AudioError("no_audio_stream")
        stream = container.streams.audio[0]
        codec = stream.codec_context and stream.codec_context.codec
        if codec and stream.codec_context.codec_tag in _ENCRYPTED_TAGS:
            raise AudioError("protected")
        if not codec or codec.name not in _CODECS.split(","):
            raise AudioError("unsupported_codec")
        name = f"{_container_name(container)}/{codec.canonical_name}"
        for frames in _ffmpeg_frames(container, stream, mix):
            if not mix.frames:
                mix.start(frames[0].sample_rate, frames[0].layout.nb_channels, name)
            kept = mix.rate_hz, mix.channels
            alike = [f for f in frames if (f.sample_rate, f.layout.nb_channels) == kept]
            mix.truncated |= len(alike) < len(frames)
            if alike:
                mix.add(np.concatenate([_frame_samples(frame) for frame in alike]))
        if mix.frames:
            missing_s = _declared_s(container, stream, data) - mix.frames / mix.rate_hz
            mix.truncated |= missing_s > _LENGTH_TOLERANCE_S


def _ffmpeg_frames(
    container: av.container.InputContainer, stream: av.AudioStream, mix: _Mix
) -> Iterator[list[av.AudioFrame]]:
    """Decoded frames in bundles of about a block; packets that cannot be decoded are left out."""
    bundle = []
    try:
        for packet in container.demux(stream):
            mix.check_time()
            try:
                bundle += packet.decode()
            except av.error.FFmpegError:
                mix.truncated = True
            if sum(frame.samples for frame in bundle) >= _BLOCK_FRAMES:
                yield bundle
                bundle = []
    except av.error.FFmpegError:
        mix.truncated = True
    if bundle:
        yield bundle


def _frame_samples(frame: av.AudioFrame) -> np.ndarray:
    samples = frame.to_ndarray()
    # planar (C, n) or packed (1, n * C) -> (n, C)
    return _as_float(samples.T if frame.format.is_planar else samples.reshape(frame.samples, -1))


def _container_name(container: av.container.InputContainer) -> str:
    return container.format.name.split(",")[0]


def _declared_s(container: av.container.InputContainer, stream: av.AudioStream, data: bytes) -> float:
    """Length that the file states; 0 where FFmpeg only guesses it from the bit rate."""
    name = _container_name(container)
    if name not in _DECLARES_LENGTH and not (name == "mp3" and _XING_HEADER.search(data, 0, 2**20)):
        return 0.0
    if stream.duration:
        return float(stream.duration * stream.time_base)
    # The container's own length is that of its longest stream.
    return (container.duration or 0) / av.time_base if len(container.streams) == 1 else 0.0


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
    values = {"duration_s": audio.duration_s, "active_s": active.mean() * audio.duration_s}
    return [QualityWarning(code, _WARNINGS[code].format(**values)) for code, found in checks.items() if found]
