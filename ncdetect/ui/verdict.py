"""The verdict as HTML: plain words first, numbers second. Pure functions from a Verdict to text."""

from html import escape
from typing import TYPE_CHECKING

from ncdetect import wording
from ncdetect.language import number, say
from ncdetect.ui import examples

if TYPE_CHECKING:
    from ncdetect.predictor import Band, Neighbour, Verdict, Window

_SHAPES = {
    "real": '<circle cx="24" cy="24" r="19"/><path class="nc-cut" d="M15 24.5l6.5 6.5L33.5 18"/>',
    "fake": '<path d="M24 3.5L44.5 24 24 44.5 3.5 24z"/><path class="nc-cut" d="M24 14v12M24 32v1"/>',
    "undecided": '<rect x="6" y="6" width="36" height="36" rx="9"/><path class="nc-cut" d="M15 24h18"/>',
}


def shape(word: str) -> str:
    """The sign of a class: circle, diamond or square, so that colour never speaks alone."""
    return f'<svg class="nc-shape nc-{word}" viewBox="0 0 48 48" aria-hidden="true">{_SHAPES[word]}</svg>'


def empty() -> str:
    """What stands where the verdict will be."""
    items = (
        say("<b>A verdict in words</b>, how sure it is, and why. Where signs are mixed it says so."),
        say("<b>Two distances:</b> how far your clip lies from the average real and fake voice."),
        say("<b>Your clip as a star</b> among the known clips on the map."),
    )
    return (
        f'<section class="nc-card nc-verdict nc-empty" aria-label="{say("Verdict")}"><div class="nc-head">'
        f"<span class='nc-ghosts'>{shape('real')}{shape('fake')}</span><div>"
        f"<h2>{say('Your verdict appears here')}</h2>"
        f"<p>{say('Upload or record a clip, or pick an example above.')}</p></div></div>"
        f"<ol>{''.join(f'<li>{item}</li>' for item in items)}</ol></section>"
    )


def failure(sentence: str) -> str:
    """A clip that cannot be judged: why, and what to do."""
    return (
        f'<section class="nc-card nc-verdict nc-failed" role="alert" aria-label="{say("Verdict")}"><div '
        f'class="nc-head">{shape("undecided")}<div><h2>{say("This clip cannot be checked")}</h2>'
        f"<p>{escape(sentence)}</p></div></div></section>"
    )


def card(
    verdict: "Verdict", bands: "dict[str, Band]", agreement: object, example: examples.Example | None
) -> str:
    """The card: verdict, confidence, reason, warnings, distances, the two readings."""
    word = verdict.verdict
    return (
        f'<section class="nc-card nc-verdict nc-{word}" aria-label="{say("Verdict")}" data-verdict="{word}">'
        f'<div class="nc-head">{shape(word)}<div><h2>{wording.headline(word)}</h2>'
        f'<p class="nc-confidence">{_confidence(verdict)}</p></div></div>'
        f"{_gauge(verdict)}"
        f'<p class="nc-reason">{escape(verdict.reason)}</p>'
        f"{_warnings(verdict)}{_truth(verdict, example)}"
        f"{_distances(verdict, bands)}{_witnesses(verdict, agreement)}"
        "</section>"
    )


def spoken(verdict: "Verdict") -> str:
    """The verdict in one breath, for screen readers."""
    sure = wording.confidence(verdict)
    share = say("{percent} per cent {leans}", percent=sure.percent, leans=sure.said)
    return f"{wording.headline(verdict.verdict)}. {share}. {verdict.reason}"


def _confidence(verdict: "Verdict") -> str:
    sure = wording.confidence(verdict)
    if verdict.verdict == "undecided":
        return say(
            "The classifier alone says <b>{percent} %</b> {leans}, but that does not settle it.",
            percent=sure.percent,
            leans=sure.said,
        )
    return f"<b>{sure.percent} %</b> · {sure.words}"


def _gauge(verdict: "Verdict") -> str:
    share = wording.percent(verdict.probability)
    told = say("{percent} per cent fake, if real and fake were equally likely", percent=share)
    return (
        f'<div class="nc-gauge" role="img" aria-label="{told}">'
        f'<div class="nc-track"><i style="left:{share}%"></i></div>'
        f"<div class='nc-ends'><span>{say('real')}</span>"
        f"<span>{say('if real and fake were equally likely')}</span><span>{say('fake')}</span></div></div>"
    )


