import csv
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

import media
from ncdetect import cli, robustness
from ncdetect.checkpoint import CHECKPOINTS
from ncdetect.corpora import Clip, Manifest
from ncdetect.labels import Label
from ncdetect.loading import Waves
from ncdetect.metrics import Interval
from ncdetect.predictor import Predictor
from ncdetect.robustness import NONE, Judged, Survival

WAVE = media.speech_like(2.0, seed=3)
REAL, FAKE, OPEN = "real", "fake", "undecided"


@pytest.fixture(scope="module")
def tiny():
    return Predictor.from_pretrained("tiny")


@pytest.fixture
def few(made_corpus, tmp_path):
    """Eight eval clips of two corpora, and two wild ones."""
    chosen = [clip for clip in made_corpus.select(split="eval") if clip.path[-6] in "01"]
    assert len(chosen) == 8
    wild = [Clip(clip.path.replace("ant", "wild"), clip.label, "wild", "eval") for clip in chosen[:3:2]]
    for clip in (*chosen, *wild):
        (tmp_path / clip.path).parent.mkdir(exist_ok=True)
        shutil.copy(made_corpus.root / clip.path.replace("wild", "ant"), tmp_path / clip.path)
    manifest = Manifest(tmp_path, (*chosen, *wild))
    manifest.write(tmp_path / "manifest.csv")
    return manifest


def judged(scores, words):
    return Judged(np.array(scores, float), tuple({"r": REAL, "f": FAKE, "u": OPEN}[word] for word in words))


def survival(eer=0.2, undamaged=0.2, decided=100, flipped=0, undecided=0, damage="mp3", checkpoint="tiny"):
    interval, difference = Interval(eer, eer, eer), Interval(eer - undamaged, 0, 0)
    return Survival(checkpoint, damage, 60, 60, interval, undamaged, difference, decided, flipped, undecided)


def test_the_damages_are_named_and_seeded_by_clip():
    damages = robustness.damages()
    assert list(damages) == [
        NONE, "mp3 64 kbit/s", "opus 16 kbit/s", "8 kHz mu-law", "noise 15 dB", "aac 32 kbit/s",
        "amr-nb 12.2 kbit/s", "reverberation",
    ]  # fmt: skip
    assert damages[NONE](WAVE, "a") is WAVE
    for name in list(damages)[1:]:
        damaged = damages[name](WAVE, "a")
        assert damaged.shape == WAVE.shape and damaged.dtype == np.float32 and np.isfinite(damaged).all()
        assert np.abs(damaged - WAVE).max() > 1e-3 and np.corrcoef(damaged, WAVE)[0, 1] > 0.6
        assert np.array_equal(damaged, damages[name](WAVE, "a")), name
        random = name in ("noise 15 dB", "reverberation")
        assert np.array_equal(damaged, damages[name](WAVE, "b")) != random, name
    noise = damages["noise 15 dB"](WAVE, "a") - WAVE
    assert 10 * np.log10(np.mean(WAVE**2) / np.mean(noise**2)) == pytest.approx(15, abs=0.01)
    high = np.abs(np.fft.rfft(damages["8 kHz mu-law"](WAVE, "a")))[8_400:]  # 2 s, so above 4.2 kHz
    assert np.square(high).sum() < 0.01 * np.square(np.abs(np.fft.rfft(WAVE))[8_400:]).sum()


def test_flips_and_rates_by_hand():
    clips = [
        Clip(f"{i}.flac", Label.REAL if i < 4 else Label.FAKE, "ant", "eval", speaker=str(i))
        for i in range(8)
    ]
    # Undamaged, one real of four stands above one fake; damaged, two stand above two.
    before = judged([-3, -2, -1, 1, 0, 2, 3, 4], "rruf" + "rffu")
    after = judged([-3, -2, 1, 1.5, -1, 0, 3, 4], "rffr" + "rufu")
    found = Survival.of("tiny", "mp3", clips, before, after)
    assert (found.reals, found.fakes) == (4, 4)
    assert found.undamaged_eer == 0.25 and found.eer.value == 0.5 and found.rise == 1
    assert found.difference.value == 0.25 and found.difference.low <= 0.25 <= found.difference.high
    # Two of the eight were undecided before: 0 r>r, 1 r>f, 3 f>r, 4 r>r, 5 f>u, 6 f>f.
    assert (found.decided, found.flipped, found.undecided) == (6, 2, 1)
    row = found.row()
    assert row["clips"] == 8 and row["flipped_rate"] == 0.3333 and row["undecided_rate"] == 0.1667
    assert row["eer_rise"] == 1 and row["survives"] == "no"
    same = Survival.of("tiny", NONE, clips, before, before)
    assert same.rise == 0 and (same.flipped, same.undecided) == (0, 0) and same.difference == (0, 0, 0)
    assert same.survives and same.eer.value == 0.25


