"""Decoding: from a path, bytes or an array to blocks of samples, or to the reason why it is refused.

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
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile

from ncdetect.language import number, say

MAX_BYTES = 25 * 2**20
MAX_DURATION_S = 600
MIN_DURATION_S = 0.3
DECODE_DEADLINE_S = 20.0
MIN_RATE_HZ, MAX_RATE_HZ = 4_000, 384_000
MAX_CHANNELS = 8

NewMix = Callable[[int, int], Any]  # (Hz, channels) -> what takes blocks, float32, (n, C), by its `add`

_BLOCK_FRAMES = 2**16
_LARGEST = 1e12  # 32 bit integers written as floating point reach 2e9
_LENGTH_TOLERANCE_S = 0.2  # encoder delay and padding: some AAC frames at 8 kHz
_UNKNOWN_BYTES = 0x7FFF_0000  # who writes to a pipe puts a length near 2**31 or 2**32 into the header

# mpg123 inside libsndfile writes its complaints about MP3 to stderr, and the rarer formats of libsndfile are
# little tested against hostile files: both go to FFmpeg, or nowhere.
_SOUNDFILE_MAGICS = (b"RIFF", b"RIFX", b"RF64", b"FORM", b"fLaC", b"OggS", b"caff", b".snd")
_AUDIO_MAGICS = (*_SOUNDFILE_MAGICS, b"ID3", b"\xff\xfb", b"\xff\xf1", b"\x1aE\xdf\xa3", b"#!AMR", b"wvpk")
_FOREIGN_MAGICS = {
    "pdf": b"%PDF",
    "picture": (b"\x89PNG", b"\xff\xd8\xff", b"GIF8"),
    "archive": b"PK\x03\x04",
    "page": b"<",
    "playlist": (b"#EXTM3U", b"[playlist]", b"ffconcat"),
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
_DECLARES_LENGTH = ("mov", "matroska", "flac", "aiff", "caf")
# An MP3 states its length in its first frame: frame header, empty side information, and one of these words.
_XING_HEADER = re.compile(rb"\xff[\xe2-\xff]..\x00{9,34}(?:Xing|Info)", re.DOTALL)
# What is wrong with the data can surface in the decoders as any of these.
_DECODER_FAILURES = (av.error.FFmpegError, soundfile.SoundFileError, ArithmeticError, AttributeError)
_DECODER_FAILURES += (LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError)
CODES = (
    "not_found", "unreadable", "empty", "too_large", "not_audio", "bad_samples", "no_audio_stream",
    "protected", "unsupported_codec", "truncated", "sample_rate", "channels", "not_finite", "too_long",
    "too_short", "silent", "too_slow",
)  # fmt: skip
"""Why a source may be refused."""


class AudioError(ValueError):
    """A source that cannot be judged.

    `str()` is one sentence that a layman can act on; `code`, one of CODES, is for programs.
    """

    def __init__(self, code: str, value: Any = None):
        """Take a code, and what was met where its sentence names that."""
        super().__init__(code, value)  # so that it survives pickling between processes
        self.code = code

    def __str__(self) -> str:
        """The sentence."""
        code, value = self.args
        return _sentence(code, value)


def _sentence(code: str, value: Any) -> str:
    match code:
        case "not_found":
            return say("There is no such file: give the path of a sound file on this computer.")
        case "unreadable":
            return say("The file could not be opened: check that you may read it.")
        case "empty":
            return say("There is no sound here yet: choose a file that is not empty, or record something.")
        case "too_large":
            return say(
                "The file has {size} MB, and at most {most} MB can be checked: cut out the part that "
                "matters, or save it as MP3.",
                size=number(value, ".1f"),
                most=MAX_BYTES // 2**20,
            )
        case "not_audio":
            return say(
                "This is {kind}, not a sound file that can be read: choose a WAV, MP3, M4A or similar.",
                kind=_foreign(value),
            )
        case "bad_samples":
            return say(
                "A recording must be a sample rate and an array, (samples) or (samples, channels), of 8, 16 "
                "or 32 bit integers or floating point numbers."
            )
        case "no_audio_stream":
            return say("There is no sound in this file, which may be a silent video: choose another.")
        case "protected":
            return say("The sound is copy-protected and cannot be read: choose a file without protection.")
        case "unsupported_codec":
            return say("The sound is stored in a way that cannot be read here: save it as WAV, MP3 or M4A.")
        case "truncated":
            return say(
                "Hardly any sound could be read from this file, which is damaged, cut off or still being "
                "written: download or record it again."
            )
        case "sample_rate":
            return say(
                "The sound has {rate} samples a second, and only {least} to {most} can be checked: export "
                "it again at 44100 or 48000.",
                rate=value,
                least=MIN_RATE_HZ,
                most=MAX_RATE_HZ,
            )
        case "channels":
            return say(
                "The sound has {channels} channels, and only 1 to {most} can be checked: export it as mono "
                "or stereo.",
                channels=value,
                most=MAX_CHANNELS,
            )
        case "not_finite":
            return say("The sound holds values that no sound can have: export it again from its source.")
        case "too_long":
            return say(
                "The sound is longer than {most} minutes, the most that can be checked: cut out the part "
                "that matters.",
                most=MAX_DURATION_S // 60,
            )
        case "too_short":
            return say(
                "The sound lasts {seconds} seconds, and at least {least} are needed: choose a longer part.",
                seconds=number(value, ".2f"),
                least=number(MIN_DURATION_S),
            )
        case "silent":
            return say("The sound is silent: check the microphone, or choose another part.")
        case "too_slow":
            return say(
                "The file could not be decoded within {most} seconds: cut out the part that matters, or "
                "save it as WAV.",
                most=number(DECODE_DEADLINE_S, ".0f"),
            )
    raise KeyError(code)


def _foreign(kind: str | None) -> str:
    """What a file is that is no sound."""
    kinds = {
        "pdf": say("a PDF document"),
        "picture": say("a picture"),
        "archive": say("a ZIP archive or an office document"),
        "page": say("a web page or a drawing"),
        "playlist": say("a playlist"),
    }
    return kinds.get(kind or "", say("an unknown kind of file"))


class Decoded:
    """What one decoder makes of a source: held to the limits, and passed on to a `mix` of its own."""

    def __init__(self, new_mix: NewMix, deadline: float):
        """Pass the samples on to what `new_mix` makes, until `deadline` on the monotonic clock."""
        self.new_mix, self.deadline = new_mix, deadline
        self.frames, self.truncated = 0, False

    def start(self, rate_hz: int, channels: int, format: str) -> None:
        """Check what the header says before anything is decoded."""
        if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
            raise AudioError("sample_rate", rate_hz)
        if not 1 <= channels <= MAX_CHANNELS:
            raise AudioError("channels", channels)
        self.rate_hz, self.channels, self.format = rate_hz, channels, format
        self.mix = self.new_mix(rate_hz, channels)

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
        self.mix.add(block)


def read_bytes(source: str | Path | bytes) -> bytes:
    """The bytes, size-limited; of a path only a regular file's: no pipe, device, folder or address."""
    try:
        if isinstance(source, str | Path):
            if not os.path.isfile(source):
                raise AudioError("not_found")
            with open(source, "rb") as file:
                data = file.read(MAX_BYTES + 1)
            size = max(os.path.getsize(source), len(data))
        else:
            data = b"" if source is None else memoryview(source).tobytes()
            size = len(data)
    except TypeError:
        raise AudioError("bad_samples") from None
    except (OSError, MemoryError) as error:
        raise AudioError("unreadable") from error
    if not data:
        raise AudioError("empty")
    if size > MAX_BYTES:
        raise AudioError("too_large", math.ceil(size / 2**20 * 10) / 10)
    return data


