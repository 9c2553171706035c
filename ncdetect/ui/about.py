"""Tab "About": the method in pictures, data, figures, limits, privacy, licences, citation.

It is written when it is first opened, so that the page need not wait for banks to be read.
"""

import logging
from html import escape

import gradio as gr

from ncdetect import wording
from ncdetect.findings_words import ALL, Row
from ncdetect.language import number, say
from ncdetect.ui import about_facts, check_words, compared, method_picture, model, shipped
from ncdetect.ui.private import Uploads

log = logging.getLogger(__name__)

PAPER = "https://arxiv.org/abs/2404.13008"
BIBTEX = """@misc{yousif2024enhancing,
  title         = {Enhancing Generalization in Audio Deepfake Detection: A Neural Collapse based Sampling
                   and Training Approach},
  author        = {Yousif, Mohammed and Mathew, Jonat John and Pallan, Huzaifa and Padda, Agamjeet Singh and
                   Shah, Syed Daniyal and Adamski, Sara and Reddiboina, Madhu and Pankajakshan, Arjun},
  year          = {2024},
  eprint        = {2404.13008},
  archivePrefix = {arXiv}
}"""
COMMANDS = """pip install -r requirements.txt
python app.py"""
SHOWN = ("listener", "tiny", "tiny-resnet", "tiny-nc")
"""Systems of `compare.csv` that ship, best known first."""
SCRIPT = """
const host = element.querySelector(".nc-about");
server.about_page(null).then(
  (found) => { host.innerHTML = found.html; },
  () => { host.textContent = host.dataset.failed; },
);
element.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const box = button.closest(".nc-copy"), text = box.querySelector("pre");
  const told = box.querySelector("[role=status]");
  try {
    await navigator.clipboard.writeText(text.textContent);
    told.textContent = button.dataset.copied;
  } catch {
    getSelection().selectAllChildren(text);
    told.textContent = button.dataset.marked;
  }
});
"""


def about_page(_: object = None) -> dict[str, str]:
    """The tab's content: `html`."""
    return {"html": page()}


def page() -> str:
    """All of it, in the language that is spoken."""
    heading, lead = say("About ncdetect"), what()
    return (
        f'<header class="nc-header"><h2>{heading}</h2><p>{lead}</p></header>'
        f'<p class="nc-about-evidence">{evidence()}</p>'
        f'<section class="nc-card nc-about-method"><h3>{say("How it works, in pictures")}</h3>'
        f'<p>{honest()}</p>{method_picture.picture()}<p class="nc-note">{source()}</p></section>'
        f'<div class="nc-about-pair">{_card("data", say("What it learned from"), data())}'
        f"{_card('figures', say('How good it is'), figures())}</div>"
        f'<div class="nc-about-pair">{_card("limits", say("Limits"), f"<p>{check_words.limits()}</p>")}'
        f"{_card('privacy', say('Privacy'), f'<p>{check_words.privacy()}</p>')}</div>"
        f'<div class="nc-about-pair">{_card("licences", say("Licences"), licences())}'
        f"{_card('run', say('Run it yourself'), run())}</div>"
        f"{_card('cite', say('Cite the method'), cite())}"
    )


def _card(name: str, title: str, html: str) -> str:
    return f'<section class="nc-card nc-result nc-about-{name}"><h3>{title}</h3>{html}</section>'


def what() -> str:
    """What it is, in a breath."""
    return say(
        "A detector for synthetic speech that shows its work. It tells how a clip sounds to a trained model, "
        "where the clip lies among known ones, and where the model is not sure. It is open source, and runs "
        "on a laptop without a network."
    )


def evidence() -> str:
    """What no verdict is."""
    return say(
        "<b>A verdict is an opinion with a known error rate. It is not evidence:</b> not in court, not at "
        "work, not in a quarrel. Nobody should be accused, dismissed or believed because of it alone."
    )


def honest() -> str:
    """Which way the model of the page went, and why."""
    return say(
        "This project began with a paper: train on the few clips that are most typical of their kind, which "
        "are found by the geometry of <i>neural collapse</i>. That way is built here, measured, and open to "
        "your own trials in the Sampling lab. But networks that learn from so few clips do not hold outside "
        "them, so the model that judges on this page, “{name}”, was trained another way. Both are drawn "
        "here.",
        name=model.NAME,
    )  # fmt: skip


def source() -> str:
    """Whose figure this is after."""
    return say(
        "After Figure 2 of {paper}. The clouds are the real embeddings of clips in the four collections, "
        "pressed flat; all numbers are read from what ships.",
        paper=f'<a href="{PAPER}" rel="noreferrer" target="_blank">Yousif et al. 2024</a>',
    )


def makers() -> dict[str, str]:
    """What the fakes of a collection are."""
    return {
        "cloned": say("cloned and commercial voices, voice conversion"),
        "engines": say("classical speech synthesisers"),
        "neural": say("neural text-to-speech"),
        "vocoded": say("recordings rebuilt by vocoders and neural codecs"),
        "wild": say("generators of no other collection, cloned celebrities"),
    }


