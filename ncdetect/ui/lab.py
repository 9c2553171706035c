"""Tab "Sampling lab": Algorithm 1 by hand, on each corpus in the embedding of its own pre-trained model.

The sliders redraw in the browser, from the order of the clips that is sent once; what is measured and what is
downloaded comes from `sampling` here, and a test holds both to the same clips.
"""

import functools
import logging
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from ncdetect import collapse, plots, sampling
from ncdetect.labels import Label
from ncdetect.sampling import Selection, Threshold
from ncdetect.ui import verdict, wording
from ncdetect.ui.check import VIEW_NAMES
from ncdetect.ui.model import CHECKPOINTS
from ncdetect.ui.private import Uploads

if TYPE_CHECKING:
    from ncdetect.bank import EmbeddingBank

log = logging.getLogger(__name__)

CORPORA = CHECKPOINTS / "corpora"
KINDS = {"rate": "Share", "count": "Number", "distance": "Distance"}
START: dict[str, Any] = {"kind": "rate", "real": 0.5, "fake": 0.5}
_guard = threading.Lock()


@dataclass(frozen=True, eq=False)
class Corpus:
    """The train clips of one corpus as its own pre-trained model sees them."""

    name: str
    bank: "EmbeddingBank"
    rows: np.ndarray
    """Rows of the bank that are train clips, (N,)."""

    @property
    def embeddings(self) -> np.ndarray:
        """Shape (N, D)."""
        return self.bank.embeddings[self.rows]

    @property
    def labels(self) -> np.ndarray:
        """Values of `Label`, (N,)."""
        return self.bank.labels[self.rows]

    @property
    def paths(self) -> list[str]:
        """Of the clips, (N,)."""
        return self.bank.clips["path"].to_numpy()[self.rows].tolist()

    def select(self, real: Threshold, fake: Threshold) -> dict[Label, Selection]:
        """Samples of interest, then Algorithm 1 for each class."""
        scores = self.bank.clips["score"].to_numpy()[self.rows]
        return sampling.sample_corpus(self.embeddings, scores, self.labels, self.paths, real, fake)


def corpus_names() -> list[str]:
    """Corpora of which there is a bank."""
    return sorted(file.parent.name for file in CORPORA.glob("*/bank.parquet"))


def corpus(name: str) -> Corpus:
    """Load one at first use.

    Raises:
        ValueError: If there is none of that name, or its bank is damaged.
    """
    if name not in corpus_names():
        raise ValueError(f"there is no corpus {name!r}; there are: {', '.join(corpus_names()) or 'none'}")
    with _guard:
        return _load(name)


@functools.cache
def _load(name: str) -> Corpus:
    from ncdetect.bank import EmbeddingBank

    bank = EmbeddingBank.load(CORPORA / name / "bank.parquet")
    return Corpus(name, bank, np.flatnonzero(bank.clips["split"] == "train"))


def thresholds(setting: Mapping[str, Any]) -> tuple[Threshold, Threshold]:
    """Thresholds (real, fake) of a setting of the page: kind, real and fake.

    Raises:
        ValueError: If the kind is unknown or a value impossible.
    """
    kind = setting.get("kind")
    if kind not in KINDS:
        raise ValueError(f"unknown kind of threshold {kind!r}; allowed: {', '.join(KINDS)}")
    convert = int if kind == "count" else float
    real, fake = (Threshold(**{kind: convert(setting[label.word])}) for label in Label)
    return real, fake


