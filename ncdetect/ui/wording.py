"""Plain words for what the model and the corpora say in codes and numbers."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ncdetect.predictor import Verdict

HEADLINES = {"real": "Likely real", "fake": "Likely fake", "undecided": "Undecided"}
_KINDS = {
    "tts": "text-to-speech",
    "commercial-tts": "commercial text-to-speech",
    "vc": "voice conversion",
    "vocoder": "rebuilt by a vocoder",
    "codec": "rebuilt by a neural codec",
    "real-read": "read aloud",
    "real-wild": "everyday speech",
}
_LANGUAGES = {
    "ar": "Arabic", "bn": "Bengali", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek",
    "en": "English",
    "es": "Spanish", "fa": "Persian", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi",
    "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese", "kn": "Kannada", "ko": "Korean",
    "mr": "Marathi", "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian",
    "ru": "Russian", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "te": "Telugu", "th": "Thai",
    "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
_SPLITS = {"train": "training part", "dev": "validation part", "eval": "test part"}


def language(code: str) -> str:
    """Name of a language, or its code where we have none."""
    return _LANGUAGES.get(code, code)


def what_it_is(label: str, generator: str, kind: str, language_code: str) -> str:
    """A known clip in a few words, without its class: `elevenlabs, commercial text-to-speech, Tamil`."""
    source = ("from " if label == "real" and generator else "") + generator
    words = (source, _KINDS.get(kind, kind), language(language_code))
    return ", ".join(word for word in words if word) or "nothing more is known"


def where_from(corpus: str, split: str) -> str:
    """Corpus and part: `collection cloned, training part`."""
    part = _SPLITS.get(split, split)
    return f"collection {corpus}" + (f", {part}" if part else "")


def percent(share: float) -> int:
    """A probability in per cent, never 0 or 100: no detector is that sure."""
    return min(99, max(1, round(100 * share)))


@dataclass(frozen=True)
class Confidence:
    """How sure the classifier is, for people."""

    percent: int
    """Of the class it leans to, 50 to 99."""
    leans: str
    """real or fake."""
    words: str


def confidence(verdict: "Verdict") -> Confidence:
    """The calibrated probability of the class that the classifier leans to, and words for it."""
    leans = "fake" if verdict.probability > 0.5 else "real"
    share = verdict.probability if leans == "fake" else 1 - verdict.probability
    steps = ((0.95, "very confident"), (0.85, "fairly confident"), (0.65, f"leaning towards {leans}"))
    for least, words in steps:
        if share >= least:
            return Confidence(percent(share), leans, words)
    return Confidence(percent(share), leans, "close to a coin toss")


def rank(share_nearer: float, label: str, known: int) -> str:
    """A percentile as a sentence about known clips of a class.

    Args:
        share_nearer: Share of them that lie nearer to their mean than this clip does.
        label: real or fake.
        known: How many there are.
    """
    nearer = round(share_nearer * known)
    if known and nearer <= 0:
        return f"nearer than every known {label} clip"
    if known and nearer >= known:
        return f"farther out than every known {label} clip"
    return f"farther out than {percent(share_nearer)} of 100 known {label} clips"


def agreement_sentence(agreement: object) -> str:
    """How often both readings agree on held-out clips, if the checkpoint says so; else an empty text."""
    if not isinstance(agreement, dict):
        return ""
    agree, right = _share(agreement, "agree"), _share(agreement, "right_when_agreeing")
    if agree is None:
        return ""
    sentence = f"{_on_held_out(agreement)} they agreed in {agree:.0%}"
    if right is not None:
        sentence += f"; where they agreed, they were right in {right:.0%}"
    wrong = _share(agreement, "right_when_disagreeing")
    if wrong is not None and agree < 1:
        sentence += f"; where they disagreed, the classifier was right in {wrong:.0%}"
    return sentence.replace("%", " %") + "."


def accuracy_sentence(agreement: object) -> str:
    """How often the classifier is right on held-out clips, if the checkpoint says so; else an empty text."""
    if not isinstance(agreement, dict):
        return ""
    agree, right = _share(agreement, "agree"), _share(agreement, "right_when_agreeing")
    if agree is None or right is None:
        return ""
    correct = agree * right + (1 - agree) * (_share(agreement, "right_when_disagreeing") or 0.0)
    return f"{_on_held_out(agreement)} it was right in {100 * correct:.0f} of 100 cases."


def _on_held_out(agreement: dict) -> str:
    clips = agreement.get("clips")
    return f"On {clips:,} held-out clips" if isinstance(clips, int) and clips > 0 else "On held-out clips"


def _share(agreement: dict, name: str) -> float | None:
    value = agreement.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def time_span(start_s: float, end_s: float) -> str:
    """`0:03 to 0:06`."""
    return f"{clock(start_s)} to {clock(end_s)}"


def clock(seconds: float) -> str:
    """`1:05`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
