"""Does the verdict hold? The clip again as over a phone line, as MP3, with noise, and cut, when asked for."""

import io
import logging
import wave as wav
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from ncdetect import wording
from ncdetect.language import say
from ncdetect.ui import model, probe_words
from ncdetect.ui.checked import Checked
from ncdetect.ui.private import Uploads
from ncdetect.ui.sound import FADE_SAMPLES, packed, pcm
from ncdetect.ui.verdict import shape

if TYPE_CHECKING:
    from ncdetect.probe import Probed

log = logging.getLogger(__name__)

HEARD_S = 2.7
"""So much of a clip can be heard after each damage: eight of them stay below 1 MB."""
PLAY = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M8 5.5v13l11-6.5z"/></svg>'
NOTHING: dict[str, Any] = {"key": "", "state": "ready", "html": "", "rows": {}, "sounds": {}, "end": ""}


def ready(checked: Checked | None) -> dict[str, Any]:
    """The offer to try, and the rows as they stand before they are filled; nothing where there is no clip."""
    if checked is None:
        return NOTHING
    title = say("Does the verdict hold?")
    told = say(
        "Hear the clip as over a phone line, as an MP3, with noise or cut in half, and see what the model "
        "says then. That takes some seconds."
    )
    offer = (
        f'<section class="nc-card nc-probe-ask" aria-label="{title}"><div><h3>{title}</h3>'
        f'<p class="nc-note">{told}</p></div>'
        f'<button type="button" class="nc-button" data-ask>{say("Put it to the test")}</button></section>'
    )
    return NOTHING | {"key": checked.key, "html": offer + card(checked)}


def card(checked: Checked) -> str:
    """The rows before they are filled: as large as they will be, so that nothing moves."""
    title = say("Does the verdict hold?")
    rows = "".join(
        f'<li class="nc-probe-row nc-probe-wait{_short(name)}" data-damage="{escape(name)}">{_what(name)}'
        "</li>"
        for name in probe_words.titles()
    )
    return (
        f'<section class="nc-card nc-probe" aria-label="{title}" aria-busy="true" tabindex="-1" hidden>'
        f'<div class="nc-probe-head"><h3>{title}</h3><div class="nc-legend">'
        f'<span><i class="nc-probe-ring"></i>{say("as it is")}</span>'
        f'<span><i class="nc-probe-dot"></i>{say("after the damage")}</span>'
        f"<span>{say('left is real, right is fake')}</span></div></div>"
        f'<p class="nc-note">{_which(checked)}{_small_print()}'
        f"</p><ul>{rows}</ul>"
        f'<p class="nc-probe-end" role="status">{say("Judging the clip again and again …")}</p>'
        "</section>"
    )


def hold(checked: Checked | None) -> Iterator[dict[str, Any]]:
    """One row more with each step, at the end what they say together; or a sentence on what went wrong.

    Yields:
        `rows` and `sounds` by damage, all so far: Gradio sends what is new. At the end there are no sounds,
        for the last step is sent twice.
    """
    from ncdetect import audio, probe

    if checked is None:
        return
    answer = NOTHING | {"key": checked.key, "state": "trying"}
    try:
        if not checked.there:
            yield answer | {"state": "failed", "html": failure(_gone())}
            return
        wave, part = model.predictor().decode(checked.path).wave, probe.part_of(checked.verdict.windows)
        if part:
            wave = wave[slice(*(round(seconds * audio.SAMPLE_RATE) for seconds in part))]
        measured = probe_words.records(probe_words.FILE, model.NAME)
        tried: list[Probed] = []
        for one in probe.probe(model.predictor(), wave):
            if not checked.there:  # its visitor has left, or has brought another
                yield answer | {"state": "failed", "html": failure(_gone())}
                return
            tried.append(one)
            filled = row(one, tried[0], measured.get(one.damage))
            heard = sound(one.wave, loudest(wave if len(one.wave) == len(wave) else one.wave))
            answer["rows"] = answer["rows"] | {one.damage: filled}
            answer["sounds"] = answer["sounds"] | {one.damage: heard}
            yield dict(answer)
        left = {name: untried(name) for name in probe_words.titles() if name not in answer["rows"]}
        words = {one.damage: one.verdict.verdict for one in tried[1:]}
        end = probe_words.summary(tried[0].verdict.verdict, words)
        yield answer | {"state": "done", "rows": answer["rows"] | left, "sounds": {}, "end": end}
    except audio.AudioError as error:
        yield answer | {"state": "failed", "html": failure(str(error))}
    except Exception:
        log.exception("a verdict could not be put to the test")
        sentence = say("This could not be tried. Something is wrong here, not with your clip.")
        yield answer | {"state": "failed", "html": failure(sentence)}


