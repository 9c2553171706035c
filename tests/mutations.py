"""Sound files with mistakes in them, for hypothesis: bytes set, cut, put in, moved and repeated."""

import functools

from hypothesis import strategies as st

from media import FORMATS, speech_like

_NUMBERS = (
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x80\0\0\0",
    b"\1\0\0\0",
)


@functools.cache
def whole_files() -> tuple[bytes, ...]:
    """A second of sound in every format."""
    return tuple(encode(speech_like(1.0, rate_hz), rate_hz) for rate_hz, _, encode in FORMATS.values())


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A file with up to six mistakes, most of them near its start, where the headers are."""
    data = draw(st.sampled_from(whole_files()))
    for _ in range(draw(st.integers(1, 6))):
        most = max(len(data) - 1, 0)
        at = draw(st.one_of(st.integers(0, min(most, 256)), st.integers(0, most)))
        length = draw(st.integers(1, 64))
        match draw(st.sampled_from(("set", "number", "cut", "drop", "insert", "copy", "repeat"))):
            case "set":
                new = draw(st.binary(min_size=1, max_size=8))
                data = data[:at] + new + data[at + len(new) :]
            case "number":
                data = data[:at] + draw(st.sampled_from(_NUMBERS)) + data[at + 4 :]
            case "cut":
                data = data[:at]
            case "drop":
                data = data[:at] + data[at + length :]
            case "insert":
                data = data[:at] + draw(st.binary(max_size=64)) + data[at:]
            case "copy":
                start = draw(st.integers(0, most))
                data = data[:at] + data[start : start + length] + data[at:]
            case "repeat":
                data = data[:at] + data[at : at + length] * draw(st.integers(2, 500)) + data[at:]
    return data
