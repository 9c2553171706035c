"""Tab "Check a clip": a clip in, the verdict and its reasons on the screen."""

import contextlib
import logging
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ncdetect import plots
from ncdetect.ui import (
    examples,
    model,
    operating,
    pair,
    probe,
    report,
    second,
    several,
    verdict,
    why,
    wording,
)
from ncdetect.ui.checked import Checked, Panel
from ncdetect.ui.private import Uploads

log = logging.getLogger(__name__)

PANELS: tuple[Panel, ...] = (operating, why, probe, pair, second, report)
"""What stands below the verdict, in this order; a new one is one line (see `checked`)."""
FAILED = "Something went wrong here, not with your clip. Try it once more, or try another clip."
VIEW_NAMES = {"tsne": "t-SNE", "umap": "UMAP", "exact": "Exact"}

PROMISE = (
    '<header class="nc-header"><h1>Is this voice real?</h1><p>Play or record a few seconds of speech. In '
    "about a "
    "second you see whether it sounds human or computer-made, and why.</p></header>"
)
MAP = (
    '<section class="nc-card nc-map" aria-label="Map of known clips"><div class="nc-map-head">'
    '<h3>Among <span class="nc-count">the</span> known clips</h3>'
    '<div class="nc-choice" role="radiogroup" aria-label="View of the map">'
    + "".join(
        f'<button type="button" role="radio" data-value="{key}">{name}</button>'
        for key, name in VIEW_NAMES.items()
    )
    + '</div></div><div class="nc-plot" role="img" aria-label="Each point is a known clip; the star is yours.'
    ' The same facts stand in the bars and in the table.">The map is coming …</div>'
    f'<div class="nc-legend"><span>{verdict.shape("real")}real</span><span>{verdict.shape("fake")}fake</span>'
    '<span><svg viewBox="0 0 24 24" class="nc-star" aria-hidden="true"><path d="M12 2l3 6.6 7.2.8-5.4 4.9 '
    "1.5 7.1L12 "
    '17.8 5.7 21.4l1.5-7.1L1.8 9.4 9 8.6z"/></svg>this clip</span><span class="nc-faint">pale: not in the '
    "training "
    'set</span></div><p class="nc-note nc-map-note"></p>'
    '<p class="nc-told" aria-live="polite">Point at a clip to see what it is; click it to hear it, where '
    "we may play "
    'it.</p><audio controls hidden preload="none"></audio></section>'
)
VERDICT = (
    '<div class="nc-live"><p class="nc-sr" aria-live="polite">${value ? value.spoken : ""}</p>'
    '${value ? value.card : ""}</div>'
)

PRIVACY = (
    "<b>What happens to your clip.</b> It is judged on this server and nowhere else, and it is used for "
    "nothing else. "
    "It is removed when you leave this page, 10 minutes after its last use at most, and after a crash at "
    "the next "
    "start. A clip sent to the API is removed with its request."
)
LIMITS = (
    "<b>What it cannot do.</b> It cannot prove anything: it listens for traces that known generators "
    "leave, so a "
    "newer or better one may pass as real, and a bad line, a codec, noise or music may make a real voice "
    "look fake. "
    "It does not know who is speaking. Use it as one hint among others: call back, ask for the original "
    "recording."
)
QUESTIONS = {
    "What does the per cent mean?": "How sure the classifier is, if real and fake clips were equally likely "
    "beforehand. Where most clips are real, as in daily life, a fake verdict deserves more doubt than the "
    "number "
    "says. It is calibrated on clips that the model did not learn from, and it is never 0 or 100.",
    "What are the average voices and the distances?": "The model turns each stretch of sound into a long "
    "list of "
    "numbers, its <i>embedding</i>. The average voice of a kind is the mean of these numbers over the "
    "known clips of "
    "that kind (its <i>class mean</i>). The distance is the straight line from your clip to it, in all "
    "dimensions. "
    "It has no unit; what counts is which is shorter and how it compares with known clips.",
    "Why two readings, and why may they disagree?": "One asks which average is nearer (<i>nearest class "
    "mean</i>), "
    "the other is a boundary that was learned (the <i>classifier</i>). In a model that has learned its "
    "classes "
    "cleanly, both nearly always agree (<i>neural collapse</i>). When they disagree, the clip lies where "
    "the model "
    "is unsure, and the verdict is undecided.",
    "What am I looking at on the map?": "Each point is a known clip. t-SNE and UMAP press the many "
    "dimensions of the "
    "embedding flat so that neighbours stay neighbours; how far apart groups lie, and how large they are, "
    "means "
    "little. <i>Exact</i> shows the two true distances and nothing else.",
    "When does it say undecided?": "When both readings disagree, when the probability is middling, or when "
    "the clip "
    "is unlike anything the model has learned from. Then it says so instead of guessing.",
}


