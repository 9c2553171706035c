import csv
import dataclasses
import json
import time

import numpy as np
import pytest
import torch

import malformed
import media
from conftest import REPOSITORY
from ncdetect import audio, collapse, findings_words, pipeline
from ncdetect.abstention import report
from ncdetect.audio import Audio, AudioError
from ncdetect.checkpoint import CheckpointError, DetectorConfig, TrainedDetector
from ncdetect.corpora import Manifest
from ncdetect.loading import Waves
from ncdetect.predictor import Predictor, Window, _mixed, other_stretch
from ncdetect.scoring import SCORE_COLUMNS, score_manifest

KEYS = {
    "verdict", "reason", "score", "probability", "distance_real", "distance_fake", "nearest_mean",
    "agreement", "novelty", "windows", "neighbours", "warnings", "model",
}  # fmt: skip
RESULTS = REPOSITORY / "assets" / "results"
EXAMPLES = sorted((REPOSITORY / "assets" / "examples").glob("*.flac"))


@pytest.fixture(scope="module")
def predictor(made_checkpoint):
    return Predictor.from_pretrained(made_checkpoint)


@pytest.fixture(scope="module")
def shipped():
    return Predictor.from_pretrained("tiny-resnet")


def change(predictor, **config):
    changed = Predictor(predictor.trained, "changed")
    changed.config = dataclasses.replace(predictor.config, **config)
    return changed


def test_the_verdict_is_made_of_the_same_numbers(predictor, made_corpus):
    for clip in made_corpus.select(split="eval").clips[::5]:
        verdict = predictor.check(made_corpus.file(clip))
        wave = audio.load(made_corpus.file(clip)).wave
        with torch.inference_mode():
            output = predictor.trained(torch.from_numpy(audio.windows(wave)[1]))
        embedding = output.embedding.mean(dim=0).numpy()
        assert verdict.score == pytest.approx(output.score.mean().item(), abs=1e-4)
        config = predictor.config
        llr = config.calibration_scale * verdict.score + config.calibration_offset
        assert verdict.probability == pytest.approx(1 / (1 + np.exp(-llr)))
        distances = collapse.distances_to(embedding[None], predictor.bank.means)[0]
        assert (verdict.distance_real, verdict.distance_fake) == pytest.approx(tuple(distances), abs=1e-3)
        assert verdict.nearest_mean == ("real" if distances[0] <= distances[1] else "fake")
        assert verdict.agreement == ((verdict.probability > 0.5) == (verdict.nearest_mean == "fake"))
        assert verdict.maps["exact"] == (verdict.distance_real, verdict.distance_fake)


def test_all_doors_of_one_clip_say_the_same(predictor, made_corpus):
    file = made_corpus.file(made_corpus.clips[0])
    wave = audio.load(file).wave
    verdicts = [
        predictor.check(source)
        for source in (
            file,
            str(file),
            file.read_bytes(),
            (16_000, wave),
            (16_000, np.stack([wave, wave], axis=1)),
        )
    ]
    for verdict in verdicts[1:]:
        assert verdict.score == pytest.approx(verdicts[0].score, abs=1e-4)
        assert verdict.verdict == verdicts[0].verdict


def test_the_verdict_as_json(predictor, made_corpus):
    verdict = predictor.check(made_corpus.file(made_corpus.clips[0])).to_dict()
    assert set(verdict) >= KEYS
    assert json.loads(json.dumps(verdict)) == json.loads(json.dumps(verdict, allow_nan=False))
    assert set(verdict["model"]) == {"name", "architecture", "sha256", "version"}
    assert len(verdict["neighbours"]) == 5 and verdict["neighbours"][0]["distance"] < 0.1  # the clip itself


def test_every_reason_can_be_met(predictor, made_corpus):
    verdict = predictor.check(made_corpus.file(made_corpus.clips[0]))
    agreeing = change(predictor, real_below=0.5, fake_above=0.5, novelty_distance=1e9)
    sides = {agreeing.check(made_corpus.file(clip)).verdict for clip in made_corpus.clips[::7]}
    assert sides <= {"real", "fake", "undecided"} and sides & {"real", "fake"}
    novel = change(predictor, novelty_distance=1e-9).check(made_corpus.file(made_corpus.clips[0]))
    assert (novel.verdict, novel.reason_code) == ("undecided", "novel") and novel.novelty > 1
    middling = change(predictor, real_below=0.0, fake_above=1.0, novelty_distance=1e9)
    codes = {middling.check(made_corpus.file(clip)).reason_code for clip in made_corpus.clips[::7]}
    assert "middling" in codes and "agree" not in codes
    # Turning the head's sign round makes the classifier contradict the nearest mean.
    other = Predictor(predictor.trained, "x")
    other.config = dataclasses.replace(
        predictor.config,
        novelty_distance=1e9,
        calibration_offset=60.0 if verdict.nearest_mean == "real" else -60.0,
    )
    disagreeing = other.check(made_corpus.file(made_corpus.clips[0]))
    assert (disagreeing.verdict, disagreeing.reason_code, disagreeing.agreement) == (
        "undecided",
        "disagree",
        False,
    )


