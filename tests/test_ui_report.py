"""The report on the page: what is offered, what is sent, and what is said where it cannot be made."""

import base64
import dataclasses
import shutil

import pytest

from ncdetect import report as reports
from ncdetect.language import speaking
from ncdetect.ui import check, examples, report
from ncdetect.ui.checked import Checked


@pytest.fixture(scope="module")
def checked():
    return check.show_example(next(iter(examples.examples()))).checked


def test_a_verdict_offers_two_files_and_no_clip_none(checked):
    offer = report.ready(checked)
    assert offer["key"] == checked.key and not offer["answer"]
    assert offer["html"].count("<button") == 2 and 'data-form="pdf"' in offer["html"]
    assert report.ready(None) == report.NOTHING and not report.NOTHING["html"]
    with speaking("de"):
        assert "PDF sichern" in report.ready(checked)["html"]


@pytest.mark.parametrize(("form", "begins"), [("pdf", b"%PDF-"), ("html", b"<!doctype html>")])
def test_the_file_is_sent_whole(checked, form, begins):
    sent = report.make(checked, form)
    data = base64.b64decode(sent["data"])
    assert data.startswith(begins) and sent["key"] == checked.key and sent["answer"]
    assert sent["type"] == reports.MEDIA_TYPES[form]
    assert sent["name"] == report.file_name(checked.name, form)
    assert sent["said"] == f"{-(-len(data) // 1000)} kB, not kept on the server"


def test_the_name_is_plain_whatever_the_clip_was_called():
    assert report.file_name("Łódź 1.wav", "pdf") == "ncdetect-Łódź-1.pdf"
    assert report.file_name('a/../"<b>\u202e.wav', "html") == "ncdetect-b.html"
    assert report.file_name(".wav", "pdf") == "ncdetect-wav.pdf"
    assert report.file_name("---", "pdf") == "ncdetect-report.pdf"
    assert len(report.file_name("x" * 250, "pdf")) == len("ncdetect-.pdf") + report.LARGEST_STEM


def test_a_clip_that_went_is_asked_for_again(checked, tmp_path):
    file = tmp_path / "clip.flac"
    shutil.copy(checked.path, file)
    gone = Checked(str(file), checked.verdict)
    assert report.make(gone, "pdf")["data"]
    file.unlink()
    sent = report.make(gone, "pdf")
    assert not sent["data"] and sent["said"].startswith("The clip was removed here already")


def test_our_own_fault_is_said_to_be_ours(checked, monkeypatch, caplog):
    def fails(*_):
        raise RuntimeError("secret")

    monkeypatch.setattr(reports, "written", fails)
    sent = report.make(checked, "pdf")
    assert not sent["data"] and "Something is wrong here, not with your clip" in sent["said"]
    assert "secret" not in str(sent) and "secret" in caplog.text


def test_nothing_is_made_without_a_clip_or_in_an_unknown_form(checked):
    assert not report.make(None, "pdf")["data"] and not report.make(checked, "exe")["data"]


def test_each_answer_is_another_one(checked):
    one, other = (report.make(dataclasses.replace(checked), "html")["answer"] for _ in range(2))
    assert one != other
