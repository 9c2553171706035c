"""What the tab "Live" looks like before anything was heard; `microphone.js` brings it to life."""

from ncdetect.language import say
from ncdetect.ui.verdict import shape


def page(minutes: int) -> str:
    """Left what is heard, right what it sounds like, below the verdict on the whole.

    Args:
        minutes: A recording may last so long.
    """
    about = say(
        "Speak, or hold a loudspeaker to your microphone: while you listen, the model judges the newest "
        "3 seconds and everything so far, twice a second."
    )
    return (
        f'<div class="nc-mic" data-state="idle"><header class="nc-header"><h2>{say("Listen live")}</h2>'
        f'<p>{about}</p></header><div class="nc-mic-stage">{_ear()}{_dial()}{_notes(minutes)}</div>'
        '<section class="nc-mic-result" tabindex="-1" hidden></section>'
        '<p class="nc-sr" aria-live="polite" data-spoken></p></div>'
    )


def _notes(minutes: int) -> str:
    rough = say(
        "<b>Live verdicts are rough.</b> Three seconds are little, and pauses and noise weigh more than in a "
        "whole clip. What counts is the verdict at the end: it is about the whole recording, and is the one "
        "that this recording would get as a file."
    )
    first = say(
        "The first impression comes after 1.5 seconds. On 120 test clips it was the same as after 3 seconds "
        "in 81 of 100 cases, and never the opposite."
    )
    private = say(
        "The sound goes to this server half a second at a time and stays in its memory, never on a disk. It "
        "is forgotten with the verdict, when you leave this tab, or 30 seconds after the last sound."
    )
    raw = say(
        "Your browser is asked not to suppress noise and echo, because that changes a voice. A recording may "
        "last {minutes} minutes.",
        minutes=minutes,
    )
    notes = "".join(f"<p>{note}</p>" for note in (rough, first, raw, private))
    return f'<section class="nc-card nc-mic-notes" aria-label="{say("What to know")}">{notes}</section>'


def _ear() -> str:
    ask = say("Press the button: your browser asks for the microphone.")
    return (
        f'<section class="nc-card nc-mic-ear" aria-label="{say("Microphone")}"><div class="nc-mic-top">'
        f'<button type="button" class="nc-mic-button" data-start="{say("Start listening")}" '
        f'data-stop="{say("Stop and judge the whole")}" aria-label="{say("Start listening")}">'
        '<i class="nc-mic-ring" aria-hidden="true"></i><svg viewBox="0 0 24 24" aria-hidden="true">'
        '<g class="nc-mic-go"><rect x="9" y="3" width="6" height="11" rx="3"/><path '
        'd="M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3M8.8 21h6.4"/></g>'
        '<rect class="nc-mic-halt" x="7" y="7" width="10" height="10" rx="2"/>'
        f'</svg></button><div class="nc-mic-say"><b data-label>{say("Start listening")}</b>'
        '<span class="nc-mic-clock" data-clock>0:00</span></div></div>'
        '<div class="nc-mic-level" aria-hidden="true"><i></i></div>'
        f'<p class="nc-mic-hint" data-hint>{ask}</p>'
        '<div class="nc-mic-refused" role="alert" hidden></div></section>'
    )


def _dial() -> str:
    ends = {"real": say("real"), "fake": say("fake")}
    names = {"real": say("to the average real voice"), "fake": say("to the average fake voice")}
    corners = "".join(f'<span class="nc-{word}">{shape(word)}{name}</span>' for word, name in ends.items())
    bars = "".join(
        f'<div class="nc-distance nc-{word}" data-distance="{word}"><div class="nc-label">{shape(word)}<span>'
        f"{name} <b>{say('nearer')}</b></span><output>-</output></div>"
        '<div class="nc-bar"><u></u><i></i></div></div>'
        for word, name in names.items()
    )
    strip = say("The last 30 seconds: the higher a bar, the more it sounded fake")
    return (
        f'<section class="nc-card nc-mic-dial" aria-label="{say("Live verdict")}"><div class="nc-mic-gauge">'
        '<svg viewBox="0 -4 240 136" aria-hidden="true"><defs><linearGradient id="nc-mic-arc">'
        '<stop offset="0"/><stop offset=".42"/><stop offset=".58"/><stop offset="1"/></linearGradient></defs>'
        '<path class="nc-mic-track" d="M22 118A98 98 0 0 1 218 118"/>'
        '<path class="nc-mic-middle" d="M120 11V30"/>'
        '<g class="nc-mic-all" data-all><path d="M120 9l-6.5-11h13z"/></g>'
        '<g class="nc-mic-needle" data-needle><path d="M117.4 118L120 36l2.6 82z"/></g>'
        f'<circle cx="120" cy="118" r="7"/></svg><div class="nc-mic-ends">{corners}</div></div>'
        f'<div class="nc-mic-now" data-now><p class="nc-note">{say("The last 3 seconds")}</p>'
        f'<div class="nc-mic-word">{shape("undecided")}<h3>{say("Nothing heard yet")}</h3></div>'
        "<p data-words>&nbsp;</p></div>"
        f'<div class="nc-mic-sofar" data-sofar><span>{say("Everything so far")}:</span> <b>-</b></div>'
        f'<div class="nc-mic-past"><div class="nc-mic-strip" role="img" aria-label="{strip}">'
        f'<hr></div><div class="nc-ends"><span>{say("30 s ago")}</span>'
        f"<span>{say('hatched: not judged')}</span><span>{say('now')}</span></div></div>"
        f'<div class="nc-mic-distances"><h3>{say("How far from the average voices, so far")}</h3>{bars}</div>'
        "</section>"
    )
