"""What is told of the detectors that ship: the series as a table, the corpus that can be read, the card."""

import csv
import dataclasses

import numpy as np
import pytest

from ncdetect import cards, detector_build, detector_study, detector_words
from ncdetect.abstention import report
from ncdetect.corpora import Manifest
from ncdetect.detector_study import SERIES
from ncdetect.encoders.spectral import SIZES
from ncdetect.error_groups import Group
from ncdetect.labels import Label
from ncdetect.metrics import Interval
from ncdetect.pipeline import Figures
from ncdetect.predictor import Predictor
from ncdetect.training import Embedded


def embedded(embeddings, labels):
    labels = np.asarray(labels)
    return Embedded(np.arange(len(labels)), labels, np.asarray(embeddings, np.float32), np.zeros(len(labels)))


def test_a_corpus_that_lies_apart_is_read():
    rng = np.random.default_rng(0)
    corpora = ["a", "b"] * 40
    apart = np.array([[5.0 * (name == "a"), 0] for name in corpora]) + rng.normal(size=(80, 2))
    mixed = rng.normal(size=(80, 2))
    labels = np.arange(80) // 2 % 2
    for values, low, high in ((apart, 0.95, 1.0), (mixed, 0.3, 0.7)):
        seen = embedded(values, labels)
        assert low <= detector_build.source_accuracy(seen, corpora, seen, corpora) <= high


def test_fakes_say_nothing_of_how_reals_are_read():
    values = np.array([[0.0], [0.1], [5.0], [5.1], [9.0]])
    seen = embedded(values, [0, 0, 0, 0, 1])
    one = detector_build.source_accuracy(seen, ["a", "a", "b", "b", "a"], seen, ["a", "a", "b", "b", "a"])
    assert one == 1.0


def figures(name, eer):
    return Figures(name, 10, 12, Interval(eer, eer - 0.05, eer + 0.05), eer, 0.9, 0.9, 0.5, 0.8)


@pytest.fixture(scope="module")
def shipped():
    trained = Predictor.from_pretrained("tiny").trained
    by_seed = {
        seed: [figures(name, 0.1 + seed / 100) for name in ("all", "cloned", "wild")] for seed in range(3)
    }
    told = {"eval": report(["real", "fake", "undecided", "fake"], [0, 0, 0, 1])}
    change = next(change for change in SERIES if change.part == "small")
    return detector_build.Shipped(
        "tiny",
        change,
        trained,
        by_seed,
        {0: 0.4, 1: 0.3, 2: 0.5},
        1,
        told,
        {
            "eval": [
                Group("generator", "tortoise", Label.FAKE, 60, 45),
                Group("generator", "other", Label.FAKE, 100, 5),
            ]
        },
        {"before": 0.6, "after": 0.4},
    )


def rows():
    one = {
        "eer_a": 0.2, "eer_generators": 0.2, "eer_dev": 0.1, "eer_corpora": 0.25, "eer_known": 0.15,
        "eer_corpora_damaged": 0.3, "eer_known_damaged": 0.2, "eer_validation": 0.225, "seconds": 3.0,
    }  # fmt: skip
    found = {change.name: dict(one) for change in SERIES}
    found["random-half"]["eer_validation"] = 0.25
    return found


def test_the_series_is_written_for_machines_and_people(tmp_path, shipped):
    table, text = detector_words.write(SERIES, rows(), [shipped], tmp_path)
    with table.open(newline="", encoding="utf-8") as stream:
        read = list(csv.DictReader(stream))
    assert [row["change"] for row in read[: len(SERIES)]] == [change.name for change in SERIES]
    finals = read[len(SERIES) :]
    assert [row["change"] for row in finals] == ["tiny-seed0", "tiny-seed1", "tiny-seed2"]
    assert finals[1]["what"].startswith("shipped as tiny") and float(finals[1]["eer_test_wild"]) == 0.11
    assert read[0]["eer_test_wild"] == ""  # eval and wild have no part in the series
    lines = text.read_text("utf-8").splitlines()
    assert lines[0] == f"Made by `{detector_words.COMMAND}`."
    assert "- With a random half of the clips instead of all, validation moves by +2.5 points." in lines
    assert any("all 11.0 ± 1.0" in line for line in lines)
    assert "it decides 83 %" in text.read_text("utf-8")  # mean of 2 of 3 reals and of the one fake


def test_the_card_says_what_it_is_bad_at(shipped, made_corpus):
    own = dataclasses.replace(shipped)
    card = cards.listener_card(own, 0.225, Manifest(made_corpus.root, made_corpus.clips))
    for said in (
        "It is not evidence",
        "robustness --data DATA",
        "22.5 %",
        "four layers of DistillMOS",
        "chance is 25 %",
        "| fake, generator | tortoise | 60 | 45 (75 %) |",
    ):
        assert said in card, said


def test_only_whole_corpora_at_the_usual_width_may_ship():
    barred = {change.name for change in SERIES if not change.may_ship}
    assert barred == {
        "whisper", "distillmos", "wide", "random-half", "algorithm-1-half", "algorithm-2-half",
        *SIZES, "spectra", "base-spectra",
    }  # fmt: skip
    assert len({change.name for change in SERIES}) == len(SERIES)
    assert all(change.part in detector_study.PARTS for change in SERIES)
