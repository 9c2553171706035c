"""Ask another model: a second checkpoint judges the clip on the page, and both answers are compared."""

import functools
import json
import logging
import threading
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from ncdetect import wording
from ncdetect.language import number, say
from ncdetect.rules import RULES
from ncdetect.ui import compared, model, rule_words
from ncdetect.ui.checked import Checked
from ncdetect.ui.private import Uploads
from ncdetect.ui.verdict import shape
from ncdetect.wording import capital

if TYPE_CHECKING:
    from ncdetect.predictor import Predictor, Verdict, Word

log = logging.getLogger(__name__)

FILES = ("config.json", "model.safetensors", "bank.parquet")
KEPT = 2
"""So many further models stay loaded."""
NOBODY = ""
_guard = threading.Lock()


def others() -> dict[str, str]:
    """The checkpoints besides the page's own, with what each is in plain words."""
    found = {}
    for folder in sorted(model.CHECKPOINTS.iterdir() if model.CHECKPOINTS.is_dir() else ()):
        if folder.name != model.NAME and all((folder / name).is_file() for name in FILES):
            words = about(folder)
            if words:
                found[folder.name] = words
    return found


def kinds() -> dict[str, str]:
    """The architectures in plain words."""
    listener = say("two speech encoders, and a small network that reads them")
    cepstral = say("a network that looks at cepstral coefficients")
    return {
        "listener": listener,
        "light-listener": listener,
        "small-listener": say("one small speech encoder, and a network that reads it"),
        "tiny-resnet": say("a small network that looks at the spectrogram"),
        "resnet18b": say("a network that looks at the spectrogram"),
        "convnext": say("a modern network that looks at the spectrogram"),
        "lfcc-resnet18": cepstral,
        "mfcc-resnet18": cepstral,
        "whisper-mesonet": say("a speech encoder, and a network first made to find fake faces"),
        "aasist": say("a graph network that hears the waveform"),
        "aasist-l": say("a small graph network that hears the waveform"),
        "mel-attention": say("a network with attention on the spectrogram"),
    }


def about(folder: Path) -> str:
    """What a checkpoint is and what it learned from; empty where its config cannot be read."""
    try:
        architecture = json.loads((folder / FILES[0]).read_text("utf-8"))["model"]
    except (OSError, ValueError, LookupError, TypeError):
        log.warning("%s is no checkpoint", folder)
        return ""
    facts = model.facts(folder.name)
    adopted = str(architecture).removeprefix("hub:")
    if architecture in (known := kinds()):
        kind = known[architecture]
    elif adopted != architecture:
        kind = say("{name}, as its authors trained it", name=adopted)
    else:
        kind = say("a network called {name}", name=adopted)
    counts = [facts.get(name) for name in ("reals", "fakes")]
    if not all(isinstance(count, int) for count in counts):
        return kind
    clips, rule = number(sum(counts), ","), str(facts.get("rule", "")).rpartition("-")[0]
    if rule in RULES:
        return say(
            "{kind}, trained on {clips} clips chosen by the rule “{rule}”",
            kind=kind,
            clips=clips,
            rule=rule_words.title(rule),
        )
    return say("{kind}, trained on {clips} clips", kind=kind, clips=clips)


def predictor(name: str) -> "Predictor":
    """Another model; the first call loads it. The page's own never waits for it."""
    with _guard:
        return _load(name)


@functools.lru_cache(KEPT)
def _load(name: str) -> "Predictor":
    from ncdetect.predictor import Predictor

    return Predictor.from_pretrained(model.CHECKPOINTS / name, decode=model.decoders().load)


def answer(name: str | None, checked: Checked | None) -> str:
    """What another model says of the clip on the page, as HTML; nothing where nobody is asked."""
    from ncdetect.audio import AudioError

    if not name or name not in others():
        return ""
    if checked is None:
        return note(no_clip())
    if not checked.there:
        return note(gone())
    try:
        found = predictor(name).check(checked.path)
    except AudioError as error:
        return note(str(error))
    except Exception:
        log.exception("%s could not judge a clip", name)
        return note(failed())
    return card(name, found, checked.verdict.verdict)


