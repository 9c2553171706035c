"""Real codecs: a waveform through encoder and decoder, in memory, by the ffmpeg inside PyAV."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import av
import numpy as np
import soxr
from av.codec.context import CodecContext
from numpy.typing import NDArray

from ncdetect.audio import SAMPLE_RATE


@dataclass(frozen=True)
class Codec:
    """An encoder and decoder of ffmpeg and the settings that this project uses."""

    encoder: str
    decoder: str
    rates: tuple[int, ...]
    """Sample rates in Hz that it is used at."""
    bit_rates: tuple[int, ...] = (0,)
    """In bit/s; (0,) where the rate fixes them."""
    delay: int = 0
    """Samples, at the rate of coding, by which the sound comes out late; what the decoder cuts itself is not
    counted."""
    layout: str = "mono"
    options: tuple[tuple[str, str], ...] = ()
    """Of the encoder. Its default searches take up to four times the time for little."""


# mp3 and opus: the decoders cut the delay themselves. aac: one frame. amr-nb: 5 ms of look-ahead.
# g722: both quadrature mirror filters. ffmpeg's own Vorbis encoder knows stereo only.
CODECS = {
    "mp3": Codec(
        "libmp3lame", "mp3", (16_000, 44_100), (32_000, 48_000, 64_000, 128_000),
        options=(("compression_level", "7"),),
    ),
    "aac": Codec(
        "aac", "aac", (16_000, 44_100), (24_000, 32_000, 64_000), delay=1024,
        options=(("aac_coder", "fast"),),
    ),
    "opus": Codec(
        "libopus", "libopus", (16_000, 48_000), (8_000, 12_000, 16_000, 24_000, 64_000),
        options=(("compression_level", "5"),),
    ),
    "vorbis": Codec(
        "vorbis", "vorbis", (16_000, 44_100), (48_000, 64_000, 96_000), layout="stereo",
        options=(("strict", "experimental"),),
    ),
    "amr-nb": Codec("libopencore_amrnb", "amrnb", (8_000,), (4_750, 7_400, 12_200), delay=40),
    "g722": Codec("g722", "g722", (16_000,), delay=22),
    "mulaw": Codec("pcm_mulaw", "pcm_mulaw", (8_000,)),
    "alaw": Codec("pcm_alaw", "pcm_alaw", (8_000,)),
}  # fmt: skip
_FORMATS = ("fltp", "flt", "s16p", "s16")  # what an encoder is given, the finest that it takes
_PCM_FRAME = 1024  # samples, for encoders that set none


@cache
def available() -> tuple[str, ...]:
    """Names of the codecs that the installed PyAV has."""
    known = av.codecs_available
    return tuple(name for name, codec in CODECS.items() if {codec.encoder, codec.decoder} <= known)


def code(wave: NDArray[np.float32], name: str, rate: int = 0, bit_rate: int = 0) -> NDArray[np.float32]:
    """A waveform as it comes out of a codec, aligned with what went in to within a millisecond.

    Args:
        wave: At 16 kHz, shape (T,), not empty, finite; beyond [-1, 1] it is clipped.
        name: A key of CODECS.
        rate: Sample rate in Hz at which it is coded; 0 is the codec's first.
        bit_rate: In bit/s; 0 is the codec's first.

    Returns:
        Float32, shape (T,); a codec may overshoot full scale a little.

    Raises:
        ValueError: If the codec is unknown or the installed PyAV lacks it, if it is not used at this rate or
            bit rate, or if the waveform is empty, not finite or not of shape (T,).
    """
    if name not in CODECS:
        raise ValueError(f"unknown codec {name!r}; allowed: {', '.join(CODECS)}")
    if name not in available():
        raise ValueError(
            f"PyAV {av.__version__} was built without {name}; it has: {', '.join(available()) or 'none'}"
        )
    codec = CODECS[name]
    rate, bit_rate = rate or codec.rates[0], bit_rate or codec.bit_rates[0]
    for what, value, allowed in (("Hz", rate, codec.rates), ("bit/s", bit_rate, codec.bit_rates)):
        if value not in allowed:
            listed = ", ".join(map(str, allowed)) if any(allowed) else "0, as its rate fixes it"
            raise ValueError(f"{value} {what} for {name}; allowed: {listed}")
    if wave.ndim != 1 or not len(wave) or not np.isfinite(wave).all():
        raise ValueError(f"a waveform of shape {wave.shape} cannot be coded; allowed: (T,), T > 0, finite")
    samples = np.clip(_resampled(wave.astype(np.float32, copy=False), SAMPLE_RATE, rate), -1, 1)
    coded, decoded_rate = _through(codec, samples, rate, bit_rate)
    coded = _resampled(coded[codec.delay :], decoded_rate, SAMPLE_RATE)[: len(wave)]
    return np.pad(coded, (0, len(wave) - len(coded)))


def _resampled(wave: NDArray[np.float32], rate: int, wanted: int) -> NDArray[np.float32]:
    return wave if rate == wanted else soxr.resample(wave, rate, wanted, "MQ")


def _through(
    codec: Codec, samples: NDArray[np.float32], rate: int, bit_rate: int
) -> tuple[NDArray[np.float32], int]:
    """Decoded samples (T,) and their rate: Opus decodes to 48 kHz whatever it was given."""
    encoder = CodecContext.create(codec.encoder, "w")
    formats = {form.name for form in encoder.codec.audio_formats or ()}
    kind = next((name for name in _FORMATS if name in formats), "s16")
    encoder.format, encoder.layout = kind, codec.layout
    encoder.sample_rate, encoder.time_base = rate, Fraction(1, rate)
    encoder.options, encoder.thread_count = dict(codec.options), 1
    if bit_rate:
        encoder.bit_rate = bit_rate
    encoder.open()
    decoder = CodecContext.create(codec.decoder, "r")
    decoder.sample_rate, decoder.layout, decoder.thread_count = rate, codec.layout, 1
    if encoder.extradata:
        decoder.extradata = encoder.extradata

    step = encoder.frame_size or _PCM_FRAME
    values = np.pad(samples, (0, -len(samples) % step + 2 * step))  # two frames to flush the delay
    if kind.startswith("s16"):
        values = np.round(values * 32767).astype(np.int16)
    channels = len(encoder.layout.channels)
    # One long frame: PyAV cuts it as the encoder wants it, much faster than Python does.
    sound = av.AudioFrame.from_ndarray(np.tile(values, (channels, 1)), kind, codec.layout)
    sound.sample_rate, sound.pts = rate, 0
    frames = [frame for packet in encoder.encode(sound) for frame in decoder.decode(packet)]
    frames += [frame for packet in encoder.encode(None) for frame in decoder.decode(packet)]
    frames += decoder.decode(None)
    return np.concatenate([_first_channel(frame) for frame in frames]), frames[0].sample_rate


def _first_channel(frame: av.AudioFrame) -> NDArray[np.float32]:
    """Samples (n,) of a frame that is mono or planar."""
    whole = frame.format.name.startswith("s16")
    values = np.frombuffer(frame.planes[0], np.int16 if whole else np.float32, frame.samples)
    return values.astype(np.float32) / np.float32(32768) if whole else values
