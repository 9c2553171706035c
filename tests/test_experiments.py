import dataclasses
import json

import numpy as np
import pytest

import miniatures
from ncdetect import experiments, findings_words, pipeline, projection, tables
from ncdetect.corpora import Manifest
from ncdetect.experiments import Study
from ncdetect.labels import Label
from ncdetect.rules import RULES
from ncdetect.training import Recipe


@pytest.fixture
def study(made_corpus, monkeypatch, tmp_path):
    # The 18-block model takes minutes where the experiments, not the model, are the matter.
    for fit in ("fit_tsne", "fit_umap"):
        monkeypatch.setattr(projection, fit, lambda embeddings: embeddings[:, :2])
    return Study(
        data=made_corpus.root, work=tmp_path / "work", seeds=2, precision="32-true", draws=64,
        paper=Recipe(epochs=2), pretrained="tiny-resnet", models=("tiny-resnet",),
    )  # fmt: skip


def some(study, number, keep, budgets=()):
    """A few of the runs of an experiment: all of them would take minutes."""
    return [run for run in experiments.plan(study, number, budgets) if keep(run.columns)]


def test_experiment_4_from_corpus_to_table(study, tmp_path):
    wanted = {"all", "random", "algorithm-1", "algorithm-2", "el2n", "forgetting"}
    runs = some(study, 4, lambda c: c["rule"] in wanted and c["budget"] in (0.5, 1.0) and c["seed"] < 2)
    results = experiments.run(study, runs)
    # 12 reals and 12 fakes in each of two corpora: a half is 6 of each, the same for every rule that may.
    for run in runs:
        facts = results[run.name].facts
        wanted_clips = 24 if run.rule == "all" else 12
        assert facts["train_reals"] <= wanted_clips and facts["train_fakes"] <= wanted_clips
        if run.rule in ("all", "random", "el2n", "forgetting"):
            assert (facts["train_reals"], facts["train_fakes"]) == (wanted_clips, wanted_clips)
        assert facts["epochs"] == experiments.EVALUATIONS  # no run stops early: equal steps
    files = tables.write(study, 4, runs, results, tmp_path / "out", "python -m ncdetect experiment 4")
    table = findings_words.read_csv(files[0])
    assert {line["corpus"] for line in table} == {"all", "ant", "bee"}
    assert len(table) == len(wanted) * (study.seeds + 1) * 3
    assert {
        "rule", "budget", "seed", "corpus", "split", "clips", "eer", "eer_low", "eer_high",
        "difference_from_random", "difference_low", "difference_high", "seconds",
    } <= set(table[0])  # fmt: skip
    assert "python -m ncdetect experiment 4" in files[1].read_text().splitlines()[0]
    by_key = {(t["rule"], t["budget"], t["seed"], t["corpus"]): t for t in table}
    own, rival = by_key["algorithm-1", 0.5, 1, "all"], by_key["random", 0.5, 1, "all"]
    assert own["difference_from_random"] == pytest.approx(own["eer"] - rival["eer"], abs=2e-4)
    assert own["difference_from_all"] == pytest.approx(
        own["eer"] - by_key["all", 1.0, 1, "all"]["eer"], abs=2e-4
    )
    assert rival["difference_from_random"] == "" and rival["difference_from_all"] != ""
    mean = by_key["algorithm-1", 0.5, "mean", "ant"]
    assert mean["eer"] == pytest.approx(
        np.mean([by_key["algorithm-1", 0.5, seed, "ant"]["eer"] for seed in range(2)]), abs=2e-4
    )
    database = Manifest.read(study.work / "runs" / runs[-1].name / experiments.DATABASE_FILE, root=study.data)
    assert {clip.split for clip in database} == {"train"}


def without_seconds(table):
    return [{name: value for name, value in line.items() if name != "seconds"} for line in table]


def test_a_killed_experiment_goes_on_to_the_same_table(study, tmp_path):
    keep = lambda c: c["rule"] in ("all", "el2n") and c["budget"] in (0.5, 1.0) and c["seed"] == 0  # noqa: E731
    sets = tables.test_sets(experiments.open_data(study.data).select(split="eval"), ("ant", "bee"))

    def table_of(where, progress=pipeline.no_progress):
        own = dataclasses.replace(study, work=tmp_path / where, seeds=1)
        runs = some(own, 4, keep)
        results = experiments.run(own, runs, progress)
        return tables.rows(runs, results, sets, ("random", "all"))

    whole = table_of("whole")
    steps = 0

    def kill(batches, caption):
        nonlocal steps
        for batch in batches:
            steps += 1
            # In pre-training, in its second corpus, in a small model's first and in a later epoch.
            if steps in (2, 70, 136, 141):
                raise KeyboardInterrupt
            yield batch

    kills = 0
    while True:
        try:
            resumed = table_of("killed", kill)
            break
        except KeyboardInterrupt:
            kills += 1
    assert kills == 4
    assert without_seconds(resumed) == without_seconds(whole)


