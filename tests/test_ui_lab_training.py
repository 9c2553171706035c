import re

import pytest

from banks import make_bank
from ncdetect import live
from ncdetect.corpora import Manifest
from ncdetect.labels import Label
from ncdetect.live import Busy, Status
from ncdetect.ui import lab_corpora, lab_training, training_picture

MOST = {"kind": "rate", "real": 0.75, "fake": 0.75}
CHOICE = {"rule": "random", "seed": 3, "settings": {"ant": MOST, "bee": MOST}}
EPOCHS = [
    {"epoch": index, "train_loss": 0.7 / (index + 1), "dev_loss": loss, "dev_eer": 0.3 - 0.1 * index}
    for index, loss in enumerate((0.7, 0.4, 0.5))
]
RESULT = {
    "reals": 30,
    "fakes": 40,
    "speakers": 12,
    "generators": 9,
    "eer": {"chosen": [0.123, 0.08, 0.17], "random": [0.2, 0.15, 0.26]},
    "difference": [-0.077, -0.12, -0.03],
}


@pytest.fixture
def here(made_corpus, tmp_path, monkeypatch):
    """Banks of `ant` and `bee`, whose audio is here, and of `far`, whose audio is not."""
    for seed, name in enumerate(("ant", "bee")):
        make_bank(made_corpus.select(corpus=name), tmp_path / name / "bank.parquet", seed)
    make_bank(made_corpus.select(corpus="ant"), tmp_path / "far" / "bank.parquet")
    monkeypatch.setattr(lab_corpora, "CORPORA", tmp_path)
    monkeypatch.setattr(lab_training, "PRACTICE", made_corpus.root)
    monkeypatch.setenv(lab_training.DATA_VARIABLE, str(tmp_path / "nowhere"))
    return made_corpus


def test_only_what_is_here_can_be_trained_on(here):
    found = lab_training.training_plan({**CHOICE, "corpus": "far", "corpora": ["far"]})
    assert {entry["name"]: entry["here"] for entry in found["collections"]} == {
        "ant": True, "bee": True, "far": False,
    }  # fmt: skip
    assert not found["ready"] and "Far is not on this server" in found["absent"] and found["offer"] == "ant"
    assert "audio of Far is not" in lab_training.training_start({**CHOICE, "corpora": ["far"]})["error"]


def test_audio_that_is_not_whole_is_not_here(here, tmp_path, monkeypatch):
    elsewhere = tmp_path / "data"
    clips = here.select(corpus="ant").clips
    for name, kept in (("missing-file", clips), ("no-eval", [c for c in clips if c.split != "eval"])):
        (elsewhere / name).mkdir(parents=True)
        Manifest(elsewhere / name, tuple(kept)).write(elsewhere / name / "manifest.csv")
        monkeypatch.setattr(lab_training, "PRACTICE", elsewhere / name)
        assert lab_training.audio("ant") is None


def test_the_environment_names_the_audio_of_research_corpora(here, tmp_path, monkeypatch):
    monkeypatch.setattr(lab_training, "PRACTICE", tmp_path / "none")
    assert lab_training.audio("ant") is None
    monkeypatch.setenv(lab_training.DATA_VARIABLE, str(here.root))
    assert len(lab_training.audio("ant")) == 48


@pytest.mark.parametrize("names", [["ant"], ["ant", "bee"]])
def test_both_trainings_have_as_many_clips_of_each_kind(here, names):
    settings = {"ant": {"kind": "count", "real": 9, "fake": 10}}
    task, same = lab_training.make_task({**CHOICE, "rule": "el2n", "corpora": names, "settings": settings})
    counts = [
        {
            (name, label): len(run.select(label=label).select(corpus=name)) if run else 0
            for name in names
            for label in Label
        }
        for run in task.runs.values()
    ]
    assert counts[0] == counts[1] and counts[0]["ant", Label.REAL] == 9 and not same
    entries = lab_corpora.corpus("ant").entries(
        lab_corpora.Setting.of({"rule": "el2n", "seed": 3, **settings["ant"]})
    )
    kept = {clip.path for clip in task.runs["chosen"] if clip.corpus == "ant"}
    assert kept == {entry.clip.path for entry in entries}
    for run in task.runs.values():
        assert {clip.split for clip in run} == {"train"} and all(run.file(clip).is_file() for clip in run)
    assert {clip.split for clip in task.dev} == {"dev"} and {clip.split for clip in task.test} == {"eval"}
    assert {clip.corpus for clip in task.test} == set(names)


