"""The two classes and the words for them, the same everywhere."""

from enum import IntEnum


class Label(IntEnum):
    """Class of a clip. A higher `score` always means more fake."""

    REAL = 0
    FAKE = 1

    @property
    def word(self) -> str:
        """`real` or `fake`: the form in files and JSON."""
        return self.name.lower()

    @classmethod
    def from_word(cls, word: str) -> "Label":
        """Read a label as corpora write it.

        Args:
            word: `real` or `fake`, or the field's synonyms (bonafide, bona-fide, genuine, human; spoof,
                synthetic, generated), any case.

        Raises:
            ValueError: If the word is none of these.
        """
        label = _WORDS.get(word.strip().lower())
        if label is None:
            raise ValueError(f"unknown label {word!r}; allowed: {', '.join(sorted(_WORDS))}")
        return label


_WORDS = {
    **dict.fromkeys(("real", "bonafide", "bona-fide", "bona_fide", "genuine", "human"), Label.REAL),
    **dict.fromkeys(("fake", "spoof", "synthetic", "generated"), Label.FAKE),
}
