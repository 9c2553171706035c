import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import gradio as gr
import pytest

from ncdetect import wording
from ncdetect.audio import AudioError, QualityWarning
from ncdetect.predictor import Band, Neighbour, Verdict, Window
from ncdetect.service import Busy
from ncdetect.ui import check, examples, lab, model, page, second, verdict
from ncdetect.ui.private import Uploads

ROOT = Path(__file__).resolve().parent.parent
BANDS = {"real": Band(1, 4, 100), "fake": Band(2, 6, 200)}


def test_the_page_judges_by_the_default_of_all_doors():
    from ncdetect.checkpoint import DEFAULT  # the page itself starts without torch

    assert model.NAME == DEFAULT


def a_verdict(**changes) -> Verdict:
    windows = tuple(Window(1.5 * i, 1.5 * i + 3, i != 2, 1.0, None if i == 2 else 0.9) for i in range(4))
    found = Verdict(
        verdict="fake", reason="Because.", reason_code="agree", score=3.0, probability=0.97,
        distance_real=5.0, distance_fake=2.0, percentile_real=0.93, percentile_fake=0.2,
        nearest_mean="fake", agreement=True,
        novelty=0.4, windows=windows,
        neighbours=(Neighbour(0, "a.flac", "cloned", "train", "fake", "<b>evil</b>", "tts", "en", 0.5),),
        warnings=(), maps={"exact": (5.0, 2.0)}, duration_s=7.5, model={},
    )  # fmt: skip
    return dataclasses.replace(found, **changes)


def test_probabilities_are_never_0_or_100():
    assert [wording.percent(p) for p in (0, 0.001, 0.5, 0.9999, 1)] == [1, 1, 50, 99, 99]
    for probability in (0.0, 1.0):
        card = verdict.card(a_verdict(probability=probability), BANDS, None, None)
        assert ">99 %<" in card and "100 %" not in card and ">0 %" not in card


@pytest.mark.parametrize(
    ("probability", "leans", "words"),
    [
        (0.99, "fake", "very confident"),
        (0.1, "real", "fairly confident"),
        (0.52, "fake", "close to a coin toss"),
    ],
)
def test_confidence_in_words(probability, leans, words):
    sure = wording.confidence(a_verdict(probability=probability))
    assert (sure.leans, sure.words) == (leans, words)
    assert sure.percent >= 50


def test_ranks_are_sentences():
    assert wording.rank(0.0, "real", 50) == "nearer than every known real clip"
    assert wording.rank(1.0, "fake", 50) == "farther out than every known fake clip"
    assert wording.rank(0.93, "real", 50) == "farther out than 93 of 100 known real clips"


@pytest.mark.parametrize("facts", [None, {}, "often", {"clips": 3}, {"agree": "x"}, {"agree": float("nan")}])
def test_missing_agreement_is_not_told(facts):
    assert wording.agreement_sentence(facts) == ""


def test_agreement_is_told_from_the_checkpoint():
    facts = {"clips": 1200, "agree": 0.95, "right_when_agreeing": 0.9, "right_when_disagreeing": 0.5}
    told = wording.agreement_sentence(facts)
    assert "1,200 held-out clips" in told and "95 %" in told and "90 %" in told and "50 %" in told
    assert "disagreed" not in wording.agreement_sentence({"agree": 0.9})
    assert wording.accuracy_sentence(facts).endswith("right in 88 of 100 cases.")
    assert wording.accuracy_sentence({"agree": 0.9}) == ""


@pytest.mark.parametrize("word", ["real", "fake", "undecided"])
def test_the_card_says_the_verdict_in_words_and_shape(word):
    card = verdict.card(a_verdict(verdict=word), BANDS, None, None)
    assert wording.headline(word) in card
    assert verdict.shape(word) in card
    assert "if real and fake were equally likely" in card


def test_warnings_come_before_the_details():
    card = verdict.card(a_verdict(warnings=(QualityWarning("short", "Only <1> s."),)), BANDS, None, None)
    assert card.index("Only &lt;1&gt; s.") < card.index("How far from the average voices")


def test_what_clips_say_of_themselves_is_escaped():
    found = a_verdict(reason="<script>alert(1)</script>")
    everything = verdict.card(found, BANDS, None, None) + verdict.details(found, None)
    assert "<script" not in everything and "<b>evil" not in everything and "&lt;b&gt;evil" in everything


def test_two_readings_disagree_in_words():
    card = verdict.card(a_verdict(nearest_mean="real", agreement=False), BANDS, None, None)
    assert "Two readings disagree" in card and "≠ they disagree" in card


def test_timeline_only_for_several_windows_and_with_unjudged_ones():
    assert verdict.timeline(a_verdict(windows=a_verdict().windows[:1])) == ""
    timeline = verdict.timeline(a_verdict())
    assert timeline.count('class="nc-window') == 4
    assert timeline.count("nc-unjudged") == 1
    assert "3 of 3 stretches lean fake; 1 with hardly any sound" in timeline


