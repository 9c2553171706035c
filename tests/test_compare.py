import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from ncdetect import cli, compare, compare_words, metrics, pipeline, systems
from ncdetect.checkpoint import CHECKPOINTS, TrainedDetector
from ncdetect.corpora import Clip, Manifest
from ncdetect.findings_words import read_csv
from ncdetect.labels import Label
from ncdetect.loading import Waves
from ncdetect.metrics import AsvRates, Calibration
from ncdetect.systems import System

ROOT = Path("nowhere")


def clips(corpus, split, label, count, generator="", start=0):
    name = f"{corpus}-{split}-{label.word}-{generator}"
    return [
        Clip(f"{corpus}/{name}-{i}.flac", label, corpus, split, generator, speaker=f"{name}-{i}")
        for i in range(start, start + count)
    ]


def both(corpus, split, count, generator=""):
    return clips(corpus, split, Label.REAL, count) + clips(corpus, split, Label.FAKE, count, generator)


@pytest.fixture
def manifest():
    """Two corpora that can be trained on and a wild one; `vits` has 8 wild clips and 8 in both corpora."""
    made = [
        *both("ant", "train", 1),
        *both("ant", "dev", 1),
        *both("bee", "train", 1),
        *both("bee", "dev", 1),
    ]
    made += both("ant", "eval", 4, "vits") + both("bee", "eval", 4, "vits")
    made += clips("wild", "eval", Label.REAL, 6) + clips("wild", "eval", Label.FAKE, 8, "vits")
    made += clips("wild", "eval", Label.FAKE, 7, "rare")
    return Manifest(ROOT, tuple(made))


def system(tests, name="one", score=lambda clip: float(clip.label), **facts):
    return System(name, np.array([score(clip) for clip in tests]), **facts)


def write_scores(file, tests, columns=("path", "score"), value=lambda clip: float(clip.label)):
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows([clip.path, value(clip), *("real" for _ in columns[2:])] for clip in tests)
    return file


def test_the_parts_are_sets_and_generators_with_enough_clips(manifest):
    tests, parts = compare.eval_clips(manifest)
    assert len(tests) == 37 and {clip.split for clip in tests} == {"eval"}
    assert [(part.test.name, part.generator, len(part.test.rows)) for part in parts] == [
        ("all", "", 16), ("ant", "", 8), ("bee", "", 8), ("wild", "", 21),
        ("all", "vits", 16), ("wild", "vits", 14),
    ]  # fmt: skip
    vits = parts[-1].test
    kept = [tests.clips[row] for row in vits.rows]
    assert {clip.generator for clip in kept} == {"", "vits"} and {clip.corpus for clip in kept} == {"wild"}
    assert vits.labels.tolist() == [clip.label for clip in kept]
    # Of one generator the fakes are drawn one by one, or the interval would know of one thing only.
    assert len(set(vits.groups)) == len(kept)
    assert len(set(parts[3].test.groups)) == 6 + 2


def test_wild_clips_alone_can_be_compared_on(manifest):
    _, parts = compare.eval_clips(manifest.select(corpus="wild"))
    assert [(part.test.name, part.generator) for part in parts] == [("wild", ""), ("wild", "vits")]
    with pytest.raises(ValueError, match="no corpus there has real and fake eval clips"):
        compare.eval_clips(manifest.select(label="real"))


def test_what_was_trained_on_comes_first(manifest):
    _, parts = compare.eval_clips(manifest.select(corpus=("bee", "wild")))
    assert [part.test.name for part in parts][:2] == ["bee", "wild"]
    renamed = [Clip(c.path, c.label, {"wild": "aaa"}.get(c.corpus, c.corpus), c.split, c.generator)
               for c in manifest if c.corpus != "ant"]  # fmt: skip
    _, parts = compare.eval_clips(Manifest(ROOT, tuple(renamed)))
    assert [part.test.name for part in parts][:2] == ["bee", "aaa"]