def _truth(verdict: "Verdict", example: examples.Example | None) -> str:
    if example is None:
        return ""
    if example.fake_span:
        span = wording.time_span(*example.fake_span)
        words = say("The computer speaks from {span}: see the timeline.", span=span)
    elif verdict.verdict == "undecided":
        words = say("The model abstained.")
    elif verdict.verdict == example.label:
        words = say("The model is right.")
    else:
        words = say("The model is wrong here.")
    return (
        f'<div class="nc-truth" data-truth="{example.label}"><b>{say("The truth:")}</b> '
        f"{escape(examples.truth(example))}. "
        f"<b>{words}</b> <span>{escape(examples.trained(example))}</span></div>"
    )


def _warnings(verdict: "Verdict") -> str:
    if not verdict.warnings:
        return ""
    items = "".join(f"<li>{escape(warning.sentence)}</li>" for warning in verdict.warnings)
    return f'<ul class="nc-warnings" aria-label="{say("Quality warnings")}">{items}</ul>'


def _distances(verdict: "Verdict", bands: "dict[str, Band]") -> str:
    values = {"real": verdict.distance_real, "fake": verdict.distance_fake}
    ranks = {"real": verdict.percentile_real, "fake": verdict.percentile_fake}
    names = {"real": say("to the average real voice"), "fake": say("to the average fake voice")}
    full = 1.05 * max(*values.values(), *(band.high for band in bands.values()), 1e-9)
    mark, rows = f" <b>{say('nearer')}</b>", ""
    for label, value in values.items():
        band, nearest = bands[label], verdict.nearest_mean == label
        low, high = 100 * band.low / full, 100 * band.high / full
        rows += (
            f'<div class="nc-distance nc-{label}"><div class="nc-label">{shape(label)}<span>{names[label]}'
            f"{mark if nearest else ''}</span>"
            f"<output>{number(value, '.2f')}</output></div>"
            f'<div class="nc-bar"><u style="left:{low:.1f}%;width:{high - low:.1f}%"></u>'
            f'<i style="width:{100 * value / full:.1f}%"></i></div>'
            f"<small>{wording.rank(ranks[label], label, band.known)}</small></div>"
        )
    note = say(
        "One scale for both bars. The outlined stretch is where nine in ten known clips of that kind lie."
    )
    return (
        f'<div class="nc-distances"><h3>{say("How far from the average voices")}</h3>{rows}'
        f'<p class="nc-note">{note}</p></div>'
    )


def _witnesses(verdict: "Verdict", agreement: object) -> str:
    readings = (
        (say("Nearest average"), verdict.nearest_mean),
        (say("Classifier"), wording.confidence(verdict).leans),
    )
    chips = "".join(
        f'<span class="nc-chip nc-{word}">{shape(word)}{name}: <b>{wording.word(word)}</b></span>'
        for name, word in readings
    )
    if verdict.agreement:
        title, chip, style = say("Two readings agree"), say("they agree"), "nc-agree"
    else:
        title, chip, style = say("Two readings disagree"), say("they disagree"), "nc-disagree"
    note = say("They are two readings of one embedding, not two independent witnesses.")
    return (
        f'<div class="nc-witnesses"><h3>{title}</h3><div class="nc-chips">{chips}'
        f'<span class="nc-chip {style}">{"=" if verdict.agreement else "≠"} {chip}</span></div>'
        f'<p class="nc-note">{note} {escape(wording.agreement_sentence(agreement))}</p></div>'
    )


def details(verdict: "Verdict", example: examples.Example | None, url: str = "") -> str:
    """Below the card: the timeline of a longer clip, and the nearest known clips; see `timeline`."""
    return f'<div class="nc-details">{timeline(verdict, example, url)}{_neighbours(verdict, example)}</div>'


