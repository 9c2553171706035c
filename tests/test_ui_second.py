import json
import threading
from dataclasses import replace

import pytest

from ncdetect.predictor import Predictor
from ncdetect.tables import write_csv
from ncdetect.ui import check, compared, examples, model, page, second
from ncdetect.ui.checked import Checked
from test_ui import a_verdict

OTHER = "tiny"


def judged(clip, word="fake"):
    """What the page holds of a clip."""
    return Checked(str(clip), replace(a_verdict(), verdict=word))


@pytest.fixture
def clip():
    return next(one for one in examples.examples().values() if one.group == "headline").file


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Checkpoints of which nothing but the config can be read."""
    monkeypatch.setattr(model, "CHECKPOINTS", tmp_path)

    def make(name, config, files=second.FILES):
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_text(json.dumps(config) if file == "config.json" else "")

    return make


def test_every_other_model_is_offered_in_plain_words(folder):
    facts = {"reals": 1000, "fakes": 234, "rule": "algorithm-1-0.5"}
    folder("listener", {"model": "listener"})
    folder("nc", {"model": "tiny-resnet", "training": facts})
    folder("all", {"model": "small-listener", "training": facts | {"rule": "damaged"}})
    folder("new", {"model": "<made up>"})
    folder("adopted", {"model": "hub:somebody/detector"})
    folder("corpora", {"model": "resnet18b"}, ("config.json",))  # a bank without weights
    folder("broken", ["model"])
    assert second.others() == {
        "all": "one small speech encoder, and a network that reads it, trained on 1,234 clips",
        "nc": "a small network that looks at the spectrogram, trained on 1,234 clips chosen by the rule "
        "“Nearest to the class mean”",
        "new": "a network called <made up>",
        "adopted": "somebody/detector, as its authors trained it",
    }


def test_what_ships_can_be_asked():
    assert OTHER in second.others() and model.NAME not in second.others()


@pytest.mark.parametrize(
    ("word", "first", "sentence"),
    [
        ("fake", "fake", "Both say: likely fake."),
        ("real", "real", "Both say: likely real."),
        ("undecided", "undecided", "Both are undecided."),
        ("real", "fake", "They disagree: Listener says likely fake, Tiny says likely real. "
         "Then trust neither without a better reason."),
        ("undecided", "fake", "Only one of them decides: Listener says likely fake, Tiny is undecided."),
        ("real", "undecided", "Only one of them decides: Listener is undecided, Tiny says likely real."),
    ],
)  # fmt: skip
def test_agreement_in_one_sentence(word, first, sentence):
    assert second.together(OTHER, word, first) == sentence
    html = second.card(OTHER, a_verdict(verdict=word), first)
    assert sentence in html and f'data-state="{"agree" if word == first else "disagree"}"' in html


def test_the_answer_is_the_other_models_own(clip):
    found = Predictor.from_pretrained(OTHER).check(clip)
    html = second.answer(OTHER, judged(clip, "undecided"))
    assert html == second.card(OTHER, found, "undecided")
    assert found.reason in html and f'data-verdict="{found.verdict}"' in html
    assert found.model["name"] == OTHER


def test_measured_rates_are_told_where_they_are_known(tmp_path, monkeypatch):
    monkeypatch.setattr(compared, "FILE", tmp_path / "compare.csv")
    assert "Measured" not in second.card(OTHER, a_verdict(), "fake")
    rates = {"set": "all", "generator": "", "eer": 0.2, "eer_low": 0.1, "eer_high": 0.3}
    write_csv([{"system": name, **rates} for name in (OTHER, "x")], compared.FILE)
    html = second.card(OTHER, a_verdict(), "fake")
    assert "Tiny: 20.0 % [10.0, 30.0] on new clips" in html and "Listener: 20.0" not in html


def test_nobody_is_asked_without_being_chosen(clip):
    asked = judged(clip)
    for name in (None, "", model.NAME, "../tiny", "corpora"):
        assert second.answer(name, asked) == ""


def test_without_a_clip_the_answer_says_what_to_do(tmp_path):
    assert second.no_clip() in second.answer(OTHER, None)
    gone = second.answer(OTHER, judged(tmp_path / "gone.wav"))
    assert second.gone() in gone and "gone.wav" not in gone


def test_what_goes_wrong_is_a_sentence(tmp_path, clip, monkeypatch):
    garbage = tmp_path / "a.wav"
    garbage.write_bytes(b"garbage" * 100)
    assert "not a sound file" in second.answer(OTHER, judged(garbage))

    def broken(_):
        raise RuntimeError("<secret>")

    monkeypatch.setattr(second, "predictor", broken)
    answer = second.answer(OTHER, judged(clip))
    assert second.failed() in answer and "secret" not in answer


def test_texts_of_a_verdict_are_escaped():
    html = second.card(OTHER, replace(a_verdict(), reason="<script>"), "fake")
    assert "<script" not in html and "&lt;script&gt;" in html


def test_the_pages_own_model_never_waits_for_another(monkeypatch, clip):
    model.predictor()
    loading, go_on = threading.Event(), threading.Event()

    def slow(name):
        loading.set()
        go_on.wait(30)
        return model.predictor()

    monkeypatch.setattr(second, "_load", slow)
    asking = threading.Thread(target=second.answer, args=(OTHER, judged(clip)))
    asking.start()
    assert loading.wait(30)
    answered = threading.Event()
    checking = threading.Thread(target=lambda: (model.predictor(), answered.set()))
    checking.start()
    assert answered.wait(10)
    go_on.set()
    asking.join(60)
    checking.join(60)


def test_a_clip_that_was_judged_can_be_asked_about(clip, tmp_path):
    shown = check.show(clip)
    found, expected = shown.checked.verdict, model.predictor().check(clip)
    assert shown.checked.path == str(clip) and found.verdict == expected.verdict
    assert found.score == pytest.approx(expected.score)  # judged in another thread, on more or fewer cores
    assert check.nothing().checked is None
    garbage = tmp_path / "a.wav"
    garbage.write_bytes(b"garbage" * 100)
    assert check.show(garbage).checked is None


def test_the_select_is_on_the_page_and_hidden_without_others(tmp_path, monkeypatch):
    def column():
        demo = page.build(tmp_path)
        return next(block for block in demo.blocks.values() if getattr(block, "elem_id", None) == "second")

    assert column().visible
    monkeypatch.setattr(second, "others", lambda: {})
    assert not column().visible
