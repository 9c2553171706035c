import json

import numpy as np
import pytest

from ncdetect import build, database, pipeline, projection
from ncdetect.bank import EmbeddingBank
from ncdetect.build import Plan
from ncdetect.checkpoint import TrainedDetector
from ncdetect.corpora import Clip, Manifest
from ncdetect.database import Chosen
from ncdetect.labels import Label
from ncdetect.metrics import Calibration
from ncdetect.sampling import Threshold
from ncdetect.training import Recipe


@pytest.fixture
def small_plan(made_corpus, monkeypatch):
    # The 18-block model takes minutes where the chain, not the model, is the matter.
    monkeypatch.setattr(build, "PRETRAINED", "tiny-resnet")
    for fit in ("fit_tsne", "fit_umap"):
        monkeypatch.setattr(projection, fit, lambda embeddings: embeddings[:, :2])

    def plan(folder):
        return Plan(
            data=made_corpus.root,
            work=folder / "work",
            out=folder / "checkpoints",
            corpora=("ant", "bee"),
            keep_rates=((1.0, 0.5), (0.5, 0.5)),
            recipe=Recipe(epochs=2, precision="32-true"),
            batches=pipeline.Data(16, epoch_clips=32),
            results=folder / "results",
        )

    return plan


def test_the_chain_from_corpus_to_checkpoint(small_plan, made_corpus, tmp_path):
    said = []
    shipped = build.build(small_plan(tmp_path), say=said.append)
    loaded = TrainedDetector.from_pretrained(tmp_path / "checkpoints" / "tiny")
    assert loaded.sha256 == shipped.sha256 and set(loaded.bank.maps) == {"tsne", "umap"}
    facts = loaded.config.training
    rates = {"real-1-fake-0.5", "real-0.5-fake-0.5"}
    (augmented,) = set(facts["grid"]) - rates
    assert set(facts["grid"]) > rates and augmented.removesuffix("-augmented") in rates
    assert facts["grid"][facts["rule"]] == min(facts["grid"].values())
    # Every figure of the card was measured on eval: 12 reals and 12 fakes in two corpora.
    assert "*6 + 6*" in loaded.card and "*12 + 12*" in loaded.card and "tiny-resnet on ant" in loaded.card
    for corpus in ("ant", "bee"):
        folder = tmp_path / "checkpoints" / "corpora" / corpus
        config = json.loads((folder / "config.json").read_text())
        bank = EmbeddingBank.load(folder / "bank.parquet", config["model_sha256"])
        assert len(bank) == 36 and not list(folder.glob("*.safetensors"))
    lines = (tmp_path / "results" / "build.csv").read_text().splitlines()
    assert {"model", "clips", "eer", "eer_low"} <= set(lines[0].split(","))
    assert len(lines) in (1 + 5 * 3, 1 + 6 * 3)  # the best run may be the augmented one
    assert "python -m ncdetect build" in (tmp_path / "results" / "build.md").read_text().splitlines()[0]
    read = Manifest.read(tmp_path / "work" / "databases" / "real-1-fake-0.5.csv", root=made_corpus.root)
    assert set(read) <= set(made_corpus.select(split="train"))


def test_a_killed_build_goes_on_to_the_same_checkpoint(small_plan, tmp_path):
    whole = build.build(small_plan(tmp_path / "a"))
    steps = 0

    def kill(batches, caption):
        nonlocal steps
        for batch in batches:
            steps += 1
            if steps in (3, 14):  # once in pre-training, once in a small model
                raise KeyboardInterrupt
            yield batch

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            build.build(small_plan(tmp_path / "b"), progress=kill)
    resumed = build.build(small_plan(tmp_path / "b"), progress=kill)
    assert resumed.sha256 == whole.sha256
    assert resumed.config == whole.config


def bank_of(clips, embeddings, scores):
    means = np.zeros((2, 1))
    return EmbeddingBank.build(clips, embeddings, scores, means, "tiny-resnet", "0" * 64, maps=False)


def test_merging_keeps_the_nearest_of_a_recording():
    def clip(path, label, corpus, recording="", split="train"):
        return Clip(path, label, corpus, split, recording=recording)

    first = [
        clip("a/1", Label.REAL, "a", "r1"), clip("a/2", Label.REAL, "a"), clip("a/3", Label.FAKE, "a"),
        clip("a/4", Label.REAL, "a", split="dev"), clip("a/5", Label.REAL, "a"),
    ]  # fmt: skip
    second = [
        clip("b/1", Label.REAL, "b", "r1"),
        clip("b/2", Label.FAKE, "b", "r1"),
        clip("b/3", Label.REAL, "b"),
    ]
    banks = [
        # Reals at 0, 3 and (wrongly classified) 100: mean 1.5, both 1.5 away. The dev clip does not count.
        bank_of(first, [[0.0], [3], [7], [50], [100]], [-1, -1, 1, -1, 1]),
        bank_of(second, [[1.0], [2], [2]], [-1, 1, -1]),  # mean 1.5: r1 is 0.5 away
    ]
    merged = database.merge(
        database.sample_bank(bank, Threshold(rate=1), Threshold(rate=1)) for bank in banks
    )
    assert [entry.clip.path for entry in merged] == ["a/2", "a/3", "b/1", "b/2", "b/3"]
    assert {entry.clip.path: entry.distance for entry in merged} == pytest.approx(
        {"a/2": 1.5, "a/3": 0, "b/1": 0.5, "b/2": 0, "b/3": 0.5}
    )
    assert {entry.rule for entry in merged} == {"algorithm-1 rate 1"}


def test_a_random_draw_has_the_same_counts(made_corpus):
    train = made_corpus.select(split="train")
    like = [Chosen(clip, 0.0, "x") for clip in train.clips[:15] + train.clips[30:37]]
    drawn = database.random_like(train, like, seed=1)
    assert database.count(e.clip for e in drawn) == database.count(e.clip for e in like)
    assert drawn == database.random_like(Manifest(train.root, train.clips[::-1]), like, seed=1)
    assert {e.clip for e in drawn} != {e.clip for e in like}


def test_figures_know_groups_and_wild(made_corpus):
    clips = list(made_corpus.select(split="eval"))
    scores = np.array([2.0 * clip.label + 0.01 * i for i, clip in enumerate(clips)])
    figures = pipeline.Figures.of("all", scores, clips, Calibration())
    assert figures.eer.value == 0 and (figures.reals, figures.fakes) == (12, 12)
    assert figures.row()["eer"] == 0 and figures.row()["clips"] == "all"


def test_training_needs_both_classes(made_corpus, tmp_path):
    reals = pipeline.Waves(made_corpus.select(split="train", label="real"))
    with pytest.raises(ValueError, match="train has 24 real and 0 fake clips"):
        pipeline.train_detector("tiny-resnet", reals, reals, tmp_path, Recipe(), pipeline.Data())