@dataclass(frozen=True)
class Shown:
    """What a clip puts on the screen."""

    card: str
    spoken: str
    star: dict[str, Any] | None
    details: str
    checked: Checked | None = None
    """What the panels go on from."""

    def updates(self) -> tuple[Any, ...]:
        """Values of the components: card, map, details and panels, and of the state that panels read."""
        card = {"card": self.card, "spoken": self.spoken}
        return card, self.star, self.details, *(panel.ready(self.checked) for panel in PANELS), self.checked


NOTHING = Shown(verdict.empty(), "", None, "")


def show(path: str | Path, example: examples.Example | None = None) -> Shown:
    """Judge a file and put the verdict into words; a file that cannot be judged becomes its sentence."""
    from ncdetect.audio import AudioError

    try:
        found = model.predictor().check(path)
        card = verdict.card(found, model.bands(), model.facts().get("agreement"), example)
    except AudioError as error:
        return Shown(verdict.failure(str(error)), str(error), None, "")
    except Exception:
        log.exception("a clip could not be judged")
        return Shown(verdict.failure(FAILED), FAILED, None, "")
    star = {"maps": found.maps, "nearest": found.nearest_mean, "verdict": found.verdict}
    details, checked = verdict.details(found, example), Checked(str(path), found, example)
    return Shown(card, verdict.spoken(found), star, details, checked)


def show_example(name: str) -> Shown:
    """Judge an example clip; a name that is none shows nothing."""
    example = examples.examples().get(name)
    return show(example.file, example) if example else NOTHING


def check(file: str, uploads: Uploads) -> dict[str, Any]:
    """The API: the verdict on one uploaded file as JSON; the file is gone when it answers.

    Raises:
        gradio.Error: If it cannot be judged, with a sentence for laymen.
    """
    from ncdetect.audio import AudioError

    if not file:
        raise gr.Error("Send one audio file.", print_exception=False)
    try:
        return model.predictor().check(file).to_dict()
    except AudioError as error:
        raise gr.Error(str(error), print_exception=False) from None
    finally:
        uploads.release(file)


def known_clips(_: object = None) -> dict[str, Any]:
    """The map of the bank: sent once to each page."""
    try:
        bank = model.predictor().bank
    except Exception as error:
        log.exception("the bank could not be read")
        return {"error": str(error)}
    maps: dict[str, Any] = {**bank.maps, "exact": bank.mean_distances()}
    means = {name: [bank.place(mean, name) for mean in bank.means] for name in bank.maps}
    between = float(((bank.means[0] - bank.means[1]) ** 2).sum() ** 0.5)
    means["exact"] = [(0.0, between), (between, 0.0)]
    known, table = bank.known(), examples.examples()
    playable, texts = {}, []
    columns = ("path", "corpus", "split", "label", "generator", "kind", "language")
    for row, clip in enumerate(bank.clips[list(columns)].itertuples(index=False)):
        example = table.get(clip.path) if not known[row] else None
        if example:
            playable[str(row)] = {"path": example.path, "url": example.url, "title": example.title}
        text = (
            example.title
            if example
            else wording.what_it_is(clip.label, clip.generator, clip.kind, clip.language)
        )
        where = "example clip: click to hear it" if example else wording.where_from(clip.corpus, clip.split)
        texts.append(f"<b>{clip.label.capitalize()}</b>: {escape(text)}<br>{escape(where)}")
    strong = bank.clips["selected"].to_numpy() | ~known
    payload = plots.clip_map(maps, means, bank.labels, strong, texts)
    return payload | {"playable": playable, "known": int(known.sum())}


