"""Tab "Inside the model": neural collapse by epoch, error curves, and what it is worst at.

The page is laid out at once, and empty; what the files hold is fetched when the tab is first opened.
"""

import base64
import functools
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from ncdetect import plots, wording
from ncdetect.language import number, say
from ncdetect.ui import inside_errors, inside_picture, model
from ncdetect.ui.private import Uploads
from ncdetect.ui.verdict import shape

if TYPE_CHECKING:
    from ncdetect.epochs import Story

log = logging.getLogger(__name__)

FILE = Path(__file__).resolve().parents[2] / "assets" / "inside" / "epochs.parquet"
MARGIN = 0.003
"""Of the clips' places so much lies outside the picture at each of its sides: stragglers."""
_reading = threading.Lock()
"""Both are asked for at once, and import what hangs together."""


@functools.cache
def story() -> "Story":
    """The recorded training, read at first use."""
    with _reading:
        from ncdetect.epochs import Story

        return Story.load(FILE)


def answered(handler: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """A handler that answers a sentence where it fails: `{"error": sentence}`."""

    @functools.wraps(handler)
    def answering(request: Any = None) -> dict[str, Any]:
        try:
            return handler(request if isinstance(request, Mapping) else {})
        except Exception:
            log.exception("%s failed", handler.__name__)
            return {"error": say("This part cannot be shown here: its data is missing or damaged.")}

    return answering


@answered
def learning(_: Mapping[str, Any]) -> dict[str, Any]:
    """What the animation needs beside the places of the clips."""
    told = story()
    clips, moments = told.clips, told.moments
    which = wording.word
    texts = [
        wording.capital(which(clip.label))
        + ": "
        + wording.what_it_is(clip.label, clip.generator, "", clip.language)
        for clip in clips.itertuples(index=False)
    ]
    epochs = [one["epoch"] for one in moments]
    kept = epochs.index(told.kept) if told.kept in epochs else len(epochs) - 1
    return {
        "fake": packed((clips["label"] == "fake").to_numpy(np.int16)),
        "train": told.train,
        "held": len(clips) - told.train,
        "texts": plots.coded(texts),
        "names": [epoch_name(epoch) for epoch in epochs],
        "tales": [tale(told, index, kept) for index in range(len(moments))],
        "notes": {"plane": [plane_note(one["shown"]) for one in moments], "exact": exact_note()},
        "kept": kept,
        "measures": inside_picture.measures(moments, kept),
        "lesson": lesson(moments, kept),
    }


@answered
def places(request: Mapping[str, Any]) -> dict[str, Any]:
    """Where the clips and the two class means are at each moment, in one view.

    Args:
        request: `view`: plane or exact; the first if it is neither.

    Returns:
        `at` (M, N, 2) as whole numbers of `unit`, `means` (M, 2, 2), and `box`: left, right, low, high.
    """
    told = story()
    view = "exact" if request.get("view") == "exact" else "plane"
    at = told.places[view]
    unit = float(np.abs(at).max()) / np.iinfo(np.int16).max
    low, high = np.quantile(at.reshape(-1, 2), (MARGIN, 1 - MARGIN), axis=0)
    if view == "exact":
        low = np.zeros(2)
    return {
        "view": view,
        "unit": unit,
        "at": packed(np.round(at / unit).astype(np.int16)),
        "means": told.means[view].astype(float).round(4).tolist(),
        "box": [float(low[0]), float(high[0]), float(low[1]), float(high[1])],
    }


@answered
def errors(request: Mapping[str, Any]) -> dict[str, Any]:
    """Error curves, and the test clips by where they come from.

    Args:
        request: `part`: eval or wild; `by`: generator, kind or language; the first if it is none of them.
    """
    known = model.record()
    if known is None:
        return {"error": say("What this model said of test clips was not recorded here.")}
    part = "wild" if request.get("part") == "wild" else "eval"
    by = request.get("by") if request.get("by") in inside_errors.BY else inside_errors.BY[0]
    found = {"groups": inside_errors.groups(known, part, by)}
    return found if request.get("again") else found | {"curves": inside_errors.curves(known)}


def packed(values: NDArray[np.int16]) -> str:
    """Whole numbers as base64, 16 bits each."""
    return base64.b64encode(np.ascontiguousarray(values, "<i2").tobytes()).decode()


# -- words


def epoch_name(epoch: float) -> str:
    """`before training`, `after 0.5 epochs`."""
    if not epoch:
        return say("before training")
    if epoch == 1:
        return say("after 1 epoch")
    return say("after {n} epochs", n=number(epoch, "g"))


def of_100(share: float) -> str:
    """A share as so many of a hundred, never a certain 0."""
    return "<1" if 0 < share < 0.005 else number(100 * share, ".0f")


def tale(told: "Story", index: int, kept: int) -> str:
    """What is to be seen at a moment, in two sentences."""
    one = told.moments[index]
    values = {"train": of_100(one["eer_train"]), "dev": of_100(one["eer_dev"])}
    wrong = say("Mistaken so far: {train} of 100 clips it learns from, {dev} of 100 held back.", **values)
    if index == 0:
        seen = say("Nothing is learned yet: real and fake lie in one heap.")
    elif index == kept:
        seen = say("Here the weights were kept: the loss on the clips held back was lowest.")
    elif index > kept:
        seen = say("The clips it learns from huddle on; those held back no longer follow.")
    elif one["eer_dev"] > 0.2:
        seen = say("The heap begins to tear.")
    else:
        seen = say("Two groups form, and the averages of both come to rest.")
    return f"{seen} {wrong}"


def plane_note(shown: float) -> str:
    """What the flat picture is, and how little of the whole it shows."""
    return say(
        "A sketch. The model describes each clip by a long list of numbers; the picture is the plane in "
        "which all these lists, of all moments together, differ most (PCA). It shows {share} % of the spread "
        "at this moment. A few stragglers lie outside.",
        share=of_100(shown),
    )


def exact_note() -> str:
    """What the axes of the exact view are."""
    return say(
        "Not a sketch: the true distances of each clip to the average real voice (to the right) and to the "
        "average fake voice (upwards) of this moment. Below the dashed line a clip is nearer to the average "
        "fake voice."
    )


def lesson(moments: list[dict[str, float]], kept: int) -> str:
    """What the measures come to, worked out from them."""
    first, chosen, last = moments[0], moments[kept], moments[-1]
    words = say(
        "<b>What this shows.</b> On the clips that it learns from, the classes gather until the end: NC1 "
        "falls from {first} to {last}.",
        first=number(first["nc1_train"], ".2f"),
        last=number(last["nc1_train"], ".2f"),
    )
    values = {
        "kept": epoch_name(chosen["epoch"]),
        "before": number(chosen["cdnv_dev"], ".2f"),
        "after": number(last["cdnv_dev"], ".2f"),
    }
    if kept < len(moments) - 1 and last["cdnv_dev"] > chosen["cdnv_dev"]:
        return f"{words} " + say(
            "On clips held back they do not: {kept} CDNV is {before}, at the end {after}. From there on the "
            "network learns its own clips by heart, so the weights from there are the ones that judge here.",
            **values,
        )
    return f"{words} " + say("The clips held back follow to the end.")


# -- layout


def stage() -> str:
    """The animation: picture, choices, player; empty until the first answer."""
    views = (("plane", say("Map")), ("exact", say("True distances")))
    sides = (("all", say("All clips")), ("train", say("Learned from")), ("held", say("Held back")))
    legend = (
        f"<span>{shape('real')}{wording.word('real')}</span><span>{shape('fake')}{wording.word('fake')}</span>"
        f'<span><i class="nc-inside-pale"></i>{say("pale: learned from")}</span>'
        f'<span><i class="nc-inside-ring"></i>{say("with a rim: held back")}</span>'
    )
    return (
        '<section class="nc-card nc-inside-stage"><div class="nc-map-head">'
        f"<h3>{say('From one heap to two')}</h3>"
        f"{inside_picture.choice('view', say('View'), views)}</div>"
        f'<div class="nc-inside-picture" tabindex="0" role="img" aria-label="{say("Each dot is a clip.")}">'
        f'<canvas></canvas><p class="nc-inside-wait">{say("The clips are coming …")}</p></div>'
        f'<div class="nc-inside-under"><div class="nc-legend">{legend}</div>'
        f"{inside_picture.choice('side', say('Which clips'), sides)}</div>"
        '<div class="nc-inside-player"><button type="button" class="nc-inside-play" disabled '
        f'aria-label="{say("Play")}"><svg viewBox="0 0 24 24" aria-hidden="true"><path d=""/></svg></button>'
        f'<div><input type="range" min="0" max="1" value="0" step="1" disabled aria-label="{say("Moment")}">'
        '<div class="nc-inside-ticks" aria-hidden="true"></div></div><output></output></div>'
        '<p class="nc-inside-tale" aria-live="polite"></p><p class="nc-told"></p>'
        '<p class="nc-note nc-inside-note"></p></section>'
    )


def template() -> str:
    """The whole tab, with room for what comes."""
    opening = say(
        "A network starts with no idea of what a fake is. Here you watch the one that judges on this page "
        "learn it: its training was done once more, and all clips were looked at on the way."
    )
    return (
        f'<div class="nc-inside"><header class="nc-header"><h2>{say("Inside the model")}</h2><p>{opening}</p>'
        f'</header><div class="nc-inside-grid">{stage()}{inside_picture.empty()}</div>'
        f"{inside_errors.empty()}"
        f'<section class="nc-card nc-inside-more"><div><h3>{say("And the other models?")}</h3>'
        f"<p>{say('All models that we trained have judged the same clips.')}</p></div>"
        f'<button type="button" class="nc-button nc-second" data-results>{say("Compare them in Results")}'
        "</button></section></div>"
    )


def build(_: Uploads) -> None:
    """Lay it out."""
    gr.HTML(
        None, html_template=template(), js_on_load="ncdetect.inside(element, server)",
        server_functions=[learning, places, errors], apply_default_css=False, elem_id="inside",
    )  # fmt: skip