def corpus_map(name: str) -> dict[str, Any]:
    """What the browser needs of a corpus: map, order of the clips, generators."""
    try:
        chosen = corpus(name)
        everything = chosen.select(Threshold(rate=1.0), Threshold(rate=1.0))
    except (ValueError, OSError) as error:
        log.exception("corpus %s cannot be shown", name)
        return {"error": str(error)}
    bank, clips = chosen.bank, chosen.bank.clips.iloc[chosen.rows]
    centres = np.stack([everything[label].mean for label in Label])
    between = float(np.linalg.norm(centres[0] - centres[1]))
    maps = {view: coordinates[chosen.rows] for view, coordinates in bank.maps.items()}
    maps["exact"] = collapse.distances_to(chosen.embeddings, centres)
    means: dict[str, Any] = {view: [bank.place(mean, view) for mean in centres] for view in bank.maps}
    means["exact"] = [(0.0, between), (between, 0.0)]
    texts = [
        f"<b>{clip.label.capitalize()}</b>: "
        + escape(wording.what_it_is(clip.label, clip.generator, clip.kind, clip.language))
        for clip in clips[["label", "generator", "kind", "language"]].itertuples(index=False)
    ]
    generators = [generator or "unnamed" for generator in clips["generator"]]
    return plots.sampling_map(maps, means, everything, generators, texts) | {
        "name": name,
        "model": bank.model,
    }


def measures(request: Mapping[str, Any]) -> dict[str, Any]:
    """Counts, and the collapse of the selectable clips before and of the kept ones after.

    Args:
        request: corpus, kind, real, fake.
    """
    try:
        chosen = corpus(str(request.get("corpus")))
        kept = chosen.select(*thresholds(request))
    except (ValueError, TypeError, KeyError, OSError) as error:
        return {"error": str(error)}
    everything = chosen.select(Threshold(rate=1.0), Threshold(rate=1.0))
    return {
        "kept": {label.word: len(kept[label].rows) for label in Label},
        "thresholds": {label.word: kept[label].threshold for label in Label},
        "before": _collapse(chosen, everything),
        "after": _collapse(chosen, kept),
    }


def _collapse(chosen: Corpus, selections: Mapping[Label, Selection]) -> dict[str, float] | None:
    rows = np.concatenate([selection.rows for selection in selections.values()])
    if not all(len(selection.rows) for selection in selections.values()):
        return None
    embeddings, labels = chosen.embeddings[rows], chosen.labels[rows]
    found = {"nc1": collapse.nc1_variability(embeddings, labels), "cdnv": collapse.cdnv(embeddings, labels)}
    return found if all(np.isfinite(list(found.values()))) else None


def database(request: Mapping[str, Any]) -> dict[str, Any]:
    """The new database as the text of a manifest, with distance and rule of each clip.

    Of one corpus it holds what the map shows as kept; of several, duplicates of a recording are left out.

    Args:
        request: corpus (None: all of them), and settings by corpus; one without is sampled as at start.
    """
    from ncdetect import database as databases

    try:
        names = corpus_names() if request.get("corpus") is None else [str(request["corpus"])]
        given = request.get("settings") or {}
        parts = [
            databases.sample_bank(corpus(name).bank, *thresholds(given.get(name, START))) for name in names
        ]
        chosen = databases.merge(parts) if len(parts) > 1 else parts[0]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "database.csv"
            databases.write(chosen, Path(folder), file)
            text = file.read_text("utf-8")
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        return {"error": str(error)}
    stem = names[0] if len(names) == 1 else "all-corpora"
    return {"name": f"database-{stem}.csv", "text": text, "clips": len(chosen)}


def _choice(label: str, values: Mapping[str, str], css: str) -> str:
    buttons = "".join(
        f'<button type="button" role="radio" data-value="{escape(key)}">{escape(name)}</button>'
        for key, name in values.items()
    )
    return f'<div class="nc-choice {css}" role="radiogroup" aria-label="{label}">{buttons}</div>'


def _slider(word: str) -> str:
    return (
        f'<div class="nc-slider nc-{word}" data-label="{word}"><div class="nc-label">{verdict.shape(word)}'
        f'<label for="keep-{word}">Keep {word} clips</label>'
        f'<span class="nc-number"><input type="number" aria-label="Keep {word} clips, as a number"><em>'
        f"</em></span></div>"
        f'<input type="range" id="keep-{word}"><output><b class="nc-kept">0</b> of <span '
        f'class="nc-total">0</span> '
        f"{word} clips kept</output></div>"
    )


