"""The report: what it says, its drawings by hand, and that both files say the same of the same clip."""

import dataclasses
import hashlib
import html
import re
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from fontTools.ttLib import TTFont
from typer.testing import CliRunner

from ncdetect import audio, cli, report, report_fonts, report_html, report_pdf
from ncdetect import report_pictures as pictures
from ncdetect import report_words as words
from ncdetect.audio import QualityWarning
from ncdetect.labels import Label
from ncdetect.language import speaking
from ncdetect.predictor import Window
from ncdetect.report_blocks import HUES, INK, Circle, Drawing, Fact, Facts, Headline, Path, Table, Text, Words
from ncdetect.ui import examples, model

MADE = datetime(2026, 11, 20, 14, 3, 22, tzinfo=UTC)
LIKE = "Of 100 test clips like this, 93 were fake."
RECORD = SimpleNamespace(like=lambda verdict: SimpleNamespace(sentence=LIKE))


@pytest.fixture(scope="module")
def clip():
    return next(clip.file for clip in examples.examples().values() if clip.group == "headline")


@pytest.fixture(scope="module")
def made(clip):
    """Makes the report on a file, with a verdict that may be changed."""
    predictor = model.predictor()
    found = predictor.check(clip)

    def make(file=clip, record=None, time=MADE, **changes):
        return report.report_on(predictor, dataclasses.replace(found, **changes), file, time, record)

    return make


@pytest.fixture
def printed(monkeypatch):
    """Makes the PDF of a report: the file, and the lines that stand in it."""
    lines = []
    line = report_pdf._Writer.line

    def heard(self, text, *args, **options):
        lines.append(self._use(args[0], text))
        line(self, text, *args, **options)

    monkeypatch.setattr(report_pdf._Writer, "line", heard)

    def of(made):
        lines.clear()
        return report.written(made, "pdf"), list(lines)

    return of


def texts(made):
    """Every sentence, name and value of a report."""
    yield from (made.title, made.subtitle, made.time, made.foot)
    for section in made.sections:
        yield section.title
        for block in section.blocks:
            match block:
                case Headline():
                    yield from (block.text, block.sure)
                case Text():
                    yield block.text
                case Facts():
                    yield from (text for fact in block.rows for text in (fact.name, fact.value))
                case Table():
                    yield from (cell for row in (block.head, *block.rows) for cell in row)
                case Drawing():
                    yield from (mark.text for mark in block.marks if hasattr(mark, "text"))


def pages(data):
    return len(re.findall(rb"/Type /Page\b(?!s)", data))


def squeezed(text):
    return re.sub(r"\s", "", text)


def facts(made):
    rows = [row for section in made.sections for block in section.blocks if isinstance(block, Facts)
            for row in block.rows]  # fmt: skip
    return {row.name: row.value for row in rows}


# -- both files


def test_both_files_say_all_of_it_and_the_same_each_time(made, printed, clip):
    found = made(record=RECORD)
    page = report.written(found, "html").decode()
    data, lines = printed(found)
    assert data.startswith(b"%PDF-") and pages(data) == 1
    assert report.written(found, "pdf") == data and report.written(found, "html").decode() == page
    assert report.written(made(time=MADE + timedelta(seconds=1)), "pdf") != data
    seen = html.unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.S))
    for text in texts(found):
        assert squeezed(text) in squeezed(seen), text
        assert squeezed(text) in squeezed("".join(lines)), text
    assert LIKE in seen and "2026-11-20 14:03:22 UTC" in seen and "This is not evidence" in seen
    assert hashlib.sha256(clip.read_bytes()).hexdigest() in page


def test_the_web_page_runs_nothing_and_fetches_nothing(made):
    page = report.written(made(), "html").decode()
    assert "<script" not in page and not re.search(r"https?:|//|@import|\son\w+=", page.split("</style>")[1])
    assert set(re.findall(r"url\((\w+):", page)) == {"data"}
    assert "default-src 'none'" in page and '<html lang="en">' in page


