"""The command behind `dropin.csv` on made clips: its two bases, its picture; and widened checkpoints."""

import dataclasses
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from ncdetect import audio, dropin_bases, dropin_build, dropin_figure, dropin_study, metrics, training
from ncdetect.checkpoint import CheckpointError, DetectorConfig, TrainedDetector, as_stored, weights_sha256
from ncdetect.dropin import freeze_old, layers_of, new_parameters, prune, widen, widening_of
from ncdetect.dropin_bases import TINY, WHISPER, Place
from ncdetect.dropin_study import Arm
from ncdetect.encoders import WhisperEncoder
from ncdetect.encoders.pretrained import WHISPER_FILE
from ncdetect.features import Features
from ncdetect.findings_words import read_csv
from ncdetect.labels import Label
from ncdetect.models import build_model
from ncdetect.pipeline import Data
from ncdetect.predictor import Predictor

LAYERS = ("backbone.blocks.1", "backbone.blocks.7")
WIDTH = 24
"""Of an encoder whose features take seconds, not minutes."""


def narrow(folder, layers):
    encoder = WhisperEncoder(WIDTH, 2, 3)
    encoder.load_state_dict(load_file(folder / WHISPER_FILE))
    encoder.layers = encoder.layers[:layers]
    return encoder.eval()


@pytest.fixture(scope="module")
def place(made_corpus, made_checkpoint, tmp_path_factory):
    """The made clips and checkpoint, and a narrow encoder whose features and base are prepared."""
    weights, work = (tmp_path_factory.mktemp(name) for name in ("weights", "work"))
    torch.manual_seed(0)
    save_file(WhisperEncoder(WIDTH, 2, 3).state_dict(), weights / WHISPER_FILE)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("WIDTH", WIDTH), ("LAYERS", 2), ("HEADS", 3), ("STANDARDISED_CLIPS", 5)):
            patch.setattr(dropin_bases, name, value)
        patch.setattr(dropin_bases.pretrained, "whisper_tiny", narrow)
        place = Place(made_corpus.root, weights, work, str(made_checkpoint), precision="32-true")
        dropin_bases.prepare(place)
        yield place


def short(study):
    """The study with an epoch or two, and two draws."""
    return dataclasses.replace(
        study,
        data=dataclasses.replace(study.data, batch_size=8, epoch_clips=16),
        recipe=dataclasses.replace(study.recipe, epochs=2),
        from_scratch=dataclasses.replace(study.from_scratch, epochs=1),
    )


def test_the_base_on_whisper_is_the_encoder_with_a_probe(place, made_corpus):
    base = dropin_bases.whisper_base(place)
    encoder = narrow(place.weights, 2)
    assert base.pretrained == ("backbone.0.",) and layers_of(base) == [
        "backbone.0.layers.0", "backbone.0.layers.1",
    ]  # fmt: skip
    wave = torch.randn(2, 16_000, generator=torch.Generator().manual_seed(0))
    features = dropin_bases.Convolutions(narrow(place.weights, 0))(wave)
    states = encoder(0.95 * wave / wave.abs().amax(dim=1, keepdim=True))
    torch.testing.assert_close(features, states[0].transpose(1, 2))
    pooled = torch.cat([f(x) for x in states for f in (lambda x: x.mean(1), lambda x: x.std(1))], dim=1)
    torch.testing.assert_close(base.backbone[0](features), pooled)
    # It says what the probe said, whose batch normalisation is folded away.
    dev = training.embed(base, dropin_bases.whisper_study(place).batches(Data(), 0).dev)
    losses = [json.loads(line)["dev_loss"] for line in (place.work / "base" / "log.jsonl").open()]
    assert metrics.cllr(dev.scores, dev.labels) * np.log(2) == pytest.approx(min(losses), abs=2e-3)
    # Once more is the same, and trains nothing: what was computed and trained is read.
    files = {file: file.stat().st_mtime_ns for file in place.work.rglob("*") if file.is_file()}
    dropin_bases.prepare(place)
    assert weights_sha256(dropin_bases.whisper_base(place)) == weights_sha256(base)
    assert files == {file: file.stat().st_mtime_ns for file in files}
    rows = len(made_corpus.select(split=["train", "dev"]))
    assert Features.read(place.work / "features" / "mixed.npy").values.shape == (rows, WIDTH, 150)


