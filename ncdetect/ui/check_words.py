"""What the tab "Check a clip" says besides its verdicts: headings, the empty map, questions, limits."""

from ncdetect.language import say
from ncdetect.ui.verdict import shape

STAR = (
    '<svg viewBox="0 0 24 24" class="nc-star" aria-hidden="true"><path d="M12 2l3 6.6 7.2.8-5.4 4.9 1.5 '
    '7.1L12 17.8 5.7 21.4l1.5-7.1L1.8 9.4 9 8.6z"/></svg>'
)


def failed() -> str:
    """What is said where the fault is ours."""
    return say("Something went wrong here, not with your clip. Try it once more, or try another clip.")


def view_names() -> dict[str, str]:
    """The views of a map, in their order."""
    return {"tsne": "t-SNE", "umap": "UMAP", "exact": say("Exact")}


def promise() -> str:
    """The heading of the page, and what it is for."""
    words = say(
        "Play or record a few seconds of speech. In about a second you see whether it sounds human or "
        "computer-made, and why."
    )
    return f'<header class="nc-header"><h1>{say("Is this voice real?")}</h1><p>{words}</p></header>'


def map_card() -> str:
    """The map before its script fills it."""
    views = "".join(
        f'<button type="button" role="radio" aria-checked="false" data-value="{key}">{name}</button>'
        for key, name in view_names().items()
    )
    known = say("Among {count} known clips", count='<span class="nc-count">…</span>')
    told = say(
        "Each point is a known clip; the star is yours. The same facts stand in the bars and the table."
    )
    hint = say("Point at a clip to see what it is; click it to hear it, where we may play it.")
    return (
        f'<section class="nc-card nc-map" aria-label="{say("Map of known clips")}"><div class="nc-map-head">'
        f'<h3>{known}</h3><div class="nc-choice" role="radiogroup" aria-label="{say("View of the map")}">'
        f'{views}</div></div><div class="nc-plot" role="figure" aria-label="{told}"><p class="nc-wait">'
        f'{say("The map is coming …")}</p></div><div class="nc-legend">'
        f"<span>{shape('real')}{say('real')}</span><span>{shape('fake')}{say('fake')}</span>"
        f"<span>{STAR}{say('this clip')}</span>"
        f'<span class="nc-faint">{say("pale: not in the training set")}</span></div>'
        '<p class="nc-note nc-map-note"></p>'
        f'<p class="nc-told" aria-live="polite">{hint}</p><audio controls hidden preload="none"></audio>'
        "</section>"
    )


def privacy() -> str:
    """What happens to a clip."""
    return say(
        "<b>What happens to your clip.</b> It is judged on this server and nowhere else, and it is used for "
        "nothing else. It is removed when you leave this page, 10 minutes after its last use at most, and "
        "after a crash at the next start. A clip sent to the API is removed with its request."
    )


def limits() -> str:
    """What a verdict is not."""
    return say(
        "<b>What it cannot do.</b> It cannot prove anything: it listens for traces that known generators "
        "leave, so a newer or better one may pass as real, and a bad line, a codec, noise or music may make "
        "a real voice look fake. It does not know who is speaking. Use it as one hint among others: call "
        "back, ask for the original recording."
    )


def questions() -> dict[str, str]:
    """What the words of this tab mean: questions and answers."""
    return {
        say("What does the per cent mean?"): say(
            "How sure the classifier is, if real and fake clips were equally likely beforehand. Where most "
            "clips are real, as in daily life, a fake verdict deserves more doubt than the number says. It "
            "is calibrated on clips that the model did not learn from, and it is never 0 or 100."
        ),
        say("What are the average voices and the distances?"): say(
            "The model turns each stretch of sound into a long list of numbers, its <i>embedding</i>. The "
            "average voice of a kind is the mean of these numbers over the known clips of that kind (its "
            "<i>class mean</i>). The distance is the straight line from your clip to it, in all dimensions. "
            "It has no unit; what counts is which is shorter and how it compares with known clips."
        ),
        say("Why two readings, and why may they disagree?"): say(
            "One asks which average is nearer (<i>nearest class mean</i>), the other is a boundary that was "
            "learned (the <i>classifier</i>). In a model that has learned its classes cleanly, both nearly "
            "always agree (<i>neural collapse</i>). When they disagree, the clip lies where the model is "
            "unsure, and the verdict is undecided."
        ),
        say("What am I looking at on the map?"): say(
            "Each point is a known clip. t-SNE and UMAP press the many dimensions of the embedding flat so "
            "that neighbours stay neighbours; how far apart groups lie, and how large they are, means "
            "little. <i>Exact</i> shows the two true distances and nothing else."
        ),
        say("When does it say undecided?"): say(
            "When both readings disagree, when the probability is middling, or when the clip is unlike "
            "anything the model has learned from. Then it says so instead of guessing."
        ),
    }
