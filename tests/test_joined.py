from dataclasses import dataclass, replace

import numpy as np
import pytest

import media
from ncdetect import audio, joined
from ncdetect.corpora import Clip, Manifest
from ncdetect.joined import FADE_SAMPLES, LEVEL_DBFS, equalised, join, long_clips, splice, spliced_clips
from ncdetect.labels import Label

RATE = audio.SAMPLE_RATE


@dataclass
class Made:
    """Decoded clips without files: noise, each row of its own seed."""

    manifest: Manifest

    def __getitem__(self, row):
        seconds = self.manifest.clips[row].seconds
        return np.random.default_rng(row).normal(0, 0.05, int(seconds * RATE)).astype(np.float32)


def clips(label, count, name, seconds=3.0, **fields):
    """Clips of one speaker (reals) or generator (fakes)."""
    who = {"speaker": name} if label == Label.REAL else {"generator": name}
    return [
        Clip(f"{label.word}-{name}-{i}.flac", label, seconds=seconds, **(who | fields)) for i in range(count)
    ]


def made(*groups):
    return Made(Manifest(None, tuple(clip for group in groups for clip in group)))


REALS = clips(Label.REAL, 12, "ann", language="en")
FAKES = clips(Label.FAKE, 12, "vits", language="en")


def level_dbfs(wave):
    return 10 * np.log10(np.mean(np.square(wave, dtype=np.float64)))


def test_levels_are_made_equal():
    noise = np.random.default_rng(0).normal(0, 1, RATE).astype(np.float32)
    for gain in (0.001, 0.01, 0.1):
        assert level_dbfs(equalised(gain * noise)) == pytest.approx(LEVEL_DBFS, abs=0.1)
    # Silence between words has no part in the level.
    pausing = np.concatenate([0.01 * noise, np.zeros(4 * RATE, np.float32)])
    assert level_dbfs(equalised(pausing)[:RATE]) == pytest.approx(LEVEL_DBFS, abs=0.2)


def test_a_peak_is_never_clipped():
    wave = np.full(RATE, 0.001, np.float32)
    wave[::640] = 0.2  # one sample in 40 ms
    louder = equalised(wave)
    assert np.abs(louder).max() == pytest.approx(joined.PEAK) and level_dbfs(louder) < LEVEL_DBFS
    assert louder.dtype == np.float32


def test_joining_by_hand():
    one, two = np.ones(1000, np.float32), np.ones(700, np.float32)
    assert np.array_equal(join([one]), one)
    assert join([one, two, one]).shape == (2700 - 2 * FADE_SAMPLES,)
    assert join([one, two, one]) == pytest.approx(1, abs=1e-6)
    rising = join([0 * one, two])
    assert not rising[: 1000 - FADE_SAMPLES].any() and (rising[1000:] == 1).all()
    assert rising[1000 - FADE_SAMPLES : 1000] == pytest.approx(np.arange(FADE_SAMPLES) / (FADE_SAMPLES - 1))


def test_splicing_by_hand():
    host, guest = np.zeros(10 * RATE, np.float32), np.ones(4 * RATE, np.float32)
    wave, (start_s, end_s) = splice(host, guest, 3 * RATE)
    assert len(wave) == 14 * RATE - 2 * FADE_SAMPLES
    loud = np.flatnonzero(wave >= 0.5)
    assert start_s * RATE == pytest.approx(loud[0], abs=1) and end_s * RATE == pytest.approx(
        loud[-1] + 1, abs=1
    )
    assert (np.diff(loud) == 1).all() and start_s == pytest.approx(2.995) and end_s == pytest.approx(6.985)


def test_long_clips_last_10_to_30_s_and_are_of_one_class():
    found = long_clips(made(REALS, FAKES, clips(Label.FAKE, 30, "wavenet")), seed=0, rounds=3)
    lengths = np.array([len(clip.wave) / RATE for clip in found])
    assert (lengths >= 10).all() and (lengths <= 30).all() and len(set(lengths.tolist())) > 3
    assert {(clip.label.word, clip.group) for clip in found} == {
        ("real", "real ann"), ("fake", "fake vits"), ("fake", "fake wavenet"),
    }  # fmt: skip
    assert all(clip.one_voice and clip.fake_span is None for clip in found)
    assert all(np.abs(clip.wave).max() <= 1 for clip in found)


def test_the_seed_decides_everything():
    waves = made(REALS, FAKES)
    one, again, other = (long_clips(waves, seed) for seed in (0, 0, 1))
    assert [clip.wave.tobytes() for clip in one] == [clip.wave.tobytes() for clip in again]
    assert [clip.wave.tobytes() for clip in one] != [clip.wave.tobytes() for clip in other]
    spliced = [spliced_clips(one, seed) for seed in (0, 0, 1)]
    assert spliced[0][0].wave.tobytes() == spliced[1][0].wave.tobytes()
    assert spliced[0][0].fake_span == spliced[1][0].fake_span != spliced[2][0].fake_span


