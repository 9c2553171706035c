"""What the quiz says: the truth about a clip, the score board, the result. Pure functions of a round."""

from html import escape

from ncdetect import quiz, wording
from ncdetect.labels import Label
from ncdetect.language import number, say
from ncdetect.quiz import Answer, Clip, Round, Score
from ncdetect.ui import quiz_hints
from ncdetect.ui.verdict import shape

MARKS = {"right": "✓", "wrong": "✗", "undecided": "–", "missing": "?"}
"""By what an answer was."""


def word(label: str) -> str:
    """real, fake or undecided in the visitor's language."""
    return {"real": say("real"), "fake": say("fake"), "undecided": say("undecided")}[label]


def outcome(name: str) -> str:
    """What an answer was, in a word: name is a key of MARKS."""
    return {
        "right": say("right"), "wrong": say("wrong"), "undecided": say("undecided"),
        "missing": say("no answer"),
    }[name]  # fmt: skip


def visitors_outcome(game: Round, at: int) -> str:
    """Whether the visitor's answer was `right` or `wrong`."""
    return "right" if game.visitor[at] == game.clips[at].label else "wrong"


def truth(clip: Clip) -> str:
    """What the clip is."""
    if clip.label is Label.REAL:
        return say("A real person")
    return say("Rebuilt by a computer") if clip.kind == "vocoders" else say("A computer's voice")


def you_said(game: Round, at: int) -> str:
    """The visitor's answer and what it was worth."""
    said, was = word(game.visitor[at].word), outcome(visitors_outcome(game, at))
    return say("You said {said}: {outcome}", said=said, outcome=was)


def model_said(clip: Clip, answer: Answer | None) -> str:
    """The model's answer and what it was worth."""
    if answer is None:
        return say("The model could not judge this clip")
    leans = "fake" if answer.probability > 0.5 else "real"
    share = answer.probability if leans == "fake" else 1 - answer.probability
    said, percent = word(leans), number(wording.percent(share))
    if answer.verdict == "undecided":
        return say("The model was undecided, leaning to {said} ({percent} %)", said=said, percent=percent)
    was = outcome(quiz.judged(clip, answer))
    return say("The model said {said} ({percent} %): {outcome}", said=said, percent=percent, outcome=was)


def counts(clip: Clip) -> str:
    """Whether the clip counts for the model, and why."""
    if clip.speaker_met and clip.generator_met:
        return say(
            "This clip does not count for the model: it was trained on this speaker and this generator."
        )
    if clip.speaker_met:
        return say(
            "This clip does not count for the model: it was trained on other recordings of this speaker."
        )
    if clip.generator_met:
        return say("This clip does not count for the model: it was trained on other clips of this generator.")
    if clip.label is Label.REAL:
        return say("This clip counts for the model: it has never met this speaker.")
    return say("This clip counts for the model: it has met neither this voice nor this generator.")


def reveal(game: Round, at: int) -> str:
    """The truth about a clip, both answers, what to listen for, and who is owed credit."""
    clip, given, mine = game.clips[at], game.model[at], game.visitor[at].word
    said, kind = given.verdict if given else "undecided", clip.label.word
    onward = say("See the result") if game.over else say("Next clip")
    return (
        f'<div class="nc-quiz-truth nc-{kind}">{shape(kind)}<h3>{truth(clip)}</h3></div>'
        f'<div class="nc-chips"><span class="nc-chip nc-{mine}">{shape(mine)}{you_said(game, at)}</span>'
        f'<span class="nc-chip nc-{said}">{shape(said)}{model_said(clip, given)}</span></div>'
        f"<p><b>{say('What to listen for:')}</b> {quiz_hints.hint(clip)}</p>"
        f'<p class="nc-note">{counts(clip)} {_credit(clip)}</p>'
        f'<button type="button" class="nc-button" data-next>{onward}</button>'
    )


def _credit(clip: Clip) -> str:
    return say(
        "Language: {language}. Credit: {credit}. Licence: {licence}.",
        language=escape(wording.language(clip.language)), credit=escape(clip.credit.rstrip(".")),
        licence=escape(clip.license),
    )  # fmt: skip


def spoken(game: Round, at: int) -> str:
    """The reveal in one breath, for screen readers."""
    return f"{truth(game.clips[at])}. {you_said(game, at)}. {model_said(game.clips[at], game.model[at])}."


