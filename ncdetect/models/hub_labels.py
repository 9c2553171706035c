"""What the labels of a published classifier mean: real or fake, by the words in their names.

A name is taken apart into words: `AIVoice` is "ai voice", `bona-fide` and `BonaFide` are "bonafide"; case
does not count. One with a word of REAL_WORDS means real, one with a word of FAKE_WORDS fake. Nothing is
guessed: a name with neither, with both or with a negation is unclear, and a person has to say what is fake.
"""

import re
from collections.abc import Collection, Sequence

from ncdetect.labels import Label

REAL_WORDS = frozenset({"real", "bonafide", "genuine", "human", "authentic", "true"})
FAKE_WORDS = frozenset(
    {"fake", "deepfake", "spoof", "spoofed", "spoofing", "synthetic", "synthesized", "synthesised"}
    | {"ai", "artificial", "generated", "machine", "cloned", "converted", "vocoded", "tts", "vc"}
)
NEGATIONS = frozenset({"no", "non", "not"})


def read_labels(names: Sequence[str], fake: Collection[str] = ()) -> tuple[Label, ...]:
    """The class that each label of a classifier means.

    Args:
        names: Of the labels.
        fake: Those that mean fake, where the names do not tell; all others mean real.

    Raises:
        ValueError: If a name is unclear, one of `fake` is not there, or a class has no label.
    """
    unknown = sorted(set(fake) - set(names))
    if unknown:
        raise ValueError(f"no label {unknown[0]!r}; allowed: {', '.join(names)}")
    found = [_chosen(name in fake) if fake else _meaning(name) for name in names]
    if set(found) != set(Label):
        raise ValueError(
            f"the labels {', '.join(names)} do not tell real from fake; allowed: some with a word of "
            f"{', '.join(sorted(REAL_WORDS))}, all others with one of {', '.join(sorted(FAKE_WORDS))}; "
            "or say which mean fake: hub:SOURCE#fake=LABEL"
        )
    return tuple(found)


def _chosen(fake: bool) -> Label:
    return Label.FAKE if fake else Label.REAL


def _meaning(name: str) -> Label | None:
    """None where the name is unclear."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    words = set(" ".join(parts).lower().replace("bona fide", "bonafide").split())
    real, fake = bool(words & REAL_WORDS), bool(words & FAKE_WORDS)
    return None if real == fake or words & NEGATIONS else _chosen(fake)
