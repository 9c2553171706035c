"""What every sentence on the page must be: one, plain, and without the words of programmers."""

import re

JARGON = re.compile(
    r"Errno|Traceback|\bav\b|soundfile|libsnd|ffmpeg|Exception|Error|0x|None|\bnan\b|<|\{|\\|/", re.I
)


def assert_plain_sentence(sentence: str) -> None:
    assert re.fullmatch(r"[A-Z][^!?\n]*[A-Za-z0-9]\.", sentence), sentence
    assert not re.search(r"\. [A-Z]", sentence), f"more than one sentence: {sentence}"
    assert not JARGON.search(sentence), sentence
    assert len(sentence) < 200
