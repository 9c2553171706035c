from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import media
from ncdetect import cli, timeline, timeline_words
from ncdetect.corpora import Clip, Manifest
from ncdetect.findings_words import read_csv
from ncdetect.joined import LongClip
from ncdetect.labels import Label
from ncdetect.metrics import Calibration
from ncdetect.predictor import Window
from ncdetect.timeline import CONSTANTS, IN_USE, MEAN, RULES, Heard, compared, constants_name, share_within

NOW = constants_name(*IN_USE)


def heard(
    *probabilities, whole=None, verdict="undecided", span=None, label=Label.REAL, group="a", voice=True
):
    """A long clip with windows of these probabilities, one each 1.5 s; its score is the logit of each."""
    windows = tuple(
        Window(1.5 * i, 1.5 * i + 3, p is not None, None if p is None else float(np.log(p / (1 - p))), p)
        for i, p in enumerate(probabilities)
    )
    whole = np.mean([p for p in probabilities if p is not None]) if whole is None else whole
    said = SimpleNamespace(windows=windows, probability=whole, verdict=verdict)
    return Heard(LongClip(np.zeros(1, np.float32), label, group, "en", voice, span), said)


def value(rows, measure, choice=""):
    (found,) = (row["value"] for row in rows if (row["measure"], row["choice"]) == (measure, choice))
    return found


def test_the_share_of_a_window_in_a_span_by_hand():
    window = Window(3.0, 6.0, True, 0.0, 0.5)
    spans = {(0, 3): 0, (6, 9): 0, (3, 6): 1, (0, 10): 1, (4.5, 9): 0.5, (0, 4): 1 / 3, (4, 5): 1 / 3}
    for span, share in spans.items():
        assert share_within(window, span) == pytest.approx(share)


def test_rules_by_hand():
    llrs = np.array([3.0, 0.0, 10.0, 1.0, 2.0])
    by_hand = {
        "mean": 3.2,
        "median": 2.0,
        "trimmed mean": 2.0,  # of 0, 1, 2, 3 and 10 the middle three
        "highest third": 6.5,  # two of five
        "log-mean-exp": np.log(np.exp(llrs).mean()),
    }
    assert {name: rule(llrs) for name, rule in RULES.items()} == pytest.approx(by_hand)


@pytest.mark.parametrize("rule", RULES)
def test_a_single_window_decides_by_every_rule(rule):
    assert RULES[rule](np.array([-1.5])) == pytest.approx(-1.5)
    assert RULES[rule](np.full(7, 0.25)) == pytest.approx(0.25)


