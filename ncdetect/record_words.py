"""The track record in words."""

from typing import TYPE_CHECKING

from ncdetect.language import number, say
from ncdetect.metrics import Interval

if TYPE_CHECKING:
    from ncdetect.predictor import Word
    from ncdetect.record import Part


def like_sentence(word: "Word", part: "Part", clips: int, right: int, share: Interval) -> str:
    """What became of the test clips that are like a given one.

    Args:
        word: The verdict that they all got.
        part: Of the test.
        clips: How many there are.
        right: How many were what the verdict says; of undecided ones, how many were fake.
        share: The same as a share, with its interval.
    """
    values = {"clips": number(clips), "right": number(right), "rest": number(clips - right)}
    values |= {"low": number(100 * share.low, ".0f"), "high": number(100 * share.high, ".0f")}
    if part == "wild":
        if word == "real":
            return say(
                "Of {clips} such clips from sources that it never learned from, {right} were real "
                "({low} to {high} of 100).",
                **values,
            )
        if word == "fake":
            return say(
                "Of {clips} such clips from sources that it never learned from, {right} were fake "
                "({low} to {high} of 100).",
                **values,
            )
        return say(
            "Of {clips} such clips from sources that it never learned from, {rest} were real and {right} "
            "fake.",
            **values,
        )
    if word == "real":
        return say(
            "Of {clips} test clips judged likely real about this surely, {right} were real (95 % interval: "
            "{low} to {high} of 100).",
            **values,
        )
    if word == "fake":
        return say(
            "Of {clips} test clips judged likely fake about this surely, {right} were fake (95 % interval: "
            "{low} to {high} of 100).",
            **values,
        )
    return say(
        "Of {clips} undecided test clips with a similar score, {rest} were real and {right} fake.", **values
    )
