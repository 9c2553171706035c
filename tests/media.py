"""Clips that the tests make, in every format that a visitor may bring, and measures of what was read."""

import io
from collections.abc import Callable

import av
import numpy as np
import soundfile

from ncdetect.audio import SAMPLE_RATE, AudioError


def tone(rate_hz: int, seconds: float = 1.5, hertz: float = 440.0, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(int(rate_hz * seconds)) / rate_hz)).astype(
        np.float32
    )


def speech_like(seconds: float = 3.0, rate_hz: int = 16_000, seed: int = 0) -> np.ndarray:
    """Syllables of a buzz with two formants, hisses between them, short pauses and a quiet room."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    pitch = 120 + 20 * np.sin(2 * np.pi * 0.7 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / rate_hz
    buzz = sum(
        np.sin(k * phase)
        * (1 / (1 + ((k * 120 - 600) / 200) ** 2) + 0.4 / (1 + ((k * 120 - 1700) / 300) ** 2))
        for k in range(1, 30)
    )
    voiced = np.clip(np.sin(2 * np.pi * 2.5 * t), 0, None)
    hiss = np.diff(rng.standard_normal(len(t) + 1)) * np.clip(np.sin(2 * np.pi * 2.5 * t + 2.5), 0, None) ** 4
    wave = buzz * voiced / 4 + 0.05 * hiss + 1e-4 * rng.standard_normal(len(t))
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


def main_hertz(wave: np.ndarray) -> float:
    """Frequency of the strongest partial, to 1 Hz, leaving out the codec's start and end."""
    middle = wave[4000:-4000] * np.hanning(len(wave) - 8000)
    return float(np.abs(np.fft.rfft(middle, SAMPLE_RATE)).argmax())


def rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(wave[4000:-4000], dtype=np.float64))))


def with_soundfile(wave: np.ndarray, rate_hz: int, container: str, codec: str) -> bytes:
    """Encode (T,) or (T, C) samples."""
    file = io.BytesIO()
    soundfile.write(file, wave, rate_hz, format=container, subtype=codec)
    return file.getvalue()


def with_ffmpeg(
    wave: np.ndarray | None,
    rate_hz: int,
    container: str,
    codec: str = "",
    video: str = "",
    **options: str,
) -> bytes:
    """Encode (T,) or (T, C) samples, or 2.4 s of grey video, or both."""
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options) as output:
        if video:
            pictures = output.add_stream(video, rate=5, options={"strict": "experimental"})
            pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        if wave is not None:
            samples = wave.reshape(len(wave), -1).T  # (T, C) -> (C, T)
            layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(samples)]
            sound = output.add_stream(codec, rate=rate_hz, layout=layout)
            if codec == "wmav2":
                sound.bit_rate = 64_000  # it has no default of its own
            sound.codec_context.open()
        if video:
            grey = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 127, np.uint8), format="rgb24")
            for index in range(12):
                grey.pts = index
                output.mux(pictures.encode(grey))
            output.mux(pictures.encode(None))
        if wave is not None:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
            frame.sample_rate = rate_hz
            resampler = av.AudioResampler(
                sound.codec_context.format.name, layout, rate_hz, sound.codec_context.frame_size or 1024
            )
            for piece in resampler.resample(frame) + resampler.resample(None):
                output.mux(sound.encode(piece))
            output.mux(sound.encode(None))
    return file.getvalue()


# name: (rate in Hz, whether it is coded with a loss, encoder)
FORMATS: dict[str, tuple[int, bool, Callable[[np.ndarray, int], bytes]]] = {}


def _register(make: Callable, rows: str) -> None:
    for row in rows.strip().splitlines():
        name, rate_hz, lossy, container, codec = row.split()
        FORMATS[name] = (
            int(rate_hz),
            lossy == "lossy",
            lambda wave, rate, container=container, codec=codec: make(wave, rate, container, codec),
        )


_register(
    with_soundfile,
    """
    wav-u8     16000 lossy WAV PCM_U8
    wav-16     44100 exact WAV PCM_16
    wav-24     48000 exact WAV PCM_24
    wav-32     48000 exact WAV PCM_32
    wav-float  44100 exact WAV FLOAT
    wav-double 44100 exact WAV DOUBLE
    wav-ulaw    8000 lossy WAV ULAW
    wav-alaw    8000 lossy WAV ALAW
    wav-adpcm  22050 lossy WAV MS_ADPCM
    wav-ima    22050 lossy WAV IMA_ADPCM
    wav-gsm     8000 lossy WAV GSM610
    wavex      48000 exact WAVEX PCM_24
    rf64       44100 exact RF64 PCM_16
    flac       44100 exact FLAC PCM_16
    flac-24    96000 exact FLAC PCM_24
    mp3        44100 lossy MP3 MPEG_LAYER_III
    ogg        44100 lossy OGG VORBIS
    opus       48000 lossy OGG OPUS
    aiff       44100 exact AIFF PCM_16
    au         16000 exact AU PCM_16
    caf        44100 exact CAF PCM_16
    """,
)
_register(
    with_ffmpeg,
    """
    m4a        44100 lossy ipod aac
    m4a-alac   44100 exact ipod alac
    mp4        48000 lossy mp4 aac
    webm       48000 lossy webm libopus
    mkv-pcm    48000 exact matroska pcm_s16le
    aac        44100 lossy adts aac
    mp3-ffmpeg 22050 lossy mp3 libmp3lame
    amr         8000 lossy amr libopencore_amrnb
    3gp         8000 lossy 3gp libopencore_amrnb
    wma        44100 lossy asf wmav2
    caf-alac   44100 exact caf alac
    ac3        48000 lossy ac3 ac3
    avi        44100 exact avi pcm_s16le
    mpegts     48000 lossy mpegts mp2
    """,
)


def read(load, source):
    """What comes of a source: all fields, or the error's."""
    try:
        clip = load(source)
    except AudioError as error:
        return error.args
    return {name: value.tobytes() if name == "wave" else value for name, value in vars(clip).items()}