@pytest.mark.parametrize("name", dropin_bases.STUDIES)
def test_each_base_runs_through_every_arm(place, name):
    study = short(dataclasses.replace(dropin_bases.STUDIES[name](place), seeds=1))
    found = dropin_study.series(study)
    assert list(found) == dropin_study.arms(study) and len(study.sets[0].labels) == 24
    assert {len(result.scores) for runs in found.values() for result in runs} == {24}
    small = sum(parameter.numel() for parameter in study.base.parameters())
    wide = widen(study.base)
    new = sum(parameter.numel() for parameter in new_parameters(wide).values())
    facts = {arm.label: runs[0] for arm, runs in found.items()}
    assert facts["fine-tuned"].trained_parameters == small
    assert (facts["dropin"].parameters, facts["dropin"].trained_parameters) == (small + new, new)
    # From scratch the projection has a batch normalisation, which the base has folded away.
    assert 0 <= facts["same-size"].parameters - small - new <= 2 * 128
    # Each layer is in one part of the sweep, from input to output.
    assert [layer for layers in study.sweep.values() for layer in layers] == layers_of(study.base)
    alone = [facts[f"dropin-{part}"].trained_parameters for part in study.sweep]
    assert sum(alone) == new


def test_features_are_cut_for_training_alone(place):
    study = dropin_bases.whisper_study(place)
    batches = study.batches(dataclasses.replace(study.data, batch_size=8), 0)
    assert next(iter(batches.train(0))).wave.shape == (8, WIDTH, dropin_bases.FRAMES)
    assert next(iter(batches.dev)).wave.shape[2] == 150
    clean = Features.read(place.work / "features" / "clean.npy").values
    damaged = Features.read(place.work / "features" / "mixed.npy").values
    assert not np.array_equal(clean, damaged)


def test_from_scratch_nothing_of_the_base_is_left(place):
    study = dropin_bases.whisper_study(place)
    torch.manual_seed(1)
    fresh, base = study.fresh(), study.base
    assert fresh.loss == base.loss and fresh.pretrained == ()
    for name, value in fresh.backbone[0].layers.named_parameters():
        if value.ndim > 1:
            assert not torch.equal(value, base.backbone[0].layers.get_parameter(name)), name
    pooled = fresh.backbone[0](next(iter(study.batches(study.data, 0).dev)).wave)
    standard = (pooled - fresh.backbone[1].mean) / fresh.backbone[1].deviation
    assert 0.5 < standard.std(dim=0).median() < 2 and standard.mean().abs() < 1  # of its own statistics


def test_the_full_study_is_longer(place):
    short, full = (
        dropin_bases.tiny_study(dataclasses.replace(place, seeds=3, full=full)) for full in (False, True)
    )
    assert (short.recipe.epochs, full.recipe.epochs) == (4, 12)
    assert (short.from_scratch.patience, full.from_scratch.patience) == (6, 18)
    assert (short.seeds, short.sweep_seeds, full.seeds, full.sweep_seeds) == (3, 1, 3, 3)
    assert short.recipe.precision == full.from_scratch.precision == "32-true"


def test_another_architecture_is_refused(place, tmp_path):
    TrainedDetector(DetectorConfig("gru")).save(tmp_path / "gru")
    with pytest.raises(ValueError, match="is a gru; allowed: a tiny-resnet"):
        dropin_bases.tiny_study(dataclasses.replace(place, checkpoint=str(tmp_path / "gru")))


def test_the_command_writes_table_and_picture_and_goes_on(place, tmp_path, monkeypatch, made_corpus):
    def one(study):
        return short(dataclasses.replace(study, seeds=1, sweep=dict(list(study.sweep.items())[:1])))

    studies = {name: one(make(place)) for name, make in dropin_bases.STUDIES.items()}
    monkeypatch.setattr(dropin_build, "study", lambda _, name: studies[name])
    started = []
    monkeypatch.setattr(
        dropin_build, "ProcessPoolExecutor", lambda jobs, *_: started.append(jobs) or ThreadPoolExecutor(jobs)
    )
    example = made_corpus.file(made_corpus.select(label=Label.FAKE).clips[0])
    said = []
    run = partial(dropin_build.run, place, tmp_path, example, say=said.append)
    files = run()
    assert [file.name for file in files] == ["dropin.csv", "dropin.md", "dropin-gradcam.png"]
    assert started == [1] and len(said) == 2 * 6 and "whisper, dropin-layer-1, seed 0: dev EER" in said[-1]
    rows = read_csv(files[0])
    assert {row["model"] for row in rows} == {TINY, WHISPER} and len(rows) == 2 * 6 * 2
    text = files[1].read_text("utf-8")
    command = "python -m ncdetect dropin --data DATA --weights WEIGHTS --seeds 2 --checkpoint"
    assert text.startswith(f"Made by `{command} {place.checkpoint}`.")
    assert f"Grad-CAM of `{example.name}`" in text and "](dropin-gradcam.png)" in text
    wave = torch.from_numpy(audio.windows(audio.load(example).wave)[1])
    shown = studies[TINY].base, dropin_study.dropped_in(studies[TINY], 0)
    with torch.inference_mode():
        before, after = (float(detector.eval()(wave).score[0]) for detector in shown)
    assert f"Scores: {TINY} {before:+.2f}, after dropin {after:+.2f}." in text
    monkeypatch.delattr(dropin_study._Stages, "fit")  # what is done is read
    assert run() == files


