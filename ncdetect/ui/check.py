"""Tab "Check a clip": a clip in, the verdict and its reasons on the screen."""

import contextlib
import logging
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ncdetect import plots, wording
from ncdetect.language import say
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
)
from ncdetect.ui.check_words import failed, limits, map_card, privacy, promise, questions
from ncdetect.ui.checked import Checked, Panel
from ncdetect.ui.private import Uploads

log = logging.getLogger(__name__)

PANELS: tuple[Panel, ...] = (operating, why, probe, pair, second, report)
"""What stands below the verdict, in this order; a new one is one line (see `checked`)."""
VERDICT = (
    '<div class="nc-live"><p class="nc-sr" aria-live="polite">${value ? value.spoken : ""}</p>'
    '${value ? value.card : ""}</div>'
)


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


def nothing() -> Shown:
    """What stands there while there is no clip."""
    return Shown(verdict.empty(), "", None, "")


def show(path: str | Path, example: examples.Example | None = None) -> Shown:
    """Judge a file and put the verdict into words; a file that cannot be judged becomes its sentence."""
    from ncdetect.audio import AudioError
    from ncdetect.service import Unavailable

    try:
        found = model.service().check(path)
        card = verdict.card(found, model.bands(), model.facts().get("agreement"), example)
    except (AudioError, Unavailable) as error:
        return Shown(verdict.failure(str(error)), str(error), None, "")
    except Exception:
        log.exception("a clip could not be judged")
        return Shown(verdict.failure(failed()), failed(), None, "")
    star = {"maps": found.maps, "nearest": found.nearest_mean, "verdict": found.verdict}
    details = verdict.details(found, example, f"gradio_api/file={path}")
    checked = Checked(str(path), found, example)
    return Shown(card, verdict.spoken(found), star, details, checked)


def show_example(name: str) -> Shown:
    """Judge an example clip; a name that is none shows nothing."""
    example = examples.examples().get(name)
    return show(example.file, example) if example else nothing()


def warm_up() -> None:
    """Load the model and judge a little noise, so that the first visitor does not wait for it."""
    from ncdetect.service import noise

    # Without a model the page still stands, and says of each clip that something is wrong here.
    with contextlib.suppress(Exception):
        found = model.service().check(noise())
        for panel in PANELS:
            panel.ready(Checked("", found))


def check(file: str, uploads: Uploads) -> dict[str, Any]:
    """The API: the verdict on one uploaded file as JSON; the file is gone when it answers.

    Raises:
        gradio.Error: If it cannot be judged, with a sentence for laymen.
    """
    from ncdetect.audio import AudioError
    from ncdetect.service import Unavailable

    if not file:
        raise gr.Error(say("Send one audio file."), print_exception=False)
    try:
        return model.service().check(file).to_dict()
    except (AudioError, Unavailable) as error:
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
    hear = say("example clip: click to hear it")
    words = {label: wording.capital(wording.word(label)) for label in ("real", "fake")}
    columns = ("path", "corpus", "split", "label", "generator", "kind", "language")
    for row, clip in enumerate(bank.clips[list(columns)].itertuples(index=False)):
        example = table.get(clip.path) if not known[row] else None
        if example:
            playable[str(row)] = {"path": example.path, "url": example.url, "title": example.said}
        text = (
            example.said
            if example
            else wording.what_it_is(clip.label, clip.generator, clip.kind, clip.language)
        )
        where = hear if example else wording.where_from(clip.corpus, clip.split)
        texts.append(f"<b>{words[clip.label]}</b>: {escape(text)}<br>{escape(where)}")
    strong = bank.clips["selected"].to_numpy() | ~known
    payload = plots.clip_map(maps, means, bank.labels, strong, texts)
    return payload | {"playable": playable, "known": int(known.sum())}


def build(uploads: Uploads) -> None:
    """Lay out the tab and connect its events."""
    gr.HTML(promise(), elem_id="promise", apply_default_css=False)
    with gr.Row(elem_classes="nc-row"):
        with gr.Column(scale=4, min_width=300):
            clip = gr.Audio(
                label=say("Your clip"), type="filepath", sources=["upload", "microphone"], editable=False,
                buttons=[], elem_id="clip",
            )  # fmt: skip
        with gr.Column(scale=9, min_width=320):
            headline = _example_cards("headline")
    more = say("More clips: familiar voices, harder ones, and a longer one")
    with gr.Accordion(more, open=False, elem_id="more-clips"):
        groups = [headline] + [_example_cards(group) for group in ("seen", "hard", "spliced")]
    with gr.Row(elem_classes="nc-row", equal_height=True):
        with gr.Column(scale=5, min_width=320):
            card = gr.HTML(
                {"card": nothing().card, "spoken": ""}, html_template=VERDICT,
                js_on_load="ncdetect.verdict(element, watch)", apply_default_css=False, elem_id="verdict",
                elem_classes="nc-fill",
            )  # fmt: skip
        with gr.Column(scale=6, min_width=320):
            star = gr.HTML(
                None, html_template=map_card(), js_on_load="ncdetect.checkMap(element, props, server, watch)",
                server_functions=[known_clips], apply_default_css=False, elem_id="map",
                elem_classes="nc-fill",
            )  # fmt: skip
    checked = gr.State(None)
    details = gr.HTML("", js_on_load="ncdetect.details(element)", apply_default_css=False, elem_id="details")
    with gr.Column(elem_classes="nc-panels"):
        panels = [panel.build(checked, uploads) for panel in PANELS]
    several.build(uploads)
    gr.HTML(f'<h3 class="nc-questions">{say("What does this mean?")}</h3>')
    for question, answer in questions().items():
        with gr.Accordion(question, open=False):
            gr.HTML(f'<p class="nc-answer-text">{answer}</p>')
    measured = wording.accuracy_sentence(model.facts().get("agreement"))
    gr.HTML(f'<footer class="nc-foot"><p>{limits()} {measured}</p><p>{privacy()}</p></footer>')

    def on_clip(path: str | None, request: gr.Request):
        uploads.keep_for(request.session_hash, path)
        shown = show(path) if path else nothing()
        return shown.updates()

    def on_example(event: gr.EventData, request: gr.Request):
        example = examples.examples().get(event.clip)
        uploads.keep_for(request.session_hash, None)
        shown = show_example(event.clip)
        return str(example.file) if example else None, *shown.updates()

    outputs = [card, star, details, *panels, checked]
    clip.input(
        on_clip, clip, outputs, api_visibility="private", show_progress="minimal", show_progress_on=card,
        trigger_mode="always_last", concurrency_limit=None,
    )  # fmt: skip
    for group in groups:
        group.pick(
            on_example, None, [clip, *outputs], api_visibility="private", show_progress="hidden",
            trigger_mode="always_last", concurrency_limit=None,
        )  # fmt: skip


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

    gr.Button(visible=False).click(check_file, file, answer, api_name="check", concurrency_limit=None)


def leave(uploads: Uploads, session: str | None) -> None:
    """A visitor has left: remove the clip."""
    with contextlib.suppress(OSError):
        uploads.leave(session or "")
