"""Tab "Sampling lab": choose clips by a rule, on each corpus in the embedding of its own pre-trained model.

The server chooses and the browser draws: what the map, the counts, the measures, the downloaded database and
the training have is one and the same, `Corpus.choose`.
"""

import functools
import logging
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from ncdetect import collapse, plots, rules, sampling, wording
from ncdetect.labels import Label
from ncdetect.language import say
from ncdetect.rules import Picked
from ncdetect.ui import lab_corpora, lab_training, overlap
from ncdetect.ui.lab_corpora import START, Corpus, Setting
from ncdetect.ui.lab_layout import template
from ncdetect.ui.private import Uploads

log = logging.getLogger(__name__)

HERE = Path(__file__).parent
STEPS = 150
"""A distance slider has at least so many steps."""


def answered(handler: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """A handler whose refusals are answers: `{"error": sentence}`."""

    @functools.wraps(handler)
    def answering(request: Any) -> dict[str, Any]:
        try:
            return handler(request if isinstance(request, Mapping) else {})
        except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
            log.info("%s: %s", handler.__name__, error)
            return {"error": str(error)}

    return answering


@answered
def corpus_map(request: Mapping[str, Any]) -> dict[str, Any]:
    """What the browser needs of a corpus once: its map, generators, and the rules that cannot choose here.

    Args:
        request: corpus.
    """
    chosen = lab_corpora.corpus(request.get("corpus"))
    bank, pool = chosen.bank, chosen.pool
    interest = chosen.all("algorithm-1")
    centres = np.stack(
        [
            sampling.mean_of(pool.embeddings, interest[label].rows)
            if len(interest[label].rows)
            else bank.means[label]
            for label in Label
        ]
    )
    between = float(np.linalg.norm(centres[0] - centres[1]))
    maps = {view: coordinates[pool.rows] for view, coordinates in bank.maps.items()}
    maps["exact"] = collapse.distances_to(pool.embeddings, centres)
    means: dict[str, Any] = {view: [bank.place(mean, view) for mean in centres] for view in bank.maps}
    means["exact"] = [(0.0, between), (between, 0.0)]
    clips = bank.clips.iloc[pool.rows][["label", "generator", "kind", "language"]]
    words = {label.word: wording.capital(wording.word(label.word)) for label in Label}
    texts = [
        f"<b>{words[clip.label]}</b>: "
        + escape(wording.what_it_is(clip.label, clip.generator, clip.kind, clip.language))
        for clip in clips.itertuples(index=False)
    ]
    generators = [generator or say("unnamed") for generator in clips["generator"]]
    return plots.sampling_map(maps, means, pool.labels, generators, texts) | {
        "name": chosen.name,
        "title": lab_corpora.title(chosen.name),
        "model": bank.model,
        "missing": {rule: reason for rule in rules.RULES if (reason := chosen.missing(rule))},
    }


@answered
def keep(request: Mapping[str, Any]) -> dict[str, Any]:
    """What a setting keeps: rows of the map, counts, and the same amount said in the other kinds.

    Args:
        request: corpus, rule, seed, kind, real, fake.
    """
    chosen, setting = lab_corpora.corpus(request.get("corpus")), Setting.of(request)
    kept, everything = chosen.choose(setting), chosen.all(setting.rule, setting.seed)
    selectable = np.zeros(len(chosen.pool), bool)
    for label in Label:
        selectable[kept[label].candidates] = True
    # On the exact view: how far from their mean the kept clips reach, where that is what chose them.
    by_mean = {"algorithm-1": tuple(Label), "algorithm-2": (Label.REAL,)}.get(setting.rule, ())
    lines: list[float | None] = [None] * len(Label)
    for label in by_mean:
        lines[label] = float(kept[label].distances[-1]) if len(kept[label].rows) else 0.0
    return {
        "rows": {label.word: plots.pack(kept[label].rows, "i4") for label in Label},
        "others": plots.pack(np.flatnonzero(~selectable), "i4"),
        "kept": {label.word: len(kept[label].rows) for label in Label},
        "totals": {label.word: len(kept[label].candidates) for label in Label},
        "as": {label.word: equivalents(setting.rule, everything[label], kept[label]) for label in Label},
        "lines": lines,
    }


def equivalents(rule: str, everything: Picked, kept: Picked) -> dict[str, Any]:
    """The same selection as a share, a number and a distance, with the limits of the distance's slider.

    Distances are rounded to the slider's step, so that they keep no fewer.
    """
    count, total = len(kept.rows), len(everything.rows)
    parts = 1_000 if total < 1_000 else 100_000  # rounded down, for a rate is rounded up to whole clips
    said: dict[str, Any] = {"rate": count * parts // total / parts if total else 0.0, "count": count}
    if not rules.RULES[rule].distance_ok or not total:
        return said
    if everything.detail is not None:  # Algorithm 2: the own centre and that of the group
        every, some = everything.detail.reach, kept.detail.reach[kept.detail.rows]
    else:
        every, some = everything.distances, kept.distances
    largest = float(every.max())
    step = 10.0 ** math.floor(math.log10(max(largest, 1e-6) / STEPS))
    top = math.ceil(largest / step) * step
    if rule == "farthest":
        distance = math.floor(float(some.min()) / step) * step if count else top
    else:
        distance = math.ceil(float(some.max()) / step) * step if count else 0.0
    return said | {"distance": float(f"{distance:.10g}"), "max": float(f"{top:.10g}"), "step": step}


@answered
def measures(request: Mapping[str, Any]) -> dict[str, Any]:
    """The collapse of what can be chosen and of what is kept; of Algorithm 2 also the clusters.

    Args:
        request: corpus, rule, seed, kind, real, fake.
    """
    chosen, setting = lab_corpora.corpus(request.get("corpus")), Setting.of(request)
    kept = chosen.choose(setting)
    found: dict[str, Any] = {
        "kept": {label.word: len(kept[label].rows) for label in Label},
        "before": collapse_of(chosen, [kept[label].candidates for label in Label]),
        "after": collapse_of(chosen, [kept[label].rows for label in Label]),
    }
    clusters = kept[Label.FAKE].detail
    if clusters is not None:
        of_row = np.full(len(chosen.pool), -1)
        of_row[kept[Label.FAKE].candidates] = clusters.assignment
        found["clusters"] = {
            "k": clusters.k, "of": plots.pack(of_row, "i4"), "html": overlap.picture(clusters),
        }  # fmt: skip
    return found


def collapse_of(chosen: Corpus, rows_of_class: Sequence[np.ndarray]) -> dict[str, float | int] | None:
    """NC1 and CDNV of rows of a pool; NC2 of the reals and each generator's fakes, with the number of these.

    None where a class has no rows or the means coincide.
    """
    if not all(map(len, rows_of_class)):
        return None
    rows = np.concatenate(rows_of_class)
    embeddings, labels = chosen.pool.embeddings[rows], chosen.pool.labels[rows]
    found = {"nc1": collapse.nc1_variability(embeddings, labels), "cdnv": collapse.cdnv(embeddings, labels)}
    reals, fakes = rows_of_class
    _, generator = np.unique([chosen.pool.generators[row] for row in fakes], return_inverse=True)
    groups = np.concatenate([np.zeros(len(reals), np.int64), 1 + generator])
    if groups.max() > 1:  # of two groups NC2 is 0 by construction
        found |= {"nc2": collapse.nc2_simplex(embeddings, groups), "groups": int(groups.max()) + 1}
    return found if all(np.isfinite(list(found.values()))) else None


@answered
def database(request: Mapping[str, Any]) -> dict[str, Any]:
    """The new database as the text of a manifest that says of each clip why it was chosen.

    Of one corpus it holds what the map shows as kept; of several, duplicates of a recording are left out.

    Args:
        request: corpora (by name), settings by corpus; one without is sampled as at start, by the same rule.
    """
    from ncdetect import database as databases

    names, parts = lab_training.chosen_parts(request)
    chosen = databases.merge(parts) if len(parts) > 1 else parts[0]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "database.csv"
        databases.write(chosen, Path(folder), file)
        text = file.read_text("utf-8")
    counts = databases.count(entry.clip for entry in chosen)
    told = "; ".join(
        say(
            "{collection} {reals} real and {fakes} fake",
            collection=lab_corpora.title(name),
            reals=counts[f"{name} real"],
            fakes=counts[f"{name} fake"],
        )
        for name in names
    )
    told = say("{clips} clips: {counts}.", clips=len(chosen), counts=told)
    if double := sum(map(len, parts)) - len(chosen):
        told += " " + say("{n} recordings that stand in two collections were left out.", n=double)
    return {
        "name": f"database-{names[0] if len(names) == 1 else 'all'}.csv",
        "text": text,
        "clips": len(chosen),
        "told": told,
    }


def build(_: Uploads) -> None:
    """Lay out the tab; its script runs when it is first opened, and only then a bank is read."""
    if not lab_corpora.names():
        note = say("There are no collections in {folder}.", folder="checkpoints/corpora")
        gr.HTML(f'<p class="nc-note">{note}</p>')
        return
    gr.HTML(
        START, html_template=template(), css_template=(HERE / "lab.css").read_text("utf-8"),
        js_on_load="ncdetect.lab(element, props, server)", apply_default_css=False, elem_id="lab",
        server_functions=[corpus_map, keep, measures, database, *lab_training.FUNCTIONS],
    )  # fmt: skip