def a_set(outlier, seed=0, count=40):
    """Windows of clips of both classes; one of each clip is off by `outlier`, to either side."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], count)
    llrs = [rng.normal(3 * label - 1.5, 1.5, 9) for label in labels]
    for windows in llrs:
        windows[rng.integers(9)] += outlier * rng.choice([-1, 1])
    return llrs, labels, [str(i) for i in range(2 * count)]


def test_a_rule_that_is_clearly_better_is_chosen():
    rows = compared(*a_set(outlier=15))
    assert timeline.chosen(rows) in ("median", "trimmed mean")
    assert value(rows, "cllr_difference", "median") == pytest.approx(
        value(rows, "cllr", "median") - value(rows, "cllr", MEAN), abs=2e-4
    )
    assert value(rows, "eer_difference", "median") < 0


def test_the_mean_stays_where_nothing_is_clearly_better():
    assert timeline.chosen(compared(*a_set(outlier=0))) == MEAN
    # Clips of a single window: all rules are one, and differ by nothing.
    llrs, labels, groups = a_set(outlier=0)
    rows = compared([windows[:1] for windows in llrs], labels, groups)
    differences = [row for row in rows if row["measure"].endswith("_difference")]
    assert len(differences) == 2 * (len(RULES) - 1)
    assert all(row["value"] == row["low"] == row["high"] == 0 for row in differences)
    assert timeline.chosen(rows) == MEAN


def test_what_the_timeline_finds_by_hand():
    # Windows 0-3, 1.5-4.5, ... 9-12 s; the fake is from 4.5 to 9 s: 4.5-7.5 and 6-9 lie in it, 3-6 and
    # 7.5-10.5 half of each.
    span = (4.5, 9.0)
    right = heard(0.1, 0.2, 0.3, 0.6, 0.9, 0.4, 0.1, span=span)
    half = heard(0.1, 0.2, 0.9, 0.6, 0.5, 0.4, 0.1, span=span)
    wrong = heard(0.9, 0.2, 0.3, 0.6, 0.5, 0.4, 0.1, span=span, group="b")
    rows = timeline.found([right, half, wrong])
    assert value(rows, "found") == pytest.approx(2 / 3, abs=1e-4)
    assert value(rows, "found_by_chance") == pytest.approx(4 / 7, abs=1e-4)
    # Inside 0.6 and 0.9 (right), 0.6 and 0.5 (half and wrong): only the 0.9 outside of `wrong` is above.
    outside = [0.1, 0.2, 0.1] * 2 + [0.9, 0.2, 0.1]
    inside = [0.6, 0.9, 0.6, 0.5, 0.6, 0.5]
    labels = np.repeat([0, 1], [len(outside), len(inside)])
    assert value(rows, "window_eer") == pytest.approx(
        timeline.metrics.eer_roc(outside + inside, labels), abs=1e-4
    )
    low, high = next((row["low"], row["high"]) for row in rows if row["measure"] == "found")
    assert low == 0 and high == 1  # one of the two speakers was found, the other was not


def test_windows_that_were_not_judged_have_no_part():
    silent = heard(None, None, 0.2, None, span=(0.0, 3.0))
    assert silent.within() == pytest.approx([0]) and len(silent.scores()) == 1
    assert len(silent.judged) == 1


def test_the_warning_by_hand():
    span = (4.5, 9.0)
    told = heard(0.1, 0.1, 0.1, 0.9, 0.9, 0.1, 0.1, span=span, verdict="real")
    elsewhere = heard(0.9, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1, span=(7.5, 12.0), verdict="real")
    silent = heard(0.1, 0.1, 0.1, 0.9, 0.1, 0.1, 0.1, span=span, verdict="real")
    undecided = heard(0.1, 0.1, 0.1, 0.8, 0.8, 0.1, 0.1, span=span)
    # Called fake as a whole: the warning speaks of the real part, and does not name the fake one.
    other_way = heard(0.1, 0.1, 0.9, 0.9, 0.9, 0.9, 0.9, span=span, verdict="fake")
    whole = [
        heard(0.1, 0.9, 0.9, 0.1, 0.1), heard(0.1, 0.1), heard(0.2, 0.2), heard(0.3),
        heard(0.9, 0.9, 0.9, label=Label.FAKE), heard(0.9, 0.9, 0.9, 0.1, 0.1, label=Label.FAKE),
    ]  # fmt: skip
    rows = timeline.warned(whole, [told, elsewhere, silent, undecided, other_way], 2, 0.85)
    assert value(rows, "told", "2 at 0.85") == pytest.approx(1 / 5)
    assert value(rows, "unnoticed", "2 at 0.85") == pytest.approx(2 / 5)  # `elsewhere` and `silent`
    assert value(rows, "false_alarm_real", "2 at 0.85") == pytest.approx(1 / 4)
    assert value(rows, "false_alarm_fake", "2 at 0.85") == pytest.approx(1 / 2)
    rows = timeline.warned(whole, [told, elsewhere, silent, undecided, other_way], 1, 0.8)
    assert value(rows, "told", "1 at 0.8") == pytest.approx(3 / 5)
    assert value(rows, "unnoticed", "1 at 0.8") == pytest.approx(1 / 5)


def measured(name, before=()):
    rng = np.random.default_rng(0)
    clips = []
    for label in Label:
        for index in range(12):
            probabilities = np.clip(rng.normal(0.3 + 0.4 * label, 0.2, 8), 0.02, 0.98)
            clips.append(heard(*probabilities, label=label, group=f"{label.word} {index}", voice=index < 6,
                               verdict=("real", "fake")[label] if index else "undecided"))  # fmt: skip
    spliced = [heard(*rng.uniform(0.1, 0.6, 8), span=(3.0, 7.5), group=f"real {i}") for i in range(6)]
    return [{"set": name} | row for row in timeline.measured([*clips, *spliced], Calibration(), name, before)]


def test_choices_are_made_on_dev_only():
    dev = measured("dev")
    assert {row["choice"] for row in dev if row["measure"] == "eer"} == set(RULES)
    assert {row["choice"] for row in dev if row["measure"] == "told"} == {
        constants_name(*c) for c in CONSTANTS
    }
    assert {(row["reals"], row["fakes"], row["spliced"]) for row in dev} == {(12, 12, 6)}
    elsewhere = measured("eval", dev)
    assert {row["choice"] for row in elsewhere} == {MEAN, "", NOW}
    assert value(elsewhere, "decided", MEAN) == pytest.approx(11 / 12, abs=1e-4)
    assert value(elsewhere, "accuracy", MEAN) == 1
    assert value(elsewhere, "eer_one_voice", MEAN) <= 0.5
    better = [
        {"measure": "cllr_difference", "choice": "median", "value": -0.2, "high": -0.1},
        {"measure": "cllr_difference", "choice": "trimmed mean", "value": -0.3, "high": 0.1},
    ]
    assert {row["choice"] for row in measured("eval", better) if row["measure"] == "eer"} == {MEAN, "median"}


def words(rows, **changes):
    """The Markdown of rows, some figures replaced, by measure and choice."""
    for row in rows:
        row["value"] = changes.get(f"{row['measure']} {row['choice']}".strip(), row["value"])
    return timeline_words.markdown(rows, "command")


def test_sentences_are_made_of_the_figures():
    rows = [*measured("dev"), *measured("eval"), *measured("wild")]
    text = timeline_words.markdown(rows, "python -m ncdetect joined --data DATA --checkpoint x")
    lines = text.splitlines()
    assert lines[0] == "Made by `python -m ncdetect joined --data DATA --checkpoint x`."
    assert (
        lines[2] == "**A clip's score is the mean of its windows': on dev nothing else is clearly better.**"
    )
    assert "in the wild" in text and "on new clips of the training collections" in text
    assert "nan" not in text and "None" not in text and "> " not in text
    assert f"| {NOW} (in use) |" in text and "| *clips, real + fake, spliced* | *12 + 12, 6* |" in text
    tables = [
        [line.count("|") for line in block.splitlines()] for block in text.split("\n\n") if "|" in block
    ]
    assert len(tables) == 3 and all(len(set(counts)) == 1 for counts in tables)
    for line in lines:
        if line.startswith("- "):
            assert line.endswith(".") and len(line) < 260


def test_a_better_rule_and_better_constants_are_told_of():
    rows = [*measured("dev"), *measured("eval")]
    for row in rows:
        if row["choice"] == "median" and row["measure"] == "cllr_difference":
            row |= {"value": -0.125, "low": -0.2, "high": -0.05}
        if row["measure"].startswith("false_alarm"):
            row["value"] = 0.01 if row["choice"] in (NOW, "3 at 0.7") else 0.3
        if row["measure"] == "told":
            row["value"] = {NOW: 0.2, "3 at 0.7": 0.4}.get(row["choice"], 0.9)
    text = timeline_words.markdown(rows, "x")
    assert "on dev the median is better, by 0.125 bits" in text
    assert (
        "finds most with 3 at 0.7 (windows in a row, probability): 40.0 %" in text
        and "against 20.0 %" in text
    )
    assert "No other constants" in words(rows, **{"told 3 at 0.7": 0.1})
    none_kept = {
        f"false_alarm_{word} {constants_name(*pair)}": 0.3 for pair in CONSTANTS for word in ("real", "fake")
    }
    assert "With none of the constants" in words(rows, **none_kept)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """For each set 6 clips of one speaker and 6 of one generator, which whistles; train is only listed."""
    root = tmp_path_factory.mktemp("spoken")
    clips = []
    for corpus, split in (("ant", "train"), ("ant", "dev"), ("ant", "eval"), ("wild", "eval")):
        for label in Label:
            for index in range(6):
                path = f"{corpus}-{split}-{label.word}-{index}.flac"
                who = {"generator": "gen0"} if label == Label.FAKE else {"speaker": f"{corpus}-{split}"}
                clips.append(Clip(path, label, corpus, split, **who))
                if split != "train":
                    wave = media.speech_like(3.0, seed=len(clips))
                    whistle = media.tone(16_000, 3.0, 5000, 0.05) if label == Label.FAKE else 0
                    soundfile.write(root / path, np.clip(wave + whistle, -1, 1), 16_000)
    manifest = Manifest(root, tuple(clips))
    manifest.write(root / "manifest.csv")
    return manifest


def test_the_command_writes_its_table(corpora, made_checkpoint, tmp_path):
    arguments = [
        "joined",
        "--data",
        corpora.root,
        "--checkpoint",
        made_checkpoint,
        "--results",
        tmp_path / "out",
    ]
    result = CliRunner().invoke(cli.app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    assert result.output.split() == [str(tmp_path / "out" / name) for name in ("joined.csv", "joined.md")]
    rows = read_csv(tmp_path / "out" / "joined.csv")
    assert list(dict.fromkeys(row["set"] for row in rows)) == ["dev", "eval", "wild"]
    assert {"measure", "choice", "value", "low", "high", "reals", "fakes", "spliced"} <= set(rows[0])
    for row in rows:
        assert row["measure"].startswith("cllr") or 0 <= abs(row["value"]) <= 1
        assert row["reals"] >= 2 and row["fakes"] >= 2 and row["spliced"] == row["reals"]
    # Whistles and none are easily told apart.
    assert value([row for row in rows if row["set"] == "wild"], "eer", MEAN) < 0.5
    first = (tmp_path / "out" / "joined.md").read_text().splitlines()[0]
    assert first == f"Made by `python -m ncdetect joined --data DATA --checkpoint {made_checkpoint}`."


def test_what_cannot_be_joined_is_told(corpora):
    few = Manifest(
        corpora.root, tuple(clip for clip in corpora if clip.split != "dev" or "0" in clip.path[-8:])
    )
    with pytest.raises(ValueError, match="the 2 clips of dev cannot be joined to 10 s"):
        timeline.study(None, few)
    with pytest.raises(ValueError, match="no corpus there has train and dev"):
        timeline.study(None, Manifest(corpora.root, tuple(c for c in corpora if c.split == "eval")))
