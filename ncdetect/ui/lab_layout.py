"""The sampling lab as HTML, before its script fills it."""

from collections.abc import Mapping
from html import escape

from ncdetect.language import say
from ncdetect.rules import RULES
from ncdetect.ui import lab_corpora, rule_words, verdict
from ncdetect.ui.check_words import view_names
from ncdetect.ui.lab_corpora import MOST_SEED

MEASURES = {"nc1": "NC1", "cdnv": "CDNV", "nc2": "NC2"}


def template() -> str:
    """The tab; `lab.js` fills it."""
    names = {name: lab_corpora.title(name) for name in lab_corpora.names()}
    promise = say(
        "A model need not learn from every clip. Pick a rule and how much to keep, see what that leaves of a "
        "collection, and train a small model on it."
    )
    clusters = say("Clusters among the fakes")
    return (
        f'<div class="nc-lab"><header class="nc-header"><h2>{say("Fewer clips, better chosen?")}</h2>'
        f"<p>{promise}</p></header>"
        f'<div class="nc-bar-row">{_choice(say("Collection of clips"), names, "nc-corpora")}</div>'
        f'<p class="nc-note nc-lab-note" aria-live="polite">{say("Loading …")}</p>'
        f'<div class="nc-lab-grid">{_controls()}{_map()}</div>'
        f'<section class="nc-card nc-overlap" aria-label="{clusters}" hidden></section>'
        f'<div class="nc-lab-grid nc-lab-low"><div class="nc-lab-side">{_collapse()}{_download()}</div>'
        f'<section class="nc-card nc-generators"><h3>{say("What was kept, by source")}</h3>'
        f'<div class="nc-tables"></div></section></div>{_training()}</div>'
    )


def _choice(label: str, values: Mapping[str, str], css: str) -> str:
    buttons = "".join(
        f'<button type="button" role="radio" aria-checked="false" data-value="{escape(key)}">'
        f"{escape(name)}</button>"
        for key, name in values.items()
    )
    return f'<div class="nc-choice {css}" role="radiogroup" aria-label="{label}">{buttons}</div>'


def _controls() -> str:
    options = "".join(
        f'<option value="{escape(name)}" data-explanation="{escape(rule_words.explanation(name))}" '
        f'data-source="{escape(rule_words.source(name))}" '
        f'data-distance="{"yes" if rule.distance_ok else ""}" data-seeded="{"yes" if rule.seeded else ""}" '
        f'data-clusters="{"yes" if name == "algorithm-2" else ""}">{escape(rule_words.title(name))}</option>'
        for name, rule in RULES.items()
    )
    meaning = say(
        "Each collection has a model of its own, which turns a clip into a list of numbers, its "
        "<i>embedding</i>. The <i>class mean</i> is the average of these over the real clips, or over the "
        "fakes, and a distance is one between such lists. The two “nearest” rules choose only among the "
        "clips that the model gets right; the others among all."
    )
    kinds = {"rate": say("Share"), "count": say("Number"), "distance": say("Distance")}
    return (
        f'<section class="nc-card nc-controls" aria-label="{say("Rule and thresholds")}">'
        '<div class="nc-rule"><h3>'
        f'<label for="lab-rule">{say("Which clips to keep")}</label></h3>'
        f'<select id="lab-rule">{options}</select><p class="nc-explained" aria-live="polite"></p>'
        f'<details class="nc-more"><summary>{say("What does this mean?")}</summary><p class="nc-source"></p>'
        f'<p>{meaning}</p></details><p class="nc-note nc-missing"></p><div class="nc-seed"><label '
        f'for="lab-seed">{say("Draw")}</label><input type="number" id="lab-seed" min="0" max="{MOST_SEED}" '
        f'step="1"><button type="button" class="nc-mini" data-seed="next">{say("Another draw")}</button>'
        '<span class="nc-note"></span></div></div>'
        f"<h3>{say('How much to keep')}</h3>{_choice(say('Threshold given as'), kinds, 'nc-kinds')}"
        f'{_slider("real")}{_slider("fake")}<p class="nc-note nc-unit"></p></section>'
    )


