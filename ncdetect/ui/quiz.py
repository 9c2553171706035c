"""Tab "Try yourself": a blind quiz, the visitor against the model.

A round lies on the server under an opaque token. Before the answer the page gets the samples of a clip and
nothing else: no name, no file, no label.
"""

import functools
import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from ncdetect import quiz
from ncdetect.labels import Label
from ncdetect.language import say
from ncdetect.quiz import Answer, Clip, Round
from ncdetect.ui import model, quiz_told
from ncdetect.ui.private import Uploads
from ncdetect.ui.sound import packed, pcm
from ncdetect.ui.verdict import shape

log = logging.getLogger(__name__)

ASSETS = Path(__file__).resolve().parents[2] / "assets"
ROUNDS_KEPT = 500
_rounds: OrderedDict[str, "Game"] = OrderedDict()
"""Rounds in play by token; of the newest only."""
_guard = threading.Lock()


@dataclass(frozen=True)
class Game:
    """A round, and what its visitor has heard in this and the rounds before."""

    round: Round
    heard: frozenset[Path]


class Gone(LookupError):
    """There is no such round any more."""


@functools.cache
def clips() -> tuple[Clip, ...]:
    """All clips that may be guessed at."""
    return tuple(quiz.read_clips(ASSETS, model.CHECKPOINTS / model.NAME / "bank.parquet"))


@functools.lru_cache(maxsize=2048)
def judge(file: Path) -> Answer | None:
    """What the page's model says of a clip, kept; None where it fails."""
    try:
        found = model.service().check(file)
    except Exception:
        log.exception("a clip of the quiz could not be judged")
        return None
    return Answer(found.verdict, found.probability)