def test_what_is_missing_is_told_before_the_work(place, tmp_path, monkeypatch, made_corpus):
    example = made_corpus.file(made_corpus.clips[0])
    monkeypatch.setattr(dropin_build, "prepare", None)
    with pytest.raises(FileNotFoundError, match="there is no example .*none.flac"):
        dropin_build.run(place, tmp_path, tmp_path / "none.flac")
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        dropin_build.run(dataclasses.replace(place, checkpoint="none"), tmp_path, example)


def test_what_goes_to_a_process_can_be_sent(place):
    task = (place, TINY, Arm("dropin", "stage-1"), 0)
    assert pickle.loads(pickle.dumps(task)) == task and hash(task[0]) == hash(place)


def test_the_overlay_by_hand():
    spectrogram = np.log(np.array([[1.0, 1e-6], [1e-3, 1e-9]]))  # loudest: black; six decades below: white
    heat = np.array([[0.0, 0.0], [2.0, 0.0]])
    orange = np.round(0.2 * np.array([127.5] * 3) + 0.8 * np.array(dropin_figure.HEAT))
    low, high = [[0, 0, 0], [255, 255, 255]], [orange, [255, 255, 255]]
    np.testing.assert_allclose(dropin_figure.overlay(spectrogram, heat), [high, low], atol=1)
    grey = dropin_figure.overlay(spectrogram, np.zeros((2, 2)))
    assert (grey == grey[..., :1]).all()  # nothing speaks for the class: no colour, no warning


def test_the_picture_has_a_panel_for_each_and_is_small(made_checkpoint, made_corpus, tmp_path):
    detector = TrainedDetector.from_pretrained(made_checkpoint).detector
    clip = made_corpus.file(made_corpus.select(label=Label.FAKE).clips[0])
    other = build_model("tiny-resnet").eval()
    words = dropin_figure.write({"one": detector, "two": detector}, clip, Label.FAKE, tmp_path / "new")
    file = tmp_path / "new" / dropin_figure.FILE
    assert "correlate at 1.00" in words and "speak for fake" in words and file.stat().st_size < 150_000
    picture = np.array(Image.open(file).convert("RGB"))
    half = picture.shape[1] // 2
    body = slice(dropin_figure.MARGIN, None)  # below the titles
    assert np.array_equal(picture[body, :half], picture[body, half:])
    dropin_figure.write({"one": detector, "two": other}, clip, Label.REAL, tmp_path)
    picture = np.array(Image.open(tmp_path / dropin_figure.FILE).convert("RGB"))
    assert not np.array_equal(picture[body, :half], picture[body, half:])


def trained(model="tiny-resnet", share=0.5, layers=LAYERS, moved=True):
    """A widened detector all parts of which speak, as a checkpoint."""
    torch.manual_seed(0)
    wide = widen(build_model(model), share, layers, keep_function=not moved).eval()
    found = TrainedDetector(DetectorConfig(model, widening=widening_of(wide)))
    as_stored(wide)
    found.detector.load_state_dict(wide.state_dict())
    return found.eval()


@torch.inference_mode()
def said(detector):
    return detector.eval()(torch.randn(2, 16_000, generator=torch.Generator().manual_seed(3)) * 0.1)


@pytest.mark.parametrize(
    ("model", "layers"),
    [("tiny-resnet", LAYERS), ("gru", None), ("small-listener", None)],  # the last one is kept as int8
)
def test_a_widened_detector_is_saved_and_loaded_bit_for_bit(model, layers, tmp_path):
    kept = trained(model, 0.25, layers)
    kept.save(tmp_path / "wide")
    loaded = TrainedDetector.from_pretrained(tmp_path / "wide")
    for ours, theirs in zip(said(loaded.detector), said(kept.detector), strict=True):
        assert torch.equal(ours, theirs)
    assert loaded.config == kept.config and widening_of(loaded.detector) == kept.config.widening
    loaded.save(tmp_path / "again")
    names = ("config.json", "model.safetensors")
    assert all((tmp_path / "wide" / n).read_bytes() == (tmp_path / "again" / n).read_bytes() for n in names)


