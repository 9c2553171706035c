import dataclasses

import numpy as np
import pytest

from banks import make_bank
from ncdetect import collapse, plots, rules, sampling
from ncdetect.clusters import find_clusters
from ncdetect.corpora import Clip, Manifest
from ncdetect.labels import Label
from ncdetect.rules import RULES
from ncdetect.sampling import Threshold
from ncdetect.ui import lab, lab_corpora, overlap
from ncdetect.ui.lab_corpora import START, Setting


def some_clips(corpus: str, count: int = 60) -> list[Clip]:
    return [
        Clip(
            f"{corpus}/{split}-{label.word}-{index:03}.flac", label, corpus, split,
            f"engine {index % 4}" if label == Label.FAKE else "studio",
            # every third real was recorded for both corpora
            recording=f"r{index}" if label == Label.REAL and index % 3 == 0 else "",
        )
        for split, share in (("train", 1), ("dev", 4))
        for label in Label
        for index in range(count // share)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Corpora `one` (with records of its training) and `two` (without)."""
    folder = tmp_path_factory.mktemp("corpora")
    for seed, name in enumerate(("one", "two")):
        manifest = Manifest(folder, tuple(some_clips(name)))
        make_bank(manifest, folder / name / "bank.parquet", seed, records=name == "one")
    return folder


@pytest.fixture(autouse=True)
def banks(made, monkeypatch):
    monkeypatch.setattr(lab_corpora, "CORPORA", made)


def test_names_are_in_plain_words_and_practice_comes_last(made, monkeypatch, tmp_path):
    assert lab_corpora.names() == ["one", "two"]
    for name in ("practice-engines", "vocoded", "abc"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "bank.parquet").touch()
    monkeypatch.setattr(lab_corpora, "CORPORA", tmp_path)
    assert lab_corpora.names() == ["abc", "vocoded", "practice-engines"]
    assert lab_corpora.title("practice-engines") == "Practice engines"


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("kind", "values"),
    [("rate", (0, 0.1, 1 / 3, 0.5, 0.999, 1)), ("count", (0, 1, 17, 1000)), ("distance", (0, 2.1, 3, 99))],
)
def test_the_lab_keeps_exactly_what_the_rule_chooses(rule, kind, values):
    corpus = lab_corpora.corpus("one")
    for value in values:
        for seed in (0, 7):
            values_ = {"rule": rule, "kind": kind, "real": value, "fake": value / 2, "seed": seed}
            if kind == "count":
                values_["fake"] = value // 2
            setting = Setting.of(values_)
            if kind == "distance" and not RULES[rule].distance_ok:
                with pytest.raises(ValueError, match="no distance"):
                    rules.choose(corpus.pool, rule, setting.budget, seed)
                assert "no distance" in lab.keep({"corpus": "one", **values_})["error"]
                continue
            wanted = rules.choose(corpus.pool, rule, setting.budget, seed)
            found, shown = corpus.choose(setting), lab.keep({"corpus": "one", **values_})
            for label in Label:
                for name in ("rows", "distances", "clusters", "candidates"):
                    here, there = getattr(found[label], name), getattr(wanted[label], name)
                    assert (here is None) == (there is None), name
                    assert here is None or np.array_equal(here, there), name
                word = label.word
                assert plots.unpack(shown["rows"][word]).tolist() == wanted[label].rows.tolist()
                assert shown["kept"][word] == len(wanted[label].rows)
                assert shown["totals"][word] == len(wanted[label].candidates)
            free = set(np.concatenate([wanted[label].candidates for label in Label]).tolist())
            assert set(range(len(corpus.pool))) - free == set(plots.unpack(shown["others"]).tolist())


@pytest.mark.parametrize("rule", RULES)
def test_the_same_amount_said_in_another_kind_keeps_the_same(rule):
    request = {"corpus": "one", "rule": rule, "kind": "count", "real": 23, "fake": 31}
    found = lab.keep(request)
    for kind in ("rate", "count", "distance"):
        if kind not in found["as"]["real"]:
            assert kind == "distance" and not RULES[rule].distance_ok
            continue
        same = {word: found["as"][word][kind] for word in ("real", "fake")}
        again = lab.keep(request | {"kind": kind} | same)
        if rule == "algorithm-2" and kind == "rate":  # a share of each cluster, not of all
            assert again["kept"]["real"] == 23
        elif kind == "distance":  # rounded to the slider's step, so that none is lost
            steps = {word: found["as"][word]["step"] for word in same}
            for word in same:
                assert again["kept"][word] >= found["kept"][word]
                assert abs(again["as"][word]["distance"] - same[word]) <= 1.001 * steps[word]
                assert 0 <= same[word] <= found["as"][word]["max"]
        else:
            assert again["kept"] == found["kept"]


def test_the_exact_view_shows_how_far_from_the_mean_clips_are_kept():
    corpus = lab_corpora.corpus("one")
    found = lab.keep({"corpus": "one", **START})
    picked = corpus.choose(Setting.of(START))
    assert found["lines"] == [picked[label].distances[-1] for label in Label]
    assert lab.keep({"corpus": "one", **START, "rule": "algorithm-2"})["lines"] == [found["lines"][0], None]
    assert lab.keep({"corpus": "one", **START, "rule": "random"})["lines"] == [None, None]


@pytest.mark.parametrize("rule", ["algorithm-2", "stratified", "el2n"])
def test_what_is_measured_is_what_is_kept(rule):
    request = {"corpus": "one", "rule": rule, "kind": "rate", "real": 0.25, "fake": 0.5}
    found, pool = lab.measures(request), lab_corpora.corpus("one").pool
    picked = rules.choose(pool, rule, Setting.of(request).budget)
    for name, part in (("after", "rows"), ("before", "candidates")):
        rows = np.concatenate([getattr(picked[label], part) for label in Label])
        embeddings, labels = pool.embeddings[rows], pool.labels[rows]
        assert found[name]["nc1"] == pytest.approx(collapse.nc1_variability(embeddings, labels))
        assert found[name]["cdnv"] == pytest.approx(collapse.cdnv(embeddings, labels))
        groups = [pool.generators[row] if pool.labels[row] else "" for row in rows]
        _, numbers = np.unique(groups, return_inverse=True)
        assert found[name]["nc2"] == pytest.approx(collapse.nc2_simplex(embeddings, numbers))
        assert found[name]["groups"] == 5
    assert found["kept"] == {label.word: len(picked[label].rows) for label in Label}
    assert lab.measures(request | {"real": 0.0})["after"] is None


def test_typical_clips_gather_more_tightly():
    found = lab.measures({"corpus": "one", **START})
    assert found["after"]["nc1"] < found["before"]["nc1"]
    assert "clusters" not in found


@pytest.mark.parametrize("handler", [lab.keep, lab.measures])
@pytest.mark.parametrize(
    "change",
    [
        {"corpus": "../tiny"}, {"corpus": None}, {"corpus": ["one"]}, {"rule": "best"}, {"rule": None},
        {"kind": "magic"}, {"real": 2}, {"fake": "x"}, {"real": None}, {"kind": "count", "real": -1},
        {"kind": "distance", "real": -0.1, "fake": 1}, {"seed": -1}, {"seed": 1000}, {"seed": "x"},
        {"corpus": "two", "rule": "el2n"}, {"rule": "moderate", "kind": "distance"},
    ],
)  # fmt: skip
def test_an_impossible_request_is_answered_with_a_sentence(handler, change):
    assert handler({"corpus": "one", **START, **change})["error"]


def test_other_requests_are_answered_too():
    assert "error" in lab.corpus_map({"corpus": "../../etc"})
    assert "error" in lab.corpus_map("one")
    for request in ({}, {"corpora": []}, {"corpora": ["three"]}, {"corpora": ["one"], "settings": 5}):
        assert "error" in lab.database(request)


def test_rules_whose_records_are_missing_are_named():
    assert lab.corpus_map({"corpus": "one"})["missing"] == {}
    missing = lab.corpus_map({"corpus": "two"})["missing"]
    assert list(missing) == ["el2n", "forgetting"]
    assert all("no such records" in reason for reason in missing.values())


def test_only_train_clips_are_on_the_map_each_in_its_class():
    payload, bank = lab.corpus_map({"corpus": "one"}), lab_corpora.corpus("one").bank
    assert payload["count"] == (bank.clips["split"] == "train").sum() == 120
    train = bank.clips[bank.clips["split"] == "train"]
    for word, rows in payload["classes"].items():
        assert plots.unpack(rows).tolist() == np.flatnonzero(train["label"] == word).tolist()
    assert [
        payload["generators"]["words"][code] for code in plots.unpack(payload["generators"]["codes"])
    ] == list(train["generator"])


@pytest.mark.parametrize("rule", ["algorithm-1", "algorithm-2", "random", "stratified", "forgetting"])
def test_the_database_reads_back_as_what_is_kept(tmp_path, rule):
    setting = {"kind": "count", "real": 11, "fake": 21}
    answer = lab.database({"corpora": ["one"], "rule": rule, "seed": 5, "settings": {"one": setting}})
    file = tmp_path / answer["name"]
    file.write_text(answer["text"], "utf-8")
    manifest = Manifest.read(file)
    corpus = lab_corpora.corpus("one")
    picked = rules.choose(corpus.pool, rule, rules.Budget.counts(11, 21), 5)
    for label in Label:
        paths = {corpus.pool.paths[row] for row in picked[label].rows}
        assert {clip.path for clip in manifest if clip.label == label} == paths
    header, *rows = answer["text"].splitlines()
    assert header.endswith("distance,cluster,rule")
    assert {row.rsplit(",", 1)[1] for row in rows} >= {f"{rule} count 21" + " seed 5" * RULES[rule].seeded}
    assert answer["clips"] == 32 and "One 11 real and 21 fake" in answer["told"]


def test_the_merged_database_holds_each_real_recording_once(tmp_path):
    everything = {name: {"kind": "rate", "real": 1.0, "fake": 1.0} for name in lab_corpora.names()}
    answer = lab.database({"corpora": ["one", "two"], "rule": "random", "settings": everything})
    (tmp_path / "all.csv").write_text(answer["text"], "utf-8")
    manifest = Manifest.read(tmp_path / "all.csv")
    assert {clip.corpus for clip in manifest} == {"one", "two"}
    recordings = [clip.recording for clip in manifest if clip.label == Label.REAL and clip.recording]
    assert len(recordings) == len(set(recordings)) == 20
    assert "20 recordings that stand in two collections were left out" in answer["told"]


def test_a_collection_that_was_not_opened_is_sampled_as_at_start():
    answer = lab.database({"corpora": ["two"], "rule": "farthest"})
    assert answer["told"] == "60 clips: Two 30 real and 30 fake."


def test_the_shipped_corpora_open():
    with pytest.MonkeyPatch.context() as patch:
        patch.undo()
        patch.setattr(lab_corpora, "CORPORA", lab_corpora.CHECKPOINTS / "corpora")
        names = lab_corpora.names()
        assert names
        for name in names:
            payload, found = lab.corpus_map({"corpus": name}), lab.keep({"corpus": name, **START})
            assert "error" not in payload and "error" not in found
            assert found["kept"]["real"] == sampling.Threshold(rate=0.5).size(
                np.zeros(found["totals"]["real"])
            )


def test_the_clusters_on_the_map_are_those_of_algorithm_2():
    found = lab.measures({"corpus": "one", **START, "rule": "algorithm-2", "seed": 3})["clusters"]
    pool = lab_corpora.corpus("one").pool
    picked = rules.choose(pool, "algorithm-2", Setting.of(START).budget, 3)[Label.FAKE]
    of = plots.unpack(found["of"])
    assert found["k"] == picked.detail.k == 4
    assert of[picked.rows].tolist() == picked.clusters.tolist()
    assert (of >= 0).sum() == len(picked.candidates)


def points(*centres: float, spread: float = 0.3, count: int = 12):
    rng = np.random.default_rng(0)
    embeddings = np.concatenate([[centre, 0] + spread * rng.normal(size=(count, 2)) for centre in centres])
    names = [f"g{index}" for index in range(len(centres)) for _ in range(count)]
    return embeddings, [f"{index:04}" for index in range(len(names))], names


def overlapping(**changes):
    clusters = find_clusters(*points(0, 5, 10))
    return dataclasses.replace(clusters, **changes).select(Threshold(rate=0.5))


def test_clusters_are_told_in_plain_words():
    apart = overlap.picture(overlapping())
    assert "<b>3 clusters</b>" in apart and "None of them overlap" in apart and "Why 3?" in apart
    assert apart.count("data-cluster=") == 3 and "<b>6</b> of 12" in apart and "g0 (12)" in apart
    two = overlap.picture(overlapping(groups=((0, 2), (1,)), overlap=np.full((3, 3), 0.25)))
    assert "Clusters 1 and 3 overlap" in two and two.count('class="nc-over"') == 6 and "25 %" in two
    assert "All of them overlap" in overlap.picture(overlapping(groups=((0, 1, 2),)))


def test_one_cloud_and_no_fakes_are_told_too():
    one = overlap.picture(find_clusters(*points(0)).select(Threshold(count=3)))
    assert "one cloud" in one and "Which overlap" not in one and "<b>3</b> of 12" in one
    none = overlap.picture(find_clusters(np.zeros((0, 2)), [], []).select(Threshold(count=3)))
    assert "no fakes" in none


def test_names_of_generators_are_escaped():
    embeddings, paths, _ = points(0)
    found = find_clusters(embeddings, paths, ["<script>"] * 12).select(Threshold(count=3))
    assert "<script>" not in overlap.picture(found)