def test_a_name_can_neither_be_markup_nor_hide_anything(made, printed, clip, tmp_path):
    file = tmp_path / "<b>&quot;Łódź 你好 Путινα\u202egpj.wav"
    soundfile.write(file, audio.load(clip).wave, 16_000)
    found = made(file)
    page = report.written(found, "html").decode()
    assert "<b>" not in page and "&lt;b&gt;&amp;quot;Łódź 你好 Путινα[U+202E]gpj.wav" in page
    _, lines = printed(found)
    assert "Report on <b>&quot;Łódź [U+4F60 U+597D] Путινα[U+202E]gpj.wav" in lines


def test_a_long_name_keeps_inside_the_page(made, printed, clip, tmp_path):
    file = tmp_path / f"{'x' * 240}.flac"
    file.write_bytes(clip.read_bytes())
    data, lines = printed(made(file))
    assert file.name in "".join(lines) and pages(data) <= 2
    assert max(len(line) for line in lines if line.startswith("xxx")) < 120


@pytest.mark.parametrize("language", ["en", "de"])
def test_ten_minutes_fill_two_pages_at_most_and_a_short_clip_one(made, printed, language):
    windows = tuple(Window(start, start + 3, True, 1.0, 0.9) for start in np.arange(0, 597, 1.5))
    with speaking(language):
        data, lines = printed(made(windows=windows, duration_s=598.5))
        assert pages(data) == 2 and {"1 / 2", "2 / 2", "8:00"} <= set(lines)
        assert pages(report.written(made(record=RECORD), "pdf")) == 1


def test_in_german_nothing_is_english(made):
    with speaking("de"):
        page = report.written(made(reason="Darum."), "html").decode()
    assert '<html lang="de">' in page and "Ist diese Stimme echt?" in page and "Das ist kein Beweis" in page
    words_of = set(re.findall(r"[a-z]+", re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.S)))
    assert not words_of & {"the", "of", "and", "clip", "clips", "with", "stretches"}


def test_the_fonts_have_the_letters_of_both_languages():
    for family, bold in report_fonts.FILES:
        known = TTFont(report_fonts.file(family, bold)).getBestCmap()
        assert {letter for letter in "aZ09äöüßÄ„“–…→↑%łж" if ord(letter) not in known} == set(), (
            family,
            bold,
        )


# -- what it says


def test_warnings_come_first_and_only_where_there_are_any(made):
    warned = made(warnings=(QualityWarning("quiet", "It is quiet."),))
    assert warned.sections[0].blocks == (Text("It is quiet."),) and warned.sections[0].loud
    assert made().sections[0].title == ""


@pytest.mark.parametrize(
    ("word", "probability", "title", "sure"),
    [
        ("fake", 0.9999, "Likely fake", "99 % fake, if real and fake were equally likely."),
        ("real", 0.0001, "Likely real", "99 % real, if real and fake were equally likely."),
        ("undecided", 0.3, "Undecided", "The classifier alone says 70 % real, if real and fake were equally"),
    ],
)
def test_the_verdict_is_said_with_a_calibrated_per_cent(made, word, probability, title, sure):
    found = made(verdict=word, probability=probability, reason="Because.")
    head, reason, _ = found.sections[0].blocks
    assert (head.word, head.text) == (word, title) and head.sure.startswith(sure)
    assert reason == Text("Because.")


