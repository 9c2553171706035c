"""The operating point: rather miss a fake, or rather accuse a real voice, and how often that goes wrong.

All positions of the slider travel with the verdict, so that moving it asks the server nothing.
"""

import functools
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from ncdetect.language import number, say
from ncdetect.ui import model
from ncdetect.ui.checked import Checked
from ncdetect.ui.private import Uploads
from ncdetect.ui.verdict import shape
from ncdetect.wording import percent

if TYPE_CHECKING:
    from ncdetect.predictor import Verdict
    from ncdetect.record import Rates, TrackRecord

STEPS, STEP = 20, 0.075
"""To each side so many positions, this far apart in log-odds. Farther out only more becomes undecided."""
OFFSETS = tuple(STEP * step for step in range(-STEPS, STEPS + 1))
NOTHING: dict[str, Any] = {"html": ""}


def ready(checked: Checked | None) -> dict[str, Any]:
    """The panel, and what the clip is called at each position; nothing where there is no clip or no record.

    `sets` has a list for each part of the test, in the order of its buttons: for each position per cent of
    the reals called fake, then undecided, of the fakes called real, then undecided, each with the ends of its
    interval. `clips` are the real and the fake ones of each part.
    """
    record = model.record()
    if checked is None or record is None or not (table := _table(record)):
        return NOTHING
    verdict = checked.verdict
    facts = (verdict.score, verdict.nearest_mean, verdict.novelty)
    words = record.verdicts(*([fact] * len(OFFSETS) for fact in facts), OFFSETS)
    return {
        "html": card(record, verdict, table),
        "offsets": OFFSETS,
        "words": words.tolist(),
        "sets": {part: [_numbers(rates) for rates in swept] for part, swept in table.items()},
        "clips": {part: (swept[0].reals, swept[0].fakes) for part, swept in table.items()},
        "shapes": {word: shape(word) for word in ("real", "fake", "undecided")},
    }


@functools.cache
def _table(record: "TrackRecord") -> "dict[str, list[Rates]]":
    """Rates at each position by part of the test; empty where there is nothing to count."""
    from ncdetect.record import PARTS

    swept = {part: record.sweep(OFFSETS, part) for part in PARTS}
    return {part: rates for part, rates in swept.items() if rates}


def _numbers(rates: "Rates") -> list[int]:
    shares = (
        rates.reals_called_fake, rates.reals_undecided, rates.fakes_called_real, rates.fakes_undecided,
    )  # fmt: skip
    return [round(100 * end) for share in shares for end in share]


def card(record: "TrackRecord", verdict: "Verdict", table: "dict[str, list[Rates]]") -> str:
    """Track record of clips like this one, the slider, and the place of the bars."""
    like, like_means = _like(record, verdict)
    ends = (say("rather miss a fake"), say("as shipped"), say("rather accuse a real voice"))
    slider = say("From rather missing a fake to rather accusing a real voice")
    return (
        f'<section class="nc-card nc-op" aria-label="{escape(say("How often is it wrong?"))}">'
        f'<div class="nc-op-side"><h3>{say("How often is it wrong?")}</h3>{like}'
        f'<div class="nc-op-slide nc-slider"><h4>{say("What if it were more suspicious, or less?")}</h4>'
        f'<div class="nc-op-range"><input type="range" min="{-STEPS}" max="{STEPS}" step="1" value="0" '
        f'aria-label="{escape(slider)}"></div>'
        f'<div class="nc-op-ends">{"".join(f"<span>{end}</span>" for end in ends)}</div>'
        '<p class="nc-note nc-op-means"></p></div>'
        '<div class="nc-op-now"><p class="nc-op-clip" aria-live="polite"></p>'
        f'<button type="button" class="nc-button nc-op-reset" data-reset>{say("Back to as shipped")}</button>'
        "</div></div>"
        f'<div class="nc-op-rates"><div class="nc-choice" role="radiogroup" '
        f'aria-label="{escape(say("Measured on"))}">{_parts(table)}</div>'
        f"{_bar('real')}{_bar('fake')}</div>{_counted(table, like_means)}</section>"
    )


