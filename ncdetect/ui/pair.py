"""Comparison with a recording that the visitor knows to be real: does the clip sound as real to the model?"""

import functools
import logging
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from ncdetect.language import number, say
from ncdetect.ui import examples, model, pair_words
from ncdetect.ui.checked import Checked
from ncdetect.ui.pair_words import Heard, Pairs
from ncdetect.ui.private import Uploads
from ncdetect.ui.verdict import shape
from ncdetect.wording import headline, percent

if TYPE_CHECKING:
    from ncdetect.predictor import Verdict

log = logging.getLogger(__name__)

PAIRS_OF_ONE = 10
"""So many pairs of one speaker count at most: a few speakers have a hundred clips."""
OPENING = """
const body = element.querySelector("div"), root = element.closest("#pair");
let open = false;
const show = () => {
  body.innerHTML = props.value;
  const button = body.querySelector("button");
  root.dataset.open = Boolean(button && open);
  if (!button) return;
  button.setAttribute("aria-expanded", open);
  for (const word of button.children) word.hidden = (word.dataset.open === "true") !== open;
};
body.addEventListener("click", (event) => {
  if (!event.target.closest("button")) return;
  open = !open;
  show();
  body.querySelector("button").focus();
});
watch("value", show);
show();
"""


def ready(checked: Checked | None) -> str:
    """The offer to compare; nothing where there is no clip."""
    if checked is None:
        return ""
    return (
        '<section class="nc-card nc-ask nc-pair-ask" aria-label="'
        f'{escape(say("Compare with a recording that you know"))}"><div>'
        f"<h3>{say('Compare with a recording that you know')}</h3><p class='nc-note'>"
        + say(
            "Have you another recording of this person, of which you are sure? Then see whether this clip "
            "sounds as real to the model."
        )
        + '</p></div><button type="button" class="nc-button" aria-controls="pair-room">'
        f'<span data-open="false">{say("Compare")}</span>'
        f'<span data-open="true" hidden>{say("Close")}</span></button></section>'
    )


def hear(path: str, verdict: "Verdict | None" = None) -> Heard:
    """Listen to a recording and keep what a comparison needs.

    Args:
        path: The recording.
        verdict: On it, where it was judged already.

    Raises:
        AudioError: If it cannot be judged; the text is a sentence for laymen.
    """
    from ncdetect import audio

    predictor = model.predictor()
    clip = predictor.decode(path)
    embedded = predictor.embed(clip)
    embedding, _ = embedded.mean()
    return Heard(verdict or predictor.judge(clip, embedded), embedding, audio.high_band_level(clip.wave))


def take(path: str | None) -> tuple[Heard | None, str]:
    """What is heard of the recording that a visitor knows, or nothing and a sentence why not."""
    from ncdetect.audio import AudioError

    if not path:
        return None, ""
    try:
        return hear(path), ""
    except AudioError as error:
        return None, note(str(error))
    except Exception:
        log.exception("a known recording could not be judged")
        return None, note(failed())


def compare(known: Heard | None, checked: Checked | None) -> str:
    """Both recordings side by side, as HTML; nothing where one of them is missing."""
    from ncdetect.audio import AudioError

    if known is None or checked is None:
        return ""
    if not checked.there:
        return note(say("The clip was removed here already. Bring it once more, and compare again."))
    try:
        return card(hear(checked.path, checked.verdict), known)
    except AudioError as error:
        return note(str(error))
    except Exception:
        log.exception("two recordings could not be compared")
        return note(failed())


def failed() -> str:
    """Our fault, not the visitor's."""
    return say("This could not be compared. Something is wrong here, not with your recordings.")


def note(sentence: str) -> str:
    """A sentence in the place of the comparison."""
    return f'<p class="nc-card nc-pair-note">{escape(sentence)}</p>'


def card(clip: Heard, known: Heard) -> str:
    """What both sound like to the model, what makes that unfair, and what it does not tell."""
    apart = clip.apart(known)
    full = 1.05 * max(clip.farthest, known.farthest, 1e-9)
    scale = model.predictor().config.calibration_scale
    unfair = "".join(f"<li>{escape(one)}</li>" for one in pair_words.unfair(clip, known))
    named = escape(say("What makes the comparison unfair"))
    fair = (
        f'<ul class="nc-warnings" aria-label="{named}">{unfair}</ul>'
        if unfair
        else f'<p class="nc-note">{pair_words.fair()}</p>'
    )
    return (
        f'<section class="nc-card nc-pair-card" aria-label="{escape(say("Comparison"))}">'
        f'<p class="nc-pair-both"><b>{escape(pair_words.together(clip, known, scale))}</b></p>'
        f'<div class="nc-pair-two">{_side(say("The clip"), clip, full)}'
        f"{_side(say('The recording that you know'), known, full)}</div>"
        f'<p class="nc-note">{say("One scale for all four bars.")} {pair_words.odds(clip, known, scale)}</p>'
        f'{fair}<div class="nc-pair-apart"><h4>{say("Is it the same person? This does not tell.")}</h4>'
        f"<p>{pair_words.distance(apart, pairs(model.NAME))}</p></div></section>"
    )