def decode(source: bytes | tuple, new_mix: NewMix, deadline: float) -> Decoded:
    """Result of the first decoder that reads everything, else of the one that reads most.

    Args:
        source: The bytes of a file, or (sample rate in Hz, samples).
        new_mix: Called anew for each decoder that is tried.
        deadline: On the monotonic clock.

    Raises:
        AudioError: If the source is refused or holds not one sample.
    """
    data = b"" if isinstance(source, tuple) else source
    decoders = [_decode_array] if isinstance(source, tuple) else [_decode_with_ffmpeg]
    if data.startswith(_SOUNDFILE_MAGICS):
        decoders.insert(0, _decode_with_soundfile)
    best = Decoded(new_mix, deadline)
    for decoder in decoders:
        decoded = Decoded(new_mix, deadline)
        try:
            decoder(source, decoded)
        except AudioError:
            if not best.frames:
                raise
            continue
        except _DECODER_FAILURES:
            decoded.truncated = True
        if decoded.frames and not decoded.truncated:
            best = decoded
            break
        best = max(best, decoded, key=lambda decoded: decoded.frames)
    if not best.frames:
        raise _nothing_decoded(data)
    best.truncated |= _breaks_off(data)
    return best


def _nothing_decoded(data: bytes) -> AudioError:
    """Why no decoder gave a single sample."""
    if not data:
        return AudioError("empty")
    text = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    kind = next((kind for kind, magics in _FOREIGN_MAGICS.items() if text.startswith(magics)), None)
    if not kind and (data.startswith(_AUDIO_MAGICS) or data[4:8] == b"ftyp"):
        return AudioError("truncated")
    return AudioError("not_audio", kind)


