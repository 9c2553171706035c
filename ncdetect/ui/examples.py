"""The example clips of `assets/examples`: their table, and the cards that a visitor clicks."""

import csv
import re
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

from ncdetect.ui.wording import language

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "examples"
GROUPS = {
    "headline": (
        "Try one of these",
        "Voices the model has never met: neither speaker nor generator was in its training data.",
    ),
    "seen": ("Familiar voices", "The speaker was in the training data; these recordings were not."),
    "hard": ("Harder ones", "The recordings above have a twin here. New speakers, and easy to get wrong."),
    "spliced": ("Half a minute", "A longer recording: watch the timeline."),
}


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


def truth(example: Example) -> str:
    """What the clip is, told with the verdict."""
    kind = "a real recording" if example.label == "real" else "a computer's voice"
    if example.group == "spliced":
        kind = "a real recording with a computer's sentence in the middle"
    return f"{kind}: {example.title}"


def trained(example: Example) -> str:
    """Whether speaker and generator were in the training data."""
    words = {"yes": "in the training data", "no": "not in the training data"}
    speaker = f"Speaker: {words.get(example.speaker_trained, 'unknown')}."
    generator = words.get(example.generator_trained)
    return f"{speaker} Generator: {generator}." if generator else speaker


def cards(group: str) -> str:
    """The buttons of one group, as HTML; they say neither the answer nor anything that gives it away."""
    title, note = GROUPS[group]
    buttons = "".join(_card(example) for example in examples().values() if example.group == group)
    return (
        f'<section class="nc-examples" aria-label="{escape(title)}"><h3>{escape(title)}</h3>'
        f'<p class="nc-note">{escape(note)}</p><div class="nc-cards">{buttons}</div></section>'
    )


def _card(example: Example) -> str:
    speaker = "Known speaker" if example.speaker_trained == "yes" else "New speaker"
    quote = example.text.split("[")[0].strip()
    quote = quote if len(quote) <= 62 else quote[:60].rsplit(" ", 1)[0].rstrip(",.") + " …"
    return (
        f'<button type="button" class="nc-example" data-clip="{escape(example.path)}" '
        f'data-truth="{escape(example.label if example.group != "spliced" else "part")}">'
        '<svg class="nc-play" viewBox="0 0 24 24" aria-hidden="true"><path d="M8 5.5v13l11-6.5z"/></svg>'
        f'<span class="nc-quote" lang="{escape(example.language)}">“{escape(quote)}”</span>'
        f'<span class="nc-tag">{escape(language(example.language))} · {speaker}</span>'
        '<span class="nc-answer" hidden></span></button>'
    )