def test_both_limits_are_inclusive():
    assert survival(eer=0.25, flipped=5).survives
    assert not survival(eer=0.2501).survives and not survival(flipped=6).survives
    assert survival(eer=0.1, undecided=100).survives and survival(eer=0.1).rise == pytest.approx(-0.5)
    perfect = survival(eer=0.01, undamaged=0)
    assert perfect.rise is None and not perfect.survives and perfect.row()["eer_rise"] == ""
    assert survival(eer=0, undamaged=0).survives and survival(eer=0, undamaged=0).rise == 0


def test_where_nothing_was_decided_there_is_no_rate():
    nothing = survival(decided=0)
    assert nothing.row()["flipped_rate"] == "" and nothing.survives
    assert "of 0 decided verdicts none flip between real and fake, none become" in nothing.sentence()


def test_the_words_say_what_the_numbers_say():
    assert survival(eer=0.24, flipped=3, undecided=10).sentence() == (
        "mp3: survived. EER from 20.0 % to 24.0 %, up 20 %; of 100 decided verdicts 3 (3.0 %) flip between "
        "real and fake, 10 (10.0 %) become undecided."
    )
    entries = [
        survival(damage=NONE), survival(damage="mp3"), survival(damage="aac"), survival(0.4, damage="noise"),
        survival(damage=NONE, checkpoint="b"), survival(damage="mp3", checkpoint="b"),
        survival(damage=NONE, checkpoint="c"), survival(0.4, damage="mp3", checkpoint="c"),
    ]  # fmt: skip
    text = robustness.markdown(entries, "python -m ncdetect robustness --data DATA")
    assert text.startswith("Made by `python -m ncdetect robustness --data DATA`")
    assert "**tiny: the verdict survives 2 of 3 damages (mp3 and aac), but not noise.**" in text
    assert "**b: the verdict survives all 1 damages.**" in text
    assert "**c: the verdict survives none of the 1 damages.**" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(entries) and len({line.count("|") for line in table}) == 1
    assert "| tiny | noise | 60 + 60 | 40.0 [40.0, 40.0] |" in table[5] and "| +100 % |" in table[5]


def test_undamaged_clips_are_judged_as_ever(tiny, few):
    clips = robustness.eval_clips(few)
    assert len(clips) == 8 and {clip.corpus for clip in clips} == {"ant", "bee"}
    seen = []

    def progress(items, caption):
        for item in items:
            seen.append(caption)
            yield item

    found = robustness.measure(tiny, Waves(clips), progress)
    assert seen == ["tiny"] * 8 and [entry.damage for entry in found] == list(robustness.damages())
    words = [tiny.check(clips.file(clip)).verdict for clip in clips]
    decided = sum(word != OPEN for word in words)
    assert {(entry.decided, entry.reals, entry.fakes) for entry in found} == {(decided, 4, 4)}
    assert all(0 <= entry.flipped + entry.undecided <= decided for entry in found)
    assert (found[0].flipped, found[0].undecided, found[0].rise) == (0, 0, 0)


def test_what_cannot_be_measured_is_told(tiny, few):
    with pytest.raises(ValueError, match="every corpus there is a wild one"):
        robustness.eval_clips(few.select(corpus="wild"))
    with pytest.raises(ValueError, match="the 4 clips are all of one class"):
        robustness.measure(tiny, Waves(robustness.eval_clips(few).select(label="real")))


def test_the_command_writes_its_table(few, tmp_path, monkeypatch):
    kinds = {name: robustness.damages()[name] for name in (NONE, "8 kHz mu-law")}
    monkeypatch.setattr(robustness, "damages", lambda: kinds)
    twin, out = shutil.copytree(CHECKPOINTS / "tiny", tmp_path / "twin"), tmp_path / "results"
    arguments = ["--data", few.root, "--checkpoint", "tiny", "--checkpoint", twin, "--results", out]
    done = CliRunner().invoke(cli.app, ["robustness", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    assert done.output.split() == [str(out / "robustness.csv"), str(out / "robustness.md")]
    with (out / "robustness.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["checkpoint"], row["damage"], row["clips"]) for row in rows] == [
        (name, damage, "8") for name in ("tiny", "twin") for damage in kinds
    ]
    same = [{**row, "checkpoint": ""} for row in rows]
    assert same[:2] == same[2:]
    text = (out / "robustness.md").read_text()
    assert text.startswith("Made by `python -m ncdetect robustness --data DATA --checkpoint tiny ")
