"""Ask another model: a second checkpoint judges the clip on the page, and both answers are compared."""

import functools
import json
import logging
import threading
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from ncdetect.findings_words import title
from ncdetect.rules import RULES
from ncdetect.ui import compared, model, wording
from ncdetect.ui.checked import Checked
from ncdetect.ui.private import Uploads
from ncdetect.ui.shipped import capital
from ncdetect.ui.verdict import shape

if TYPE_CHECKING:
    from ncdetect.predictor import Predictor, Verdict, Word

log = logging.getLogger(__name__)

FILES = ("config.json", "model.safetensors", "bank.parquet")
KEPT = 2
"""So many further models stay loaded."""
NOBODY = ""
KINDS = {
    "listener": "two speech encoders, and a small network that reads them",
    "light-listener": "two speech encoders, and a small network that reads them",
    "small-listener": "one small speech encoder, and a network that reads it",
    "tiny-resnet": "a small network that looks at the spectrogram",
    "resnet18b": "a network that looks at the spectrogram",
    "convnext": "a modern network that looks at the spectrogram",
    "lfcc-resnet18": "a network that looks at cepstral coefficients",
    "mfcc-resnet18": "a network that looks at cepstral coefficients",
    "whisper-mesonet": "a speech encoder, and a network first made to find fake faces",
    "aasist": "a graph network that hears the waveform",
    "aasist-l": "a small graph network that hears the waveform",
    "mel-attention": "a network with attention on the spectrogram",
}
SAID = {"real": "likely real", "fake": "likely fake", "undecided": "undecided"}
NO_CLIP = "Upload or record a clip, or pick an example: then this model is asked as well."
GONE = "The clip was removed here already. Bring it once more, and both models judge it."
FAILED = "This model could not judge the clip. Something is wrong here, not with your clip."

_guard = threading.Lock()


@functools.cache
def others() -> dict[str, str]:
    """The checkpoints besides the page's own, with what each is in plain words."""
    found = {}
    for folder in sorted(model.CHECKPOINTS.iterdir() if model.CHECKPOINTS.is_dir() else ()):
        if folder.name != model.NAME and all((folder / name).is_file() for name in FILES):
            words = about(folder)
            if words:
                found[folder.name] = words
    return found


def about(folder: Path) -> str:
    """What a checkpoint is and what it learned from; empty where its config cannot be read."""
    try:
        architecture = json.loads((folder / FILES[0]).read_text("utf-8"))["model"]
    except (OSError, ValueError, LookupError, TypeError):
        log.warning("%s is no checkpoint", folder)
        return ""
    facts = model.facts(folder.name)
    counts = [facts.get(name) for name in ("reals", "fakes")]
    learned = f", trained on {sum(counts):,} clips" if all(isinstance(n, int) for n in counts) else ""
    rule = str(facts.get("rule", "")).rpartition("-")[0]
    chosen = f" chosen by the rule “{title(rule)}”" if learned and rule in RULES else ""
    adopted = str(architecture).removeprefix("hub:")
    other = (
        f"{adopted}, as its authors trained it" if adopted != architecture else f"a network called {adopted}"
    )
    return f"{KINDS.get(architecture, other)}{learned}{chosen}"


def predictor(name: str) -> "Predictor":
    """Another model; the first call loads it. The page's own never waits for it."""
    with _guard:
        return _load(name)


@functools.lru_cache(KEPT)
def _load(name: str) -> "Predictor":
    from ncdetect.predictor import Predictor

    return Predictor.from_pretrained(model.CHECKPOINTS / name)


def answer(name: str | None, checked: Checked | None) -> str:
    """What another model says of the clip on the page, as HTML; nothing where nobody is asked."""
    from ncdetect.audio import AudioError

    if not name or name not in others():
        return ""
    if checked is None:
        return note(NO_CLIP)
    if not checked.there:
        return note(GONE)
    try:
        found = predictor(name).check(checked.path)
    except AudioError as error:
        return note(str(error))
    except Exception:
        log.exception("%s could not judge a clip", name)
        return note(FAILED)
    return card(name, found, checked.verdict.verdict)


def note(sentence: str) -> str:
    """A sentence in the place of the answer."""
    return f'<p class="nc-note nc-second-note">{escape(sentence)}</p>'


def card(name: str, found: "Verdict", first: "Word") -> str:
    """The other model's verdict, whether both agree, and how often each was wrong when it was measured."""
    sure, word = wording.confidence(found), found.verdict
    said = f"<b>{sure.percent} %</b> {sure.leans}"
    state = "agree" if word == first else "disagree"
    return (
        f'<section class="nc-card nc-second nc-{word}" aria-label="Verdict of another model" '
        f'data-verdict="{word}" data-state="{state}"><div class="nc-second-head">{shape(word)}'
        f"<h3>{escape(capital(name))}: {escape(wording.HEADLINES[word])}</h3>"
        f"<p>{said}, if real and fake were equally likely</p></div>"
        f'<p class="nc-second-both"><b>{escape(together(name, word, first))}</b></p>'
        f"<p>{escape(found.reason)}</p>"
        f'<p class="nc-note">{escape(capital(name))} is {escape(others()[name])}. {escape(_measured(name))}'
        "Models that learned from the same collections make some of the same mistakes: two that agree are "
        "not two independent witnesses.</p></section>"
    )


def together(name: str, word: "Word", first: "Word") -> str:
    """One sentence on what both models say.

    Args:
        name: The other model.
        word: Its verdict.
        first: That of the page's own model.
    """
    if word == first:
        return "Both are undecided." if word == "undecided" else f"Both say: {SAID[word]}."
    own, other = f"{capital(model.NAME)} says {SAID[first]}", f"{capital(name)} says {SAID[word]}"
    if "undecided" in (word, first):
        return f"Only one of them decides: {own}, {other}.".replace("says undecided", "is undecided")
    return f"They disagree: {own}, {other}. Then trust neither without a better reason."


def _measured(name: str) -> str:
    rows = compared.read(compared.FILE)
    told = [(who, compared.rates(rows, who)) for who in (name, model.NAME)]
    sentences = [f"{capital(who)}: {rates}." for who, rates in told if rates]
    return f"Measured error rates (EER): {' '.join(sentences)} " if sentences else ""


def ready(checked: Checked | None) -> str:
    """Nothing is said until the model that was chosen has judged the new clip too."""
    return ""


def build(checked: gr.State, _: Uploads) -> gr.HTML:
    """Lay out the select and the place of the answer; hidden where there is no other model."""
    labels = [("nobody else", NOBODY)]
    labels += [(f"{capital(name)}: {words}", name) for name, words in others().items()]
    with gr.Column(elem_id="second", visible=bool(others())):
        choice = gr.Dropdown(
            labels, value=NOBODY, label="Ask another model", filterable=False, elem_id="second-choice"
        )
        shown = gr.HTML(
            "", html_template='<div aria-live="polite">${value}</div>', apply_default_css=False,
            elem_id="second-answer",
        )  # fmt: skip
    # Whoever is asked as well is asked about the new clip too, after its verdict is on the screen.
    for event, progress in ((choice.input, "minimal"), (checked.change, "hidden")):
        event(
            answer, [choice, checked], shown, api_visibility="private", show_progress=progress,
            trigger_mode="always_last", concurrency_id="judge", concurrency_limit=2,
        )  # fmt: skip
    return shown