def data() -> str:
    """The collections with their counts."""
    known = about_facts.collections()
    kinds = makers()
    lines = "".join(
        f'<tr><th scope="row">{escape(one.name)}<br><span>{escape(kinds.get(one.name, ""))}</span></th>'
        + "".join(f"<td>{_count(counts)}</td>" for counts in (one.trained, one.chosen_by, one.tested))
        + "</tr>"
        for one in known
    )
    parts = ("trained", "chosen_by", "tested")
    sums = [about_facts.total([getattr(one, part) for one in known]) for part in parts]
    lines += f'<tr class="nc-about-sum"><th scope="row">{say("together")}</th>'
    lines += "".join(f"<td>{_count(counts)}</td>" for counts in sums) + "</tr>"
    columns = [say("collection"), say("trained on"), say("chosen on"), say("tested on")]
    mostly = say(
        "Mostly English, mostly read aloud. “Chosen on” are clips that decided when to stop and which model "
        "ships. No clip of a test was used for either."
    )
    owned = say(
        "The recordings belong to others, under licences of many kinds, and are not part of this project: it "
        "ships numbers computed from them (embeddings), from which no recording can be rebuilt."
    )
    table = shipped.table(say("Clips, real + fake, of three seconds at most"), columns, lines)
    return f'{table}<p>{mostly}</p><p class="nc-note">{owned}</p>'


def _count(counts: tuple[int, int]) -> str:
    return " + ".join(number(count, ",") for count in counts) if sum(counts) else "–"


def figures() -> str:
    """Error rates of what ships with their intervals, and what they mean for a visitor."""
    rows = {(row["system"], row["set"]): row for row in compared.read(compared.FILE)}
    names = [name for name in SHOWN if (name, ALL) in rows and (name, about_facts.WILD) in rows]
    if model.NAME not in names:
        return f"<p>{say('Nothing has been measured here yet.')}</p>"
    lines = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{_rate(rows[name, where])}</td>" for where in (ALL, about_facts.WILD))
        + "</tr>"
        for name in names
    )
    columns = [say("model"), say("new clips of the collections"), say("in the wild")]
    overlap = say(
        "Where the intervals of two models overlap, these clips do not settle which is better. More stands "
        "in the tab Results."
    )
    table = shipped.table(say("Error rate (EER) in % with 95 % interval"), columns, lines)
    told = said(rows[model.NAME, ALL], rows[model.NAME, about_facts.WILD])
    return f'<p>{told}</p>{table}<p class="nc-note">{overlap}</p>'


def said(own: Row, wild: Row) -> str:
    """What the page's model decides, and how often it is right, at home and in the wild."""
    values = {
        f"{name}{end}": number(100 * float(row[column]), ".0f")
        for end, row in (("", own), ("_wild", wild))
        for name, column in (("decided", "decided"), ("right", "accuracy"))
    }
    return say(
        "Of new clips of the four collections it decides {decided} of 100, and is right in {right} % of "
        "those. In the wild, on generators and places it knows nothing of, it decides {decided_wild} of 100, "
        "and is right in {right_wild} %. For the rest it says undecided.",
        **values,
    )


def _rate(row: Row) -> str:
    span = shipped.interval(float(row["eer_low"]), float(row["eer_high"]))
    return f"<b>{wording.rate(float(row['eer']))}</b><br><span>{escape(span)}</span>"


def licences() -> str:
    """Of code, weights, encoders and clips."""
    found = about_facts.licences()
    plain = sorted({name for names in found.values() for name in names if "(" not in name})
    points = (
        say("Code, weights and embeddings of this project: MIT."),
        say("The two networks that hear, Whisper base (OpenAI) and DistillMOS (Microsoft): MIT, by their "
            "authors."),
        say("Example and practice clips: {names}. Whom each is owed to stands in the tables beside them, in "
            "assets/examples and assets/practice, and under each clip of the quiz.",
            names=escape(", ".join(plain))),
    )  # fmt: skip
    return "<ul>" + "".join(f"<li>{point}</li>" for point in points) + "</ul>"


def run() -> str:
    """How to have it on one's own machine."""
    ships = say(
        "Everything that judges on this page ships with the code. With Python 3.11 or 3.12, in the folder of "
        "the project:"
    )
    network = say(
        "The network is needed for the set-up only. The same verdicts come from the command line, from "
        "Python and over HTTP."
    )
    return f'<p>{ships}</p>{_copy(COMMANDS, say("The commands"))}<p class="nc-note">{network}</p>'


def cite() -> str:
    """The paper's entry for a bibliography."""
    return _copy(BIBTEX, "BibTeX")


def _copy(text: str, name: str) -> str:
    """A text to copy, with its button."""
    marked = say("Marked: copy it with your browser.")
    return (
        f'<div class="nc-copy"><pre tabindex="0" role="region" aria-label="{escape(name)}"><code>'
        f'{escape(text)}</code></pre><div class="nc-copy-row"><button type="button" class="nc-button" '
        f'data-copy data-copied="{say("Copied.")}" data-marked="{marked}">{say("Copy")}</button>'
        '<span class="nc-note" role="status"></span></div></div>'
    )


def build(_: Uploads) -> None:
    """Lay out its place."""
    failed, wait = say("This could not be read. Open the page once more."), say("One moment …")
    gr.HTML(
        f'<div class="nc-about" data-failed="{failed}"><p class="nc-note" role="status">{wait}</p></div>',
        js_on_load=SCRIPT, apply_default_css=False, elem_id="about", server_functions=[about_page],
    )  # fmt: skip
