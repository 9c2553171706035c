"""Why: the moments that moved the score, to see on the spectrogram and to hear, computed when asked for."""

import logging
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from ncdetect import wording
from ncdetect.language import number, say
from ncdetect.ui import model, why_picture
from ncdetect.ui.checked import Checked
from ncdetect.ui.private import Uploads
from ncdetect.ui.sound import FADE_SAMPLES, packed, pcm
from ncdetect.ui.verdict import shape

if TYPE_CHECKING:
    from ncdetect.deletion import Deletion
    from ncdetect.moments import Moments, Part

log = logging.getLogger(__name__)

LEAST_POINTS = 3
"""Per cent; less is no difference to anybody."""
NOTHING: dict[str, Any] = {"key": "", "state": "ready", "html": ""}


def sounded(word: str) -> str:
    """What a moment sounded like."""
    return say("sounded real") if word == "real" else say("sounded synthetic")


def gone() -> str:
    """Where the clip was removed meanwhile."""
    return say("The clip was removed here already. Bring it once more, and ask again.")


def failed() -> str:
    """Where the fault is ours."""
    return say("This could not be worked out. Something is wrong here, not with your clip.")


def head(part: "Part") -> str:
    """The heading of the explanation, and how it is read."""
    how = say(
        "Colour shows which moments moved the score more than the others. Time runs to the right, pitch "
        "upwards."
    )
    return (
        f'<div class="nc-why-head"><h3>{say("Why: the moments that moved the score")}</h3>'
        f'<div class="nc-legend"><span>{shape("fake")}{say("above the line: towards fake")}</span>'
        f"<span>{shape('real')}{say('below: towards real')}</span></div></div><p>{how}{_which(part)}</p>"
    )


def limits() -> str:
    """How it is found, and what it does not show."""
    return say(
        "How it is found: one stretch of 0.4 s after the other is covered with noise that resembles the "
        "clip, and the model judges again. Noise is strange to it as well, so each moment is compared with "
        "the average one. It shows what moved this model, not what was manipulated: a real voice may sound "
        "synthetic for its room or its line, and a changed second may leave the model cold."
    )


def offer() -> str:
    """The slim card that offers the explanation."""
    note = say(
        "See and hear which moments of this clip moved the score. The model listens again with one stretch "
        "after the other covered: that takes some seconds."
    )
    return (
        f'<section class="nc-card nc-why nc-why-ask nc-ask" aria-label="{say("Why?")}"><div>'
        f'<h3>{say("Why?")}</h3><p class="nc-note">{note}</p></div>'
        f'<button type="button" class="nc-button" data-ask>{say("Show why")}</button></section>'
    )


def ready(checked: Checked | None) -> dict[str, Any]:
    """The offer to explain a clip, and what stands there while that lasts; nothing where there is no clip."""
    if checked is None:
        return NOTHING
    from ncdetect.moments import most_regions, part_of

    part = part_of(checked.verdict)
    buttons = "<i></i>" * most_regions(part.end_s - part.start_s)
    # As large as what comes, so that nothing moves when it is there.
    listening = say("Listening again, with one stretch after the other covered …")
    waiting = (
        f'<section class="nc-card nc-why nc-why-ghost" aria-label="{say("Why?")}" aria-busy="true" '
        f'tabindex="-1" hidden>{head(part)}<div class="nc-why-stage"><div class="nc-why-picture"></div>'
        f'<div class="nc-why-curve"></div></div>{_ends(part)}<div class="nc-why-regions">{buttons}</div>'
        f'<p class="nc-why-check" role="status">{listening}</p>'
        f'<p class="nc-note">{limits()}</p></section>'
    )
    return NOTHING | {"key": checked.key, "html": offer() + waiting}