def test_the_timeline_shows_where_a_spliced_clip_is_fake():
    spliced = next(e for e in examples.examples().values() if e.group == "spliced")
    assert spliced.fake_span == (13.9, 21.0)
    assert "nc-mark" in verdict.timeline(a_verdict(duration_s=30.0), spliced)


def test_example_cards_do_not_give_the_answer_away():
    assert sum(e.group == "headline" for e in examples.examples().values()) >= 6
    for group in examples.GROUPS:
        visible = examples.cards(group)
        for example in examples.examples().values():
            if example.group == group:
                assert example.path in visible and example.file.is_file()
                assert example.title not in visible
                told = verdict.card(a_verdict(), BANDS, None, example)
                assert example.title.split("'")[0] in told and "Speaker: " in told


def test_languages_and_kinds_have_names():
    assert wording.what_it_is("fake", "g", "tts", "ta") == "g, text-to-speech, Tamil"
    assert wording.what_it_is("real", "vctk", "real-read", "xx") == "from vctk, read aloud, xx"
    assert wording.what_it_is("real", "", "", "") == "nothing more is known"


# -- a real clip through the handlers


def example_named(group: str) -> examples.Example:
    return next(e for e in examples.examples().values() if e.group == group)


def test_an_example_gives_verdict_star_and_truth():
    example = example_named("headline")
    shown = check.show_example(example.path)
    found = model.predictor().check(example.file)
    assert wording.headline(found.verdict) in shown.card and "The truth:" in shown.card
    assert shown.star["maps"] == found.maps
    assert "this very clip" in shown.details
    assert check.show_example("../../etc/passwd") == check.nothing()


def test_a_clip_that_cannot_be_judged_is_answered_in_a_sentence(tmp_path):
    garbage = tmp_path / "a.wav"
    garbage.write_bytes(b"no sound at all" * 100)
    with pytest.raises(AudioError) as raised:
        model.predictor().check(garbage)
    shown = check.show(garbage)
    assert str(raised.value) in shown.card
    assert shown.star is None and shown.details == ""


def test_a_fault_of_ours_shows_no_traceback(monkeypatch):
    def broken(_):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(model.predictor(), "check", broken)
    shown = check.show(example_named("headline").file)
    assert check.failed() in shown.card and "secret" not in shown.card


def test_a_full_line_is_told_with_the_place_in_it(monkeypatch):
    def full(_):
        raise Busy(17, 12)

    monkeypatch.setattr(model.service(), "check", full)
    shown = check.show(example_named("headline").file)
    assert "number 17 in the line: try again in 12 seconds" in shown.card and shown.checked is None
    with pytest.raises(gr.Error, match="number 17 in the line"):
        check.check("clip.wav", Uploads(Path("nowhere")))


def test_clips_of_the_page_are_decoded_in_processes_of_their_own():
    assert model.predictor().decode == model.decoders().load
    assert second.predictor("tiny-resnet").decode == model.decoders().load


def test_the_api_answers_with_the_verdict_and_keeps_no_clip(tmp_path):
    uploads = Uploads(tmp_path)
    file = tmp_path / "hash" / "clip.flac"
    file.parent.mkdir()
    data = example_named("headline").file.read_bytes()
    file.write_bytes(data)
    uploads.update([str(file)])
    answer = check.check(str(file), uploads)
    assert json.loads(json.dumps(answer))["verdict"] == model.predictor().check(data).verdict
    assert not file.exists() and not file.parent.exists()

    file.parent.mkdir()
    file.write_bytes(b"garbage")
    uploads.update([str(file)])
    with pytest.raises(gr.Error, match="not a sound file"):
        check.check(str(file), uploads)
    assert not file.exists()


def test_the_map_holds_every_clip_of_the_bank():
    payload = json.loads(json.dumps(check.known_clips()))
    bank = model.predictor().bank
    assert payload["count"] == len(bank)
    assert payload["known"] == bank.known().sum()
    assert set(payload["views"]) == {*bank.maps, "exact"}
    for row, clip in payload["playable"].items():
        assert bank.clips.at[int(row), "path"] == clip["path"]
        assert examples.examples()[clip["path"]].title == clip["title"]


# -- the page as a whole


def test_starting_the_page_imports_nothing_heavy():
    code = (
        "import app, sys; heavy = 'torch sklearn umap openTSNE plotly scipy ray'.split();"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_only_check_is_public(tmp_path):
    demo = page.build(tmp_path)
    public = [
        fn.api_name for fn in demo.fns.values() if fn.api_visibility == "public" and fn.api_name is not False
    ]
    assert public == ["check"]
    assert demo.delete_cache is not None and sum(demo.delete_cache) <= 600
    assert demo.state_session_capacity == page.SESSIONS <= 1000
    assert any(target[1] == "unload" for fn in demo.fns.values() for target in fn.targets)


def test_the_page_names_no_other_host():
    sent = page.head() + page.launch_options()["css"] + check.map_card() + lab.template()
    assert "http://" not in sent and "https://" not in sent
    assert page.plotly_script().is_file()