def test_one_with_frozen_old_parts_is_kept_too(tmp_path):
    frozen = trained()
    freeze_old(frozen.detector)
    frozen.save(tmp_path / "wide")
    loaded = TrainedDetector.from_pretrained(tmp_path / "wide")
    assert torch.equal(said(loaded.detector).score, said(frozen.detector).score)
    assert all(parameter.requires_grad for parameter in loaded.detector.parameters())


def test_the_page_judges_by_a_widened_checkpoint(made_checkpoint, made_corpus, tmp_path):
    before = TrainedDetector.from_pretrained(made_checkpoint)
    wide = TrainedDetector(
        dataclasses.replace(before.config, widening=widening_of(widen(before.detector, 0.5, LAYERS)))
    )
    wide.detector.load_state_dict(widen(before.detector, 0.5, LAYERS).state_dict())
    wide.bank = dataclasses.replace(before.bank, model_sha256=weights_sha256(wide.detector))
    wide.save(tmp_path / "wide")
    clip = made_corpus.file(made_corpus.select(split="eval").clips[0])
    verdict = Predictor.from_pretrained(tmp_path / "wide").check(clip)
    # The new neurons are silent as yet, so the verdict is that of the old detector.
    old = Predictor.from_pretrained(made_checkpoint).check(clip)
    assert verdict.verdict == old.verdict and verdict.score == pytest.approx(old.score, abs=1e-4)
    # The bank of other weights, such as the old ones, is refused.
    wide.bank = before.bank
    with pytest.raises(CheckpointError, match="other weights"):
        wide.save(tmp_path / "other")


def test_pruned_it_is_an_ordinary_checkpoint(tmp_path):
    pruned = TrainedDetector(DetectorConfig("tiny-resnet"))
    pruned.detector = prune(trained().detector)
    pruned.save(tmp_path / "pruned")
    loaded = TrainedDetector.from_pretrained(tmp_path / "pruned")
    assert torch.equal(said(loaded.detector).score, said(pruned.detector).score)
    assert loaded.config.widening is None and widening_of(loaded.detector) is None


def test_config_and_detector_must_agree_on_the_widening(tmp_path):
    for detector, widening in (
        (widen(build_model("tiny-resnet"), 0.5, LAYERS), None),
        (build_model("tiny-resnet"), trained().config.widening),
        (widen(build_model("tiny-resnet"), 0.25, LAYERS), trained().config.widening),
    ):
        kept = TrainedDetector(DetectorConfig("tiny-resnet", widening=widening))
        kept.detector = detector
        with pytest.raises(CheckpointError, match="the detector is widened by .*, its config says "):
            kept.save(tmp_path / "wide")
    assert not (tmp_path / "wide").exists()


def test_older_configs_know_nothing_of_widening(tmp_path):
    TrainedDetector(DetectorConfig("tiny-resnet")).save(tmp_path / "old")
    file = tmp_path / "old" / "config.json"
    values = json.loads(file.read_text())
    assert values.pop("widening") is None
    file.write_text(json.dumps(values))
    assert TrainedDetector.from_pretrained(tmp_path / "old").config == DetectorConfig("tiny-resnet")


@pytest.mark.parametrize(
    ("widening", "told"),
    [
        ({"share": 0.5}, "allowed: null, or a share and a list of layers"),
        ({"share": 0.5, "layers": [], "seed": 0}, "allowed: null, or a share"),
        ({"share": "half", "layers": [LAYERS[0]]}, "allowed: null, or a share"),
        ({"share": 0.5, "layers": LAYERS[0]}, "allowed: null, or a share"),
        ([0.5, [LAYERS[0]]], "allowed: null, or a share"),
        ({"share": 0, "layers": [LAYERS[0]]}, "share must be above 0, got 0"),
        ({"share": 0.5, "layers": ["backbone.blocks.9"]}, r"cannot widen \['backbone.blocks.9'\]"),
        ({"share": 0.5, "layers": []}, "cannot widen no layer"),
        ({"share": 0.25, "layers": list(LAYERS)}, "not of a tiny-resnet with Widening.share=0.25"),
        ({"share": 0.5, "layers": [LAYERS[0]]}, "not of a tiny-resnet with Widening"),
        (None, "not of a tiny-resnet: "),
    ],
)
def test_a_widening_that_does_not_fit_is_refused(widening, told, tmp_path):
    trained().save(tmp_path / "wide")
    file = tmp_path / "wide" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"widening": widening}))
    with pytest.raises(CheckpointError, match=told):
        TrainedDetector.from_pretrained(tmp_path / "wide")
