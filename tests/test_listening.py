"""Training on what frozen encoders make of clips: features kept, balanced batches, a probe that learns."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from ncdetect import detector_study, listening
from ncdetect.features import FeatureBatches, Features, FeatureWindows, computed
from ncdetect.listening import CLEAN, COPIES, Probe, Tuning
from ncdetect.loading import Batch, TrainBatches, Waves, WindowBatches
from ncdetect.models import Detector
from ncdetect.models.listener import Projection
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
    found = listening.statistics(
        listening.pooled(detector), Waves(manifest), tmp_path, [CLEAN, "noisy"], "32-true"
    )
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


def test_mixup_mixes_clips_and_labels_alike(made_corpus):
    manifest = made_corpus.select(split="train")
    values = manifest.labels[:, None].astype(np.float16)
    copies = [dataclasses.replace(features(manifest), values=values)]
    batches = FeatureBatches(copies, manifest, 8, 0, "class", 800, mixup=0.5)
    waves = torch.cat([batch.wave[:, 0] for batch in batches(0)])
    labels = torch.cat([batch.label for batch in batches(0)])
    torch.testing.assert_close(waves, labels.to(waves.dtype))
    between = (labels > 0.05) & (labels < 0.95)
    assert between.float().mean() > 0.2 and labels.mean() == pytest.approx(0.5, abs=0.05)


def test_frames_are_cut_at_one_place_of_a_batch(made_corpus):
    manifest = made_corpus.select(split="train")
    count = np.broadcast_to(np.arange(20, dtype=np.float16), (len(manifest), 3, 20))
    copies = [dataclasses.replace(features(manifest), values=count)]
    starts = set()
    for batch in FeatureBatches(copies, manifest, 8, 0, "class", 1600, frames=5)(0):
        start = int(batch.wave[0, 0, 0])
        assert (batch.wave == torch.arange(start, start + 5)).all() and batch.wave.shape[1:] == (3, 5)
        starts.add(start)
    assert starts == set(range(16))


def test_a_folded_normalisation_is_the_same_function():
    torch.manual_seed(0)
    one = Projection(6, 4, 0.3)
    for _ in range(5):
        one(3 + 2 * torch.randn(32, 6))
    with torch.no_grad():
        one.norm.weight.uniform_(0.5, 2)
        one.norm.bias.uniform_(-1, 1)
    one.eval()
    pooled = torch.randn(9, 6)
    wanted = one(pooled)
    folded, back = copy.deepcopy(one), Projection(6, 4, 0.3).eval()
    folded.fold_norm()
    back.take(folded)
    torch.testing.assert_close(folded(pooled), wanted)
    torch.testing.assert_close(back(pooled), wanted)
    back.take(one)
    torch.testing.assert_close(back(pooled), wanted)


def test_tuning_starts_at_the_probe_and_moves_the_upper_layers(made_corpus, tmp_path, monkeypatch):
    manifest = made_corpus
    torch.manual_seed(1)
    monkeypatch.setattr(listening, "encoders", lambda model, _: copy.deepcopy(whole))
    whole = listening.build_model("small-listener").eval()
    size = whole.backbone[0].size
    split = np.array([clip.split for clip in manifest])
    train, dev = np.flatnonzero(split == "train"), np.flatnonzero(split == "dev")
    rng = np.random.default_rng(0)
    values = rng.normal(size=(len(manifest), 1024, 8)).astype(np.float16)
    values[:, :300] += 2 * manifest.labels[:, None, None].astype(np.float16)
    seen = {name: Features(values, manifest.labels, np.arange(len(manifest))) for name in (CLEAN, "mixed")}
    top = Detector(torch.nn.Identity(), Projection(size, 128, 0.0), 128).eval()
    start = copy.deepcopy(top)

    def tuned(rate, folder):
        recipe = Recipe(
            epochs=1, learning_rate=rate, pretrained_rate=0.5, optimiser="adamw", precision="32-true"
        )
        setting = Tuning(frames=6, batch_size=8, recipe=recipe)
        return listening.tuned(
            copy.deepcopy(top), "small-listener", tmp_path, seen, manifest, train, dev, setting, folder
        )[0]

    still, moved = tuned(0.0, tmp_path / "still"), tuned(1e-3, tmp_path / "moved")
    wanted = Detector(torch.nn.Identity(), torch.nn.Sequential(whole.backbone[0], start.backbone), 128)
    wanted.head = start.head
    scores = [listening.judged(one, seen[CLEAN], dev).scores for one in (still, wanted, moved)]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-4)
    assert np.abs(scores[2] - scores[1]).max() > 1e-2
    before = whole.backbone[0].mos.layers[0].linear1.weight
    assert not torch.equal(moved.backbone[0].mos.layers[0].linear1.weight, before)
    assembled = listening.assembled("small-listener", tmp_path, moved)
    feature = torch.from_numpy(values[:2].astype(np.float32))
    with torch.no_grad():
        torch.testing.assert_close(assembled.backbone(feature), moved.backbone(feature), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(assembled.head.weight, moved.head.weight)


def test_made_fakes_join_the_training_with_their_recordings(made_corpus, tmp_path):
    manifest = made_corpus.select(split=["train", "dev"])
    reals = detector_study.originals(manifest)
    assert all(manifest.clips[row].split == "train" for row in reals) and not manifest.labels[reals].any()
    size = detector_study.PARTS["listener"][1]
    values = np.arange(len(reals), dtype=np.float16)[:, None].repeat(size, 1)
    (tmp_path / "statistics").mkdir()
    np.save(tmp_path / "statistics" / f"made-{CLEAN}.npy", values)
    np.save(tmp_path / "statistics" / f"made-{CLEAN}.index.npy", [np.zeros(len(reals))] * 2)
    own = Features(np.zeros((len(manifest), size), np.float16), manifest.labels, np.arange(len(manifest)))
    train = np.concatenate([reals[1:3], np.flatnonzero(manifest.labels)[:1]])
    known, pooled, rows = detector_study._with_made(tmp_path, "listener", manifest, {CLEAN: own}, train)
    added = rows[len(train) :]
    assert rows[: len(train)].tolist() == train.tolist() and len(added) == 2
    for number, row in zip((1, 2), added, strict=True):
        assert pooled[CLEAN].values[row, 0] == number and pooled[CLEAN].labels[row] == 1
        original = manifest.clips[reals[number]]
        assert (known.clips[row].label, known.clips[row].corpus) == (1, original.corpus)


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