def test_figures_are_those_of_the_metrics(manifest):
    tests, parts = compare.eval_clips(manifest)
    rng, calibration = np.random.default_rng(0), Calibration(2.0, -0.3)
    scores = rng.normal(size=len(tests)) + [clip.label for clip in tests]
    words = np.where(scores > 1, "fake", np.where(scores > 0, "undecided", "real"))
    asv = AsvRates(0.05, 0.05, 0.4)
    table = compare.rows(
        [System("one", scores, words, calibration, 10, 1.25, 30.0, "a" * 64)], parts, {"wild": asv}
    )
    row = next(row for row in table if (row["set"], row["generator"]) == ("wild", ""))
    wild = [index for index, clip in enumerate(tests) if clip.corpus == "wild"]
    own, labels = scores[wild], tests.labels[wild]
    told = pipeline.Figures.of("wild", own, [tests.clips[i] for i in wild], calibration)
    interval = [round(value, 4) for value in told.eer]
    assert [row["eer"], row["eer_low"], row["eer_high"]] == interval
    assert row["eer_det"] == round(told.eer_det, 4) and row["ap_fake"] == round(told.ap_fake, 4)
    assert row["cllr"] == round(told.cllr, 4) and (row["reals"], row["fakes"], row["clips"]) == (6, 15, 21)
    assert row["min_dcf"] == round(metrics.min_dcf(own, labels), 4)
    assert row["act_dcf"] == round(metrics.act_dcf(calibration.llr(own), labels), 4)
    assert row["min_tdcf"] == round(metrics.min_tdcf(own, labels, asv), 4)
    decided = [np.mean(words[wild][labels == label] != "undecided") for label in Label]
    assert row["decided"] == pytest.approx(np.mean(decided), abs=1e-4)
    assert (row["parameters"], row["megabytes"], row["clips_per_second"]) == (10, 1.25, 30.0)
    assert all(row["min_tdcf"] == "" for row in table if row["set"] != "wild" or row["generator"])
    vits = next(row for row in table if (row["set"], row["generator"]) == ("wild", "vits"))
    kept = [index for index in wild if tests.clips[index].generator != "rare"]
    assert vits["eer"] == round(metrics.eer_roc(scores[kept], tests.labels[kept]), 4)
    assert vits["cllr"] == "" and vits["decided"] == ""


def test_what_is_not_known_of_a_system_is_empty(manifest):
    tests, parts = compare.eval_clips(manifest)
    row = compare.rows([system(tests)], parts)[0]
    unknown = ("act_dcf", "cllr", "min_tdcf", "decided", "accuracy", "parameters", "megabytes", "sha256")
    assert [row[name] for name in unknown] == [""] * len(unknown) and row["eer"] == 0
    # Nothing decided: a rate of no clips is no rate.
    silent = system(tests, words=np.full(len(tests), "undecided"))
    row = compare.rows([silent], parts)[0]
    assert row["decided"] == 0 and row["accuracy"] == "" and row["miss"] == ""


def test_the_best_system_comes_first_and_names_differ(manifest):
    tests, parts = compare.eval_clips(manifest)
    bad = system(tests, "bad", lambda clip: -float(clip.label))
    # Good on the wild set, which does not decide the order, and perfect nowhere else.
    middling = system(tests, "middling", lambda clip: float(clip.label) if clip.corpus == "wild" else 0.0)
    wild_only = system(
        tests, "wild only", lambda clip: float(clip.label) if clip.corpus == "wild" else float("nan")
    )
    table = compare.rows([wild_only, bad, middling, system(tests, "good")], parts)
    assert list(dict.fromkeys(row["system"] for row in table)) == ["good", "middling", "bad", "wild only"]
    assert {row["set"] for row in table if row["system"] == "wild only"} == {"wild"}
    assert {row["eer"] for row in table if row["system"] == "bad"} == {1.0}  # the sign is never chosen
    with pytest.raises(ValueError, match="two systems are called 'good'"):
        compare.rows([system(tests, "good"), system(tests, "good")], parts)
    with pytest.raises(ValueError, match="'none' has not scored all clips of any set"):
        compare.rows([system(tests, "none", lambda clip: float("nan"))], parts)


def test_scores_of_something_else_come_from_a_file(manifest, tmp_path):
    tests, parts = compare.eval_clips(manifest)
    found = systems.of_file("other", write_scores(tmp_path / "a.csv", reversed(tests.clips)), tests)
    assert found.scores.tolist() == tests.labels.tolist() and found.words is None
    part = [clip for clip in tests if clip.corpus != "bee"]
    columns = ("path", "score", "verdict")
    some = systems.of_file("some", write_scores(tmp_path / "b.csv", part, columns), tests)
    assert np.isnan(some.scores).sum() == 8 and some.words is not None
    assert {row["set"] for row in compare.rows([some], parts)} == {"ant", "wild"}
    with pytest.raises(ValueError, match="names 37 clips twice"):
        systems.of_file("twice", write_scores(tmp_path / "c.csv", tests.clips * 2), tests)
    with pytest.raises(ValueError, match="no column score"):
        systems.of_file("x", write_scores(tmp_path / "d.csv", tests, ("path", "logit")), tests)
    with pytest.raises(ValueError, match="must be finite"):
        systems.of_file("x", write_scores(tmp_path / "e.csv", tests, value=lambda clip: "-inf"), tests)