def _decode_array(source: tuple, decoded: Decoded) -> None:
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
    decoded.start(rate_hz, samples.shape[1], f"array/{samples.dtype}")
    for start in range(0, len(samples), _BLOCK_FRAMES):
        decoded.add(_as_float(samples[start : start + _BLOCK_FRAMES]))


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


def _decode_with_soundfile(data: bytes, decoded: Decoded) -> None:
    with soundfile.SoundFile(_TimedBytes(data, decoded.deadline)) as file:
        decoded.start(file.samplerate, file.channels, f"{file.format}/{file.subtype}".lower())
        while len(block := file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
            decoded.add(block)
        decoded.truncated |= file.frames - decoded.frames > _LENGTH_TOLERANCE_S * decoded.rate_hz


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


def _decode_with_ffmpeg(data: bytes, decoded: Decoded) -> None:
    file = _TimedBytes(data, decoded.deadline)
    with av.open(file, container_options=_FFMPEG_OPTIONS, metadata_errors="replace") as container:
        if not container.streams.audio:
            raise AudioError("no_audio_stream")
        stream = container.streams.audio[0]
        codec = stream.codec_context and stream.codec_context.codec
        if codec and stream.codec_context.codec_tag in ("enca", "drms"):
            raise AudioError("protected")
        if not codec or codec.name not in _CODECS.split(","):
            raise AudioError("unsupported_codec")
        kind = container.format.name.split(",")[0]
        for frames in _ffmpeg_frames(container.demux(stream), decoded):
            if not decoded.frames:
                rate_hz, channels = frames[0].sample_rate, frames[0].layout.nb_channels
                decoded.start(rate_hz, channels, f"{kind}/{codec.canonical_name}")
            alike = [f for f in frames if (f.sample_rate, f.layout.nb_channels) == (rate_hz, channels)]
            decoded.truncated |= len(alike) < len(frames)
            if alike:
                decoded.add(np.concatenate([_frame_samples(frame) for frame in alike]))
        if decoded.frames:
            missing_s = _declared_s(kind, container, data) - decoded.frames / decoded.rate_hz
            decoded.truncated |= missing_s > _LENGTH_TOLERANCE_S


def _ffmpeg_frames(packets: Iterator[av.Packet], decoded: Decoded) -> Iterator[list[av.AudioFrame]]:
    """Decoded frames in bundles of about a block; packets that cannot be decoded are left out."""
    bundle = []
    try:
        for packet in packets:
            decoded.check_time()
            try:
                bundle += packet.decode()
            except av.error.FFmpegError:
                decoded.truncated = True
            if sum(frame.samples for frame in bundle) >= _BLOCK_FRAMES:
                yield bundle
                bundle = []
    except av.error.FFmpegError:
        decoded.truncated = True
    if bundle:
        yield bundle


def _frame_samples(frame: av.AudioFrame) -> np.ndarray:
    samples = frame.to_ndarray()
    # planar (C, n) or packed (1, n * C) -> (n, C)
    return _as_float(samples.T if frame.format.is_planar else samples.reshape(frame.samples, -1))


def _declared_s(kind: str, container: av.container.InputContainer, data: bytes) -> float:
    """Length that the file states; 0 where FFmpeg only guesses it from the bit rate."""
    if kind not in _DECLARES_LENGTH and not (kind == "mp3" and _XING_HEADER.search(data, 0, 2**20)):
        return 0.0
    stream = container.streams.audio[0]
    if stream.duration:
        return float(stream.duration * stream.time_base)
    # The container's own length is that of its longest stream.
    return (container.duration or 0) / av.time_base if len(container.streams) == 1 else 0.0