def test_clips_of_two_folders_can_be_trained_on_together(here, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    moved = here.select(corpus="bee")
    (other / "bee").symlink_to(here.root / "bee")
    Manifest(other, moved.clips).write(other / "manifest.csv")
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "ant").symlink_to(here.root / "ant")
    Manifest(tmp_path / "first", here.select(corpus="ant").clips).write(tmp_path / "first" / "manifest.csv")
    monkeypatch.setattr(lab_training, "PRACTICE", tmp_path / "first")
    monkeypatch.setenv(lab_training.DATA_VARIABLE, str(other))
    task, _ = lab_training.make_task({**CHOICE, "corpora": ["ant", "bee"], "rule": "farthest"})
    assert {clip.corpus for clip in task.runs["chosen"]} == {"ant", "bee"}
    assert all(run.file(clip).is_file() for run in task.runs.values() for clip in run)


def test_the_plan_says_how_many_clips_and_what_is_too_few(here):
    settings = {"ant": {"kind": "count", "real": 9, "fake": 10}}
    request = {**CHOICE, "corpus": "ant", "corpora": ["ant"], "settings": settings}
    found = lab_training.training_plan(request)
    assert found["ready"] and "Your 9 real and 10 fake clips" in found["told"] and "absent" not in found
    settings["ant"]["fake"] = 3
    found = lab_training.training_plan(request)
    assert not found["ready"] and found["told"] == "keep at least 8 fake clips to train on"
    assert "at least 8 fake" in lab_training.training_start(request)["error"]
    assert not lab_training.training_plan(request | {"corpora": []})["ready"]
    assert "error" in lab_training.training_start({"corpora": ["ant"], "rule": "best"})


def test_keeping_everything_is_known_to_be_the_same_clips(here):
    everything = {"ant": {"kind": "rate", "real": 1, "fake": 1}}
    _, same = lab_training.make_task({**CHOICE, "corpora": ["ant"], "settings": everything})
    assert same


class Stub:
    """In the place of a LiveTraining: does nothing and answers with a status."""

    def __init__(self, status=None, busy=None):
        self.status, self.busy, self.cancelled = status, busy, []

    def start(self, task):
        if self.busy:
            raise self.busy
        self.task = task
        return "name"

    def poll(self, name):
        return self.status if name == "name" else None

    def cancel(self, name):
        self.cancelled.append(name)


@pytest.fixture
def started(here, monkeypatch):
    def start(status):
        stub = Stub(status)
        monkeypatch.setattr(lab_training, "trainer", stub)
        assert lab_training.training_start({**CHOICE, "corpora": ["ant"]}) == {"id": "name"}
        return lab_training.training_poll({"id": "name"})

    return start


def test_a_running_training_tells_how_far_it_is(started):
    assert started(Status())["told"] == "Getting ready …"
    status = Status("running", "chosen", 0.31, 42.4, {"chosen": EPOCHS[:2]})
    found = started(status)
    assert found["told"] == "Your choice: round 3 of 8. About 45 s left." and found["share"] == 0.31
    assert "2 of 8" in found["table"] and "0.40" in found["table"] and "20.0 %" in found["table"]
    assert "waits" in found["table"] and "result" not in found
    status.history = {"chosen": EPOCHS, "random": 8 * EPOCHS[:1]}
    status.run, status.left_s = "random", None
    assert started(status)["told"] == "Blind draw: judging the test clips."


@pytest.mark.parametrize("state", ["cancelled", "abandoned", "late", "failed"])
def test_every_end_is_told(started, state):
    found = started(Status(state, message="/some/path"))
    assert found["told"] == lab_training.ending(state, {}) and "/some/path" not in str(found)