def answered(function: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """The function for the page's script: what goes wrong is answered as a sentence."""

    @functools.wraps(function)
    def answers(request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return function(request)
        except Gone:
            return {"error": say("This round is no longer here. Start a new one.")}
        except Exception:
            log.exception("the quiz could not go on")
            return {"error": say("Something went wrong here. Start a new round.")}

    return answers


@answered
def quiz_start(request: Mapping[str, Any]) -> dict[str, Any]:
    """A new round: its token and number of clips. The model judges them while the visitor listens.

    Args:
        request: `kind` of round; `before`, the token of the round before, so that clips are new.
    """
    before = _rounds.get(str(request.get("before")))
    drawn = quiz.draw(
        clips(), str(request["kind"]), secrets.randbits(32), before.heard if before else frozenset()
    )
    files = [clip.file for clip in drawn.clips]
    token = secrets.token_urlsafe(16)
    with _guard:
        _rounds[token] = Game(drawn, (before.heard if before else frozenset()) | frozenset(files))
        while len(_rounds) > ROUNDS_KEPT:
            _rounds.popitem(last=False)
    threading.Thread(target=lambda: list(map(judge, files)), name="judge-quiz", daemon=True).start()
    return {"round": token, "clips": len(files), "board": quiz_told.board(drawn)}


@answered
def quiz_clip(request: Mapping[str, Any]) -> dict[str, Any]:
    """The samples of a clip: 16 bit at 16 kHz as base64. `request` names `round` and `number`."""
    return {"sound": _sound(_game(request).round.clips[int(request["number"])].file)}


@answered
def quiz_answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Take the visitor's answer and tell the truth.

    Args:
        request: `round`, `number` of the clip, and the `answer`: real or fake.
    """
    game, at = _game(request).round, int(request["number"])
    game.answer(at, Label.from_word(str(request["answer"])), judge(game.clips[at].file))
    return {
        "reveal": quiz_told.reveal(game, at), "spoken": quiz_told.spoken(game, at),
        "board": quiz_told.board(game), "end": quiz_told.end(game) if game.over else "",
    }  # fmt: skip


def _game(request: Mapping[str, Any]) -> Game:
    try:
        return _rounds[str(request.get("round"))]
    except KeyError:
        raise Gone from None


@functools.lru_cache(maxsize=64)
def _sound(file: Path) -> str:
    from ncdetect.audio import load

    return packed(pcm(load(file).wave))


def page() -> str:
    """The tab before a round, and the stage, which is the same for every clip."""
    cards = "".join(
        f'<section class="nc-card nc-quiz-kind"><h3>{title}</h3><p>{text}</p>'
        f'<button type="button" class="nc-button" data-kind="{kind}">{start}</button></section>'
        for kind, (title, text, start) in kinds().items()
    )
    return (
        f'<div class="nc-quiz"><header class="nc-header"><h2>{say("Can you hear the difference?")}</h2><p>'
        + say(
            "Listen, and say which voices are real and which a computer made. The model judges the same "
            "clips. After each you see the truth, both answers, and what there was to hear."
        )
        + f'</p></header><div class="nc-quiz-kinds" data-part="kinds">{cards}{_fair()}</div>'
        f'<p class="nc-quiz-failed" role="alert" hidden></p>{_stage()}'
        '<p class="nc-sr" aria-live="assertive" data-spoken></p></div>'
    )


def kinds() -> dict[str, tuple[str, str, str]]:
    """Title, text and button of each kind of round."""
    return {
        "warm-up": (
            say("Warm-up"),
            say("Six clips: people and speech synthesisers, from robots of the nineties to neural voices."),
            say("Start the warm-up"),
        ),
        "hard": (
            say("Hard"),
            say("Eight clips. Each fake is a recording of a person that a computer took apart and rebuilt. "
                "The same people are heard as themselves, with other words."),
            say("Start the hard round"),
        ),
    }  # fmt: skip


def _fair() -> str:
    points = (
        say("In each round every language is spoken by as many people as computers, and both were cut "
            "and coded alike, so that only the voice can tell. A hard round has each speaker in both roles."),
        say("The model's answers count only on speakers and generators that it was not trained on. If it "
            "says undecided, that is neither right nor wrong."),
        say("There are few real speakers, all of them reading telephone prompts: whoever plays often will "
            "know them. Headphones help."),
    )  # fmt: skip
    items = "".join(f"<li>{point}</li>" for point in points)
    return f'<section class="nc-quiz-fair"><h3>{say("What is fair here")}</h3><ul>{items}</ul></section>'


def _stage() -> str:
    keys = {"real": say("R"), "fake": say("F")}
    buttons = "".join(
        f'<button type="button" class="nc-quiz-answer nc-{name}" data-answer="{name}" data-key="{key}" '
        f'aria-keyshortcuts="{key}">{shape(name)}<span>{quiz_told.word(name)}</span><kbd>{key}</kbd></button>'
        for name, key in keys.items()
    )
    keyboard = say(
        "Keys: {real} for real, {fake} for fake; space plays the clip again, Enter goes on.",
        real=keys["real"], fake=keys["fake"],
    )  # fmt: skip
    return (
        '<div class="nc-quiz-game" data-part="game" hidden><section class="nc-card nc-quiz-stage" '
        f'tabindex="-1" aria-label="{say("The clip")}"><div class="nc-quiz-top"><h3 data-at></h3>'
        f'<button type="button" class="nc-quiz-quit" data-quit>{say("Stop this round")}</button></div>'
        '<div class="nc-quiz-player"><button type="button" class="nc-quiz-play" data-play '
        f'aria-label="{say("Play the clip")}"><svg viewBox="0 0 24 24" aria-hidden="true"><path '
        'class="nc-quiz-go" d="M8 5.5v13l11-6.5z"/><path class="nc-quiz-halt" d="M7 6h3.6v12H7zM13.4 '
        '6H17v12h-3.6z"/></svg></button>'
        '<svg class="nc-quiz-wave" preserveAspectRatio="none" aria-hidden="true"></svg></div>'
        f'<div class="nc-quiz-below"><div class="nc-quiz-ask"><h3>{say("Real or fake?")}</h3>'
        f'<div class="nc-quiz-buttons">{buttons}</div><p class="nc-note">{keyboard}</p></div>'
        '<div class="nc-quiz-reveal" hidden></div></div></section>'
        '<section class="nc-card nc-quiz-end" tabindex="-1" hidden></section>'
        f'<section class="nc-card nc-quiz-board" aria-label="{say("Score")}"></section></div>'
    )


def build(_: Uploads) -> None:
    """Lay it out; its script runs when the tab is first opened."""
    gr.HTML(
        page(), js_on_load="ncdetect.quiz(element, server)", apply_default_css=False, elem_id="quiz",
        server_functions=[quiz_start, quiz_clip, quiz_answer],
    )  # fmt: skip