def _side(title: str, heard: Heard, full: float) -> str:
    verdict, word = heard.verdict, heard.verdict.verdict
    leans = "fake" if verdict.probability > 0.5 else "real"
    share = percent(max(verdict.probability, 1 - verdict.probability))
    sure = {
        "real": say("{share} % real", share=number(share)),
        "fake": say("{share} % fake", share=number(share)),
    }[leans]
    words = {
        "real": say("to the average real voice"), "fake": say("to the average fake voice"),
    }  # fmt: skip
    values = {"real": verdict.distance_real, "fake": verdict.distance_fake}
    bars = "".join(
        f'<div class="nc-distance nc-{label}"><div class="nc-label">{shape(label)}<span>{words[label]}</span>'
        f'<output>{number(value, ".2f")}</output></div><div class="nc-bar">'
        f'<i style="width:{100 * value / full:.1f}%"></i></div></div>'
        for label, value in values.items()
    )
    return (
        f'<div class="nc-pair-side nc-{word}" data-verdict="{word}"><h4>{title}</h4>'
        f'<div class="nc-pair-head">{shape(word)}<div><b>{headline(word)}</b><span>{sure}</span>'
        f"</div></div>{bars}</div>"
    )


@functools.cache
def pairs(name: str) -> Pairs:
    """How far known real recordings lie apart in the page's model: of one speaker, and of two."""
    return Pairs.of(model.predictor().bank, PAIRS_OF_ONE)


def choices() -> list[tuple[str, str]]:
    """The examples that are real voices, by title."""
    real = [one for one in examples.examples().values() if one.label == "real" and one.fake_span is None]
    return sorted((one.title, one.path) for one in real)


def _promise() -> str:
    return say(
        "Take one that is real for sure, recorded as much like the clip as you can. It is treated as the "
        "clip is: judged here and nowhere else, and removed when you leave this page."
    )


def build(checked: gr.State, uploads: Uploads) -> gr.HTML:
    """Lay out the offer, the place of the known recording, and that of the comparison."""
    with gr.Column(elem_id="pair"):
        offer = gr.HTML(
            "", html_template="<div></div>", js_on_load=OPENING, apply_default_css=False, elem_id="pair-offer"
        )
        with gr.Column(elem_id="pair-room"):
            with gr.Row(elem_classes="nc-row"):
                with gr.Column(min_width=280):
                    recording = gr.Audio(
                        label=say("The recording that you know"), type="filepath",
                        sources=["upload", "microphone"], editable=False, buttons=[], elem_id="pair-clip",
                    )  # fmt: skip
                with gr.Column(min_width=280):
                    choice = gr.Dropdown(
                        [(say("choose an example"), ""), *choices()], value="", filterable=False,
                        label=say("Or one of the example voices, to see how it works"), elem_id="pair-choice",
                    )  # fmt: skip
                    gr.HTML(f'<p class="nc-note">{_promise()}</p>', apply_default_css=False)
            shown = gr.HTML(
                "", html_template='<div aria-live="polite">${value}</div>', apply_default_css=False,
                elem_id="pair-answer",
            )  # fmt: skip
    known = gr.State(None)

    def on_recording(path: str | None, current: Checked | None, request: gr.Request) -> tuple[Any, ...]:
        uploads.keep_for(request.session_hash, path, place="pair")
        heard, sentence = take(path)
        return heard, sentence or compare(heard, current), ""

    def on_choice(path: str, current: Checked | None, request: gr.Request) -> tuple[Any, ...]:
        example = examples.examples().get(path)
        uploads.keep_for(request.session_hash, None, place="pair")
        heard, sentence = take(str(example.file) if example else None)
        return heard, sentence or compare(heard, current), str(example.file) if example else None

    recording.input(
        on_recording, [recording, checked], [known, shown, choice], api_visibility="private",
        show_progress="minimal", show_progress_on=shown, trigger_mode="always_last", concurrency_id="compare",
        concurrency_limit=2,
    )  # fmt: skip
    choice.input(
        on_choice, [choice, checked], [known, shown, recording], api_visibility="private",
        show_progress="minimal", show_progress_on=shown, trigger_mode="always_last", concurrency_id="compare",
        concurrency_limit=2,
    )  # fmt: skip
    # A recording that was brought is compared with the next clip too.
    checked.change(
        compare, [known, checked], shown, api_visibility="private", show_progress="hidden",
        trigger_mode="always_last", concurrency_id="compare", concurrency_limit=2,
    )  # fmt: skip
    return offer
