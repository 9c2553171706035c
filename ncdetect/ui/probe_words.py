"""The words of the probe: what was done to a clip, what became of the verdict, and what all that means."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ncdetect.findings_words import number_of, read_csv
from ncdetect.language import number, say

if TYPE_CHECKING:
    from ncdetect.predictor import Word
    from ncdetect.probe import Change

log = logging.getLogger(__name__)

FILE = Path(__file__).resolve().parents[2] / "assets" / "results" / "robustness.csv"
"""How verdicts of the model fared under the same damages on test clips."""
AS_IT_IS = "none"
UNMEASURED = (AS_IT_IS, "first half", "second half")
"""Rows to which no table of measured damages has anything to say."""
MARKS = {"holds": "✓", "opens": "?", "flips": "⇄", "decides": "!"}


@dataclass(frozen=True)
class Record:
    """What a damage did to verdicts that were measured."""

    clips: int
    """Decided before the damage."""
    flipped: float
    """Share of them decided the other way after it."""
    undecided: float
    """Share of them undecided after it."""


def titles() -> dict[str, tuple[str, str]]:
    """What was done to the clip, in plain words and more exactly, by damage in the order of the rows."""
    return {
        AS_IT_IS: (say("As it is"), say("for comparison")),
        "8 kHz mu-law": (say("Over the telephone"), say("8 kHz, as a landline carries it")),
        "mp3 64 kbit/s": (say("Saved as an MP3"), say("64 kbit/s")),
        "opus 16 kbit/s": (say("Sent as a voice message"), say("Opus, 16 kbit/s")),
        "noise 15 dB": (say("With noise behind it"), say("15 dB below the clip")),
        "reverberation": (say("In an echoing room"), say("with half a second of echo")),
        "first half": (say("The first half alone"), say("the rest is cut away")),
        "second half": (say("The second half alone"), say("the rest is cut away")),
    }


def changes() -> dict["Change", str]:
    """What became of the verdict."""
    return {
        "holds": say("Holds"),
        "opens": say("Becomes undecided"),
        "flips": say("Turns into its opposite"),
        "decides": say("Becomes decided"),
    }


def records(file: Path, checkpoint: str) -> dict[str, Record]:
    """What was measured of a model, by damage; nothing where the file is missing or damaged."""
    if not file.is_file():
        return {}
    found = {}
    try:
        for row in read_csv(file):
            clips, flipped, undecided = (
                number_of(row, name) for name in ("decided_before", "flipped_rate", "undecided_rate")
            )
            if (
                row.get("checkpoint") == checkpoint
                and clips
                and flipped is not None
                and undecided is not None
            ):
                found[str(row["damage"])] = Record(int(clips), flipped, undecided)
    except (OSError, ValueError, LookupError, TypeError):
        log.exception("%s cannot be read", file)
    return found


def recorded(record: Record) -> str:
    """What the damage did to test clips."""
    return say(
        "On {clips} test clips: {flipped} % flipped, {undecided} % undecided",
        clips=number(record.clips, ","),
        flipped=number(100 * record.flipped, ".1f"),
        undecided=number(100 * record.undecided, ".0f"),
    )


def summary(before: "Word", after: Mapping[str, "Word"]) -> str:
    """All damages together, in HTML: in how many the verdict held, and what that means.

    Args:
        before: The verdict without damage.
        after: The verdict after each damage.
    """
    from ncdetect.probe import change

    found = [change(before, word) for word in after.values()]
    held, opened, flipped, decided = (found.count(what) for what in MARKS)
    gaps = {"held": held, "tried": len(found)}
    if before == "undecided":
        return " ".join(
            (
                say("<b>It stays undecided in {held} of {tried}.</b>", **gaps),
                say(
                    "In {n} it becomes decided, which comes from the damage: trust it no more than before.",
                    n=decided,
                )
                if decided
                else say("No everyday damage here brings the model to decide."),
            )
        )
    sentences = [say("<b>The verdict held in {held} of {tried}.</b>", **gaps)]
    if held == len(found):
        sentences += [say("None of these everyday damages changes what the model says.")]
    if opened:
        sentences += [
            say(
                "In {n} it became undecided: there the model stopped deciding, it did not contradict itself.",
                n=opened,
            )
        ]
    if flipped:
        sentences += [
            say("<b>In {n} it turned into its opposite:</b> do not rely on this verdict.", n=flipped)
        ]
    sentences += [say("Steady is not the same as right: a verdict that holds may still be wrong.")]
    return " ".join(sentences)