def board(game: Round) -> str:
    """The score board: a line a clip, then the sums."""
    rows = ""
    for at, clip in enumerate(game.clips):
        cells = "<td></td><td></td>"
        if at in game.visitor:
            mark = _mark(quiz.judged(clip, game.model[at]))
            model_cell = mark if clip.counts else f'<span class="nc-quiz-pale">({mark})</span>'
            cells = f"<td>{_mark(visitors_outcome(game, at))}</td><td>{model_cell}</td>"
        rows += f'<tr><th scope="row">{at + 1}</th>{cells}</tr>'
    score = game.score()
    you, its = (
        say("{right} of {clips}", right=right, clips=clips) if clips else ""
        for right, clips in ((score.right, score.answered), (score.model_right, score.fair))
    )
    if score.model_undecided:
        its += f"<small>{say('{n} undecided', n=score.model_undecided)}</small>"
    return (
        f"<h3>{say('Score')}</h3><table><thead><tr><th scope='col'>{say('Clip')}</th>"
        f"<th scope='col'>{say('You')}</th><th scope='col'>{say('The model')}</th></tr></thead><tbody>{rows}"
        f"</tbody><tfoot><tr><th scope='row'>{say('Right')}</th><td>{you}</td><td>{its}</td></tr></tfoot>"
        f"</table><p class='nc-note'>"
        f"{say('In brackets: does not count, as the model was trained on it or its like.')} "
        f"{say('A dash: undecided, which is neither right nor wrong.')}</p>"
    )


def _mark(name: str) -> str:
    return (
        f'<i class="nc-quiz-mark nc-quiz-{name}" aria-hidden="true">{MARKS[name]}</i>'
        f'<span class="nc-sr">{outcome(name)}</span>'
    )


def end(game: Round) -> str:
    """The result of a round in words."""
    score = game.score()
    return (
        f"<h3>{say('You recognised {right} of {clips}', right=score.right, clips=score.answered)}</h3>"
        f"<p>{lucky(score)}</p><p>{against(score)}</p>"
        f'<blockquote class="nc-quiz-share">{share(score)}</blockquote>'
        f'<div class="nc-buttons"><button type="button" class="nc-button" data-kind="{game.kind}">'
        f"{say('Play again')}</button><button type='button' class='nc-button nc-second' data-copy>"
        f"{say('Copy this sentence')}</button><button type='button' class='nc-button nc-second' data-quit>"
        f"{say('Other rounds')}</button></div><p class='nc-note nc-quiz-copied' role='status'></p>"
    )


def lucky(score: Score) -> str:
    """How often a coin does as well, and what follows from it."""
    share_of_coins = quiz.luck(score.right, score.answered)
    coins = (
        say("Who tosses a coin for each clip does at least as well in {n} of 100 rounds.",
            n=number(100 * share_of_coins, ".0f"))
        if share_of_coins >= 0.01
        else say("Who tosses a coin for each clip does as well in fewer than 1 of 100 rounds.")
    )  # fmt: skip
    if share_of_coins < 0.05:
        return f"{coins} {say('That was hardly luck: you heard something.')}"
    if share_of_coins < 0.5:
        return f"{coins} {say('So it may have been luck. Play on to find out.')}"
    return f"{coins} {say('That is no better than guessing.')}"


def against(score: Score) -> str:
    """The visitor against the model, on the clips that count for both."""
    if not score.fair:
        return say(
            "Of this round no clip counts for the model: it was trained on the voices or their makers."
        )
    told = say(
        "On the {clips} clips whose speaker and generator the model had never met, it was right {right}, "
        "wrong {wrong} and undecided {undecided} times. You were right on {yours} of the same {clips}.",
        clips=score.fair, right=score.model_right, wrong=score.model_wrong, undecided=score.model_undecided,
        yours=score.fair_right,
    )  # fmt: skip
    if score.fair_right == score.model_right:
        return f"{told} <b>{say('That is a draw.')}</b>"
    ahead = score.fair_right > score.model_right
    return f"{told} <b>{say('You are ahead.') if ahead else say('The model is ahead.')}</b>"


def share(score: Score) -> str:
    """A sentence to pass on."""
    if not score.fair:
        return say(
            "I told {right} of {clips} voices right, real or made by a computer. How many do you hear?",
            right=score.right, clips=score.answered,
        )  # fmt: skip
    return say(
        "I told {right} of {clips} voices right, real or made by a computer. The detector ncdetect was right "
        "on {model} of the {fair} that were new to it, and undecided on {undecided}. How many do you hear?",
        right=score.right, clips=score.answered, model=score.model_right, fair=score.fair,
        undecided=score.model_undecided,
    )  # fmt: skip