def test_no_clip_is_used_twice_in_a_round():
    ann = clips(Label.REAL, 12, "ann", generator="vctk")
    waves = made(ann, *(clips(Label.REAL, 3, name, generator="vctk") for name in ("bob", "cid")))
    for seed in range(5):
        plan = joined._plan(waves, np.random.default_rng(seed))
        rows = [row for part, _, _ in plan for row in part]
        assert len(rows) == len(set(rows)) <= 18
        assert {group for _, group, _ in plan} == {"real ann", "real vctk"}


def test_who_says_too_little_goes_by_source_or_kind():
    few = [
        *clips(Label.REAL, 2, "bob", generator="vctk"),
        *clips(Label.REAL, 3, "", generator="vctk"),  # nobody is named
        *clips(Label.FAKE, 2, "vits", kind="tts"),
        *clips(Label.FAKE, 2, "xtts", kind="tts"),
        *clips(Label.FAKE, 3, "soft-vc", kind="vc"),  # 9 s: too little whatever they go by
    ]
    found = long_clips(made(few), seed=0)
    assert {(clip.group, clip.one_voice) for clip in found} == {("real vctk", False), ("fake tts", False)}
    # Without a kind and a source nothing is joined.
    assert long_clips(made([replace(clip, generator="", kind="") for clip in few]), seed=0) == []


def test_just_10_s_are_enough():
    enough = 10 + 4 * FADE_SAMPLES / RATE
    for seconds, count in ((enough / 4, 1), (enough / 4 - 0.01, 0)):
        assert len(long_clips(made(clips(Label.REAL, 4, "ann", seconds)), seed=0)) == count
    (long,) = long_clips(made(clips(Label.REAL, 1, "ann", 45.0)), seed=0)
    assert len(long.wave) == 30 * RATE


def test_the_language_of_most_clips():
    waves = made(clips(Label.REAL, 3, "ann", language="fr"), clips(Label.REAL, 1, "ann2", language="en"))
    waves = made([replace(clip, speaker="ann", path=f"{i}.flac") for i, clip in enumerate(waves.manifest)])
    assert [clip.language for clip in long_clips(waves, seed=0)] == ["fr"]


def test_fakes_are_spliced_into_reals():
    whole = long_clips(made(REALS, FAKES), seed=0, rounds=4)
    reals = [clip for clip in whole if clip.label == Label.REAL]
    spliced = spliced_clips(whole, seed=0)
    assert len(spliced) == len(reals)
    for clip, host in zip(spliced, reals, strict=True):
        start_s, end_s = clip.fake_span
        length_s = end_s - start_s
        assert 4 - 0.02 < length_s < 8 and start_s >= 3 - 0.01 and len(clip.wave) / RATE - end_s >= 3 - 0.01
        assert len(clip.wave) == pytest.approx(len(host.wave) + length_s * RATE, abs=2 * FADE_SAMPLES)
        before, after = int(start_s * RATE) - FADE_SAMPLES, len(clip.wave) - int(end_s * RATE) - FADE_SAMPLES
        assert np.array_equal(clip.wave[:before], host.wave[:before])
        assert np.array_equal(clip.wave[-after:], host.wave[-after:])
        assert (clip.label, clip.group) == (Label.REAL, host.group)
        # The middle of the stretch is somewhere in a fake, sample by sample.
        middle = clip.wave[int((start_s + 1) * RATE) :][: RATE // 10].tobytes()
        assert any(middle in fake.wave.tobytes() for fake in whole if fake.label == Label.FAKE)


def test_a_fake_of_the_same_language_is_preferred():
    french = [replace(clip, language="fr") for clip in clips(Label.FAKE, 12, "xtts")]
    whole = long_clips(made(REALS, FAKES, french), seed=0, rounds=3)
    of_french = b"".join(clip.wave.tobytes() for clip in whole if clip.language == "fr")
    for clip in spliced_clips(whole, seed=0):
        middle = clip.wave[int((clip.fake_span[0] + 1) * RATE) :][: RATE // 10].tobytes()
        assert middle not in of_french
    # Where there is none, any will do; where there is no fake, nothing is spliced.
    spanish = [replace(clip, language="es") for clip in whole if clip.label == Label.REAL]
    assert len(spliced_clips([*spanish, *(c for c in whole if c.label == Label.FAKE)], 0)) == len(spanish)
    assert spliced_clips(spanish, 0) == []


def test_real_sounds_keep_their_shape():
    wave = media.speech_like(3.0)
    scaled = equalised(wave)
    assert scaled / np.abs(scaled).max() == pytest.approx(wave / np.abs(wave).max(), abs=1e-5)