def explain(checked: Checked | None) -> Iterator[dict[str, Any]]:
    """The picture, and once more with the check of it; or a sentence on what went wrong."""
    from ncdetect import audio, moments

    if checked is None:
        return
    answer = {
        "key": checked.key,
        "state": "shown",
        "html": failure(gone()),
        "check": "",
        "clear": True,
        "sounds": [],
    }
    if not checked.there:
        yield answer
        return
    try:
        predictor = model.predictor()
        wave, part = predictor.decode(checked.path).wave, moments.part_of(checked.verdict)
        detector = predictor.trained.detector
        found = moments.moments_of(detector, wave, part)
        answer |= {"html": card(found, moments.spectrogram(found.wave)), "sounds": sounds(found)}
        yield answer
        if found.regions:
            text, clear = outcome(
                found, moments.check(detector, found), predictor.config.calibration.probability
            )
            yield answer | {"state": "checked", "check": text, "clear": clear}
    except audio.AudioError as error:
        yield answer | {"html": failure(str(error))}
    except Exception:
        log.exception("a verdict could not be explained")
        yield answer | {"html": failure(failed())}


def failure(sentence: str) -> str:
    """A sentence in the place of the explanation."""
    return (
        f'<section class="nc-card nc-why" aria-label="{say("Why?")}" tabindex="-1"><h3>{say("Why?")}</h3>'
        f'<p role="alert">{escape(sentence)}</p></section>'
    )


def card(moments: "Moments", levels: NDArray[np.floating]) -> str:
    """Spectrogram, curve, and the named moments as buttons.

    Args:
        moments: What is shown.
        levels: Spectrogram of the same stretch, see `why_picture`.
    """
    word, part, values = moments.part.towards.word, moments.part, steps(moments)
    named = ", ".join(span_of(region, part) for region in moments.regions) or say("nowhere in particular")
    if word == "fake":
        told = say("What each moment does to the score. Most towards fake: {named}", named=named)
        group = say("Moments that speak most for fake: press to hear")
    else:
        told = say("What each moment does to the score. Most towards real: {named}", named=named)
        group = say("Moments that speak most for real: press to hear")
    marks = "".join(
        f'<div class="nc-why-mark" data-region="{place}" style="{_place(region, moments)}">'
        f"<b>{place + 1}</b><i></i></div>"
        for place, region in enumerate(moments.regions)
    )
    buttons = "".join(
        f'<button type="button" class="nc-why-play nc-{word}" data-region="{place}" aria-pressed="false">'
        f'<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M8 5.5v13l11-6.5z"/></svg><b>{place + 1}</b>'
        f"<span>{span_of(region, part)}: {sounded(word)}</span></button>"
        for place, region in enumerate(moments.regions)
    )
    if moments.regions:
        checking = say("Checking on this clip whether these moments matter more than others …")
        below = (
            f'<div class="nc-why-regions" role="group" aria-label="{group}">{buttons}</div>'
            f'<p class="nc-why-check" aria-live="polite">{checking}</p>'
        )
    else:
        flat = say(
            "<b>Nothing stands out.</b> Whichever moment is covered, the score stays much the same: the "
            "model's impression comes from the clip as a whole."
        )
        below = f'<p class="nc-why-check">{flat}</p>'
    picture = say("Spectrogram: time runs to the right, pitch upwards")
    return (
        f'<section class="nc-card nc-why nc-{word}" aria-label="{say("Why?")}" tabindex="-1">{head(part)}'
        f'<div class="nc-why-stage"><div class="nc-why-picture"><img src="{why_picture.spectrogram(levels)}" '
        f'alt="{picture}">{why_picture.veil(values)}</div>{why_picture.curve(values, told)}{marks}</div>'
        f'{_ends(part)}{below}<p class="nc-note">{limits()}</p></section>'
    )


