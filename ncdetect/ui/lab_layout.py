"""The sampling lab as HTML, before its script fills it."""

from collections.abc import Mapping
from html import escape

from ncdetect.rules import RULES
from ncdetect.ui import lab_corpora, verdict
from ncdetect.ui.check import VIEW_NAMES
from ncdetect.ui.lab_corpora import KINDS, MOST_SEED

MEASURES = {"nc1": "NC1", "cdnv": "CDNV", "nc2": "NC2"}


def template() -> str:
    """The tab; `lab.js` fills it."""
    names = {name: lab_corpora.title(name) for name in lab_corpora.names()}
    return (
        '<div class="nc-lab"><header class="nc-header"><h2>Fewer clips, better chosen?</h2>'
        "<p>A model need not learn from every clip. Pick a rule and how much to keep, see what that leaves "
        "of a collection, and train a small model on it.</p></header>"
        f'<div class="nc-bar-row">{_choice("Collection of clips", names, "nc-corpora")}</div>'
        '<p class="nc-note nc-lab-note" aria-live="polite">Loading …</p>'
        f'<div class="nc-lab-grid">{_controls()}{_map()}</div>'
        '<section class="nc-card nc-overlap" aria-label="Clusters among the fakes" hidden></section>'
        f'<div class="nc-lab-grid nc-lab-low"><div class="nc-lab-side">{_collapse()}{_download()}</div>'
        '<section class="nc-card nc-generators"><h3>What was kept, by source</h3><div class="nc-tables">'
        f"</div></section></div>{_training()}</div>"
    )


def _choice(label: str, values: Mapping[str, str], css: str) -> str:
    buttons = "".join(
        f'<button type="button" role="radio" data-value="{escape(key)}">{escape(name)}</button>'
        for key, name in values.items()
    )
    return f'<div class="nc-choice {css}" role="radiogroup" aria-label="{label}">{buttons}</div>'


def _controls() -> str:
    options = "".join(
        f'<option value="{escape(name)}" data-explanation="{escape(rule.explanation)}" '
        f'data-source="{escape(rule.source)}" data-distance="{"yes" if rule.distance_ok else ""}" '
        f'data-seeded="{"yes" if rule.seeded else ""}" '
        f'data-clusters="{"yes" if name == "algorithm-2" else ""}">{escape(rule.title)}</option>'
        for name, rule in RULES.items()
    )
    return (
        '<section class="nc-card nc-controls" aria-label="Rule and thresholds"><div class="nc-rule"><h3>'
        f'<label for="lab-rule">Which clips to keep</label></h3><select id="lab-rule">{options}</select>'
        '<p class="nc-explained" aria-live="polite"></p><details class="nc-more"><summary>What does this '
        'mean?</summary><p class="nc-source"></p><p>Each collection has a model of '
        "its own, which turns a clip into a list of numbers, its <i>embedding</i>. The <i>class mean</i> is "
        "the average of these over the real clips, or over the fakes, and a distance is one between such "
        "lists. The two “nearest” rules choose only among the clips that the model gets right; the others "
        'among all.</p></details><p class="nc-note nc-missing"></p><div class="nc-seed"><label '
        f'for="lab-seed">Draw</label><input type="number" id="lab-seed" min="0" max="{MOST_SEED}" step="1">'
        '<button type="button" class="nc-mini" data-seed="next">Another draw</button>'
        '<span class="nc-note"></span></div></div>'
        f"<h3>How much to keep</h3>{_choice('Threshold given as', KINDS, 'nc-kinds')}"
        f'{_slider("real")}{_slider("fake")}<p class="nc-note nc-unit"></p></section>'
    )


def _slider(word: str) -> str:
    return (
        f'<div class="nc-slider nc-{word}" data-label="{word}"><div class="nc-label">{verdict.shape(word)}'
        f'<label for="keep-{word}">Keep {word} clips</label><span class="nc-number"><input type="number" '
        f'aria-label="Keep {word} clips, as a number"><em></em></span></div><input type="range" '
        f'id="keep-{word}"><output><b class="nc-kept">0</b> of <span class="nc-total">0</span> {word} clips '
        "kept</output></div>"
    )


def _collapse() -> str:
    rows = "".join(
        f'<tr><th scope="row">{title}</th><td data-of="before" data-what="{name}">–</td>'
        f'<td data-of="after" data-what="{name}">–</td></tr>'
        for name, title in MEASURES.items()
    )
    return (
        '<section class="nc-card nc-nc"><h3>How tightly the classes gather</h3><table><thead><tr>'
        f'<th scope="col"></th><th scope="col">all</th><th scope="col">kept</th></tr></thead><tbody>{rows}'
        '</tbody></table><p class="nc-note">0 is full collapse: every clip on its class mean.</p><details '
        'class="nc-more"><summary>What does this mean?</summary><p><b>NC1</b> and <b>CDNV</b> set the spread '
        "inside the classes against the gap between them. <b>NC2</b> takes the reals and each generator’s "
        'fakes (<span class="nc-groups">–</span> groups) and says how far their means are from lying equally '
        "far apart in all directions. “All” are the clips that the rule may choose from.</p></details>"
        "</section>"
    )


def _map() -> str:
    return (
        '<section class="nc-card nc-map" aria-label="Map of the collection"><div class="nc-map-head">'
        f'<h3>The clips of <span class="nc-name">…</span></h3>'
        f"{_choice('View of the map', VIEW_NAMES, 'nc-views')}</div>"
        '<div class="nc-plot" role="img" aria-label="Each point is a clip; the kept ones are strong. The '
        'counts beside it say the same."></div><div class="nc-legend">'
        f"<span>{verdict.shape('real')}real, kept</span><span>{verdict.shape('fake')}fake, kept</span>"
        '<span class="nc-faint">pale: left out</span><span class="nc-faint nc-cross">× misjudged by the '
        "model, cannot be chosen</span></div></section>"
    )


def _download() -> str:
    return (
        '<section class="nc-card nc-download"><h3>Take the new database with you</h3><p class="nc-note">A '
        "CSV manifest: one line a clip, with the rule that chose it, its distance and its cluster.</p>"
        '<div class="nc-buttons"><button type="button" class="nc-button" data-all="no">This collection'
        '</button><button type="button" class="nc-button nc-second" data-all="yes">All collections merged'
        '</button></div><p class="nc-note nc-downloaded" aria-live="polite"></p></section>'
    )


def _training() -> str:
    return (
        '<section class="nc-card nc-training" aria-label="Training"><h3>Train the small model on it, now</h3>'
        '<p class="nc-absent" hidden><span></span> <button type="button" class="nc-button nc-second" '
        'data-train="offer"></button></p><div class="nc-train-choice"><fieldset class="nc-ticks">'
        "<legend>Learn from</legend></fieldset>"
        '<p class="nc-note nc-plan" aria-live="polite"></p><div class="nc-buttons"><button type="button" '
        'class="nc-button" data-train="start" disabled>Train both</button><button type="button" '
        'class="nc-button nc-second" data-train="cancel" hidden>Cancel</button></div></div>'
        '<div class="nc-running" hidden><div class="nc-progress" role="progressbar" aria-label="Training" '
        'aria-valuemin="0" aria-valuemax="100"><i></i></div><p class="nc-told" role="status"></p>'
        '<div class="nc-train-grid"><div class="nc-chart"></div><div class="nc-stands"></div></div>'
        '<p class="nc-note nc-chart-note">Loss by round, lower is better. Solid: on clips held back (dev), '
        "which choose the round that counts. Dashed: on the clips that it learns from.</p>"
        '<div class="nc-outcome" aria-live="polite"></div></div></section>'
    )