def test_asv_scores_are_read_as_asvspoof_writes_them(tmp_path):
    file = tmp_path / "asv.txt"
    file.write_text(
        "".join(
            f"{source} {kind} {score}\n"
            for source, kind, score in [
                *(("bonafide", "target", x) for x in (2, 4, 5, 6)),
                *(("bonafide", "nontarget", x) for x in (0, 1, 1.5, 3)),
                *(("A07", "spoof", x) for x in (1, 2.5, 3, 7, 8)),
            ]
        )
    )
    assert compare.read_asv(file) == (0.25, 0.25, 0.4)
    file.write_text("A07 spoof 1\nA07 bonafide 1\n")
    with pytest.raises(ValueError, match="asv.txt:2: 'A07 bonafide 1' must be a source, one of target,"):
        compare.read_asv(file)


def test_a_named_file_is_taken_apart(tmp_path):
    file = tmp_path / "a=b.csv"
    file.touch()
    assert compare.named_file(f"x={file}") == ("x", file)
    for text in ("x", "=x", "x="):
        with pytest.raises(ValueError, match="must read NAME=FILE"):
            compare.named_file(text)
    with pytest.raises(FileNotFoundError, match="there is no file nothing.csv"):
        compare.named_file("x=nothing.csv")


def test_every_checkpoint_with_weights_is_found_and_no_bank_alone():
    found = systems.shipped()
    assert {"listener", "tiny"} <= set(found) and "corpora" not in found
    assert all((CHECKPOINTS / name / "model.safetensors").is_file() for name in found)


def test_speed_is_of_one_thread_and_leaves_the_threads_alone(made_checkpoint):
    detector = TrainedDetector.from_pretrained(made_checkpoint).detector
    seen, before = [], torch.get_num_threads()
    handle = detector.frontend.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    torch.set_num_threads(2)
    try:
        speed = systems.clips_per_second(detector)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
        handle.remove()
    assert speed > 0 and set(seen) == {1} and len(seen) == systems.SPEED_BATCHES + 1


