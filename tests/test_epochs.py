"""Moments of a training: watching changes nothing, measures are those of the training, files come back."""

import dataclasses
import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ncdetect import epochs, epochs_training, training
from ncdetect.checkpoint import CHECKPOINTS
from ncdetect.corpora import Manifest
from ncdetect.detector_study import SERIES
from ncdetect.epochs import Moment, Story
from ncdetect.epochs_training import Watcher
from ncdetect.features import FeatureBatches, Features, FeatureWindows
from ncdetect.listening import Probe
from ncdetect.models import Detector
from ncdetect.models.listener import Projection
from ncdetect.training import Embedded

SHIPPED = Path(__file__).resolve().parents[1] / "assets" / "inside" / "epochs.parquet"
RECIPE = dataclasses.replace(Probe().recipe, epochs=2, patience=2)


def trained(manifest: Manifest, folder: Path, watched: bool):
    """A small top trained on made features, and what was seen on the way."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(len(manifest), 8)).astype(np.float16)
    values[:, 0] += manifest.labels.astype(np.float16)
    features = Features(values, manifest.labels, np.arange(len(manifest)))
    split = np.array([clip.split for clip in manifest])
    rows = {name: np.flatnonzero(split == name) for name in ("train", "dev")}
    learned = Manifest(manifest.root, tuple(manifest.clips[row] for row in rows["train"]))
    torch.manual_seed(0)
    top = Detector(nn.Identity(), Projection(8, 4, 0.3), 4)
    batches = FeatureBatches([features.subset(rows["train"])], learned, 12, 0, "class", 48)
    both = FeatureWindows(features.subset(np.concatenate([rows["train"], rows["dev"]])))
    watcher = Watcher(top, batches, both, RECIPE.average)
    fit = training.fit(
        top, batches, FeatureWindows(features.subset(rows["dev"])),
        FeatureWindows(features.subset(rows["train"])), RECIPE, folder,
        **({"progress": watcher} if watched else {}),
    )  # fmt: skip
    return top, fit, watcher.moments, len(rows["train"])


@pytest.fixture(scope="module")
def seen(made_corpus, tmp_path_factory):
    return trained(made_corpus, tmp_path_factory.mktemp("seen"), watched=True)


def some_moments(clips: int = 12, dim: int = 5, count: int = 3, towards: int = 1) -> list[Moment]:
    """Two classes, half train, that go apart along the third direction."""
    rng = np.random.default_rng(1)
    labels = np.arange(clips) % 2
    found = []
    for number in range(count):
        embeddings = rng.normal(0, 0.3, (clips, dim)).astype(np.float32)
        embeddings[:, 2] += towards * (2 * labels - 1) * number
        head = np.eye(dim, dtype=np.float32)[2]
        found.append(
            Moment(float(number), Embedded(np.arange(clips), labels, embeddings, embeddings[:, 2]), head)
        )
    return found


def clips_of(manifest: Manifest, count: int = 12) -> Manifest:
    """Train clips first, real and fake in turn."""
    chosen = []
    for split in ("train", "dev"):
        reals, fakes = (
            [clip for clip in manifest if clip.split == split and clip.label == label] for label in (0, 1)
        )
        chosen += [clip for pair in zip(reals, fakes, strict=True) for clip in pair][: count // 2]
    return Manifest(manifest.root, tuple(chosen))


def test_watching_changes_nothing(seen, made_corpus, tmp_path):
    top, fit, _, _ = seen
    alone, unwatched, _, _ = trained(made_corpus, tmp_path, watched=False)
    assert [e.dev_loss for e in fit.history] == [e.dev_loss for e in unwatched.history]
    for name, value in alone.state_dict().items():
        assert torch.equal(value, top.state_dict()[name]), name


def test_at_an_epoch_s_end_it_sees_what_the_training_measures(seen):
    _, fit, moments, train = seen
    times = [moment.epoch for moment in moments]
    assert times[0] == 0 and times == sorted(set(times)) and {1.0, 2.0} <= set(times)
    for number, logged in enumerate(fit.history, 1):
        found = epochs.measures(moments[times.index(number)], train)
        for name in ("nc1", "cdnv", "nc3", "nc4"):
            for side in epochs.SIDES:
                assert found[f"{name}_{side}"] == pytest.approx(getattr(logged, f"{name}_{side}"), abs=1e-6)
        assert found["eer_dev"] == pytest.approx(logged.dev_eer)


def test_before_training_the_first_weights_are_seen(seen):
    _, _, moments, _ = seen
    torch.manual_seed(0)
    first = Detector(nn.Identity(), Projection(8, 4, 0.3), 4)
    np.testing.assert_array_equal(moments[0].head, first.head.weight.detach().numpy().reshape(-1))
    assert not np.array_equal(moments[0].head, moments[-1].head)


def test_the_common_plane_is_where_most_differs():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(3, 400, 4)) * [0.1, 5, 0.2, 2] + [1, 2, 3, 4]
    centre, axes = epochs.common_plane(embeddings)
    np.testing.assert_allclose(centre, embeddings.mean((0, 1)))
    np.testing.assert_allclose(axes.T @ axes, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(axes[[1, 3], [0, 1]], 1, atol=0.01)  # signs too


@pytest.mark.parametrize("towards", [1, -1])
def test_a_story_has_the_true_distances_and_reals_on_the_left(made_corpus, towards):
    moments, clips = some_moments(towards=towards), clips_of(made_corpus)
    story = Story.of(clips, moments, kept=1.0)
    assert story.train == 6 and len(story.clips) == 12 and set(story.clips["label"]) == {"real", "fake"}
    labels = clips.labels
    mean = moments[2].seen.embeddings[:6][labels[:6] == 1].mean(axis=0)
    wanted = np.linalg.norm(moments[2].seen.embeddings - mean, axis=1)
    np.testing.assert_allclose(story.places["exact"][2, :, 1], wanted, rtol=1e-5)
    assert story.means["exact"][2].diagonal().tolist() == [0, 0]
    real, fake = story.means["plane"][2]
    assert real[0] < 0 < fake[0]
    np.testing.assert_allclose(
        story.places["plane"][:, :6][:, labels[:6] == 0].mean(axis=1), story.means["plane"][:, 0], atol=1e-5
    )
    shown = [one["shown"] for one in story.moments]
    assert shown[2] > 0.9 and all(0 < share <= 1 for share in shown)
    assert [one["epoch"] for one in story.moments] == [0, 1, 2]


def test_a_story_comes_back_from_its_file(made_corpus, tmp_path):
    story = Story.of(clips_of(made_corpus), some_moments(), kept=1.0)
    story.save(tmp_path / "a" / "story.parquet")
    back = Story.load(tmp_path / "a" / "story.parquet")
    assert back.kept == 1.0 and back.clips.equals(story.clips) and list(back.clips) == list(epochs.COLUMNS)
    for name in epochs.VIEWS:
        np.testing.assert_allclose(back.places[name], story.places[name], rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(back.means[name], story.means[name], atol=1e-4)
    assert back.moments[1] == pytest.approx(story.moments[1], abs=1e-6)


def test_a_missing_and_a_damaged_file_are_said(tmp_path, made_corpus):
    with pytest.raises(FileNotFoundError, match=r"no story of a training at .*x\.parquet"):
        Story.load(tmp_path / "x.parquet")
    file = tmp_path / "story.parquet"
    Story.of(clips_of(made_corpus), some_moments(), kept=1.0).save(file)
    whole = file.read_bytes()
    for damaged in (b"no parquet", whole[:200], whole[: len(whole) // 2]):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="is damaged"):
            Story.load(file)


def test_only_a_probe_can_be_watched(tmp_path):
    change = next(one for one in SERIES if one.teacher)
    with pytest.raises(ValueError, match=f"{change.name} is more than a probe"):
        epochs_training.watched(tmp_path, tmp_path, change, 0)


def test_missing_statistics_name_the_command(made_corpus, tmp_path):
    change = next(one for one in SERIES if one.name == "base-damaged")
    with pytest.raises(FileNotFoundError, match=r"clean.*\.npy is missing: `python -m ncdetect detector`"):
        epochs_training.watched(made_corpus.root, tmp_path, change, 0)


def test_the_shipped_story_is_the_training_of_the_shipped_model():
    facts = json.loads((CHECKPOINTS / "listener" / "config.json").read_text("utf-8"))["training"]
    story = Story.load(SHIPPED)
    assert SHIPPED.stat().st_size < 1_000_000
    assert story.kept == facts["best_epoch"] and story.train == facts["reals"] + facts["fakes"]
    by_epoch = {one["epoch"]: one for one in story.moments}
    for logged in facts["history"]:
        found = by_epoch[logged["epoch"] + 1]
        assert found["eer_dev"] == pytest.approx(logged["dev_eer"], abs=1e-4)
        for name in ("nc1_dev", "cdnv_dev", "nc3_dev"):
            assert found[name] == pytest.approx(logged[name], rel=1e-3), (logged["epoch"], name)
    assert list(islice(by_epoch, 1)) == [0]