def template() -> str:
    """The tab as HTML; `lab.js` fills it."""
    names = {name: name.capitalize() for name in corpus_names()}
    return (
        '<div class="nc-lab"><header class="nc-header"><h2>Fewer clips, better chosen?</h2>'
        "<p><b>Algorithm 1.</b> For each class, average what the model makes of all its clips: that is the "
        "class mean. "
        "Sort the clips by how far they lie from their own mean. Keep the nearest, up to the threshold, "
        "and train the "
        "small model on those alone.</p>"
        '<p class="nc-note">It keeps what is typical and drops what is unusual. Whether that beats a '
        "random draw of "
        "the same size has to be measured; it is not a given.</p></header>"
        f'<div class="nc-bar-row">{_choice("Collection of clips", names, "nc-corpora")}</div>'
        '<p class="nc-note nc-lab-note" aria-live="polite">Loading …</p>'
        '<div class="nc-lab-grid"><div class="nc-lab-side"><section class="nc-card nc-controls" '
        'aria-label="Thresholds">'
        f"<h3>How much to "
        f"keep</h3>{_choice('Threshold given as', KINDS, 'nc-kinds')}{_slider('real')}{_slider('fake')}"
        '<p class="nc-note nc-unit"></p></section>'
        '<section class="nc-card nc-nc"><h3>How tightly the classes gather</h3><table><thead><tr><th '
        'scope="col"></th>'
        '<th scope="col">all</th><th scope="col">kept</th></tr></thead><tbody>'
        '<tr><th scope="row">NC1</th><td data-of="before" data-what="nc1"></td><td data-of="after" '
        'data-what="nc1"></td></tr>'
        '<tr><th scope="row">CDNV</th><td data-of="before" data-what="cdnv"></td><td data-of="after" '
        'data-what="cdnv"></td></tr>'
        '</tbody></table><p class="nc-note">Spread inside the classes against the gap between them; 0 is '
        "full collapse. "
        "“All” are the train clips that the model gets right: only these can be chosen.</p></section></div>"
        '<section class="nc-card nc-map" aria-label="Map of the corpus"><div class="nc-map-head"><h3>The '
        "clips of "
        f'<span class="nc-name">…</span></h3>{_choice("View of the map", VIEW_NAMES, "nc-views")}</div>'
        '<div class="nc-plot" role="img" aria-label="Each point is a clip; the kept ones are strong. The '
        "counts beside "
        'it say the same."></div>'
        f'<div class="nc-legend"><span>{verdict.shape("real")}real, kept</span>'
        f"<span>{verdict.shape('fake')}fake, kept"
        '</span><span class="nc-faint">pale: left out</span><span class="nc-faint">× misjudged by the '
        "model, cannot be "
        "chosen</span></div></section></div>"
        '<div class="nc-lab-grid nc-lab-low"><section class="nc-card nc-download"><h3>Take the new '
        "database with you</h3>"
        '<p class="nc-note">A CSV manifest: one line a clip, with its distance and the rule that chose '
        "it.</p>"
        '<div class="nc-buttons"><button type="button" class="nc-button" data-all="no">This '
        "collection</button>"
        '<button type="button" class="nc-button nc-second" data-all="yes">All collections merged</button>'
        "</div>"
        '<p class="nc-note nc-downloaded" aria-live="polite"></p></section>'
        '<section class="nc-card nc-generators"><h3>What was kept, by source</h3><div class="nc-tables">'
        "</div></section>"
        "</div></div>"
    )


def build(_: Uploads) -> None:
    """Lay out the tab; its script runs when it is first opened, and only then a bank is read."""
    if not corpus_names():
        gr.HTML('<p class="nc-note">There are no corpora in checkpoints/corpora.</p>')
        return
    gr.HTML(
        START, html_template=template(), js_on_load="ncdetect.lab(element, props, server)",
        server_functions=[corpus_map, measures, database], apply_default_css=False, elem_id="lab",
    )  # fmt: skip
