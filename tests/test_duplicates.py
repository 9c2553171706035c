import logging
import random
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
import soxr

from ncdetect import duplicates
from ncdetect.audio import SAMPLE_RATE
from ncdetect.corpora import Clip, Manifest
from ncdetect.duplicates import (
    DuplicateGroup,
    Fingerprint,
    drop_duplicates,
    find_duplicates,
    fingerprint,
    pairs_by_corpora,
    same_recording,
)
from ncdetect.labels import Label

SHARED = Path(__file__).parents[2] / "shared" / "corpora"
REAL, FAKE = Label.REAL, Label.FAKE


def reading(seed: int, take: int = 0, seconds: float = 2.5) -> np.ndarray:
    """One speaker reading a sentence: syllables of two formants over a gliding pitch, in a noisy room.

    The seed chooses the sentence; another take has other durations and pitch.
    """
    rng, timing = np.random.default_rng(seed), np.random.default_rng((seed, take))
    count = int(seconds * SAMPLE_RATE)
    n = int(seconds / 0.12) + 2
    onsets = np.cumsum(timing.uniform(0.12, 0.3, n)) - 0.12
    time = np.arange(count) / SAMPLE_RATE
    pitch = 2 ** np.interp(time, onsets, np.log2(110) + timing.normal(0, 0.15, n))
    first, second = (
        np.interp(time, onsets, rng.uniform(low, high, n)) for low, high in ((300, 800), (900, 1900))
    )
    loudness = np.interp(time, onsets, rng.uniform(0.05, 1, n))
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    wave = np.zeros(count)
    for harmonic in range(1, 24):
        f = harmonic * pitch
        wave += (
            np.exp(-(((f - first) / 120) ** 2)) + 0.5 * np.exp(-(((f - second) / 180) ** 2)) + 0.01
        ) * np.sin(harmonic * phase)
    wave = wave * loudness + timing.normal(0, 0.003, count)
    return (0.3 * wave / np.abs(wave).max()).astype(np.float32)


def through(wave: np.ndarray, rate: int) -> np.ndarray:
    return soxr.resample(soxr.resample(wave, SAMPLE_RATE, rate), rate, SAMPLE_RATE)


def vocoded(wave: np.ndarray, seed: int = 0) -> np.ndarray:
    """The same magnitudes with phases that start from noise (Griffin and Lim)."""
    _, _, target = scipy.signal.stft(wave, nperseg=1024)
    phase = np.exp(2j * np.pi * np.random.default_rng(seed).random(target.shape))
    for _ in range(20):
        _, again = scipy.signal.istft(np.abs(target) * phase)
        phase = np.exp(1j * np.angle(scipy.signal.stft(again, nperseg=1024)[2][:, : target.shape[1]]))
    return scipy.signal.istft(np.abs(target) * phase)[1][: len(wave)].astype(np.float32)


def corpus(*clips: tuple) -> tuple[Manifest, dict]:
    """A manifest of (path, label, wave, further fields of Clip) and what its files decode to."""
    root = Path("nowhere")
    rows = [Clip(path, label, **(fields[0] if fields else {})) for path, label, _, *fields in clips]
    return Manifest(root, tuple(rows)), {root / path: wave for path, _, wave, *_ in clips}


def found(*clips: tuple, **options) -> list[list[str]]:
    manifest, waves = corpus(*clips)
    groups = find_duplicates(manifest, load=waves.__getitem__, **options)
    return [[clip.path for clip in group.clips] for group in groups]