def no_clip() -> str:
    """Where there is nothing to judge yet."""
    return say("Upload or record a clip, or pick an example: then this model is asked as well.")


def gone() -> str:
    """Where the clip was removed meanwhile."""
    return say("The clip was removed here already. Bring it once more, and both models judge it.")


def failed() -> str:
    """Where the fault is ours."""
    return say("This model could not judge the clip. Something is wrong here, not with your clip.")


def note(sentence: str) -> str:
    """A sentence in the place of the answer."""
    return f'<p class="nc-note nc-second-note">{escape(sentence)}</p>'


def card(name: str, found: "Verdict", first: "Word") -> str:
    """The other model's verdict, whether both agree, and how often each was wrong when it was measured."""
    sure, word = wording.confidence(found), found.verdict
    said = say(
        "<b>{percent} %</b> {leans}, if real and fake were equally likely",
        percent=sure.percent,
        leans=sure.said,
    )
    state = "agree" if word == first else "disagree"
    kind = say("{name} is {kind}.", name=capital(name), kind=others()[name])
    caution = say(
        "Models that learned from the same collections make some of the same mistakes: two that agree are "
        "not two independent witnesses."
    )
    return (
        f'<section class="nc-card nc-second nc-{word}" aria-label="{say("Verdict of another model")}" '
        f'data-verdict="{word}" data-state="{state}"><div class="nc-second-head">{shape(word)}'
        f"<h3>{escape(capital(name))}: {wording.headline(word)}</h3><p>{said}</p></div>"
        f'<p class="nc-second-both"><b>{escape(together(name, word, first))}</b></p>'
        f"<p>{escape(found.reason)}</p>"
        f'<p class="nc-note">{escape(kind)} {escape(_measured(name))}{caution}</p></section>'
    )


def together(name: str, word: "Word", first: "Word") -> str:
    """One sentence on what both models say.

    Args:
        name: The other model.
        word: Its verdict.
        first: That of the page's own model.
    """
    if word == first:
        return {
            "real": say("Both say: likely real."),
            "fake": say("Both say: likely fake."),
            "undecided": say("Both are undecided."),
        }[word]
    both = {"own": _says(model.NAME, first), "other": _says(name, word)}
    if "undecided" in (word, first):
        return say("Only one of them decides: {own}, {other}.", **both)
    return say("They disagree: {own}, {other}. Then trust neither without a better reason.", **both)


def _says(name: str, word: "Word") -> str:
    if word == "undecided":
        return say("{name} is undecided", name=capital(name))
    if word == "real":
        return say("{name} says likely real", name=capital(name))
    return say("{name} says likely fake", name=capital(name))


def _measured(name: str) -> str:
    rows = compared.read(compared.FILE)
    told = [(who, compared.rates(rows, who)) for who in (name, model.NAME)]
    sentences = " ".join(f"{capital(who)}: {rates}." for who, rates in told if rates)
    return say("Measured error rates (EER): {rates}", rates=sentences) + " " if sentences else ""


def ready(checked: Checked | None) -> str:
    """Nothing is said until the model that was chosen has judged the new clip too."""
    return ""


def build(checked: gr.State, _: Uploads) -> gr.HTML:
    """Lay out the select and the place of the answer; hidden where there is no other model."""
    labels = [(say("nobody else"), NOBODY)]
    labels += [(f"{capital(name)}: {words}", name) for name, words in others().items()]
    with gr.Column(elem_id="second", visible=bool(others())):
        choice = gr.Dropdown(
            labels, value=NOBODY, label=say("Ask another model"), filterable=False, elem_id="second-choice"
        )
        shown = gr.HTML(
            "", html_template='<div aria-live="polite">${value}</div>', apply_default_css=False,
            elem_id="second-answer",
        )  # fmt: skip
    # Whoever is asked as well is asked about the new clip too, after its verdict is on the screen.
    for event, progress in ((choice.input, "minimal"), (checked.change, "hidden")):
        event(
            answer, [choice, checked], shown, api_visibility="private", show_progress=progress,
            trigger_mode="always_last", concurrency_id="compare", concurrency_limit=2,
        )  # fmt: skip
    return shown
