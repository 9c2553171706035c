"""Training on what frozen encoders make of clips: features kept, balanced batches, a probe that learns."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from ncdetect import detector_study, listening, pipeline
from ncdetect.corpora import Manifest
from ncdetect.encoders import WhisperEncoder
from ncdetect.encoders.pooling import WhisperStatistics
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


def short(**changes):
    recipe = Recipe(epochs=2, learning_rate=1e-2, optimiser="adamw", precision="32-true")
    return Probe(copies=(CLEAN,), batch_size=16, epoch_clips=128, recipe=recipe, **changes)


def test_a_probe_learns_its_targets(made_corpus, tmp_path):
    manifest = made_corpus.select(split=["train", "dev"])
    pooled = {CLEAN: features(manifest, gap=4.0)}
    train, dev = (np.flatnonzero([clip.split == split for clip in manifest]) for split in ("train", "dev"))
    targets = {CLEAN: 1 - manifest.labels.astype(np.float32)}
    top, _ = listening.probe(pooled, manifest, train, dev, short(), tmp_path / "turned", targets=targets)
    scores = listening.judged(top, pooled[CLEAN], train).scores
    assert scores[manifest.labels[train] == 0].mean() > scores[manifest.labels[train] == 1].mean()


def test_a_teacher_speaks_of_voices_that_it_has_not_heard(made_corpus, tmp_path, monkeypatch):
    manifest = made_corpus.select(split=["train", "dev"])
    clips = tuple(
        dataclasses.replace(clip, generator=f"engine {row % 5}" if clip.label else "", speaker=f"s{row % 7}")
        for row, clip in enumerate(manifest)
    )
    manifest = Manifest(manifest.root, clips)
    pooled = {CLEAN: features(manifest, gap=4.0)}
    train, dev = (np.flatnonzero([clip.split == split for clip in manifest]) for split in ("train", "dev"))
    heard, spoken, probe, judged = [], [], listening.probe, listening.judged

    def groups(rows):
        return {pipeline.group_of(manifest.clips[row]) for row in rows}

    def spy(pooled, manifest, rows, *rest):
        heard.append(groups(rows))
        return probe(pooled, manifest, rows, *rest)

    def told(top, pooled, rows):
        spoken.append(groups(rows))
        return judged(top, pooled, rows)

    monkeypatch.setattr(listening, "probe", spy)
    monkeypatch.setattr(listening, "judged", told)
    targets = listening.taught(pooled, manifest, train, dev, short(), tmp_path, parts=2, share=0.5)[CLEAN]
    assert len(heard) == 2 and not any(a & b for a, b in zip(heard, spoken, strict=True))
    assert spoken[0] | spoken[1] == groups(train)
    assert np.array_equal(targets[dev], manifest.labels[dev])
    fake = manifest.labels[train] == 1
    assert (targets[train][fake] > 0.5).all() and (targets[train][~fake] < 0.5).all()
    assert targets[train][fake].mean() > 0.7  # it is right mostly, but never wholly sure
    assert targets[train].max() < 1


def test_made_fakes_join_the_training_with_their_recordings(made_corpus, tmp_path):
    manifest = made_corpus.select(split=["train", "dev"])
    reals = detector_study.originals(manifest)
    assert all(manifest.clips[row].split == "train" for row in reals) and not manifest.labels[reals].any()
    ((folder, _, size),) = detector_study.PARTS["both"]
    kept = tmp_path / "statistics" / folder
    values = np.arange(len(reals), dtype=np.float16)[:, None].repeat(size, 1)
    kept.mkdir(parents=True)
    np.save(kept / f"made-{CLEAN}.npy", values)
    np.save(kept / f"made-{CLEAN}.index.npy", [np.zeros(len(reals))] * 2)
    own = Features(np.zeros((len(manifest), size), np.float16), manifest.labels, np.arange(len(manifest)))
    train = np.concatenate([reals[1:3], np.flatnonzero(manifest.labels)[:1]])
    known, pooled, rows = detector_study._with_made(tmp_path, "both", manifest, {CLEAN: own}, train)
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
            groups = [{pipeline.group_of(clip) for clip in clips} for clips in of]
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


@pytest.mark.parametrize(("part", "model"), detector_study.MODELS.items())
def test_the_parts_are_the_statistics_of_the_detectors(part, model):
    size = listening.build_model(model).backbone[0].size
    assert sum(end - start for _, start, end in detector_study.PARTS[part]) == size


def test_a_part_of_two_encoders_is_put_together_as_the_detector_pools(tmp_path):
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    whole = listening.build_model("listener").eval()
    wave = torch.from_numpy(0.1 * rng.standard_normal((2, 16_000)).astype(np.float32))
    light = rng.standard_normal((2, 7152))
    encoder = WhisperEncoder(512, 4, 8)
    front, pooling = whole.frontend, whole.backbone[0]
    front.whisper.load_state_dict({k: v for k, v in encoder.state_dict().items() if "layers" not in k} | {
        k: v for k, v in encoder.state_dict().items() if k.startswith("layers.0.")
    })  # fmt: skip
    pooling.whisper = encoder.layers[1:]
    with torch.inference_mode():
        heard = WhisperStatistics(encoder)(wave).numpy()
        pooled = pooling(front(wave)).numpy()
    light[:, 2304:] = pooled[:, 4096:]
    for folder, values in ((detector_study.BASE, heard), (detector_study.LIGHT, light)):
        (tmp_path / "statistics" / folder).mkdir(parents=True)
        np.save(tmp_path / "statistics" / folder / "clean.npy", values)
        np.save(tmp_path / "statistics" / folder / "clean.index.npy", np.zeros((2, 2), np.int64))
    found = detector_study.statistics(tmp_path, "clean", "base").values
    np.testing.assert_allclose(found, pooled, atol=1e-4)


def test_windows_come_in_order(made_corpus):
    found = features(made_corpus)
    rows = [int(row) for batch in FeatureWindows(found, 7) for row in batch.row]
    assert rows == list(range(len(made_corpus))) and len(FeatureWindows(found, 7)) == -(-len(rows) // 7)


def test_batches_in_order_hold_each_clip_once(made_corpus):
    batches = TrainBatches(Waves(made_corpus), 7, balance="none", in_order=True)(0)
    assert [int(row) for batch in batches for row in batch.row] == list(range(len(made_corpus)))