def timeline(verdict: "Verdict", example: examples.Example | None = None, url: str = "") -> str:
    """How the probability runs through a clip of several windows; empty for one window.

    Args:
        verdict: What was said of the clip.
        example: Its row, where it is an example.
        url: Where the page finds its sound; without one nothing can be heard.
    """
    if len(verdict.windows) < 2:
        return ""
    edges = [0.0]
    for before, after in zip(verdict.windows, verdict.windows[1:], strict=False):
        edges.append((before.start_s + before.end_s + after.start_s + after.end_s) / 4)
    edges.append(max(verdict.duration_s, edges[-1]))
    length = max(edges[-1], 1e-9)
    bars = "".join(
        _bar(window, 100 * (end - start) / length)
        for window, start, end in zip(verdict.windows, edges, edges[1:], strict=False)
    )
    judged = [window for window in verdict.windows if window.probability is not None]
    fakes = sum(window.probability > 0.5 for window in judged)
    summary = say("{fakes} of {judged} stretches lean fake", fakes=fakes, judged=len(judged))
    if left_out := len(verdict.windows) - len(judged):
        summary += say("; {left_out} with hardly any sound were not judged", left_out=left_out)
    span = example.fake_span if example else None
    mark = ""
    if span:
        left, width = 100 * span[0] / length, 100 * (span[1] - span[0]) / length
        mark = (
            f'<div class="nc-mark"><span style="left:{left:.2f}%;width:{width:.2f}%">{say("computer")}'
            "</span></div>"
        )
    note = say("Each bar is a stretch of 3 seconds; the higher, the more it sounds fake.")
    heard = ""
    if url and judged:
        note += " " + say("Click one to hear it.")
        most = max(judged, key=lambda window: window.probability)
        heard = (
            f'<button type="button" class="nc-mini nc-hear" {_times(most)}>'
            f"{say('Hear what sounds most fake: {span}', span=wording.time_span(most.start_s, most.end_s))}"
            '</button><p class="nc-note nc-unheard" role="status"></p>'
        )
    return (
        f'<section class="nc-card nc-timeline" data-sound="{escape(url)}">'
        f"<h3>{say('How it sounds over time')}</h3>"
        f'<p class="nc-note">{summary}. {note}</p>'
        f'<div class="nc-strip" role="img" aria-label="{say("Timeline: {summary}", summary=summary)}">{bars}'
        f"<hr></div>{mark}"
        f'<div class="nc-ends"><span>0:00</span><span>{wording.clock(length / 2)}</span>'
        f"<span>{wording.clock(length)}</span></div>{heard}</section>"
    )


def _times(window: "Window") -> str:
    return f'data-from="{window.start_s:.2f}" data-to="{window.end_s:.2f}"'


def _bar(window: "Window", width: float) -> str:
    span = wording.time_span(window.start_s, window.end_s)
    if window.probability is None:
        title = say("{span}: too little sound", span=span)
        return f'<div class="nc-window nc-unjudged" style="width:{width:.3f}%" title="{title}"></div>'
    share = wording.percent(window.probability)
    word = "fake" if window.probability > 0.5 else "real"
    title = say("{span}: {share} % fake", span=span, share=share)
    return (
        f'<div class="nc-window nc-{word}" {_times(window)} style="width:{width:.3f}%" title="{title}">'
        f'<i style="height:{share}%"></i></div>'
    )


def _neighbours(verdict: "Verdict", example: examples.Example | None) -> str:
    rows = "".join(_neighbour(neighbour, example) for neighbour in verdict.neighbours)
    heads = (say("It is"), say("What it is"), say("Collection"), say("Distance"))
    columns = "".join(f"<th scope='col'>{head}</th>" for head in heads)
    title = say("The known clips it resembles most")
    return (
        f'<section class="nc-card nc-neighbours"><h3>{title}</h3><div class="nc-scroll" tabindex="0" '
        f'role="region" aria-label="{title}"><table><thead><tr>{columns}</tr></thead><tbody>{rows}</tbody>'
        "</table></div></section>"
    )


def _neighbour(neighbour: "Neighbour", example: examples.Example | None) -> str:
    known = examples.examples().get(neighbour.path) if neighbour.corpus == "examples" else None
    what = wording.what_it_is(neighbour.label, neighbour.generator, neighbour.kind, neighbour.language)
    if known:
        what = known.said
        if example and example.path == known.path:
            what = say("{title} (this very clip)", title=what)
    play = (
        f' <button type="button" class="nc-mini" data-play="{escape(known.path)}" '
        f'aria-label="{escape(say("Play {title}", title=known.said))}">{say("play")}</button>'
        if known
        else ""
    )
    corpus = say("examples") if known else neighbour.corpus
    return (
        f"<tr><td><span class='nc-who nc-{neighbour.label}'>{shape(neighbour.label)}"
        f"{wording.word(neighbour.label)}</span></td>"
        f"<td>{escape(what)}{play}</td><td>{escape(corpus)}</td>"
        f"<td>{number(neighbour.distance, '.2f')}</td></tr>"
    )