def _slider(word: str) -> str:
    gaps = {"kept": '<b class="nc-kept">0</b>', "total": '<span class="nc-total">0</span>'}
    if word == "real":
        label, typed = say("Keep real clips"), say("Keep real clips, as a number")
        told = say("{kept} of {total} real clips kept", **gaps)
    else:
        label, typed = say("Keep fake clips"), say("Keep fake clips, as a number")
        told = say("{kept} of {total} fake clips kept", **gaps)
    return (
        f'<div class="nc-slider nc-{word}" data-label="{word}"><div class="nc-label">{verdict.shape(word)}'
        f'<label for="keep-{word}">{label}</label><span class="nc-number"><input type="number" '
        f'aria-label="{typed}"><em></em></span></div><input type="range" id="keep-{word}">'
        f"<output>{told}</output></div>"
    )


def _collapse() -> str:
    rows = "".join(
        f'<tr><th scope="row">{title}</th><td data-of="before" data-what="{name}">–</td>'
        f'<td data-of="after" data-what="{name}">–</td></tr>'
        for name, title in MEASURES.items()
    )
    meaning = say(
        "<b>NC1</b> and <b>CDNV</b> set the spread inside the classes against the gap between them. "
        "<b>NC2</b> takes the reals and each generator’s fakes ({groups} groups) and says how far their "
        "means are from lying equally far apart in all directions. “All” are the clips that the rule may "
        "choose from.",
        groups='<span class="nc-groups">–</span>',
    )
    return (
        f'<section class="nc-card nc-nc"><h3>{say("How tightly the classes gather")}</h3><table><thead><tr>'
        f'<td></td><th scope="col">{say("all")}</th><th scope="col">{say("kept")}</th></tr></thead>'
        f'<tbody>{rows}</tbody></table><p class="nc-note">'
        f'{say("0 is full collapse: every clip on its class mean.")}</p><details class="nc-more">'
        f"<summary>{say('What does this mean?')}</summary><p>{meaning}</p></details></section>"
    )


def _map() -> str:
    told = say("Each point is a clip; the kept ones are strong. The counts beside it say the same.")
    title = say("The clips of {collection}", collection='<span class="nc-name">…</span>')
    return (
        f'<section class="nc-card nc-map" aria-label="{say("Map of the collection")}"><div '
        f'class="nc-map-head"><h3>{title}</h3>{_choice(say("View of the map"), view_names(), "nc-views")}'
        f'</div><div class="nc-plot" role="figure" aria-label="{told}"></div><div class="nc-legend">'
        f"<span>{verdict.shape('real')}{say('real, kept')}</span>"
        f"<span>{verdict.shape('fake')}{say('fake, kept')}</span>"
        f'<span class="nc-faint">{say("pale: left out")}</span><span class="nc-faint nc-cross">'
        f"{say('× misjudged by the model, cannot be chosen')}</span></div></section>"
    )


def _download() -> str:
    note = say("A CSV manifest: one line a clip, with the rule that chose it, its distance and its cluster.")
    return (
        f'<section class="nc-card nc-download"><h3>{say("Take the new database with you")}</h3>'
        f'<p class="nc-note">{note}</p><div class="nc-buttons"><button type="button" class="nc-button" '
        f'data-all="no">{say("This collection")}</button><button type="button" class="nc-button nc-second" '
        f'data-all="yes">{say("All collections merged")}</button></div>'
        '<p class="nc-note nc-downloaded" aria-live="polite"></p></section>'
    )


def _training() -> str:
    note = say(
        "Loss by round, lower is better. Solid: on clips held back (dev), which choose the round that "
        "counts. Dashed: on the clips that it learns from."
    )
    return (
        f'<section class="nc-card nc-training" aria-label="{say("Training")}">'
        f'<h3>{say("Train the small model on it, now")}</h3><p class="nc-absent" hidden><span></span> '
        '<button type="button" class="nc-button nc-second" data-train="offer"></button></p>'
        f'<div class="nc-train-choice"><fieldset class="nc-ticks"><legend>{say("Learn from")}</legend>'
        '</fieldset><p class="nc-note nc-plan" aria-live="polite"></p><div class="nc-buttons"><button '
        f'type="button" class="nc-button" data-train="start" disabled>{say("Train both")}</button><button '
        f'type="button" class="nc-button nc-second" data-train="cancel" hidden>{say("Cancel")}</button></div>'
        '</div><div class="nc-running" hidden><div class="nc-progress" role="progressbar" '
        f'aria-label="{say("Training")}" aria-valuemin="0" aria-valuemax="100"><i></i></div>'
        '<p class="nc-told" role="status"></p><div class="nc-train-grid"><div class="nc-chart"></div>'
        f'<div class="nc-stands"></div></div><p class="nc-note nc-chart-note">{note}</p>'
        '<div class="nc-outcome" aria-live="polite"></div></div></section>'
    )
