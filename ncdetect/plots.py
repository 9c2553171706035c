"""What the page's plots show, as plain data: colours, packed coordinates, traces. The scripts in `ui/` draw.

Nothing here imports plotly: its JavaScript runs in the browser, and the arrays travel in the form that it
reads, `{"dtype", "bdata"}`. The map is sent once; a new clip adds only its star.
"""

import base64
import math
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
COLLAPSE = {
    # measure of training.Epoch: (title of its panel, whether its axis is logarithmic)
    "nc1": ("NC1: spread inside the classes", True),
    "cdnv": ("CDNV: the same, per pair of classes", True),
    "nc2": ("NC2: fakes by generator, off a simplex", False),
    "nc3": ("NC3: classifier off the class means", False),
    "nc4": ("NC4: nearest mean agrees with classifier", False),
}
_SIDES = {"train": ("clips it learned from", "muted", "dash"), "dev": ("validation clips", "clip", "solid")}
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


def collapse_by_epoch(
    history: Sequence[Mapping[str, Any]], best_epoch: int | None = None, columns: int = 3
) -> dict[str, Any]:
    """How the classes gather while a model learns: a panel for each measure, train beside dev.

    A measure that is nowhere known has no panel; a logarithmic axis leaves out what is not positive.

    Args:
        history: Fields of each `training.Epoch`; values may be None or missing.
        best_epoch: The one whose weights were kept, counted from 1: a line in each panel.
        columns: Panels side by side.

    Returns:
        `data` and `layout` of a plotly figure in light colours; `meta.role` of a trace names its colour.
        Both are empty without anything to show.
    """
    epochs = [int(epoch["epoch"]) + 1 for epoch in history]
    values = {
        (name, side): _shown([epoch.get(f"{name}_{side}") for epoch in history], logarithmic)
        for name, (_, logarithmic) in COLLAPSE.items()
        for side in _SIDES
    }
    panels = [name for name in COLLAPSE if any(v is not None for side in _SIDES for v in values[name, side])]
    if not panels:
        return {"data": [], "layout": {}}
    rows = -(-len(panels) // columns)
    height = 60 + 230 * rows
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"annotations": [], "shapes": [], "height": height, "showlegend": True}
    for number, name in enumerate(panels, 1):
        title, logarithmic = COLLAPSE[name]
        left, right = _span((number - 1) % columns, columns, 0.09)
        top, bottom = (1 - edge for edge in _span((number - 1) // columns, rows, 80 / height))
        axis = "" if number == 1 else str(number)
        layout[f"xaxis{axis}"] = {
            "domain": [left, right],
            "anchor": f"y{axis}",
            "title": {"text": "epoch", "standoff": 4},
        }
        layout[f"yaxis{axis}"] = {
            "domain": [bottom, top],
            "anchor": f"x{axis}",
            "type": "log" if logarithmic else "linear",
        }
        if logarithmic:
            shown = [v for side in _SIDES for v in values[name, side] if v is not None]
            layout[f"yaxis{axis}"] |= {"tickmode": "array", "tickvals": _log_ticks(min(shown), max(shown))}
        layout["annotations"].append(
            {
                "text": title, "x": left, "y": top, "xref": "paper", "yref": "paper", "xanchor": "left",
                "yanchor": "bottom", "showarrow": False,
            }
        )  # fmt: skip
        if best_epoch is not None:
            layout["shapes"].append(
                {
                    "type": "line", "x0": best_epoch, "x1": best_epoch, "y0": 0, "y1": 1, "xref": f"x{axis}",
                    "yref": f"y{axis} domain", "line": {"width": 1, "dash": "dot"},
                }
            )  # fmt: skip
        for side, (words, role, dash) in _SIDES.items():
            data.append(
                {
                    "type": "scatter", "mode": "lines", "x": epochs, "y": values[name, side], "name": words,
                    "legendgroup": side, "showlegend": number == 1, "xaxis": f"x{axis}", "yaxis": f"y{axis}",
                    "meta": {"role": role, "measure": name, "side": side},
                    "line": {"color": COLOURS[role]["light"], "dash": dash, "width": 2},
                }
            )  # fmt: skip
    return {"data": data, "layout": layout}


def _shown(values: Sequence[float | None], logarithmic: bool) -> list[float | None]:
    def fits(value: float | None) -> bool:
        return value is not None and np.isfinite(value) and (value > 0 or not logarithmic)

    return [value if fits(value) else None for value in values]


def _span(index: int, count: int, gap: float) -> tuple[float, float]:
    """Beginning and end of one of several equal parts of 0 to 1 with gaps between them."""
    width = (1 - gap * (count - 1)) / count
    begin = index * (width + gap)
    return round(begin, 4), round(min(begin + width, 1.0), 4)


def _log_ticks(low: float, high: float) -> list[float]:
    """From the power of ten below to the one above: 1, 2 and 5 of each, or where that is many only 1."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [float(f"{step}e{power}") for power in powers for step in (1, 2, 5)]
    inside = [tick for tick in ticks if low <= tick <= high]
    return inside if 2 <= len(inside) <= 6 else [float(f"1e{power}") for power in powers]