def test_a_finished_training_shows_its_result(started):
    found = started(Status("done", "random", 1.0, 0.0, {"chosen": EPOCHS, "random": EPOCHS}, RESULT))
    assert found["told"] == "Both trainings are done: 18 clips of Ant, rule “Random”."
    assert "30 real and 40 fake" in found["result"] and "12.3 %" in found["result"]
    assert "by chance" in found["result"]  # the rule was random


def test_a_training_that_is_not_known_is_gone(here, monkeypatch):
    monkeypatch.setattr(lab_training, "trainer", Stub(Status()))
    for name in ("other", None, "name' or 1"):
        assert lab_training.training_poll({"id": name})["state"] == "gone"


def test_cancelling_is_passed_on(started):
    started(Status())
    assert lab_training.training_cancel({"id": "name"})["told"] == lab_training.ending("cancelled", {})
    assert lab_training.trainer.cancelled == ["name"]


def test_a_second_visitor_learns_how_long_to_wait(here, monkeypatch):
    request = {**CHOICE, "corpora": ["ant"]}
    monkeypatch.setattr(lab_training, "trainer", Stub(busy=Busy(12.2, 61.0)))
    told = lab_training.training_start(request)["busy"]
    assert "started 15 s ago, about 1 min 5 s left" in told and "try again then" in told
    monkeypatch.setattr(lab_training, "trainer", Stub(busy=Busy(3.0, None)))
    assert "(started 3 s ago)" in lab_training.training_start(request)["busy"]


def test_one_place_for_all_visitors():
    assert isinstance(lab_training.trainer, live.LiveTraining)


@pytest.mark.parametrize(
    ("difference", "rule", "same", "said"),
    [
        ([-0.077, -0.12, -0.03], "el2n", False, "Here your choice did better"),
        ([0.077, 0.03, 0.12], "el2n", False, "Here the blind draw did better"),
        ([0.01, -0.03, 0.05], "el2n", False, "your choice's error rate is 1.0 points higher"),
        ([-0.01, -0.03, 0.05], "el2n", False, "1.0 points lower"),
        ([0.0, 0.0, 0.0], "el2n", False, "No difference"),
        ([-0.077, -0.12, -0.03], "random", False, "are luck"),
        ([0.01, -0.03, 0.05], "el2n", True, "one model twice"),
    ],
)  # fmt: skip
def test_the_sentence_follows_the_numbers(difference, rule, same, said):
    found = training_picture.sentence(RESULT | {"difference": difference}, rule, same)
    assert said in found and "One training of each proves little" in found and "tab Results" in found


def test_few_speakers_or_generators_are_told():
    assert "too few" not in training_picture.sentence(RESULT, "el2n", False)
    found = training_picture.sentence(RESULT | {"speakers": 1}, "el2n", False)
    assert "only 1 speaker and 9 generators, too few" in found


def test_intervals_have_signs():
    found = training_picture.sentence(RESULT, "el2n", False)
    assert "7.7 points" in found and "\N{MINUS SIGN}12.0 to \N{MINUS SIGN}3.0 points" in found


def test_the_chart_draws_every_finite_loss_within_its_frame():
    wild = [*EPOCHS, {"epoch": 3, "train_loss": float("inf"), "dev_loss": 3.2, "dev_eer": 0.5}]
    drawn = training_picture.chart({"chosen": wild, "random": EPOCHS[:1]}, 8)
    paths = dict(re.findall(r'class="nc-line (nc-run-\w+ nc-\w+)" d="M([^"]*)"', drawn))
    assert [len(path.split("L")) for path in paths.values()] == [3, 4, 1, 1]
    assert "inf" not in drawn
    for path in paths.values():
        for point in path.split("L"):
            x, y = map(float, point.split())
            assert 0 <= x <= training_picture.WIDTH and 0 <= y <= training_picture.HEIGHT
    assert "nc-line" not in training_picture.chart({}, 8)


@pytest.mark.parametrize(
    ("value", "text"), [(0.2, "1 s"), (9.4, "9 s"), (11, "15 s"), (60, "1 min"), (61, "1 min 5 s")]
)
def test_times_are_rounded(value, text):
    assert lab_training.seconds(value) == text
