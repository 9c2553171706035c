import dataclasses

import numpy as np
import pytest

from ncdetect import crossvalidation
from ncdetect.corpora import Manifest
from ncdetect.crossvalidation import Fold
from ncdetect.loading import Waves
from ncdetect.pipeline import Data, group_of
from ncdetect.training import Recipe


def test_each_clip_is_judged_once_by_a_training_without_its_group(made_corpus):
    parts = crossvalidation.split(made_corpus, 2, seed=0)
    assert sorted(np.concatenate([judged for _, judged in parts])) == list(range(len(made_corpus)))
    for train, judged in parts:
        assert not set(train) & set(judged) and len(train) + len(judged) == len(made_corpus)
        groups = [
            {(made_corpus.clips[row].label, group_of(made_corpus.clips[row])) for row in rows}
            for rows in (train, judged)
        ]
        assert not groups[0] & groups[1]
        assert 0 < made_corpus.labels[judged].mean() < 1
    again = crossvalidation.split(made_corpus, 2, seed=0)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(parts, again, strict=True))


def test_too_few_groups_are_told(made_corpus):
    with pytest.raises(ValueError, match="at least 2 folds, got 1"):
        crossvalidation.split(made_corpus, 1, 0)
    one = Manifest(
        made_corpus.root,
        tuple(dataclasses.replace(clip, speaker="x", generator="y") for clip in made_corpus),
    )
    with pytest.raises(ValueError, match="1 groups of real clips are too few for 2 folds"):
        crossvalidation.split(one, 2, 0)


def test_folds_are_trained_judged_and_kept(made_corpus, tmp_path):
    recipe = Recipe(epochs=1, precision="32-true")
    said = []

    def run():
        return crossvalidation.run(
            "tiny-resnet", Waves(made_corpus), 2, tmp_path, recipe, Data(8, epoch_clips=16), say=said.append
        )

    found = run()
    assert [fold.fold for fold in found] == [0, 1] and sum(fold.clips for fold in found) == len(made_corpus)
    assert all(0 <= value <= 1 for fold in found for value in (fold.eer, fold.accuracy, fold.f1))
    file = tmp_path / "fold-1" / "result.json"
    written = file.stat().st_mtime_ns
    assert run() == found and file.stat().st_mtime_ns == written
    assert said[0].startswith("fold 1:") and len(said) == 4


def test_the_summary_is_mean_and_deviation():
    folds = [Fold(0, 10, 0.1, 0.8, 0.7), Fold(1, 10, 0.3, 0.9, 0.9)]
    assert crossvalidation.lines(folds) == [
        "2 folds: EER 20.0 ± 14.1 %, accuracy 85.0 ± 7.1 %, F1 80.0 ± 14.1 %"
    ]
