import numpy as np
import pytest

from ncdetect.corpora import Manifest
from ncdetect.labels import Label
from ncdetect.ui import lab


def test_the_lab_measures_what_sampling_selects():
    name = lab.corpus_names()[0]
    found = lab.measures({"corpus": name, "kind": "count", "real": 20, "fake": 30})
    assert found["kept"] == {"real": 20, "fake": 30}
    assert found["after"]["nc1"] < found["before"]["nc1"]
    assert lab.measures({"corpus": name, "kind": "rate", "real": 0.0, "fake": 1.0})["after"] is None


@pytest.mark.parametrize(
    "request_",
    [
        {"corpus": "../tiny", "kind": "rate", "real": 1, "fake": 1},
        {"corpus": "none", "kind": "rate", "real": 1, "fake": 1},
        {"kind": "rate"},
        {"corpus": "", "kind": "magic", "real": 1, "fake": 1},
    ],
)
def test_an_impossible_request_is_answered_with_a_sentence(request_):
    assert "error" in lab.measures(request_)


def test_impossible_thresholds_are_refused():
    name = lab.corpus_names()[0]
    for kind, value in (("rate", 2), ("count", -1), ("distance", -0.1), ("rate", "x"), ("rate", None)):
        assert "error" in lab.measures({"corpus": name, "kind": kind, "real": value, "fake": 0.5})


def test_the_database_reads_back_as_a_manifest(tmp_path):
    name = lab.corpus_names()[0]
    setting = {"kind": "rate", "real": 0.25, "fake": 0.5}
    answer = lab.database({"corpus": name, "settings": {name: setting}})
    file = tmp_path / answer["name"]
    file.write_text(answer["text"], "utf-8")
    manifest = Manifest.read(file)
    chosen = lab.corpus(name).select(*lab.thresholds(setting))
    paths = np.array(lab.corpus(name).paths)
    for label in Label:
        kept = {clip.path for clip in manifest if clip.label == label}
        assert kept == set(paths[chosen[label].rows])
    assert {clip.split for clip in manifest} == {"train"} and {clip.corpus for clip in manifest} == {name}
    header, first = answer["text"].splitlines()[:2]
    assert header.endswith("distance,rule") and "algorithm-1 rate" in first


def test_the_merged_database_holds_each_real_recording_once(tmp_path):
    everything = {name: {"kind": "rate", "real": 1.0, "fake": 1.0} for name in lab.corpus_names()}
    answer = lab.database({"corpus": None, "settings": everything})
    file = tmp_path / answer["name"]
    file.write_text(answer["text"], "utf-8")
    manifest = Manifest.read(file)
    assert {clip.corpus for clip in manifest} == set(lab.corpus_names())
    recordings = [clip.recording for clip in manifest if clip.label == Label.REAL and clip.recording]
    assert len(recordings) == len(set(recordings))


def test_only_selectable_train_clips_are_on_the_lab_map():
    name = lab.corpus_names()[0]
    payload = lab.corpus_map(name)
    bank = lab.corpus(name).bank
    assert payload["count"] == (bank.clips["split"] == "train").sum()
    assert "error" in lab.corpus_map("../../etc")