CHANGES = {
    "20 dB softer": lambda wave: 0.1 * wave,
    "upside down": lambda wave: -wave,
    "22.05 kHz": lambda wave: through(wave, 22_050),
    "24 kHz": lambda wave: through(wave, 24_000),
    "8 kHz": lambda wave: through(wave, 8_000),
    "ends trimmed": lambda wave: wave[3_217:-2_900],
    "half trimmed": lambda wave: wave[len(wave) // 2 :],
    "silence put round it": lambda wave: np.pad(wave, (7_777, 5_000)),
    "half a hop later": lambda wave: wave[duplicates.HOP_SAMPLES // 2 :],
    "noise at 25 dB": lambda wave: (
        wave + np.random.default_rng(1).normal(0, 0.056 * wave.std(), len(wave)).astype(np.float32)
    ),
    "all at once": lambda wave: 0.3 * through(wave[2_111:-1_500], 22_050),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_recording_is_known_again(change):
    others = [(f"other{n}", REAL, reading(100 + n)) for n in range(6)]
    for seed in range(3):
        wave = reading(seed)
        assert found(("a", REAL, wave), ("b", REAL, change(wave)), *others) == [["a", "b"]]


def test_distinct_readings_are_distinct():
    """Forty sentences by one speaker, ten of them in three takes."""
    sentences = [(f"{seed}", REAL, reading(seed)) for seed in range(40)]
    takes = [(f"{seed}-{take}", REAL, reading(seed, take)) for seed in range(10) for take in (1, 2)]
    assert found(*sentences, *takes) == []


def test_a_vocoded_copy_is_no_duplicate_of_its_original():
    wave = reading(0)
    copy = vocoded(wave)
    # the fingerprints agree, so that only the labels can keep them apart
    assert same_recording([fingerprint(wave), fingerprint(copy)], [0, 0]) == [(0, 1)]
    assert found(("real", REAL, wave), ("fake", FAKE, copy)) == []
    assert found(("real", REAL, wave), ("fake", REAL, copy)) == [["fake", "real"]]


def test_two_vocoders_copies_of_one_recording_are_both_wanted():
    wave = reading(0)
    one, other = ("a", FAKE, vocoded(wave, 1), {"generator": "melgan"}), vocoded(wave, 2)
    assert found(one, ("b", FAKE, other, {"generator": "hifiGAN"})) == []
    assert found(one, ("b", FAKE, other, {"generator": "melgan"})) == [["a", "b"]]
    # equal samples are one clip, whatever the generators are called in two corpora
    assert found(one, ("b", FAKE, one[2].copy(), {"generator": "MelGAN"})) == [["a", "b"]]
    assert found(one, ("b", REAL, one[2].copy())) == []


def test_exact_is_by_samples_and_not_by_file(tmp_path):
    wave = np.round(reading(0) * 32_768) / 32_768
    soundfile.write(tmp_path / "a.wav", wave, SAMPLE_RATE, subtype="PCM_16")
    soundfile.write(tmp_path / "b.flac", wave, SAMPLE_RATE)
    soundfile.write(tmp_path / "c.wav", wave, SAMPLE_RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "d.wav", 0.5 * wave, SAMPLE_RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "e.wav", reading(1), SAMPLE_RATE)
    assert len({(tmp_path / name).read_bytes() for name in ("a.wav", "b.flac", "c.wav")}) == 3
    clips = {name: Clip(name, REAL) for name in ("a.wav", "b.flac", "c.wav", "d.wav", "e.wav")}
    all_, exact = (
        find_duplicates(Manifest(tmp_path, tuple(clips[name] for name in names)))
        for names in (clips, ("a.wav", "b.flac", "c.wav", "e.wav"))
    )
    assert all_ == [
        DuplicateGroup(tuple(clips[n] for n in ("a.wav", "b.flac", "c.wav", "d.wav")), exact=False)
    ]
    assert exact == [DuplicateGroup(tuple(clips[n] for n in ("a.wav", "b.flac", "c.wav")), exact=True)]


def test_a_file_that_cannot_be_read_is_logged_and_the_rest_compared(tmp_path, caplog):
    wave = reading(0)
    soundfile.write(tmp_path / "a.wav", wave, SAMPLE_RATE)
    soundfile.write(tmp_path / "c.wav", wave, SAMPLE_RATE)
    (tmp_path / "b.wav").write_bytes(b"no sound")
    manifest = Manifest(tmp_path, tuple(Clip(f"{n}.wav", REAL) for n in "abc") + (Clip("gone.wav", REAL),))
    with caplog.at_level(logging.WARNING):
        (group,) = find_duplicates(manifest, workers=2)
    assert [clip.path for clip in group.clips] == ["a.wav", "c.wav"]
    assert "b.wav" in caplog.text
    assert "gone.wav" in caplog.text


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_rows_does_not_matter(seed):
    waves = {n: reading(n) for n in range(5)}
    clips = [(f"a{n}", REAL, wave) for n, wave in waves.items()]
    clips += [
        ("b0", REAL, through(waves[0], 24_000)),
        ("c0", REAL, 0.2 * waves[0]),
        ("b1", REAL, waves[1][2_000:]),
    ]
    clips += [("f1", FAKE, waves[2]), ("f2", FAKE, waves[2][1_000:])]
    expected = found(*clips)
    assert expected == [["a0", "b0", "c0"], ["a1", "b1"], ["f1", "f2"]]
    random.Random(seed).shuffle(clips)
    assert found(*clips) == expected


def test_two_halves_are_joined_by_the_whole():
    wave = reading(0, seconds=4)
    halves = ("a", REAL, wave[: len(wave) // 2]), ("b", REAL, wave[len(wave) // 2 :])
    assert found(*halves) == []
    assert found(*halves, ("whole", REAL, wave)) == [["a", "b", "whole"]]


def test_less_than_half_in_common_is_not_the_same():
    wave = reading(0, seconds=4)
    third = len(wave) // 3
    assert found(("a", REAL, wave[: 2 * third - 4_000]), ("b", REAL, wave[third + 4_000 :])) == []
    assert found(("a", REAL, wave[: 2 * third + 4_000]), ("b", REAL, wave[third - 4_000 :])) == [["a", "b"]]


def test_clips_without_a_comparable_frame():
    silence, click = np.zeros(16_000, np.float32), np.eye(1, 16_000, 8_000, dtype=np.float32)[0]
    clips = [("silence", REAL, silence), ("click", REAL, click), ("short", REAL, np.zeros(100, np.float32))]
    assert found(*clips, ("speech", REAL, reading(0))) == []
    assert found() == []
    assert found(clips[0]) == []
    assert found(clips[0], ("again", REAL, silence.copy())) == [["again", "silence"]]


def test_a_fingerprint_has_a_frame_a_hop():
    prints = fingerprint(reading(0, seconds=1))
    assert prints.words.shape == prints.active.shape == (SAMPLE_RATE // duplicates.HOP_SAMPLES,)
    assert prints.words.dtype == np.uint32
    assert prints.active.mean() > 0.5


def test_a_long_clip_is_transformed_in_blocks_alike(monkeypatch):
    wave = reading(0)
    whole = fingerprint(wave)
    monkeypatch.setattr(duplicates, "_BLOCK", 10)
    blocks = fingerprint(wave)
    assert (blocks.words == whole.words).all()
    assert (blocks.active == whole.active).all()


@pytest.fixture
def seeds(monkeypatch) -> list[int]:
    """How many seeds each chunk of the index gave."""
    counts = []
    inner = duplicates._error_rate_around

    def counted(words, here, there):
        counts.append(len(here))
        return inner(words, here, there)

    monkeypatch.setattr(duplicates, "_error_rate_around", counted)
    return counts


def test_an_index_in_parts_finds_the_same(monkeypatch, seeds):
    waves = [reading(n) for n in range(6)] + [reading(n)[1_500:] for n in range(6)]
    prints = [fingerprint(wave) for wave in waves]
    expected = [(n, n + 6) for n in range(6)]
    assert same_recording(prints, [0] * 12) == expected
    whole = sum(seeds)
    seeds.clear()
    monkeypatch.setattr(duplicates, "_INDEX_FRAMES", 100)
    monkeypatch.setattr(duplicates, "_CHUNK", 7)
    assert same_recording(prints, [0] * 12) == expected
    assert sum(seeds) == whole


def test_work_grows_with_the_clips_and_not_with_their_pairs(seeds):
    """Clips that all end in one sound: every frame of it is a seed for each pair of them."""
    tail = reading(0, seconds=0.8)
    totals = []
    for count in (10, 40):
        prints = [fingerprint(np.concatenate([reading(n, seconds=2), tail])) for n in range(count)]
        seeds.clear()
        same_recording(prints, [0] * count)
        totals.append(sum(seeds))
    assert totals[0] > 0
    assert totals[1] < 6 * totals[0]


def made_print(frames: int, wrong_frames: int = 0) -> Fingerprint:
    """Random words, the first of them with half of their bits flipped."""
    words = np.random.default_rng(0).integers(0, 2**32, frames, dtype=np.uint32)
    words[:wrong_frames] ^= np.uint32(0x5555_5555)
    return Fingerprint(bytes([wrong_frames]), words, np.ones(frames, dtype=bool))


@pytest.mark.parametrize(
    "frames, wrong_frames, same",
    [(100, 40, True), (100, 41, False), (48, 19, True), (48, 20, False), (24, 4, True), (24, 5, False)],
)
def test_a_fifth_of_the_bits_may_differ_and_less_in_short_overlaps(frames, wrong_frames, same):
    prints = [made_print(frames), made_print(frames, wrong_frames)]
    assert same_recording(prints, [0, 0]) == [(0, 1)] * same


def test_silence_in_common_does_not_count():
    """Two words from one recording session: 40 dB below them the same three seconds of room."""
    room = np.random.default_rng(0).normal(0, 0.0003, 48_000).astype(np.float32)
    assert found(("a", REAL, room + 0), ("b", REAL, 0.5 * room)) == [["a", "b"]]
    spoken = [np.concatenate([room, reading(n, seconds=1.5)]) for n in range(2)]
    assert found(*((f"{n}", REAL, wave) for n, wave in enumerate(spoken))) == []
    # nor does it make a shared word, a third of what is said, into more than that
    word = reading(9, seconds=0.75)
    assert (
        found(*((f"{n}", REAL, np.concatenate([room, word, w[48_000:]])) for n, w in enumerate(spoken))) == []
    )


def test_pairs_by_corpora_counts_pairs():
    def group(*corpora: str) -> DuplicateGroup:
        return DuplicateGroup(
            tuple(Clip(f"{n}.wav", REAL, corpus=c) for n, c in enumerate(corpora)), exact=False
        )

    groups = [
        group("wavefake", "for-norm"),
        group("for-norm", "wavefake", "wavefake"),
        group("la", "la", "la"),
    ]
    assert pairs_by_corpora(groups) == {
        ("for-norm", "wavefake"): 3,
        ("wavefake", "wavefake"): 1,
        ("la", "la"): 3,
    }
    assert pairs_by_corpora([]) == {}


def test_the_training_copy_of_a_judged_clip_is_dropped():
    clips = [Clip("a", REAL, split="train"), Clip("b", REAL, split="eval"), Clip("c", REAL, split="dev")]
    clips += [Clip("e", REAL, split="train"), Clip("d", REAL, split="train"), Clip("f", REAL, split="train")]
    groups = [DuplicateGroup(tuple(clips[:3]), exact=False), DuplicateGroup((clips[4], clips[3]), exact=True)]
    manifest = Manifest(Path("x"), tuple(clips))
    assert [clip.path for clip in drop_duplicates(manifest, groups)] == ["b", "d", "f"]
    assert drop_duplicates(manifest, []) == manifest


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared corpora are not beside the checkout")
def test_recordings_that_stand_twice_in_the_shared_corpora():
    """LJSpeech and Baidu's voice, which `neural` and `vocoded` took from different demo pages."""
    reals = Manifest.read(SHARED / "manifest.csv").select(label="real", corpus=["neural", "vocoded"])
    clips = tuple(clip for clip in reals if clip.speaker in ("lj", "baidu-en-f"))
    named = defaultdict(list)
    for clip in clips:
        named[clip.recording].append(clip.path)
    expected = {pair for paths in named.values() for pair in combinations(sorted(paths), 2)}
    groups = find_duplicates(Manifest(SHARED, clips), workers=2)
    pairs = {pair for group in groups for pair in combinations([clip.path for clip in group.clips], 2)}
    assert len(expected) == 45
    assert expected <= pairs
    # the same audio under two names of recordings, by the correlation of the waveforms
    assert len(pairs - expected) == 5