@pytest.fixture
def few(made_corpus, tmp_path):
    """Eval clips of both made corpora, those of one as wild ones as well, and some train and dev clips."""
    kept = [clip for clip in made_corpus if clip.split == "eval" or clip.path[-6] == "0"]
    wild = [Clip(c.path.replace("bee", "wild"), c.label, "wild", "eval", c.generator, speaker=c.speaker)
            for c in kept if c.corpus == "bee" and c.split == "eval"]  # fmt: skip
    for clip in (*kept, *wild):
        (tmp_path / "data" / clip.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(made_corpus.root / clip.path.replace("wild", "bee"), tmp_path / "data" / clip.path)
    manifest = Manifest(tmp_path / "data", (*kept, *wild))
    manifest.write(manifest.root / "manifest.csv")
    return manifest


def run(*arguments):
    done = CliRunner().invoke(cli.app, ["compare", *map(str, arguments)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output.split()


def test_the_command_compares_and_goes_on(few, made_checkpoint, tmp_path, monkeypatch):
    out, work = tmp_path / "results", tmp_path / "work"
    tests, _ = compare.eval_clips(few)
    other = write_scores(tmp_path / "other.csv", tests)
    arguments = ("--data", few.root, "--checkpoint", made_checkpoint, "--work", work, "--results", out)
    files = run(*arguments, "--scores", f"other={other}")
    assert files == [str(out / "compare.csv"), str(out / "compare.md")]
    table = read_csv(out / "compare.csv")
    assert list(dict.fromkeys(row["system"] for row in table))[0] == "other"  # it knows the truth
    trained = TrainedDetector.from_pretrained(made_checkpoint)
    for figures in pipeline.evaluate(trained, Waves(tests)):
        row = next(row for row in table if (row["system"], row["set"]) == ("made", figures.clips))
        told = figures.row()
        assert row["cllr"] == pytest.approx(told["cllr"], abs=2e-4)
        assert [row[name] for name in ("eer", "eer_low", "eer_high", "eer_det", "ap_fake")] == pytest.approx(
            [told[name] for name in ("eer", "eer_low", "eer_high", "eer_det", "ap_fake")]
        )
        assert row["sha256"] == trained.sha256 and row["parameters"] > 0 and row["megabytes"] > 0
        assert 0 <= row["decided"] <= 1
    text = (out / "compare.md").read_text()
    assert text.startswith(f"Made by `python -m ncdetect compare --data DATA --checkpoint {made_checkpoint}")

    # A second run judges nothing anew, not even the speed; a third, of which one corpus is lost, only that.
    judged = []
    real = systems.score_manifest

    def watched(*rest):
        judged.append(rest[1].name)
        return real(*rest)

    monkeypatch.setattr(systems, "score_manifest", watched)
    before = (out / "compare.csv").read_bytes()
    run(*arguments, "--scores", f"other={other}")
    assert (out / "compare.csv").read_bytes() == before and not judged
    next(work.glob("made-*/*.csv")).unlink()
    run(*arguments, "--scores", f"other={other}")
    assert (out / "compare.csv").read_bytes() == before and len(judged) == 1

    # Other thresholds are another state of the checkpoint.
    twin = shutil.copytree(made_checkpoint, tmp_path / "twin" / made_checkpoint.name)
    config = (twin / "config.json").read_text()
    (twin / "config.json").write_text(config.replace('"real_below": 0.', '"real_below": 0.0'))
    systems.of_checkpoint(str(twin), tests, work)
    assert len(judged) == 4 and len(list(work.iterdir())) == 2


def test_a_clip_that_cannot_be_judged_stops_the_comparison(few, made_checkpoint, tmp_path):
    tests, _ = compare.eval_clips(few)
    broken = few.file(tests.clips[0])
    sound = broken.read_bytes()
    broken.write_bytes(b"This is a letter.")
    with pytest.raises(ValueError, match=f"1 clips cannot be judged; {tests.clips[0].path}"):
        systems.of_checkpoint(str(made_checkpoint), tests, tmp_path / "work")
    broken.write_bytes(sound)
    assert np.isfinite(systems.of_checkpoint(str(made_checkpoint), tests, tmp_path / "work").scores).all()


def test_the_tables_say_what_the_rows_say(manifest):
    tests, parts = compare.eval_clips(manifest)
    good = system(
        tests, "good", words=np.full(len(tests), "fake"), calibration=Calibration(), parameters=1234567,
        megabytes=3.14, clips_per_second=25.6,
    )  # fmt: skip
    wild = system(tests, "scores", lambda clip: -float(clip.label) if clip.corpus == "wild" else float("nan"))
    text = compare_words.markdown(compare.rows([good, wild], parts), "python -m ncdetect compare")
    assert text.splitlines()[0] == "Made by `python -m ncdetect compare`."
    lines = [line for line in text.splitlines() if line.startswith("|")]
    first = "| system | all | ant | bee | wild | parameters | MB | clips/s |"
    assert lines[0] == first and lines[2].startswith("| *clips, real + fake* | *8 + 8* | *4 + 4* |")
    assert lines[3].startswith("| good | <0.1 [<0.1, <0.1] |") and lines[3].endswith(
        "| 1,234,567 | 3.1 | 26 |"
    )
    assert lines[4] == "| scores | - | - | - | >99.9 [>99.9, >99.9] | - | - | - |"
    assert "| scores | wild |" in text and "| scores | all |" not in text
    assert "min t-DCF" not in text and "| system | vits |" in text
    tables = "\n".join(line if line.startswith("|") else "" for line in text.splitlines()).split("\n\n")
    assert all(len({line.count("|") for line in table.split("\n") if line}) <= 1 for table in tables)


def test_the_official_aasist_is_a_system_of_its_own(made_corpus, tmp_path, monkeypatch):
    weights = Path(__file__).resolve().parent.parent.parent / "shared" / "weights"
    if not (weights / "aasist-l.pth").is_file():
        pytest.skip("the official weights are not in ../shared/weights")
    monkeypatch.setattr(systems, "clips_per_second", lambda _: 3.0)
    tests = made_corpus.select(corpus="ant", split="eval")
    tests = Manifest(tests.root, tests.clips[:3])
    found = systems.official("aasist-l", weights, tests, tmp_path)
    assert (found.name, found.clips_per_second) == ("aasist-l, official weights", 3.0)
    assert found.words is None and found.calibration is None
    detector = systems.build_model("aasist-l")
    systems.aasist_weights.load(detector, weights / "aasist-l.pth")
    with torch.inference_mode():
        wave = torch.from_numpy(Waves(tests)[1])[None]
        assert found.scores[1] == pytest.approx(float(detector(wave).score), abs=1e-4)
    (file,) = tmp_path.glob("aasist-l-official-*/*.csv")
    written = file.stat().st_mtime_ns
    again = systems.official("aasist-l", weights, tests, tmp_path)
    np.testing.assert_array_equal(again.scores, found.scores)
    assert file.stat().st_mtime_ns == written
    with pytest.raises(FileNotFoundError, match=r"there is no aasist\.pth"):
        systems.official("aasist", tmp_path, tests, tmp_path)