def _like(record: "TrackRecord", verdict: "Verdict") -> tuple[str, str]:
    """What became of the test clips like this one, in each part of the test; and what like this one means."""
    from ncdetect.record import PARTS

    found = [like for part in PARTS if (like := record.like(verdict, part))]
    if not found:
        return "", ""
    low, high = (percent(end) for end in found[0].nearest)
    note = say(
        "Like this one: the same verdict, and {low} to {high} % fake to the classifier. The test clips last "
        "about {seconds} seconds, and about half of them are fake; where fakes are rarer, a fake verdict "
        "deserves more doubt.",
        low=number(low), high=number(high), seconds=number(float(record.rows["duration_s"].median()), ".0f"),
    )  # fmt: skip
    said = " ".join(like.sentence for like in found)
    return f"<p><b>{say('Clips like this one.')}</b> {escape(said)}</p>", note


def _parts(table: "Sequence[str]") -> str:
    names = {"eval": say("Familiar sources"), "wild": say("Unfamiliar sources")}
    return "".join(
        f'<button type="button" role="radio" aria-checked="false" data-value="{part}">{names[part]}</button>'
        for part in table
    )


def _bar(label: str) -> str:
    """A bar of 100, real to the left and fake to the right; the script fills it."""
    words = {
        "real": {"real": say("called real"), "undecided": say("undecided"), "fake": say("called fake")},
        "fake": {"real": say("pass as real"), "undecided": say("undecided"), "fake": say("called fake")},
    }[label]
    segments = "".join(f'<i class="nc-{word}">{shape(word)}<b></b></i>' for word in words)
    keys = "".join(f"<span>{shape(word)}{said} <b></b></span>" for word, said in words.items())
    return (
        f'<div class="nc-op-bar" data-label="{label}"><p class="nc-op-said" aria-live="polite"></p>'
        f'<div class="nc-op-hundred" aria-hidden="true">{segments}</div>'
        f'<div class="nc-legend">{keys}</div><p class="nc-note nc-op-interval"></p></div>'
    )


def _counted(table: "dict[str, list[Rates]]", like_means: str) -> str:
    """The small print: on what clips each part was measured, and by what rule."""
    told = {
        "eval": say(
            "Measured on {reals} real and {fakes} fake clips of the collections that it learned from: other "
            "clips, and voices that it never met.",
            **_counts(table.get("eval")),
        ),
        "wild": say(
            "Measured on {reals} real and {fakes} fake clips from sources that it never learned from: "
            "speeches, film, broadcasts, and generators that it never met.",
            **_counts(table.get("wild")),
        ),
    }
    rule = say(
        "The slider moves the odds of the classifier only: a clip on which the two readings disagree, or "
        "that is unlike anything known, stays undecided."
    )
    intervals = say(
        "An interval says how far a figure may be off for want of clips: it draws whole generators and "
        "speakers anew, and is never narrower than for clips that have nothing in common."
    )
    texts = [like_means, *(told[part] for part in table), rule, intervals]
    return (
        f'<details class="nc-op-counted"><summary>{say("What is counted here?")}</summary>'
        + "".join(f'<p class="nc-note">{text}</p>' for text in texts if text)
        + "</details>"
    )


def _counts(swept: "Sequence[Rates] | None") -> dict[str, str]:
    one = swept[0] if swept else None
    return {"reals": number(one.reals if one else 0, ","), "fakes": number(one.fakes if one else 0, ",")}


def build(checked: gr.State, _: Uploads) -> gr.HTML:
    """Lay out the place of the panel."""
    return gr.HTML(
        NOTHING, html_template="<div></div>", js_on_load="ncdetect.operating(element, props, watch)",
        apply_default_css=False, elem_id="operating",
    )  # fmt: skip