def outcome(moments: "Moments", test: "Deletion", probability: Any) -> tuple[str, bool]:
    """What the check found, in a sentence of HTML, and whether the named moments stand out.

    Args:
        moments: What was checked.
        test: What it found.
        probability: From logits to the calibrated probability of fake.
    """
    word = moments.part.towards.word
    sign = 1 if word == "fake" else -1

    def says(fall: float) -> int:
        fake = float(probability(moments.part.score - sign * fall))
        return wording.percent(fake if word == "fake" else 1 - fake)

    before, named, others = says(0), says(test.named), says(test.random_mean)
    clear = test.advantage > test.random_sd and others - named >= LEAST_POINTS
    facts = {"named": named, "before": before, "others": others, "word": wording.word(word)}
    whole = say("the clip as a whole") if moments.part.whole else say("the stretch as a whole")
    if len(moments.regions) > 1:
        found = say(
            "<b>Checked on this clip:</b> with these moments covered, the model says {named} % {word} "
            "instead of {before} %; with as much covered elsewhere, {others} %.",
            **facts,
        )
        matter = say("So these moments matter more than the rest.")
        hardly = say(
            "So these moments hardly matter more than others: nothing stands out, and the model's impression "
            "comes from {whole}.",
            whole=whole,
        )
    else:
        found = say(
            "<b>Checked on this clip:</b> with this moment covered, the model says {named} % {word} "
            "instead of {before} %; with as much covered elsewhere, {others} %.",
            **facts,
        )
        matter = say("So this moment matters more than the rest.")
        hardly = say(
            "So this moment hardly matters more than others: nothing stands out, and the model's impression "
            "comes from {whole}.",
            whole=whole,
        )
    return f"{found} {matter if clear else hardly}", clear


def sounds(moments: "Moments", fade: int = FADE_SAMPLES) -> list[str]:
    """The named moments to hear, packed.

    Args:
        moments: What is heard.
        fade: Samples over which each begins and ends.
    """
    from ncdetect.audio import SAMPLE_RATE

    cuts = [
        moments.wave[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)] for start, end in moments.regions
    ]
    return [packed(pcm(cut, fade)) for cut in cuts]


def steps(moments: "Moments", step_s: float = 0.1) -> NDArray[np.float64]:
    """What each short step does to the logit, against the average moment, (L,): positive is towards fake."""
    curve = np.asarray(moments.explanation.curve, np.float64)
    count = max(1, min(len(curve), round(moments.explanation.duration_s / step_s)))
    means = np.array([step.mean() for step in np.array_split(curve - curve.mean(), count)])
    return means if moments.part.towards.word == "fake" else -means


def _place(region: tuple[float, float], moments: "Moments") -> str:
    length = moments.explanation.duration_s
    return f"left:{100 * region[0] / length:.2f}%;width:{100 * (region[1] - region[0]) / length:.2f}%"


def _ends(part: "Part") -> str:
    ends = (part.start_s, (part.start_s + part.end_s) / 2, part.end_s)
    return f'<div class="nc-ends">{"".join(f"<span>{moment(end)}</span>" for end in ends)}</div>'


def _which(part: "Part") -> str:
    if part.whole:
        return ""
    span = wording.time_span(part.start_s, part.end_s)
    if part.towards.word == "fake":
        return " " + say(
            "Explained are {span}, the part of the clip that speaks most for fake; all numbers here are "
            "about this part alone.",
            span=span,
        )
    return " " + say(
        "Explained are {span}, the part of the clip that speaks most for real; all numbers here are about "
        "this part alone.",
        span=span,
    )


def span_of(region: tuple[float, float], part: "Part") -> str:
    """`1.2 to 1.6 s`, in seconds of the clip."""
    start, end = (moment(part.start_s + seconds) for seconds in region)
    return say("{start} to {end}", start=start.removesuffix(" s"), end=end)


def moment(seconds: float) -> str:
    """`1.2 s`, from a minute on `1:05.2`."""
    tenths = round(10 * seconds)
    if tenths < 600:
        return f"{number(tenths / 10, '.1f')} s"
    return f"{tenths // 600}:{number(tenths % 600 / 10, '04.1f')}"


def build(checked: gr.State, _: Uploads) -> gr.HTML:
    """Lay out the place of the explanation."""
    shown = gr.HTML(
        NOTHING, html_template="<div></div>",
        js_on_load="ncdetect.why(element, props, () => trigger('ask'), watch)",
        apply_default_css=False, elem_id="why",
    )  # fmt: skip
    shown.ask(
        explain, checked, shown, api_visibility="private", show_progress="hidden", trigger_mode="multiple",
        concurrency_id="why", concurrency_limit=1,
    )  # fmt: skip
    return shown