def test_it_says_what_file_it_is_about(made, clip, tmp_path):
    file = tmp_path / "stereo.wav"
    wave = audio.load(clip).wave[:24_000]
    soundfile.write(file, np.stack([wave, wave], 1), 8_000)
    found = facts(made(file, duration_s=3.0))
    assert found["File"] == "stereo.wav" and found["SHA-256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert found["Length"] == "3.00 seconds" and found["Format"].startswith("wav/")
    assert found["Decoded"] == "8,000 Hz, 2 channels; judged as one at 16,000 Hz"
    assert found["Size"] == f"{file.stat().st_size:,} bytes"
    assert found["Weights"] == model.predictor().trained.sha256
    assert found["Thresholds"].startswith(
        f"real up to {100 * model.predictor().config.real_below:.1f} % fake"
    )


def test_the_time_is_told_in_utc_and_must_have_a_zone(made):
    there = MADE.astimezone(timezone(timedelta(hours=5, minutes=30))).replace(microsecond=7)
    assert made(time=there).time == "2026-11-20 14:03:22 UTC"
    with pytest.raises(ValueError, match="has no zone"):
        made(time=MADE.replace(tzinfo=None))


def test_another_checkpoint_is_named_where_the_command_is():
    def command(name):
        return words.small_print(name).blocks[-1].text

    assert command("listener") == "python -m ncdetect check FILE"
    assert command("tiny") == "python -m ncdetect check FILE --checkpoint tiny"


def test_without_a_record_nothing_is_said_of_one(made):
    titles = [set(texts(made(record=record))) for record in (None, RECORD)]
    assert ["Its record with clips like this" in said for said in titles] == [False, True]


# -- drawings


def boxes(drawing, fill):
    """Left, top, right and bottom of the rectangles of a colour."""
    marks = [mark for mark in drawing.marks if isinstance(mark, Path) and mark.fill == fill]
    return [(*mark.points[0], *mark.points[2]) for mark in marks if len(mark.points) == 4]


def test_the_gauge_points_at_the_probability_between_its_thresholds():
    drawing = pictures.gauge(0.9, 0.25, 0.75, width=100)
    (pointer,) = boxes(drawing, INK)
    assert (pointer[0] + pointer[2]) / 2 == pytest.approx(90)
    assert [round(boxes(drawing, HUES[word])[0][0], 2) for word in ("real", "undecided", "fake")] == [
        0.25,
        25.25,
        75.25,
    ]
    assert [mark.text for mark in drawing.marks if hasattr(mark, "text")][-3:] == [
        "25 %",
        "75 %",
        "90 % fake",
    ]


def test_bars_share_one_scale():
    near = pictures.Distance(Label.REAL, 5.0, 2.0, 10.0, "to real", "rank")
    far = pictures.Distance(Label.FAKE, 2.5, 1.0, 4.0, "to fake", "rank")
    drawing = pictures.distance_bars([near, far], width=104)
    # The largest value is 10, and 1.04 of it is 104 mm: 10 mm a unit.
    assert boxes(drawing, HUES["real"])[0][2] == pytest.approx(50)
    assert boxes(drawing, HUES["fake"])[-1][2] == pytest.approx(25)
    frames = [mark.points for mark in drawing.marks if isinstance(mark, Path) and mark.line == INK]
    assert [(frame[0][0], frame[1][0]) for frame in frames] == [
        pytest.approx((20, 100)),
        pytest.approx((10, 40)),
    ]
    assert [mark.text for mark in drawing.marks if getattr(mark, "bold", False)] == [
        "5.00",
        "to fake",
        "2.50",
    ]


def test_known_clips_are_thinned_evenly_and_the_far_ones_left_out():
    assert pictures.thinned(0, 5) == [] and pictures.thinned(3, 5) == [0, 1, 2]
    assert pictures.thinned(9, 5) == [0, 2, 4, 6, 8]
    distances = np.random.default_rng(0).uniform(4, 6, (3000, 2))
    distances[0] = (99, 99)
    rows = pictures.drawn(distances, (5, 5))
    assert 550 < len(rows) <= pictures.MAP_DOTS and 0 not in rows
    assert 0 in pictures.drawn(distances, (100, 100))  # then it is no longer far off
    assert pictures.drawn(np.empty((0, 2)), (5, 5)) == []


def test_the_star_lies_where_the_distances_say():
    known, labels = np.array([[4.0, 8.0], [8.0, 4.0]]), [Label.REAL, Label.FAKE]
    drawing = pictures.exact_map(known, labels, (6.0, 6.0))
    (dot,) = [mark for mark in drawing.marks if isinstance(mark, Circle)]
    star = drawing.marks[-1] if isinstance(drawing.marks[-1], Path) else None
    stars = [mark for mark in drawing.marks if isinstance(mark, Path) and len(mark.points) == 10]
    centre = np.mean(stars[-1].points, axis=0)
    diamonds = [
        mark for mark in drawing.marks if isinstance(mark, Path) and len(mark.points) == 4 and mark.line
    ]
    fake = np.mean(diamonds[-1].points, axis=0)
    # Half way between both, and one scale for both axes.
    np.testing.assert_allclose(centre, (np.array([dot.x, dot.y]) + fake) / 2, atol=1e-6)
    assert fake[0] - dot.x == pytest.approx(fake[1] - dot.y) and star is None
    assert pictures.exact_map(np.empty((0, 2)), [], (6.0, 6.0)).marks


def test_each_stretch_has_its_bar_up_for_fake_and_down_for_real():
    windows = [
        Window(0, 3, True, 1.0, 0.9), Window(3, 6, True, -1.0, 0.25), Window(6, 9, False, None, None),
    ]  # fmt: skip
    drawing = pictures.timeline(windows, 9.0, "told", width=13 + 90)  # 10 mm a second after the words
    (fake,), (real,) = boxes(drawing, HUES["fake"]), boxes(drawing, HUES["real"])
    assert fake == pytest.approx((13.2, 5.5 - 11 * 0.4, 42.8, 5.5))
    # Down from the middle, so its first corner is the lower one.
    assert real == pytest.approx((43.2, 5.5 + 11 * 0.25, 72.8, 5.5))
    said = [mark.text for mark in drawing.marks if hasattr(mark, "text")]
    assert said == ["fake", "real", *(f"0:0{second}" for second in range(10))]


def test_a_bar_across_the_end_of_a_row_goes_on_in_the_next():
    windows = [Window(start, start + 3, True, 1.0, 0.9) for start in np.arange(0, 241.5, 1.5)]
    drawing = pictures.timeline(windows, 243.0, "told")
    rows = {round(bottom, 3) for _, _, _, bottom in boxes(drawing, HUES["fake"])}
    assert len(rows) == 3
    edges = [
        windows[0].start_s,
        *((a.end_s + b.start_s) / 2 for a, b in zip(windows, windows[1:], strict=False)),
    ]
    assert len(boxes(drawing, HUES["fake"])) == len(edges) + sum(edge % 120 != 0 for edge in (120, 240)) + 2


@pytest.mark.parametrize(
    "block",
    [
        *(Text("<i>", kind) for kind in ("body", "small", "title", "code")),
        Headline("fake", "<i>", "<i>"),
        Facts((Fact("<i>", "<i>"), Fact("<i>", "<i>", code=True))),
        Table(("<i>",), (("<i>",),), (1.0,)),
        Drawing(9, 9, (Words(0, 0, "<i>"),), '"<i>'),
    ],
)
def test_html_escapes_every_kind_of_block(block):
    made = report_html._block(block)
    assert "<i>" not in made and "&lt;i&gt;" in made


# -- command line


def test_check_writes_the_report_as_its_ending_says(clip, tmp_path):
    for name, begins in (("out/report.PDF", b"%PDF-"), ("report.html", b"<!doctype html>")):
        found = CliRunner().invoke(cli.app, ["check", str(clip), "--report", str(tmp_path / name)])
        assert found.exit_code == 0 and "if real and fake were equally likely" in found.output
        assert (tmp_path / name).read_bytes().startswith(begins)
    assert sorted(file.name for file in tmp_path.rglob("*.*")) == ["report.PDF", "report.html"]


def test_another_ending_is_refused_before_anything_is_judged(tmp_path):
    with pytest.raises(ValueError, match=r"report\.doc does not end in \.pdf or \.html"):
        report.ending(tmp_path / "report.doc")
    found = CliRunner().invoke(cli.app, ["check", "nowhere.wav", "--report", str(tmp_path / "report.doc")])
    assert isinstance(found.exception, ValueError) and "does not end" in str(found.exception)
