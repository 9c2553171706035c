import csv
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ncdetect.audio import SAMPLE_RATE, frame_levels, load
from ncdetect.corpora import Manifest
from ncdetect.labels import Label
from ncdetect.layouts import open_corpus

FOLDER = Path(__file__).parents[1] / "assets" / "practice"
MAX_BYTES = 8e6
CORPORA = ("practice-engines", "practice-vocoders")


@pytest.fixture(scope="module")
def manifest():
    return Manifest.read(FOLDER / "manifest.csv", check_files=True)


@pytest.fixture(scope="module")
def rows():
    with (FOLDER / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def audio(manifest):
    return [load(manifest.file(clip)) for clip in manifest]


def clues(audio):
    """Duration, level, bandwidth and silence: what could tell the class without listening to the voice."""
    wave = audio.wave
    levels = frame_levels(wave)
    power = np.cumsum(np.square(np.abs(np.fft.rfft(wave))))
    rolloff = np.searchsorted(power, 0.95 * power[-1]) / len(power)
    silence = np.mean(levels < np.percentile(levels, 95) - 30)
    return audio.duration_s, 20 * np.log10(np.sqrt(np.mean(wave**2))), rolloff, silence


def test_opens_as_a_corpus_with_two_names(manifest):
    assert len(open_corpus(FOLDER)) == len(manifest)
    assert {clip.corpus for clip in manifest} == set(CORPORA)


@pytest.mark.parametrize("corpus", CORPORA)
@pytest.mark.parametrize(("split", "least"), [("train", 80), ("dev", 20), ("eval", 40)])
def test_each_split_has_both_classes_in_balance(manifest, corpus, split, least):
    counts = Counter(clip.label for clip in manifest.select(corpus=corpus, split=split))
    assert counts[Label.REAL] == counts[Label.FAKE] >= least


def test_several_generators_and_some_in_eval_only(manifest):
    fakes = [clip for clip in manifest if clip.label == Label.FAKE]
    for kind, seen, unseen in (("tts", 4, 3), ("vocoder", 4, 2)):
        trained = {clip.generator for clip in fakes if clip.kind == kind and clip.split == "train"}
        tested = {clip.generator for clip in fakes if clip.kind == kind and clip.split == "eval"}
        assert len(trained) >= seen
        assert len(tested - trained) >= unseen


def test_splits_share_no_speaker_and_no_recording(manifest):
    for fact in ("speaker", "recording"):
        splits = {}
        for clip in manifest:
            assert getattr(clip, fact)
            splits.setdefault(getattr(clip, fact), set()).add(clip.split)
        assert not {name for name, found in splits.items() if len(found) > 1}


def test_no_recording_is_in_both_corpora(manifest):
    recordings = [
        {clip.recording for clip in manifest.select(corpus=corpus, label="real")} for corpus in CORPORA
    ]
    assert not recordings[0] & recordings[1]


def test_every_vocoder_fake_has_its_original_in_the_same_split(manifest):
    originals = {
        (clip.recording, clip.split) for clip in manifest.select(corpus="practice-vocoders", label="real")
    }
    fakes = manifest.select(corpus="practice-vocoders", label="fake")
    assert {(clip.recording, clip.split) for clip in fakes} <= originals


def test_example_clips_are_not_among_them(rows):
    with (FOLDER.parent / "examples" / "examples.csv").open(encoding="utf-8", newline="") as file:
        shown = {row["source"].partition(";")[0].partition(": ")[2] for row in csv.DictReader(file)}
    shown = {source for source in shown if source.endswith(".g722")}
    assert shown
    assert not {row["source"] for row in rows if any(source in row["source"] for source in shown)}


def test_small_and_whole(manifest, rows):
    files = sorted(path for path in FOLDER.rglob("*") if path.suffix == ".opus")
    assert files == sorted(manifest.file(clip) for clip in manifest)
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < MAX_BYTES
    hashes = {row["path"]: row["sha256"] for row in rows}
    assert all(
        hashlib.sha256((FOLDER / path).read_bytes()).hexdigest() == digest for path, digest in hashes.items()
    )
    assert len(set(hashes.values())) == len(rows)


def test_every_clip_names_licence_source_and_credit(rows):
    assert all(row["license"] and row["source"] and row["credit"] for row in rows)
    assert all(row["license"].startswith("CC-BY") for row in rows)
    assert not any("non-commercial" in row["license"].lower() or "-NC" in row["license"] for row in rows)


def test_every_file_decodes_in_one_format_at_one_length_and_level(audio):
    assert len({(clip.format, clip.source_rate_hz, clip.channels, clip.truncated) for clip in audio}) == 1
    assert len({len(clip.wave) for clip in audio}) == 1
    assert 2.5 * SAMPLE_RATE <= len(audio[0].wave) <= 4 * SAMPLE_RATE
    levels = [clues(clip)[1] for clip in audio]
    assert max(levels) - min(levels) < 1.0


@pytest.mark.parametrize("corpus", CORPORA)
def test_no_shallow_clue_tells_the_class(manifest, audio, corpus):
    x = np.array([clues(clip) for clip in audio])
    chosen = np.array([clip.corpus == corpus for clip in manifest])
    train = chosen & np.array([clip.split == "train" for clip in manifest])
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
    model.fit(x[train], manifest.labels[train])
    held_out = chosen & ~train
    assert balanced_accuracy_score(manifest.labels[held_out], model.predict(x[held_out])) < 0.65
