"""Presenter mode, `?present` in the address: large type, what to say, the clips at hand. Escape ends it."""

from dataclasses import dataclass
from html import escape

import gradio as gr

from ncdetect.language import say
from ncdetect.ui import examples

REAL, FAKE = "headline-real-june-mailbox.flac", "headline-fake-rhvoice-bdl-number.flac"
SPLICED = "spliced-longer-allison-hibari.flac"
MOST_CLIPS = 9
"""As many as there are keys from 1 to 9."""


@dataclass(frozen=True)
class Point:
    """One thing to say, and what is on the screen meanwhile."""

    key: str
    says: str
    at: str = ""
    """Selector of what it is about, brought into sight; the top of the page where there is none."""
    tab: str = "check"
    """By the module that lays it out."""
    clip: str = ""
    """The example that it runs."""


def talk() -> tuple[Point, ...]:
    """The talk from beginning to end; the captions of the film as well."""
    return (
        Point(
            "open", say("Is this voice real? Play a clip, and see in a second what a computer makes of it.")
        ),
        Point(
            "real",
            say("A speaker whom the model has never met: likely real. And it says how sure it is."),
            "#verdict",
            clip=REAL,
        ),
        Point(
            "fake",
            say("A computer's voice that was never in the training either: likely fake."),
            "#verdict",
            clip=FAKE,
        ),
        Point(
            "bars",
            say("It shows why: how far this clip lies from the average real and the average fake voice."),
            "#verdict .nc-distances",
        ),
        Point("map", say("Each point is a known clip, the star is this one. The map is a sketch."), "#map"),
        Point("exact", say("“Exact” is no sketch: the true distances to both average voices."), "#map"),
        Point(
            "why",
            say("Why? Hear the moments that moved the score. They are put to the test as well."),
            "#why",
        ),
        Point(
            "probe",
            say("Does it hold? The same clip over the phone, as MP3, with noise, in a room."),
            "#probe",
        ),
        Point(
            "report",
            say("To take along: a report that prints on one page, with the limits on it."),
            "#report",
        ),
        Point(
            "spliced",
            say("Half a minute: as a whole it passes as real. The timeline shows the computer's sentence."),
            "#details",
            clip=SPLICED,
        ),
        Point(
            "own",
            say("A clip of your own, removed when you leave. Where the model is unsure, it says undecided."),
            "#clip",
        ),
        Point(
            "lab",
            say("The Sampling lab: how few clips does a model need, and which ones?"),
            "#lab .nc-lab-grid",
            "lab",
        ),
        Point(
            "inside",
            say("Inside the model: while it learns, the voices gather in two camps."),
            "#inside",
            "inside",
        ),
        Point("quiz", say("Can you hear it yourself? You against the model, blind."), "#quiz", "quiz"),
        Point("limits", say("It can be wrong. Take it as a hint, never as evidence.")),
    )


def clips() -> tuple[examples.Example, ...]:
    """What the keys from 1 on run: first the clips of the talk in its order, then others at hand."""
    table = examples.examples()
    first = [table[point.clip] for point in talk() if point.clip in table]
    others = [clip for clip in table.values() if clip.group == "headline" and clip not in first]
    return tuple(first + others)[:MOST_CLIPS]


def bar() -> str:
    """What stands at the foot of the page; `present.js` shows it. It does not say which clip is a fake."""
    points = "".join(
        f'<li hidden data-at="{escape(point.at)}" data-tab="{point.tab}" data-run="{escape(point.clip)}">'
        f"{escape(point.says)}</li>"
        for point in talk()
    )
    runs = "".join(
        f'<button type="button" data-run="{escape(clip.path)}" aria-keyshortcuts="{key}" '
        f'title="{escape(clip.text.split("[")[0].strip())}"><kbd>{key}</kbd>'
        f'<span lang="{escape(clip.language)}">{escape(_opening(clip.text))}</span></button>'
        for key, clip in enumerate(clips(), 1)
    )
    return (
        f'<section class="nc-present" aria-label="{say("Presenter mode")}" hidden>'
        f'<ol class="nc-present-talk" aria-live="polite">{points}</ol>'
        '<div class="nc-present-turn"><button type="button" data-end aria-keyshortcuts="Escape">'
        f'{say("End")} <kbd>Esc</kbd></button><button type="button" data-turn="-1" aria-keyshortcuts="B">'
        f'{say("Back")} <kbd>B</kbd></button><span class="nc-present-place"></span>'
        f'<button type="button" class="nc-button" data-turn="1" aria-keyshortcuts="N">{say("Next")} '
        '<kbd>N</kbd></button></div><div class="nc-present-low"><div class="nc-present-clips" role="group" '
        f'aria-label="{say("Clips at hand")}">{runs}</div>'
        f"<p>{say('A hint, not evidence.')}</p></div></section>"
    )


def _opening(text: str, letters: int = 18) -> str:
    """The first words of a text, whole, as many as fit."""
    return (text if len(text) <= letters else text[: letters + 1].rsplit(" ", 1)[0]).rstrip(",.")


def build() -> None:
    """Lay it out, unseen until the address asks for it."""
    gr.HTML(bar(), js_on_load="ncdetect.present(element)", apply_default_css=False, elem_id="present")