def row(one: "Probed", before: "Probed", record: probe_words.Record | None) -> str:
    """What one damage does.

    Args:
        one: The clip after it.
        before: The clip as it is, which may be the same.
        record: What was measured of this damage, where it was.
    """
    from ncdetect.probe import change

    word, first = one.verdict.verdict, one is before
    sure, shares = wording.confidence(one.verdict), [_percent(each) for each in (before, one)]
    leans = say("{percent} % fake", percent=sure.percent)
    if sure.leans == "real":
        leans = say("{percent} % real", percent=sure.percent)
    what = change(before.verdict.verdict, word)
    mark, became = probe_words.MARKS[what], probe_words.changes()[what]
    told = "" if first else f'<p class="nc-probe-told nc-{what}"><b>{mark}</b>{became}</p>'
    # What was measured are verdicts that had been decided.
    known = record and not first and before.verdict.verdict != "undecided"
    note = f"<small>{probe_words.recorded(record)}</small>" if known else ""
    scale = say("{percent} per cent fake; as it is, {before}", percent=shares[1], before=shares[0])
    title = probe_words.titles()[one.damage][0]
    return (
        f'<li class="nc-probe-row nc-{word}{_short(one.damage)}" data-damage="{escape(one.damage)}" '
        f'data-verdict="{word}"><button type="button" class="nc-probe-play" aria-pressed="false" aria-label="'
        f'{escape(say("Hear it: {title}", title=title))}">{PLAY}</button>{_what(one.damage)}'
        f'<div class="nc-probe-word">{shape(word)}<span><b>{wording.headline(word)}</b>{leans}</span></div>'
        f'<div class="nc-probe-scale" role="img" aria-label="{escape(scale)}">'
        f'<u style="left:{shares[0]}%"></u><i style="left:{shares[1]}%"></i></div>'
        f"{told}{note}</li>"
    )


def untried(name: str) -> str:
    """The row of a half that holds too little."""
    sentence = say("Not tried: less than 1.5 seconds of sound would be left.")
    return (
        f'<li class="nc-probe-row nc-probe-none{_short(name)}" data-damage="{escape(name)}">{_what(name)}'
        f"<small>{sentence}</small></li>"
    )


def failure(sentence: str) -> str:
    """A sentence in the place of the rows."""
    title = say("Does the verdict hold?")
    return (
        f'<section class="nc-card nc-probe" aria-label="{title}" tabindex="-1"><h3>{title}</h3>'
        f'<p role="alert">{escape(sentence)}</p></section>'
    )


def loudest(wave: NDArray[np.float32], seconds: float = HEARD_S) -> int:
    """Sample at which the stretch with most energy begins.

    Args:
        wave: At 16 kHz, (T,).
        seconds: Its length; 0 is returned where the wave has no more.
    """
    from ncdetect.audio import SAMPLE_RATE

    length = round(seconds * SAMPLE_RATE)
    energy = np.concatenate([[0], np.cumsum(np.square(wave, dtype=np.float64))])
    return int((energy[length:] - energy[:-length]).argmax()) if len(wave) > length else 0


def sound(wave: NDArray[np.float32], start: int) -> str:
    """What can be heard of a wave: HEARD_S from a sample on, as a WAV of 16 bit at 16 kHz in base64."""
    from ncdetect.audio import SAMPLE_RATE

    cut = wave[start : start + round(HEARD_S * SAMPLE_RATE)]
    stream = io.BytesIO()
    with wav.open(stream, "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, len(cut), "NONE", ""))
        file.writeframes(pcm(cut, FADE_SAMPLES))
    return packed(stream.getvalue())


def _percent(one: "Probed") -> int:
    return wording.percent(one.verdict.probability)


def _what(name: str) -> str:
    title, more = probe_words.titles()[name]
    return f'<div class="nc-probe-what"><b>{title}</b><span>{more}</span></div>'


def _short(name: str) -> str:
    """A class for rows that have nothing measured to tell."""
    return " nc-probe-short" if name in probe_words.UNMEASURED else ""


def _which(checked: Checked) -> str:
    from ncdetect.probe import part_of

    part = part_of(checked.verdict.windows)
    if part is None:
        return ""
    said = say(
        "Tried on {span}, the part whose score is nearest to that of the whole clip; every row is about this "
        "part alone.",
        span=wording.time_span(*part),
    )
    return f"{said} "


def _small_print() -> str:
    return say(
        "Each damage is done alone, and the model judges again. In small print: what the same damage did to "
        "verdicts on test clips."
    )


def _gone() -> str:
    return say("The clip is no longer here. Bring it once more, and try again.")


def build(checked: gr.State, _: Uploads) -> gr.HTML:
    """Lay out the place of the rows."""
    shown = gr.HTML(
        NOTHING, html_template="<div></div>",
        js_on_load="ncdetect.probe(element, props, () => trigger('ask'), watch)",
        apply_default_css=False, elem_id="probe",
    )  # fmt: skip
    shown.ask(
        hold, checked, shown, api_visibility="private", show_progress="hidden", trigger_mode="multiple",
        concurrency_id="probe", concurrency_limit=1,
    )  # fmt: skip
    return shown
