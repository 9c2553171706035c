"""The poster's figure 2 from the trainings of `other_systems`: embeddings of reals and fakes, as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ncdetect.files import replacing
from ncdetect.findings_words import WILDS
from ncdetect.labels import Label
from ncdetect.other_systems import EMBEDDINGS_FILE, Place, folder_of, judged_clips
from ncdetect.other_systems_rows import Row
from ncdetect.plots import COLOURS

FILE = "poster-embeddings.svg"
DRAWN = ("lfcc-softmax-all", "lfcc-all")
"""Names of the rows that are drawn."""
DRAWN = ("lfcc-all", "lfcc-softmax-all")
"""Names of rows."""
SIDE, GAP, HEAD = 300, 44, 66
"""Of a panel, between panels, and above them, in SVG units."""


@dataclass(frozen=True, eq=False)
class Panel:
    """One detector on one set of clips."""

    title: str
    points: NDArray[np.floating]
    """(N, 2)."""
    labels: NDArray[np.int64]
    """Values of `Label`, (N,)."""


def flattened(embeddings: NDArray[np.floating], axis: NDArray[np.floating]) -> NDArray[np.floating]:
    """Embeddings in the plane of the head's axis and of their main direction across it.

    Lengths are taken away first, for the heads that judge by the angle do so too.

    Args:
        embeddings: (N, D), N >= 2.
        axis: From real to fake, (D,).

    Returns:
        (N, 2): the cosine to the direction of the reals, for OC-Softmax their centre; and the first principal
        component of what is left of the unit vectors, its sign such that most of its weight is positive.
    """
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True).clip(1e-12)
    real = -axis / np.linalg.norm(axis)
    cosine = unit @ real
    across = unit - np.outer(cosine, real)
    main = np.linalg.svd(across - across.mean(axis=0), full_matrices=False)[2][0]
    return np.stack([cosine, across @ main * (1 if main.sum() >= 0 else -1)], axis=1)


def panels(place: Place, rows: Sequence[Row], seed: int = 0) -> list[Panel]:
    """Dev and wild clips of each row, both in the plane that is fitted to the two of them.

    Raises:
        FileNotFoundError: If a row was not run.
    """
    manifest, found = judged_clips(place), []
    where = np.array(["wild" if c.corpus in WILDS else c.split for c in manifest])
    for row in rows:
        with np.load(folder_of(place, row, seed) / EMBEDDINGS_FILE) as kept:
            embeddings, axis = kept["embeddings"].astype(np.float64), kept["axis"].astype(np.float64)
        shown = np.flatnonzero(np.isin(where, ("dev", "wild")))
        points = flattened(embeddings[shown], axis)
        for name in ("dev", "wild"):
            own = where[shown] == name
            if own.any():
                found.append(Panel(f"{row.what}: {name}", points[own], manifest.labels[shown][own]))
    return found


def write(found: Sequence[Panel], file: Path, columns: int = 2) -> Path:
    """Draw panels side by side, those of one detector to one scale.

    Args:
        found: In rows of `columns`.
        file: SVG.
        columns: Panels in a row.
    """
    width = columns * (SIDE + GAP) + GAP
    height = HEAD + -(-len(found) // columns) * (SIDE + GAP + 20)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{GAP}" y="24" font-size="15">Embeddings by label: the further right, the nearer to the '
        "reals' direction (cosine)</text>",
        _points("real", [(GAP + 6, 42.0)]), f'<text x="{GAP + 16}" y="47">real</text>',
        _points("fake", [(GAP + 66, 42.0)]), f'<text x="{GAP + 76}" y="47">fake</text>',
    ]  # fmt: skip
    for index, panel in enumerate(found):
        row, column = divmod(index, columns)
        left, top = GAP + column * (SIDE + GAP), HEAD + 16 + row * (SIDE + GAP + 20)
        together = np.concatenate([each.points for each in found[row * columns : (row + 1) * columns]])
        low, high = together[:, 1].min(), together[:, 1].max()
        x = left + (panel.points[:, 0] + 1) / 2 * SIDE
        y = top + SIDE - (panel.points[:, 1] - low) / max(high - low, 1e-12) * SIDE
        middle = left + SIDE / 2
        parts += [
            f'<text x="{left}" y="{top - 6}">{panel.title}</text>',
            f'<rect x="{left}" y="{top}" width="{SIDE}" height="{SIDE}" fill="none" stroke="#999"/>',
            f'<path d="M{middle} {top}v{SIDE}" stroke="#ccc"/>',
            *(
                f'<text x="{place}" y="{top + SIDE + 15}" text-anchor="middle" fill="#555">{text}</text>'
                for place, text in ((left, "−1"), (middle, "0"), (left + SIDE, "1"))
            ),
            *(
                _points(label.word, np.stack([x, y], axis=1)[panel.labels == label])
                for label in (Label.FAKE, Label.REAL)
            ),
        ]
    with replacing(file) as temporary:
        temporary.write_text("\n".join([*parts, "</svg>"]) + "\n", "utf-8")
    return file


def _points(word: str, at: ArrayLike) -> str:
    """Dots for reals, crosses for fakes, all of a class in one path; places are (N, 2)."""
    mark, width = {"real": ("h0", 4), "fake": ("m-2-2l4 4m-4 0l4-4", 1)}[word]
    path = "".join(f"M{x:.1f} {y:.1f}{mark}" for x, y in np.asarray(at))
    return (
        f'<path class="{word}" d="{path}" fill="none" stroke="{COLOURS[word]["light"]}" '
        f'stroke-width="{width}" stroke-linecap="round" opacity="0.7"/>'
    )
