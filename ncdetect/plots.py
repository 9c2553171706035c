"""What the page's plots show, as plain data: colours, packed coordinates, traces. The scripts in `ui/` draw.

Nothing here imports plotly: its JavaScript runs in the browser, and the arrays travel in the form that it
reads, `{"dtype", "bdata"}`. The map is sent once; a new clip adds only its star.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ncdetect.labels import Label

COLOURS: dict[str, dict[str, str]] = {
    # Blue and orange keep apart for every common kind of colour blindness; shape says it a second time.
    "real": {"light": "#1565b0", "dark": "#6cb6ff"},
    "fake": {"light": "#b84a00", "dark": "#ff9d4d"},
    "undecided": {"light": "#5b4b9a", "dark": "#b9a8ff"},
    "clip": {"light": "#0f172a", "dark": "#ffffff"},
    "muted": {"light": "#8a94a6", "dark": "#6b778c"},
}
SYMBOLS = {"real": "circle", "fake": "diamond", "clip": "star", "muted": "x"}
VIEWS = ("tsne", "umap", "exact")
_PACKED = {"f4": np.float32, "f8": np.float64, "i4": np.int32}


def pack(values: ArrayLike, kind: str = "f4") -> dict[str, str]:
    """An array in plotly's own binary form; `kind` is f4, f8 or i4."""
    array = np.ascontiguousarray(values, np.dtype(_PACKED[kind]).newbyteorder("<"))
    return {"dtype": kind, "bdata": base64.b64encode(array.tobytes()).decode()}


def unpack(packed: Mapping[str, str]) -> NDArray:
    """The array of `pack`."""
    return np.frombuffer(
        base64.b64decode(packed["bdata"]), np.dtype(_PACKED[packed["dtype"]]).newbyteorder("<")
    )


def coded(values: Sequence[str]) -> dict[str, Any]:
    """Texts as a list of the distinct ones, in order of appearance, and a number for each value."""
    numbers: dict[str, int] = {}
    codes = [numbers.setdefault(value, len(numbers)) for value in values]
    return {"words": list(numbers), "codes": pack(codes, "i4")}


def views(maps: Mapping[str, ArrayLike], means: Mapping[str, ArrayLike]) -> dict[str, Any]:
    """Coordinates and class means (real, fake) of each view that there is, in the order of VIEWS.

    Args:
        maps: By view, (N, 2); for `exact` the distances to the real and to the fake mean.
        means: By view, (2, 2).
    """
    return {
        name: {
            "x": pack(np.asarray(maps[name])[:, 0]),
            "y": pack(np.asarray(maps[name])[:, 1]),
            "means": np.asarray(means[name], np.float64).round(4).tolist(),
        }
        for name in VIEWS
        if name in maps
    }


def clip_map(
    maps: Mapping[str, ArrayLike],
    means: Mapping[str, ArrayLike],
    labels: ArrayLike,
    strong: ArrayLike,
    texts: Sequence[str],
) -> dict[str, Any]:
    """The map of known clips: a faint and a strong trace for each class.

    Args:
        maps: As in `views`.
        means: As in `views`.
        labels: Values of `Label`, (N,).
        strong: Mask of the clips in the training database, (N,).
        texts: What each clip is, for hovering.
    """
    labels, strong = np.asarray(labels), np.asarray(strong, bool)
    traces = []
    for shown in (False, True):
        for label in Label:
            rows = np.flatnonzero((labels == label) & (strong == shown))
            traces.append({"role": label.word, "strong": shown, "rows": pack(rows, "i4")})
    return {"views": views(maps, means), "traces": traces, "texts": coded(texts), "count": len(labels)}


def sampling_map(
    maps: Mapping[str, ArrayLike],
    means: Mapping[str, ArrayLike],
    labels: ArrayLike,
    generators: Sequence[str],
    texts: Sequence[str],
) -> dict[str, Any]:
    """The lab's map of a corpus, sent once; which clips are kept is said by their rows.

    Args:
        maps: As in `views`.
        means: As in `views`.
        labels: Values of `Label`, (N,).
        generators: Of each clip, (N,).
        texts: What each clip is, for hovering.
    """
    labels = np.asarray(labels)
    return {
        "views": views(maps, means),
        "classes": {label.word: pack(np.flatnonzero(labels == label), "i4") for label in Label},
        "generators": coded(generators),
        "texts": coded(texts),
        "count": len(labels),
    }
