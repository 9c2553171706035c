"""Plain words for what the model and the corpora say in codes and numbers."""

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ncdetect.language import number, say, spoken

if TYPE_CHECKING:
    from ncdetect.predictor import Verdict


def headline(verdict: str) -> str:
    """A verdict in large type."""
    return {"real": say("Likely real"), "fake": say("Likely fake"), "undecided": say("Undecided")}[verdict]


def word(verdict: str) -> str:
    """A class or a verdict as an adjective that stands alone."""
    return {"real": say("real"), "fake": say("fake"), "undecided": say("undecided")}[verdict]


def capital(text: str) -> str:
    """As the beginning of a sentence."""
    return text[:1].upper() + text[1:]


@functools.cache
def _kinds(_: str) -> dict[str, str]:
    return {
        "tts": say("text-to-speech"),
        "commercial-tts": say("commercial text-to-speech"),
        "vc": say("voice conversion"),
        "vocoder": say("rebuilt by a vocoder"),
        "codec": say("rebuilt by a neural codec"),
        "real-read": say("read aloud"),
        "real-wild": say("everyday speech"),
    }


@functools.cache
def _languages(_: str) -> dict[str, str]:
    return {
        "ar": say("Arabic"), "bn": say("Bengali"), "cs": say("Czech"), "da": say("Danish"),
        "de": say("German"), "el": say("Greek"), "en": say("English"), "es": say("Spanish"),
        "fa": say("Persian"), "fi": say("Finnish"), "fr": say("French"), "he": say("Hebrew"),
        "hi": say("Hindi"), "hu": say("Hungarian"), "id": say("Indonesian"), "it": say("Italian"),
        "ja": say("Japanese"), "kn": say("Kannada"), "ko": say("Korean"), "mr": say("Marathi"),
        "nl": say("Dutch"), "no": say("Norwegian"), "pl": say("Polish"), "pt": say("Portuguese"),
        "ro": say("Romanian"), "ru": say("Russian"), "sv": say("Swedish"), "sw": say("Swahili"),
        "ta": say("Tamil"), "te": say("Telugu"), "th": say("Thai"), "tr": say("Turkish"),
        "uk": say("Ukrainian"), "ur": say("Urdu"), "vi": say("Vietnamese"), "zh": say("Chinese"),
    }  # fmt: skip


def language(code: str) -> str:
    """Name of a language, or its code where we have none."""
    return _languages(spoken()).get(code, code)


def what_it_is(label: str, generator: str, kind: str, language_code: str) -> str:
    """A known clip in a few words, without its class: `elevenlabs, commercial text-to-speech, Tamil`."""
    source = say("from {source}", source=generator) if label == "real" and generator else generator
    words = (source, _kinds(spoken()).get(kind, kind), language(language_code))
    return ", ".join(word for word in words if word) or say("nothing more is known")


def where_from(corpus: str, split: str) -> str:
    """Corpus and part: `collection cloned, training part`."""
    splits = {"train": say("training part"), "dev": say("validation part"), "eval": say("test part")}
    part = splits.get(split, split)
    return say("collection {corpus}", corpus=corpus) + (f", {part}" if part else "")


def percent(share: float) -> int:
    """A probability in per cent, never 0 or 100: no detector is that sure."""
    return min(99, max(1, round(100 * share)))


def rate(share: float) -> str:
    """An error rate in per cent without its sign, never a certain 0 or 100: `24.3`."""
    if share < 0.0005:
        return "<" + number(0.1, ".1f")
    return ">" + number(99.9, ".1f") if share > 0.9995 else number(100 * share, ".1f")


@dataclass(frozen=True)
class Confidence:
    """How sure the classifier is, for people."""

    percent: int
    """Of the class it leans to, 50 to 99."""
    leans: str
    """real or fake."""
    words: str

    @property
    def said(self) -> str:
        """The class it leans to, in the language that is spoken."""
        return word(self.leans)


def confidence(verdict: "Verdict") -> Confidence:
    """The calibrated probability of the class that the classifier leans to, and words for it."""
    leans = "fake" if verdict.probability > 0.5 else "real"
    share = verdict.probability if leans == "fake" else 1 - verdict.probability
    steps = (
        (0.95, say("very confident")),
        (0.85, say("fairly confident")),
        (0.65, say("leaning towards {leans}", leans=word(leans))),
        (0.0, say("close to a coin toss")),
    )
    return Confidence(percent(share), leans, next(words for least, words in steps if share >= least))


def rank(share_nearer: float, label: str, known: int) -> str:
    """A percentile as a sentence about known clips of a class.

    Args:
        share_nearer: Share of them that lie nearer to their mean than this clip does.
        label: real or fake.
        known: How many there are.
    """
    nearer, real = round(share_nearer * known), label == "real"
    if known and nearer <= 0:
        return say("nearer than every known real clip") if real else say("nearer than every known fake clip")
    if known and nearer >= known:
        if real:
            return say("farther out than every known real clip")
        return say("farther out than every known fake clip")
    if real:
        return say("farther out than {n} of 100 known real clips", n=percent(share_nearer))
    return say("farther out than {n} of 100 known fake clips", n=percent(share_nearer))


def agreement_sentence(agreement: object) -> str:
    """How often both readings agree on held-out clips, if the checkpoint says so; else an empty text."""
    if not isinstance(agreement, dict) or (agree := _share(agreement, "agree")) is None:
        return ""
    share = number(100 * agree, ".0f")
    if clips := _clips(agreement):
        sentence = say("On {clips} held-out clips they agreed in {share} %", clips=clips, share=share)
    else:
        sentence = say("On held-out clips they agreed in {share} %", share=share)
    if (right := _share(agreement, "right_when_agreeing")) is not None:
        share = number(100 * right, ".0f")
        sentence += say("; where they agreed, they were right in {share} %", share=share)
    if (wrong := _share(agreement, "right_when_disagreeing")) is not None and agree < 1:
        share = number(100 * wrong, ".0f")
        sentence += say("; where they disagreed, the classifier was right in {share} %", share=share)
    return sentence + "."


def accuracy_sentence(agreement: object) -> str:
    """How often the classifier is right on held-out clips, if the checkpoint says so; else an empty text."""
    if not isinstance(agreement, dict):
        return ""
    agree, right = _share(agreement, "agree"), _share(agreement, "right_when_agreeing")
    if agree is None or right is None:
        return ""
    correct = agree * right + (1 - agree) * (_share(agreement, "right_when_disagreeing") or 0.0)
    share = number(100 * correct, ".0f")
    if clips := _clips(agreement):
        return say(
            "On {clips} held-out clips it was right in {share} of 100 cases.", clips=clips, share=share
        )
    return say("On held-out clips it was right in {share} of 100 cases.", share=share)


def _clips(agreement: dict) -> str:
    clips = agreement.get("clips")
    return number(clips, ",") if isinstance(clips, int) and clips > 0 else ""


def _share(agreement: dict, name: str) -> float | None:
    value = agreement.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def time_span(start_s: float, end_s: float) -> str:
    """`0:03 to 0:06`."""
    return say("{start} to {end}", start=clock(start_s), end=clock(end_s))


def clock(seconds: float) -> str:
    """`1:05`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
