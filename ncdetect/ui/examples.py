"""The example clips of `assets/examples`: their table, and the cards that a visitor clicks."""

import csv
import re
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

from ncdetect.language import say
from ncdetect.wording import language

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "examples"
GROUPS = ("headline", "seen", "hard", "spliced")


@dataclass(frozen=True)
class Example:
    """A row of examples.csv."""

    path: str
    title: str
    label: str
    group: str
    speaker_trained: str
    """yes or no."""
    generator_trained: str
    """yes, no, or - for a real clip."""
    language: str
    text: str
    license: str
    credit: str
    sha256: str

    @property
    def file(self) -> Path:
        """Where it lies."""
        return FOLDER / self.path

    @property
    def said(self) -> str:
        """Its title in the language that is spoken."""
        return _titles().get(self.path, self.title)

    @property
    def fake_span(self) -> tuple[float, float] | None:
        """From where to where a computer speaks, in seconds, where that is only a part of the clip."""
        found = re.search(r"\[fake from ([\d.]+) to ([\d.]+) s", self.text)
        return (float(found[1]), float(found[2])) if found else None

    @property
    def url(self) -> str:
        """Where the page finds it."""
        return f"gradio_api/file={self.file}"


@cache
def examples() -> dict[str, Example]:
    """The clips by path, mixed in an order that gives nothing away; none if the table is not there."""
    file = FOLDER / "examples.csv"
    if not file.is_file():
        return {}
    with file.open(encoding="utf-8", newline="") as stream:
        rows = [
            Example(*(row[name] for name in Example.__dataclass_fields__)) for row in csv.DictReader(stream)
        ]
    return {row.path: row for row in sorted(rows, key=lambda row: row.sha256)}


def _titles() -> dict[str, str]:
    return {
        "headline-real-june-mailbox.flac": say("A woman, missing mailbox (French)"),
        "headline-real-june-number.flac": say("A woman, wrong number (French)"),
        "headline-real-carlo-busy.flac": say("A man, busy operators (Italian)"),
        "headline-real-carlo-hold.flac": say("A man, please hold (Italian)"),
        "headline-fake-piper-joe-mailbox.flac": say("Neural voice, missing mailbox (English)"),
        "headline-fake-piper-joe-busy.flac": say("Neural voice, busy operators (English)"),
        "headline-fake-rhvoice-bdl-number.flac": say("Older computer voice, wrong number (English)"),
        "headline-fake-rhvoice-clb-hold.flac": say("Older computer voice, please hold (English)"),
        "seen-real-allison-number.flac": say("A woman, wrong number (English)"),
        "seen-real-allison-busy.flac": say("A woman, busy operators (Spanish)"),
        "seen-fake-espeak-message.flac": say("Robot voice, leave a message (Spanish)"),
        "seen-fake-flite-closed.flac": say("Older computer voice, closed office (English)"),
        "seen-fake-hibari-message.flac": say("Neural voice, leave a message (English)"),
        "hard-fake-june-number-world.flac": say("Woman's wrong-number prompt, computer-rebuilt (French)"),
        "hard-fake-carlo-hold-world.flac": say("Man's please-hold prompt, computer-rebuilt (Italian)"),
        "hard-fake-carlo-busy-griffin-lim.flac": say(
            "Man's busy-operators prompt, computer-rebuilt (Italian)"
        ),
        "hard-fake-june-mailbox-griffin-lim-mel.flac": say(
            "Woman's mailbox prompt, computer-rebuilt (French)"
        ),
        "spliced-longer-allison-hibari.flac": say("Real speech with computer-made middle (spliced)"),
    }


def truth(example: Example) -> str:
    """What the clip is, told with the verdict."""
    if example.group == "spliced":
        kind = say("a real recording with a computer's sentence in the middle")
    else:
        kind = say("a real recording") if example.label == "real" else say("a computer's voice")
    return f"{kind}: {example.said}"


def trained(example: Example) -> str:
    """Whether speaker and generator were in the training data."""
    words = {"yes": say("in the training data"), "no": say("not in the training data")}
    speaker = say("Speaker: {known}.", known=words.get(example.speaker_trained, say("unknown")))
    if known := words.get(example.generator_trained):
        return f"{speaker} {say('Generator: {known}.', known=known)}"
    return speaker


def cards(group: str) -> str:
    """The buttons of one group, as HTML; they say neither the answer nor anything that gives it away."""
    titles = {
        "headline": (
            say("Try one of these"),
            say("Voices the model has never met: neither speaker nor generator was in its training data."),
        ),
        "seen": (
            say("Familiar voices"),
            say("The speaker was in the training data; these recordings were not."),
        ),
        "hard": (
            say("Harder ones"),
            say("The recordings above have a twin here. New speakers, and easy to get wrong."),
        ),
        "spliced": (say("Half a minute"), say("A longer recording: watch the timeline.")),
    }
    title, note = titles[group]
    buttons = "".join(_card(example) for example in examples().values() if example.group == group)
    return (
        f'<section class="nc-examples" aria-label="{escape(title)}"><h3>{escape(title)}</h3>'
        f'<p class="nc-note">{escape(note)}</p><div class="nc-cards">{buttons}</div></section>'
    )


def _card(example: Example) -> str:
    speaker = say("Known speaker") if example.speaker_trained == "yes" else say("New speaker")
    quote = example.text.split("[")[0].strip()
    quote = quote if len(quote) <= 62 else quote[:60].rsplit(" ", 1)[0].rstrip(",.") + " …"
    return (
        f'<button type="button" class="nc-example" data-clip="{escape(example.path)}" '
        f'data-url="{escape(example.url)}" '
        f'data-truth="{escape(example.label if example.group != "spliced" else "part")}">'
        '<svg class="nc-play" viewBox="0 0 24 24" aria-hidden="true"><path d="M8 5.5v13l11-6.5z"/></svg>'
        f'<span class="nc-quote" lang="{escape(example.language)}">“{escape(quote)}”</span>'
        f'<span class="nc-tag">{escape(language(example.language))} · {speaker}</span>'
        '<span class="nc-answer" hidden></span></button>'
    )