def test_two_processes_train_what_one_does(study, tmp_path):
    study = dataclasses.replace(study, seeds=1)
    one, two = (dataclasses.replace(study, work=tmp_path / str(jobs), jobs=jobs) for jobs in (1, 2))
    keep = lambda c: c["count"] == 3  # noqa: E731
    done = []
    both = experiments.run(
        two, some(two, 3, lambda c: True, (3, 5)), finished=lambda done_now, of: done.append((done_now, of))
    )
    alone = experiments.run(one, some(one, 3, keep, (3,)))
    name = "3-random-3-seed0-draws64"
    np.testing.assert_allclose(both[name].scores, alone[name].scores, atol=1e-3)
    assert done[-1] == (2, 2)


def test_the_plans_have_the_runs_of_the_design(study):
    study = dataclasses.replace(study, seeds=3)
    grid = experiments.plan(study, 2)
    assert {(r.columns["trained_on"], r.columns["real_rate"], r.columns["fake_rate"]) for r in grid} == {
        (corpus, real, fake)
        for corpus in ("ant", "bee")
        for real in experiments.KEEP_RATES
        for fake in experiments.KEEP_RATES
    }
    assert {run.columns["count"] for run in experiments.plan(study, 3)} == {30, 60, 110}
    runs = experiments.plan(study, 4)
    assert len(runs) == 3 + 3 * 3 * len(RULES)
    assert len({run.name for run in runs}) == len(runs)
    # Equal optimiser steps: everything that decides their number is the same.
    assert (
        len({(r.recipe.epochs, r.recipe.patience, r.data.epoch_clips, r.data.batch_size) for r in runs}) == 1
    )
    assert {run.recipe.seed for run in runs} == {0, 1, 2}
    with pytest.raises(ValueError, match="there is no experiment 5"):
        experiments.plan(study, 5)
    with pytest.raises(ValueError, match="takes no budgets"):
        experiments.plan(study, 1, (3,))


def test_the_papers_corpora_get_the_papers_protocol(tmp_path, monkeypatch):
    """Layouts as distributed, their files empty: what would be trained, and on what it would be tested."""
    miniatures.asvspoof2019(tmp_path / "LA2019")
    miniatures.in_the_wild(tmp_path / "in-the-wild")
    miniatures.wavefake(tmp_path / "wavefake", count=120)
    (tmp_path / "notes").mkdir()
    manifest = experiments.open_data(tmp_path)
    corpora = experiments.training_corpora(manifest)
    assert len(corpora) == 2 and not any("wild" in corpus for corpus in corpora)
    study = Study(tmp_path, tmp_path / "work", seeds=1)
    runs = experiments.plan(study, 1)
    assert {(run.model, run.corpora) for run in runs} == {
        (model, (corpus,)) for model in ("resnet18b", "convnext") for corpus in corpora
    }
    # The paper's recipe (section 3.2.2).
    recipe = runs[0].recipe
    assert (recipe.epochs, recipe.patience, recipe.learning_rate, recipe.schedule) == (
        100,
        10,
        1e-3,
        "constant",
    )
    names = [test.name for test in tables.test_sets(manifest.select(split="eval"), corpora)]
    assert names[0] == "all" and any("wild" in name for name in names[1:])
    # Five passes over everything, where that is more than the least.
    monkeypatch.setattr(experiments, "LEAST_DRAWS", 8)
    passes = experiments.plan(study, 3)[0].data.epoch_clips * experiments.EVALUATIONS
    assert passes >= experiments.PASSES * len(manifest.select(split="train"))
    monkeypatch.setattr(experiments, "SMALL_COUNTS", (1,))
    monkeypatch.setattr(experiments, "PAPERS_COUNTS", (1, 2))
    smallest = min(
        len(manifest.select(corpus=corpus, split="train", label=label))
        for corpus in corpora
        for label in Label
    )
    counts = {run.columns["count"] for run in experiments.plan(study, 3)}
    assert counts == ({1, 2} if smallest >= 2 else {1})


def test_results_are_read_as_they_were_written(tmp_path):
    result = experiments.Result({"seconds": 1.5}, ["a", "b"], np.array([0.5, -1], np.float32))
    experiments._write_result(tmp_path / "scores.parquet", result)
    assert json.dumps(result.facts)
    run = experiments.Run("x", {}, "tiny-resnet", (), "all", None, 0, Recipe(), pipeline.Data())
    (tmp_path / "runs" / "x").mkdir(parents=True)
    (tmp_path / "scores.parquet").rename(tmp_path / "runs" / "x" / "scores.parquet")
    read = experiments.read_result(Study(tmp_path, tmp_path), run)
    assert read.facts == result.facts and read.paths == result.paths
    assert (read.scores == result.scores).all()
