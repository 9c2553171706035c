"""What the page says in other languages: whole sentences, its own numbers, the document around them."""

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from ncdetect import wording
from ncdetect.audio import AudioError
from ncdetect.language import NAMES, speaking
from ncdetect.rules import RULES
from ncdetect.ui import check, document, examples, page, rule_words, second, shipped, verdict, why
from ncdetect.ui.training_picture import interval, sentence
from test_ui import BANDS, a_verdict


@pytest.mark.parametrize("rule", RULES)
def test_in_english_a_rule_is_called_what_the_library_calls_it(rule):
    words = rule_words.title(rule), rule_words.explanation(rule), rule_words.source(rule)
    assert words == (RULES[rule].title, RULES[rule].explanation, RULES[rule].source)
    with speaking("de"):
        assert rule_words.title(rule) != RULES[rule].title


def test_in_english_an_example_is_called_what_its_table_calls_it():
    for example in examples.examples().values():
        assert example.said == example.title
        with speaking("de"):
            assert example.said != example.title, example.path


def test_a_card_speaks_german_with_german_numbers():
    with speaking("de"):
        card = verdict.card(a_verdict(), BANDS, {"agree": 0.95, "clips": 1200}, None)
        details = verdict.details(a_verdict(), None)
    assert "Wahrscheinlich künstlich" in card and ">5,00<" in card and "An 1.200 zurückgehaltenen" in card
    assert "weiter außen als 93 von 100 bekannten echten Aufnahmen" in card
    assert ">0,50<" in details and "0:03" in details
    assert not re.search(r"\b(the|real|fake|voice)\b", re.sub(r"<[^>]*>", " ", card + details))


def test_refusals_and_rates_speak_german():
    with speaking("de"):
        assert str(AudioError("too_short", 0.12)).startswith(
            "Der Ton dauert 0,12 Sekunden, und mindestens 0,3"
        )
        assert str(AudioError("not_audio", "pdf")).startswith("Das ist ein PDF-Dokument, keine lesbare")
        assert wording.rate(0.243) == "24,3" and wording.rate(0) == "<0,1" and wording.rate(1) == ">99,9"
        assert shipped.interval(0.196, 0.274) == "[19,6; 27,4]"
        assert interval(0.08, 0.17) == "95 %: 8,0 bis 17,0"
        assert why.moment(65.2) == "1:05,2" and why.moment(1.24) == "1,2 s"
        assert second.together("tiny", "fake", "fake") == "Beide sagen: wahrscheinlich künstlich."
    assert str(AudioError("too_short", 0.12)).startswith("The sound lasts 0.12 seconds, and at least 0.3 are")
    assert shipped.interval(0.196, 0.274) == "[19.6, 27.4]" and wording.rate(0.9999) == ">99.9"


def test_a_comparison_of_trainings_speaks_german():
    found = {"speakers": 1, "generators": 9, "difference": [-0.077, -0.12, -0.03]}
    with speaking("de"):
        told = sentence(found, "el2n", False)
    assert "7,7 Punkte niedriger" in told and "\N{MINUS SIGN}12,0 bis \N{MINUS SIGN}3,0 Punkte" in told
    assert "nur 1 Sprecher und 9 Generatoren" in told


def test_what_a_clip_puts_on_the_screen_is_in_the_language_of_its_page():
    example = next(one for one in examples.examples().values() if one.group == "headline")
    with speaking("de"):
        shown = check.show_example(example.path)
        assert shown.checked.verdict.reason in shown.card and "Die Wahrheit:" in shown.card
        assert "diese Aufnahme" in shown.details and shown.details != check.show(example.file).details
        texts = json.dumps(check.known_clips()["texts"]["words"], ensure_ascii=False)
    assert "Sammlung cloned, Trainingsteil" in texts and "collection" not in texts


# -- the document


HTML = '<!doctype html>\n<html\n\tlang="en"\n\tstyle="margin: 0">\n<head><meta charset="utf-8"></head></html>'


def test_the_document_gets_language_title_and_icon():
    made = document.in_language(HTML, "de")
    assert '<html\n\tlang="de"' in made and made.count("<head>") == 1
    assert "<title>ncdetect: Ist diese Stimme echt?</title>" in made
    assert '{ get: () => "de" }' in made and 'rel="icon" href="data:image/svg+xml,' in made
    assert "<title>ncdetect: is this voice real?</title>" in document.in_language(HTML, "en")


def answer(path, kind=b"text/html; charset=utf-8", method="GET"):
    """What the middleware sends for a request that Gradio would answer in two parts."""
    body = HTML.encode()

    async def app(scope, receive, send):
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body[:9], "more_body": True})
        await send({"type": "http.response.body", "body": body[9:]})

    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "path": path, "method": method}
    # In a thread of its own: where browser tests ran before, this one has a running event loop.
    with ThreadPoolExecutor(1) as threads:
        threads.submit(asyncio.run, document.InLanguage(app)(scope, None, send)).result()
    return sent


@pytest.mark.parametrize(
    ("path", "language"), [("/", "en"), ("/de", "de"), ("/de/", "de"), ("/space/de", "de")]
)
def test_each_page_is_served_in_its_language(path, language):
    start, body = answer(path)
    assert f'lang="{language}"' in body["body"].decode()
    assert dict(start["headers"])[b"content-length"] == str(len(body["body"])).encode()


@pytest.mark.parametrize(
    ("path", "kind", "method"),
    [
        ("/gradio_api/info", b"text/html", "GET"),
        ("/", b"application/json", "GET"),
        ("/", b"text/html", "HEAD"),
    ],
)
def test_everything_else_passes_as_it_is(path, kind, method):
    sent = answer(path, kind, method)
    assert b"".join(message.get("body", b"") for message in sent[1:]) == HTML.encode()


def test_the_bar_names_every_language_and_where_one_is():
    for code in NAMES:
        with speaking(code):
            bar = page.bar()
        assert bar.count("hreflang=") == len(NAMES)
        assert re.findall(r'lang="(\w+)" hreflang="\w+" href="[^"]*" aria-current="page"', bar) == [code]
    assert 'href="./"' in bar and 'href="./de"' in bar


def test_the_scripts_know_the_sentences_that_they_say():
    words = json.loads(re.search(r"words: (\{.*\}) \};", page.head())[1])
    assert words["en"] == {} and words["de"]["Train both again"] == "Beide noch einmal trainieren"
    assert words["de"]["this clip"] == "diese Aufnahme"