def test_each_verdict_has_its_own_threshold(predictor, made_corpus):
    known = change(predictor, real_below=0.5, fake_above=0.5, novelty_distance=1e9)
    by_word = {verdict.verdict: (made_corpus.file(clip), verdict.probability) for clip in made_corpus
               if (verdict := known.check(made_corpus.file(clip))).reason_code == "agree"}  # fmt: skip
    (real, low), (fake, high) = by_word["real"], by_word["fake"]
    strict_on_fakes = change(known, fake_above=np.nextafter(high, 1), real_below=low)
    assert strict_on_fakes.check(real).verdict == "real"
    assert strict_on_fakes.check(fake).reason_code == "middling"
    strict_on_reals = change(known, fake_above=high, real_below=np.nextafter(low, 0))
    assert strict_on_reals.check(fake).verdict == "fake"
    assert strict_on_reals.check(real).reason_code == "middling"


@pytest.mark.parametrize("change", [{"real_below": 0.6}, {"fake_above": 0.4}, {"fake_above": 1.5}])
def test_thresholds_on_the_wrong_side_are_refused(made_checkpoint, tmp_path, change):
    config = json.loads((made_checkpoint / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(CheckpointError, match="at most 0.5 and at least 0.5"):
        DetectorConfig.read(tmp_path / "config.json")


def test_held_out_scores_calibrate_instead_of_dev(made_checkpoint, made_corpus):
    trained = TrainedDetector.from_pretrained(made_checkpoint)
    assert trained.config.training["calibrated_on"] == pipeline.DEV
    train, dev = (Waves(made_corpus.select(split=split)) for split in ("train", "dev"))
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 400)
    scores = rng.normal(4 * labels + 1, 2)  # the log-likelihood ratio of such scores is theirs less 3
    finished = pipeline.finish(
        "tiny-resnet", trained.detector, train, dev, {}, maps=False, held_out=(scores, labels)
    )
    config = finished.config
    assert config.training["calibrated_on"] == pipeline.HELD_OUT
    assert (config.calibration_scale, config.calibration_offset) == pytest.approx((1, -3), abs=0.25)
    said = report(config.thresholds.verdicts(config.calibration.probability(scores)), labels)
    assert said.false_alarm <= pipeline.FALSE_ALARM and said.miss <= pipeline.MISS and said.decided > 0.7
    assert said.decided < 1 and config.real_below <= 0.5 <= config.fake_above
    assert config.novelty_distance == pytest.approx(trained.config.novelty_distance, rel=1e-3)  # dev's


def test_percentiles_count_the_nearer_known_clips(predictor):
    known = predictor.bank.known()
    distances = predictor.bank.mean_distances()[known & (predictor.bank.labels == 0), 0]
    assert predictor._percentile(0, np.median(distances)) == pytest.approx(0.5, abs=0.03)
    assert predictor._percentile(0, 0.0) == 0 and predictor._percentile(0, 1e9) == 1


def test_silent_windows_have_no_part(predictor):
    voice = media.speech_like(4.0)
    silence = np.random.default_rng(0).normal(0, 1e-4, 9 * 16_000).astype(np.float32)
    alone = predictor.check((16_000, voice))
    padded = predictor.judge(audio.load((16_000, np.concatenate([voice, silence]))))
    judged = [window.judged for window in padded.windows]
    assert not judged[-1] and judged[0] and padded.windows[-1].probability is None
    assert len(padded.windows) == 8
    assert {w.start_s for w in alone.windows} == {0.0, 1.0}


def test_a_single_window_with_sound_decides_alone(predictor):
    voice = media.speech_like(3.0)
    silence = np.zeros(30 * 16_000, np.float32)
    alone = predictor.judge(Audio(voice, 3.0, 16_000, 1, "array"))
    assert len(alone.windows) == 1 and alone.windows[0].score == pytest.approx(alone.score)
    # 20 ms of the voice reach into the windows before and after: too little to be judged.
    wave = np.concatenate([silence[: 3 * 16_000 - 320], voice, silence])
    verdict = predictor.judge(Audio(wave, len(wave) / 16_000, 16_000, 1, "array"))
    judged = [window for window in verdict.windows if window.judged]
    assert len(verdict.windows) > 20 and 1 <= len(judged) <= 3
    assert verdict.score == pytest.approx(np.mean([window.score for window in judged]), abs=1e-5)
    click = silence.copy()
    click[100_000:100_200] = 0.5
    verdict = predictor.judge(Audio(click, 30.0, 16_000, 1, "array"))
    (judged,) = (window for window in verdict.windows if window.judged)
    assert judged.score == pytest.approx(verdict.score) and "mostly_silence" in {
        warning.code for warning in verdict.warnings
    }


def test_windows_cover_the_clip(predictor):
    verdict = predictor.check((16_000, media.speech_like(10.0)))
    assert verdict.windows[0].start_s == 0 and verdict.windows[-1].end_s == pytest.approx(10.0)
    assert verdict.duration_s == pytest.approx(10.0)
    probabilities = [w.score for w in verdict.windows if w.judged]
    assert verdict.score == pytest.approx(np.mean(probabilities), abs=1e-3)


def test_a_short_clip_is_repeated_and_warned_of(predictor):
    verdict = predictor.check((16_000, media.speech_like(1.0)))
    assert "short" in {warning.code for warning in verdict.warnings}
    assert verdict.windows[0].end_s == pytest.approx(1.0)


def windows_of(*probabilities):
    return [Window(1.5 * i, 1.5 * i + 3, p is not None, p, p) for i, p in enumerate(probabilities)]


def test_a_different_passage_is_told_of():
    (warning,) = _mixed(windows_of(0.1, 0.9, 0.95, 0.2), called=0)
    assert (
        warning.code == "mixed" and "from 2 s to 6 s" in warning.sentence and "synthetic" in warning.sentence
    )
    assert not _mixed(windows_of(0.1, 0.95, 0.1, 0.95), called=0)  # never two in a row
    assert not _mixed(windows_of(0.9, None, 0.9), called=0)
    assert _mixed(windows_of(0.9, 0.1, 0.05), called=1)[0].sentence.count("real") == 1


def test_the_first_stretch_that_is_long_and_sure_enough():
    timeline = windows_of(0.7, 0.1, 0.7, 0.8, 0.9, 0.1, 0.95, 0.95)
    assert other_stretch(timeline, 0) == (6, 7)
    assert other_stretch(timeline, 0, probability=0.7) == (2, 4)
    assert other_stretch(timeline, 0, probability=0.9, windows=1) == (4, 4)
    assert other_stretch(timeline, 0, probability=0.6, windows=4) is None
    assert other_stretch(timeline, 1, probability=0.9, windows=1) == (1, 1)
    assert other_stretch([], 0) is None
    assert other_stretch(windows_of(None, 0.9, 0.9, None), 0) == (1, 2)


def test_a_checkpoint_without_a_bank_is_refused(made_checkpoint):
    trained = TrainedDetector.from_pretrained(made_checkpoint)
    trained.bank = None
    with pytest.raises(CheckpointError, match="has no bank"):
        Predictor(trained, "x")


def test_errors_are_sentences(predictor, tmp_path):
    (tmp_path / "text.wav").write_text("hello")
    for source in (
        tmp_path / "text.wav",
        tmp_path / "missing.wav",
        b"",
        (16_000, np.zeros(48_000, np.float32)),
    ):
        with pytest.raises(AudioError) as error:
            predictor.check(source)
        assert str(error.value)[0].isupper() and str(error.value).endswith(".")


# --- what ships --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_shipped_examples_are_on_the_map(shipped, file):
    verdict = shipped.check(file)
    assert 0 < verdict.probability < 1 and np.isfinite(list(verdict.maps["tsne"])).all()
    nearest = verdict.neighbours[0]
    assert (nearest.path, nearest.corpus) == (file.name, "examples")
    # The clip stands in the bank at half precision: the star falls on its own point.
    assert nearest.distance < 0.05
    place = shipped.bank.maps["tsne"][nearest.row]
    assert np.linalg.norm(np.array(verdict.maps["tsne"]) - place) < 0.1


def test_the_shipped_config_tells_how_it_was_made(shipped):
    training = shipped.config.training
    assert set(training["corpora"]) == {"vocoded", "neural", "engines", "cloned"}
    # Its rule and budget had the least dev loss of experiment 4, whose table says so.
    rows = [
        row
        for row in findings_words.read_csv(RESULTS / "experiment-4.csv")
        if row["seed"] == "mean" and row["corpus"] == "all"
    ]
    best = min(rows, key=lambda row: row["dev_loss"])
    name = best["rule"] if best["rule"] == "all" else f"{best['rule']}-{best['budget']:g}"
    assert training["rule"].removesuffix("-augmented") == name
    assert len(training["history"]) == training["epochs"] and training["history"][0]["nc2_dev"] > 0
    assert 0.5 < training["agreement"]["agree"] <= 1 and training["agreement"]["clips"] > 500
    assert np.isfinite(shipped.config.novelty_distance) and shipped.config.calibration_scale > 0
    selected = shipped.bank.clips[shipped.bank.clips["selected"]]
    assert (selected["label"] == "real").sum() == training["reals"]
    assert (selected["label"] == "fake").sum() == training["fakes"]
    assert (selected["split"] == "train").all()
    assert f"**{training['rule']}**" in shipped.trained.card and "| wild |" in shipped.trained.card


def test_the_shipped_bank_keeps_neither_eval_nor_wild(shipped):
    known = shipped.bank.clips[shipped.bank.known()]
    assert set(known["split"]) == {"train", "dev"} and "wild" not in set(known["corpus"])


def test_shipped_scores_of_the_corpora_are_those_of_the_bank(shipped, corpora_root):
    manifest = Manifest.read(corpora_root / "manifest.csv")
    rows = np.flatnonzero(shipped.bank.known())[::400]
    for row in rows:
        clip = shipped.bank.clips.iloc[row]
        verdict = shipped.check(manifest.root / clip["path"])
        assert verdict.score == pytest.approx(clip["score"], abs=0.02)


# --- scoring a manifest ------------------------------------------------------------------------------------


def test_scoring_passes_columns_through_and_survives_bad_files(predictor, made_corpus, tmp_path):
    clip = made_corpus.clips[0]
    rows = [
        {"path": clip.path, "note": 'a "quoted", note', "score": "old"},
        {"path": "missing.wav", "note": "", "score": ""},
        {"path": "../outside.wav", "note": "x", "score": ""},
    ]
    with (tmp_path / "m.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["path", "note", "score"])
        writer.writeheader()
        writer.writerows(rows)
    assert score_manifest(predictor, tmp_path / "m.csv", made_corpus.root, tmp_path / "s.csv") == (1, 2)
    with (tmp_path / "s.csv").open(newline="") as stream:
        scored = list(csv.DictReader(stream))
    assert list(scored[0]) == ["path", "note", *SCORE_COLUMNS]
    assert scored[0]["note"] == 'a "quoted", note' and scored[0]["error"] == ""
    verdict = predictor.check(made_corpus.file(clip))
    assert float(scored[0]["score"]) == pytest.approx(verdict.score, abs=1e-5)
    assert scored[0]["verdict"] == verdict.verdict and scored[0]["nearest_mean"] == verdict.nearest_mean
    assert scored[1]["score"] == "" and "no such file" in scored[1]["error"]
    assert "leads out of the folder" in scored[2]["error"]


def test_malformed_files_through_score(predictor, tmp_path):
    (tmp_path / "bad").mkdir()
    files = malformed.make_malformed(tmp_path / "bad")
    assert len(files) >= 60
    with (tmp_path / "m.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "kind"])
        writer.writerows([file.relative_to(tmp_path / "bad").as_posix(), kind] for file, kind in files)
    started = time.monotonic()
    scored, failed = score_manifest(predictor, tmp_path / "m.csv", tmp_path / "bad", tmp_path / "s.csv")
    assert scored + failed == len(files) and failed > 60
    assert time.monotonic() - started < 120
    with (tmp_path / "s.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            assert bool(row["error"]) != bool(row["score"])
            assert not row["error"] or row["error"].endswith(".")


@pytest.mark.parametrize("text", ["", "name\nx.wav\n", 'path\n"open quote\n'])
def test_a_manifest_that_is_none(predictor, tmp_path, text):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(ValueError, match="m.csv"):
        score_manifest(predictor, tmp_path / "m.csv", tmp_path, tmp_path / "s.csv")
    assert not (tmp_path / "s.csv").exists()


def test_a_decoded_clip_can_be_judged(predictor):
    clip = Audio(media.speech_like(3.0), 3.0, 16_000, 1, "array")
    assert predictor.judge(clip).duration_s == 3.0
