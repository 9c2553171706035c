"""Training on what frozen encoders make of clips: features kept, balanced batches, a probe that learns."""

import dataclasses

import numpy as np
import pytest
import torch

from ncdetect import detector_study, listening
from ncdetect.features import FeatureBatches, Features, FeatureWindows, computed
from ncdetect.listening import CLEAN, COPIES, Probe
from ncdetect.loading import Batch, TrainBatches, Waves, WindowBatches
from ncdetect.training import Recipe


def features(manifest, gap=2.0, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(len(manifest), 8)).astype(np.float16)
    values[:, 0] += (gap * manifest.labels).astype(np.float16)
    return Features(values, manifest.labels, np.arange(len(manifest)))


def test_features_are_computed_once(tmp_path):
    calls = []

    class Front(torch.nn.Module):
        def forward(self, wave):
            calls.append(len(wave))
            return wave.mean(dim=1, keepdim=True)

    batches = [
        Batch(torch.full((2, 5), float(i)), torch.tensor([0, 1]), torch.tensor([2 * i, 2 * i + 1]))
        for i in range(3)
    ]
    first = computed(Front(), batches, tmp_path / "x.npy")
    again = computed(Front(), batches, tmp_path / "x.npy")
    assert calls == [2, 2, 2] and first.values.tolist() == again.values.tolist() == [
        [i] for i in (0, 0, 1, 1, 2, 2)
    ]
    assert again.rows.tolist() == list(range(6)) and again.labels.tolist() == [0, 1] * 3


def test_each_clip_comes_in_the_shares_of_its_copies(made_corpus):
    manifest = made_corpus.select(split="train")
    copies = [
        dataclasses.replace(features(manifest), values=np.full((len(manifest), 1), i, np.float16))
        for i in range(3)
    ]
    batches = FeatureBatches(copies, manifest, 8, 0, "class", 4000, shares=[0.5, 0.25, 0.25])
    seen = np.concatenate([batch.wave[:, 0].numpy() for batch in batches(0)])
    labels = np.concatenate([batch.label.numpy() for batch in batches(0)])
    assert np.bincount(seen.astype(int)) / len(seen) == pytest.approx([0.5, 0.25, 0.25], abs=0.03)
    assert labels.mean() == pytest.approx(0.5, abs=0.01)
    again = np.concatenate([batch.wave[:, 0].numpy() for batch in batches(0)])
    assert np.array_equal(seen, again)
    with pytest.raises(ValueError, match="manifest's order"):
        FeatureBatches([copies[0].subset([1, 0])], manifest, 8, 0, "class", None)


def test_a_batch_holds_the_rows_that_it_names(made_corpus):
    manifest = made_corpus.select(split="train")
    copies = [features(manifest, seed=seed) for seed in (0, 1)]
    for batch in FeatureBatches(copies, manifest, 8, 0, "class", 64)(0):
        for value, row, label in zip(batch.wave, batch.row, batch.label, strict=True):
            assert label == manifest.labels[row]
            assert any(np.allclose(value, copy.values[row].astype(np.float32)) for copy in copies)


def test_statistics_are_of_every_clip_in_order(made_corpus, tmp_path):
    manifest = made_corpus.select(split="dev")
    torch.manual_seed(0)
    detector = listening.build_model("small-listener").eval()
    found = listening.statistics(detector, Waves(manifest), tmp_path, [CLEAN, "noisy"], "32-true")
    assert [part.rows.tolist() for part in found.values()] == [list(range(len(manifest)))] * 2
    wave = next(iter(WindowBatches(Waves(manifest)))).wave[:1]
    with torch.inference_mode():
        pooled = detector.backbone[0](detector.frontend(wave))[0].numpy()
    np.testing.assert_allclose(found[CLEAN].values[0], pooled, atol=2e-3, rtol=2e-3)
    assert not np.array_equal(found["noisy"].values, found[CLEAN].values)


def test_a_probe_learns_what_can_be_learned(made_corpus, tmp_path):
    manifest = made_corpus
    pooled = {copy: features(manifest, gap=4, seed=seed) for seed, copy in enumerate(COPIES)}
    split = np.array([clip.split for clip in manifest])
    train, dev = np.flatnonzero(split == "train"), np.flatnonzero(split == "dev")
    recipe = Recipe(
        epochs=2, learning_rate=1e-2, schedule="cosine", optimiser="adamw", average=0.9, precision="32-true"
    )
    setting = Probe(batch_size=16, epoch_clips=320, dropout=0.0, recipe=recipe)
    top, fit = listening.probe(pooled, manifest, train, dev, setting, tmp_path / "run")
    assert fit.best.dev_eer < 0.1
    again, _ = listening.probe(pooled, manifest, train, dev, setting, tmp_path / "run")
    first, second = (listening.judged(one, pooled[CLEAN], dev).scores for one in (top, again))
    np.testing.assert_array_equal(first, second)
    assert top.backbone.mean[0] == pytest.approx(
        np.mean([part.values[train, 0].astype(float).mean() for part in pooled.values()]), abs=1e-2
    )


def test_each_fold_judges_what_its_training_has_not_seen(made_corpus):
    manifest = made_corpus.select(split=["train", "dev"])
    found = detector_study.folds(manifest)
    assert set(found) == {clip.corpus for clip in manifest} | {"generators", "dev"}
    for name, (train, judged) in found.items():
        assert not set(train) & set(judged)
        of = [manifest.clips[row] for row in train], [manifest.clips[row] for row in judged]
        assert all(clip.split == "train" for clip in of[0])
        if name == "generators":
            groups = [{detector_study.group_of(clip) for clip in clips} for clips in of]
            assert not groups[0] & groups[1]
        elif name != "dev":
            assert name not in {clip.corpus for clip in of[0]} and {clip.corpus for clip in of[1]} == {name}


def test_the_summary_weighs_transfer_and_damage_alike():
    runs = {
        name: [{"clean": clean, "damaged": damaged, "seconds": 1.0}]
        for name, clean, damaged in (
            ("a", 0.2, 0.4),
            ("b", 0.4, 0.6),
            ("generators", 0.1, 0.2),
            ("dev", 0.3, 0.4),
        )
    }
    row = detector_study.summary(runs)
    assert row["eer_corpora"] == pytest.approx(0.3) and row["eer_corpora_damaged"] == pytest.approx(0.5)
    assert row["eer_known"] == pytest.approx(0.2) and row["eer_validation"] == pytest.approx(
        (0.3 + 0.5 + 0.2 + 0.3) / 4
    )


def test_the_parts_are_the_statistics_of_the_detectors():
    whole = listening.build_model("listener").backbone[0]
    small = listening.build_model("small-listener").backbone[0]
    start, end = detector_study.PARTS["small"]
    assert detector_study.PARTS["listener"] == (0, whole.size) and end - start == small.size
    assert start == detector_study.PARTS["whisper"][1] == 2 * 3 * 384


def test_windows_come_in_order(made_corpus):
    found = features(made_corpus)
    rows = [int(row) for batch in FeatureWindows(found, 7) for row in batch.row]
    assert rows == list(range(len(made_corpus))) and len(FeatureWindows(found, 7)) == -(-len(rows) // 7)


def test_batches_in_order_hold_each_clip_once(made_corpus):
    batches = TrainBatches(Waves(made_corpus), 7, balance="none", in_order=True)(0)
    assert [int(row) for batch in batches for row in batch.row] == list(range(len(made_corpus)))
