"""What happens in the film `assets/demo.mp4`, scene by scene and act by act; `make_video.py` plays it.

A scene's caption is the point of the talk by its name (`ncdetect.ui.present`), so film and talk say the same.
Seconds are those of the film. Where the page needs longer, the film leaves the waiting out, and says so.
"""

from dataclasses import dataclass

from ncdetect.ui.present import FAKE, REAL, SPLICED

LONGEST_S = 90.0


@dataclass(frozen=True)
class Act:
    """One thing that is done or shown.

    `do` is one of
        look: bring `at` to the upper edge of the window, or as `place` says; the top where there is no `at`
        rest: nothing moves
        live: the page moves by itself
        point, click: move the cursor onto `at`, and press it
        bring: click `at` and choose the file `what` of this folder
        drag: press the slider `at` and draw it to the share `what` of its length
        wait: until `at` can be seen; lasts as long as that takes, at most `seconds` of the film
    """

    do: str
    seconds: float
    at: str = ""
    """A selector of Playwright; the first that fits."""
    what: str = ""
    place: float = 0.03
    """Where the upper edge of what is looked at comes to lie, as a share of the window's height."""


@dataclass(frozen=True)
class Scene:
    """What is done while one caption stands."""

    point: str
    acts: tuple[Act, ...]
    when: str = ""
    """Selector of what it needs; the scene is left out, with a warning, where that is not there."""


def card(path: str) -> str:
    """Selector of an example's card."""
    return f'#tabs [data-clip="{path}"]'


def tab(name: str) -> str:
    """Selector of a tab by the module that lays it out."""
    return f"#tab-{name}-button"


OWN = "practice/clips/0029.opus"
"""A neural voice of which the model is not sure; below `assets`."""
PLAY = "#clip .play-pause-button"
JUDGED = "#verdict .nc-truth"

SCENARIO = (
    Scene("open", (Act("rest", 2.6), Act("point", 0.8, card(REAL)))),
    Scene(
        "real",
        (
            Act("click", 0.3, card(REAL)),
            Act("wait", 0.6, JUDGED),
            Act("live", 0.7),
            Act("look", 0.9, "#verdict"),
            Act("live", 2.4),
        ),
    ),
    Scene(
        "fake",
        (
            Act("look", 0.7),
            Act("click", 0.8, card(FAKE)),
            Act("wait", 0.6, JUDGED + ":has-text('computer')"),
            Act("live", 0.5),
            Act("look", 0.8, "#verdict"),
            Act("live", 1.8),
        ),
    ),
    Scene("bars", (Act("point", 0.8, "#verdict .nc-distance"), Act("rest", 2.2))),
    Scene("map", (Act("point", 0.8, "#map .annotation-text:has-text('this clip')"), Act("live", 2.2))),
    Scene(
        "exact",
        (Act("click", 0.8, '#map [data-value="exact"]'), Act("live", 1.2), Act("rest", 1.8)),
        when='#map [data-value="exact"]',
    ),
    Scene(
        "why",
        (
            Act("look", 0.9, "#why", place=0.3),
            Act("click", 0.7, "#why [data-ask]"),
            Act("wait", 0.8, "#why [data-checked]"),
            Act("look", 0.6, "#why"),
            Act("click", 0.7, "#why .nc-why-play"),
            Act("live", 2.6),
        ),
        when="#why [data-ask]",
    ),
    Scene(
        "probe",
        (
            Act("look", 0.8, "#probe", place=0.3),
            Act("click", 0.7, "#probe [data-ask]"),
            Act("wait", 1.2, "#probe section:not([hidden]):not([aria-busy=true])"),
            Act("look", 0.7, "#probe"),
            Act("rest", 3.0),
        ),
        when="#probe [data-ask]",
    ),
    Scene(
        "report",
        (Act("look", 0.8, "#report", place=0.35), Act("point", 0.7, "#report button"), Act("rest", 2.2)),
        when="#report button",
    ),
    Scene(
        "spliced",
        (
            Act("look", 0.8),
            Act("click", 0.7, "#more-clips .label-wrap"),
            Act("live", 0.5),
            Act("look", 0.5, card(SPLICED), place=0.4),
            Act("click", 0.6, card(SPLICED)),
            Act("wait", 0.6, JUDGED + ":has-text('0:13')"),
            Act("look", 0.8, "#verdict"),
            Act("rest", 1.3),
            Act("look", 0.8, "#details", place=0.1),
            Act("point", 0.6, "#details .nc-mark span"),
            Act("rest", 2.2),
        ),
        when="#more-clips .label-wrap",
    ),
    Scene(
        "own",
        (
            Act("look", 0.7),
            Act("click", 0.6, "#clip [aria-label=Clear]"),
            Act("bring", 0.6, "#clip", OWN),
            Act("wait", 0.8, "#verdict .nc-distances"),
            Act("click", 0.6, PLAY),
            Act("look", 0.7, "#verdict"),
            Act("rest", 1.8),
        ),
    ),
    Scene(
        "lab",
        (
            Act("look", 0.6),
            Act("click", 0.7, tab("lab")),
            Act("wait", 0.4, ".nc-lab .nc-plot canvas"),
            Act("look", 0.7, ".nc-lab-grid"),
            Act("drag", 1.6, "#keep-fake", "0.12"),
            Act("live", 0.6),
            Act("drag", 1.4, "#keep-real", "0.12"),
            Act("live", 1.4),
        ),
    ),
    Scene(
        "inside",
        (
            Act("look", 0.5),
            Act("click", 0.6, tab("inside")),
            Act("wait", 0.4, ".nc-inside-play:enabled"),
            Act("look", 0.6, ".nc-inside-stage"),
            Act("live", 6.0),
        ),
        when=tab("inside"),
    ),
    Scene(
        "quiz",
        (
            Act("look", 0.5),
            Act("click", 0.6, tab("quiz")),
            Act("click", 0.7, ".nc-quiz [data-kind]"),
            Act("wait", 0.4, ".nc-quiz-play"),
            Act("live", 3.6),
            Act("click", 0.7, ".nc-quiz [data-answer=fake]"),
            Act("wait", 0.5, ".nc-quiz-reveal:not([hidden])"),
            Act("rest", 2.6),
        ),
        when=tab("quiz"),
    ),
    Scene("limits", (Act("look", 0.5), Act("click", 0.6, tab("check")), Act("rest", 3.0))),
)