def build(uploads: Uploads) -> None:
    """Lay out the tab and connect its events."""
    gr.HTML(PROMISE, elem_id="promise", apply_default_css=False)
    with gr.Row(elem_classes="nc-row"):
        with gr.Column(scale=4, min_width=300):
            clip = gr.Audio(
                label="Your clip", type="filepath", sources=["upload", "microphone"], editable=False,
                buttons=[], elem_id="clip",
            )  # fmt: skip
        with gr.Column(scale=9, min_width=320):
            headline = _example_cards("headline")
    with gr.Accordion("More clips: familiar voices, harder ones, and a longer one", open=False):
        groups = [headline] + [_example_cards(group) for group in ("seen", "hard", "spliced")]
    with gr.Row(elem_classes="nc-row", equal_height=True):
        with gr.Column(scale=5, min_width=320):
            card = gr.HTML(
                {"card": NOTHING.card, "spoken": ""}, html_template=VERDICT,
                js_on_load="ncdetect.verdict(element, watch)", apply_default_css=False, elem_id="verdict",
                elem_classes="nc-fill",
            )  # fmt: skip
        with gr.Column(scale=6, min_width=320):
            star = gr.HTML(
                None, html_template=MAP, js_on_load="ncdetect.checkMap(element, props, server, watch)",
                server_functions=[known_clips], apply_default_css=False, elem_id="map",
                elem_classes="nc-fill",
            )  # fmt: skip
    checked = gr.State(None)
    details = gr.HTML("", js_on_load="ncdetect.details(element)", apply_default_css=False, elem_id="details")
    panels = [panel.build(checked, uploads) for panel in PANELS]
    several.build(uploads)
    gr.HTML('<h3 class="nc-questions">What does this mean?</h3>')
    for question, answer in QUESTIONS.items():
        with gr.Accordion(question, open=False):
            gr.HTML(f'<p class="nc-answer-text">{answer}</p>')
    measured = wording.accuracy_sentence(model.facts().get("agreement"))
    gr.HTML(f'<footer class="nc-foot"><p>{LIMITS} {measured}</p><p>{PRIVACY}</p></footer>')

    def on_clip(path: str | None, request: gr.Request):
        uploads.keep_for(request.session_hash, path)
        shown = show(path) if path else NOTHING
        return shown.updates()

    def on_example(event: gr.EventData, request: gr.Request):
        example = examples.examples().get(event.clip)
        uploads.keep_for(request.session_hash, None)
        shown = show_example(event.clip)
        # Played at once, as the button promises; a visitor's own clip is not.
        played = gr.Audio(str(example.file) if example else None, autoplay=True)
        return played, *shown.updates()

    outputs = [card, star, details, *panels, checked]
    clip.input(
        on_clip, clip, outputs, api_visibility="private", show_progress="minimal", show_progress_on=card,
        trigger_mode="always_last", concurrency_id="judge", concurrency_limit=2,
    )  # fmt: skip
    for group in groups:
        judged = group.pick(
            on_example, None, [clip, *outputs], api_visibility="private", show_progress="hidden",
            trigger_mode="always_last", concurrency_id="judge", concurrency_limit=2,
        )  # fmt: skip
        judged.then(
            lambda: gr.Audio(autoplay=False), None, clip, api_visibility="private", show_progress="hidden"
        )


def _example_cards(group: str) -> gr.HTML:
    return gr.HTML(
        examples.cards(group), js_on_load="ncdetect.examples(element, (clip) => trigger('pick', clip))",
        apply_default_css=False, elem_classes="nc-group",
    )  # fmt: skip


def build_api(uploads: Uploads) -> None:
    """The endpoint /check: one audio file in, the Verdict as JSON out."""
    file = gr.Audio(visible=False, type="filepath", label="file")
    answer = gr.JSON(visible=False, label="verdict")

    def check_file(file: str) -> dict[str, Any]:
        """Judge one audio file: is the voice real or synthetic? Answers with the verdict and its reasons."""
        return check(file, uploads)

    gr.Button(visible=False).click(
        check_file, file, answer, api_name="check", concurrency_id="judge", concurrency_limit=2
    )


def leave(uploads: Uploads, session: str | None) -> None:
    """A visitor has left: remove the clip."""
    with contextlib.suppress(OSError):
        uploads.leave(session or "")
