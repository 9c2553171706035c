import json

import numpy as np
import pytest

from ncdetect import build, database, experiments, pipeline, projection
from ncdetect.bank import EmbeddingBank
from ncdetect.build import Plan
from ncdetect.checkpoint import TrainedDetector
from ncdetect.corpora import Clip, Manifest
from ncdetect.database import Chosen
from ncdetect.experiments import Study
from ncdetect.labels import Label
from ncdetect.metrics import Calibration
from ncdetect.rules import Budget
from ncdetect.training import Recipe


@pytest.fixture
def small_plan(made_corpus, monkeypatch):
    # The 18-block model takes minutes where the chain, not the model, is the matter.
    for fit in ("fit_tsne", "fit_umap"):
        monkeypatch.setattr(projection, fit, lambda embeddings: embeddings[:, :2])
    monkeypatch.setattr(build, "EVALUATIONS", 2)

    def plan(folder, rules=("all", "algorithm-1"), **changes):
        study = Study(
            data=made_corpus.root, work=folder / "work", seeds=1, precision="32-true", draws=64,
            paper=Recipe(epochs=1), pretrained="tiny-resnet", models=("tiny-resnet",),
        )  # fmt: skip
        return Plan(study, folder / "results", folder / "checkpoints", rules=rules, budgets=(0.5,), **changes)

    return plan


def test_the_chain_from_corpus_to_checkpoint(small_plan, made_corpus, tmp_path):
    said = []
    shipped = build.build(small_plan(tmp_path, practice=made_corpus.root), say=said.append)
    loaded = TrainedDetector.from_pretrained(tmp_path / "checkpoints" / "tiny-resnet")
    assert loaded.sha256 == shipped.sha256 and set(loaded.bank.maps) == {"tsne", "umap"}
    facts = loaded.config.training
    assert facts["rule"].removesuffix("-augmented") in {"all", "algorithm-1-0.5"}
    assert len(facts["history"]) == facts["epochs"] == 2 and "nc2_train" in facts["history"][0]
    # What won on dev ships; where that is not NC sampling, NC sampling ships beside it.
    losses = build.dev_losses(
        runs := [run for run in experiments.plan(small_plan(tmp_path).study, 4, (0.5,))
                 if run.rule in ("all", "algorithm-1")],
        {run.name: experiments.read_result(small_plan(tmp_path).study, run) for run in runs},
    )  # fmt: skip
    best = min(losses, key=losses.__getitem__)
    assert facts["rule"].removesuffix("-augmented") == build.named(best)
    beside = tmp_path / "checkpoints" / "tiny-nc"
    assert beside.is_dir() == (best[0] == "all")
    # Every figure of the card was measured on eval: 12 reals and 12 fakes in two corpora.
    assert "*6 + 6*" in loaded.card and "*12 + 12*" in loaded.card and "tiny-resnet on ant" in loaded.card
    assert facts["rule"] in loaded.card and "algorithm-1-0.5 |" in loaded.card
    for corpus in ("ant", "bee"):
        folder = tmp_path / "checkpoints" / "corpora" / corpus
        config = json.loads((folder / "config.json").read_text())
        bank = EmbeddingBank.load(folder / "bank.parquet", config["model_sha256"])
        assert len(bank) == 36 and not list(folder.glob("*.safetensors"))
        train = bank.clips["split"] == "train"
        assert bank.clips["el2n"][train].between(0, 2**0.5).all() and bank.clips["el2n"][~train].isna().all()
        assert (bank.clips["forgetting"][train] >= 0).all()
    lines = (tmp_path / "results" / "build.csv").read_text().splitlines()
    assert {"model", "clips", "eer", "eer_low"} <= set(lines[0].split(","))
    assert "python -m ncdetect build" in (tmp_path / "results" / "build.md").read_text().splitlines()[0]
    assert (tmp_path / "results" / "experiment-4.csv").is_file()


def test_a_killed_build_goes_on_to_the_same_checkpoint(small_plan, tmp_path):
    rules = ("all",)
    whole = build.build(small_plan(tmp_path / "a", rules))
    steps = 0

    def kill(batches, caption):
        nonlocal steps
        for batch in batches:
            steps += 1
            if steps in (3, 40, 115):  # in the experiment, in pre-training, in what ships
                raise KeyboardInterrupt
            yield batch

    kills = 0
    while True:
        try:
            resumed = build.build(small_plan(tmp_path / "b", rules), progress=kill)
            break
        except KeyboardInterrupt:
            kills += 1
    assert kills == 3
    assert resumed.sha256 == whole.sha256
    assert resumed.config.calibration_scale == whole.config.calibration_scale


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
    merged = database.merge(database.sample_bank(bank, Budget.share(1)) for bank in banks)
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
