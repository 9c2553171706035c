"""Several files at once: judged one after the other, a table of verdicts, and the same as CSV.

The browser sends a file only when its turn comes: never more than one of a visitor's files is here, one that
is too large or damaged stops no other, and visitors take turns file by file.
"""

import csv
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import gradio as gr

from ncdetect import wording
from ncdetect.language import number, say
from ncdetect.ui import model
from ncdetect.ui.private import Uploads
from ncdetect.ui.verdict import shape

if TYPE_CHECKING:
    from ncdetect.predictor import Verdict

log = logging.getLogger(__name__)

MOST = 50
"""Files of one batch."""
LARGEST_MB = 25
ORDER = {"fake": 0, "undecided": 1, "real": 2}
"""How verdicts are sorted."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""
SCRIPT = Path(__file__).with_suffix(".js").read_text("utf-8")


@dataclass(frozen=True)
class Row:
    """A file and what is said of it."""

    name: str
    """As its owner calls it."""
    verdict: "Verdict | None" = None
    error: str = ""
    """A sentence, where there is no verdict."""


def judge(name: str, file: str, size: int) -> Row:
    """Judge one file.

    Args:
        name: As its owner calls it.
        file: The upload; empty where none arrived.
        size: In bytes, as the browser says.
    """
    from ncdetect.audio import MAX_BYTES, AudioError
    from ncdetect.service import Unavailable

    try:
        if size > MAX_BYTES:
            raise AudioError("too_large", size / 2**20)
        if not file:
            return Row(name, error=say("This file did not arrive here. Try it once more."))
        return Row(name, model.service().check(file))
    except (AudioError, Unavailable) as error:
        return Row(name, error=str(error))
    except Exception:
        log.exception("one of several clips could not be judged")
        return Row(name, error=say("Something went wrong here, not with this file."))


def answer(rows: Sequence[Row], total: int) -> dict[str, Any]:
    """What the page shows once one more file was judged.

    Args:
        rows: All so far; the last one is new.
        total: Files of the batch.
    """
    counts = tally(rows)
    done, files = number(len(rows), ","), number(total, ",")
    if len(rows) == total:
        said = say("{files} files: {counts}.", files=files, counts=counts)
        if total == 1:
            said = say("One file: {counts}.", counts=counts)
    else:
        said = say("{done} of {files} files: {counts}.", done=done, files=files, counts=counts)
    return {
        "key": uuid4().hex,  # two equal answers are two
        "row": row(rows[-1]),
        "said": said,
        "stopped": say(
            "Stopped after {done} of {files} files: {counts}.", done=done, files=files, counts=counts
        ),
        "csv": as_csv(rows),
    }


def tally(rows: Sequence[Row]) -> str:
    """How many files got which verdict: `5 likely fake, 4 likely real`."""
    found = [one.verdict.verdict if one.verdict else "" for one in rows]
    said = {
        "fake": say("{n} likely fake", n=found.count("fake")),
        "real": say("{n} likely real", n=found.count("real")),
        "undecided": say("{n} undecided", n=found.count("undecided")),
        "": say("{n} could not be judged", n=found.count("")),
    }
    return ", ".join(text for word, text in said.items() if word in found)


def row(one: Row) -> str:
    """A file as the body of a table: its line, and below it the reason, which opens when asked for."""
    found, name = one.verdict, escape(one.name)
    if found is None:
        return (
            f'<tbody data-name="{name}"><tr><th scope="row"><span class="nc-several-name">{name}</span></th>'
            f'<td colspan="3">{say("Could not be judged")}</td></tr>'
            f'<tr class="nc-several-more"><td colspan="4"><p>{escape(one.error)}</p></td></tr></tbody>'
        )
    word = found.verdict
    keys = (
        f'data-name="{name}" data-verdict="{word}" data-order="{ORDER[word]}" '
        f'data-share="{found.probability}" data-duration="{found.duration_s}"'
    )
    warnings = "".join(f"<li>{escape(warning.sentence)}</li>" for warning in found.warnings)
    distances = say(
        "Distance to the average real voice {real}, to the average fake voice {fake}.",
        real=number(found.distance_real, ".2f"),
        fake=number(found.distance_fake, ".2f"),
    )
    return (
        f'<tbody class="nc-{word}" {keys}><tr><th scope="row"><button type="button" aria-expanded="false">'
        f'<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M9 6l6 6-6 6"/></svg>'
        f'<span class="nc-several-name">{name}</span></button></th>'
        f'<td><span class="nc-who">{shape(word)}{wording.headline(word)}</span>'
        f'<span class="nc-several-sure">{sure(found)}</span></td>'
        f"<td>{sure(found)}</td><td>{wording.clock(found.duration_s)}</td></tr>"
        f'<tr class="nc-several-more" hidden><td colspan="4"><p>{escape(found.reason)}</p>'
        f'{f"<ul>{warnings}</ul>" if warnings else ""}<p class="nc-note">{distances}</p></td></tr></tbody>'
    )


def sure(found: "Verdict") -> str:
    """`97 % fake`."""
    confidence = wording.confidence(found)
    if confidence.leans == "fake":
        return say("{percent} % fake", percent=confidence.percent)
    return say("{percent} % real", percent=confidence.percent)


def as_csv(rows: Sequence[Row]) -> str:
    """The rows as `python -m ncdetect score` writes them, with the mark by which spreadsheets know UTF-8."""
    from ncdetect.scoring import SCORE_COLUMNS

    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["path", *SCORE_COLUMNS])
    for one in rows:
        values = [getattr(one.verdict, name, "") for name in SCORE_COLUMNS[:-1]]
        cells = [value if isinstance(value, str) else f"{value:.6f}" for value in values]
        writer.writerow([harmless(one.name), *cells, one.error])
    return "\ufeff" + stream.getvalue()


def harmless(name: str) -> str:
    """A file name that no spreadsheet takes for a formula."""
    return f"'{name}" if name.startswith(FORMULA) else name


def template() -> str:
    """The place to bring files, and the empty table."""
    heads = (
        ("name", say("File")),
        ("order", say("Verdict")),
        ("share", say("How sure")),
        ("duration", say("Length")),
    )
    columns = "".join(
        f'<th scope="col"><button type="button" data-sort="{key}">{title}'
        '<svg viewBox="0 0 12 12" aria-hidden="true"><path d="M6 2.5L9.5 8h-7z"/></svg></button></th>'
        for key, title in heads
    )
    told = say(
        "Up to {most} files of at most {megabytes} MB each. A file is sent only when its turn comes, and "
        "removed here as soon as it is judged.",
        most=MOST,
        megabytes=LARGEST_MB,
    )
    return (
        f'<div class="nc-several" data-most="{MOST}" data-largest="{LARGEST_MB * 2**20}" '
        f'data-waits="{escape(say("waits"))}" data-judged="{escape(say("is being judged …"))}">'
        f'<label class="nc-several-drop"><input type="file" multiple '
        'accept="audio/*,video/*,.amr,.opus,.m4a,.wma,.caf,.flac">'
        f"<b>{say('Choose files')}</b><span>{say('or drop them here')}</span></label>"
        f'<p class="nc-note">{told}</p>'
        f'<p class="nc-several-many" role="alert" hidden>'
        f"{say('Those were more than {most} files: the first {most} are judged.', most=MOST)}</p>"
        '<div class="nc-several-run" hidden><div class="nc-several-bar">'
        f'<progress aria-label="{escape(say("Files judged"))}" value="0"></progress>'
        f'<p></p><p class="nc-sr" role="status"></p><div class="nc-buttons">'
        f'<button type="button" class="nc-button nc-second" data-stop>{say("Stop")}</button>'
        f'<button type="button" class="nc-button" data-csv hidden>{say("Download as CSV")}</button></div>'
        '</div><div class="nc-several-table" role="region" tabindex="0" '
        f'aria-label="{escape(say("Verdicts"))}"><table>'
        f"<thead><tr>{columns}</tr></thead></table></div>"
        f'<p class="nc-note">{say("Press a file for the reason, a heading to sort by it.")}</p></div></div>'
    )


def build(uploads: Uploads) -> None:
    """Lay it out, closed."""
    with gr.Accordion(say("Check several files at once"), open=False, elem_id="several-box"):
        shown = gr.HTML(
            None, html_template=template(), js_on_load=SCRIPT, apply_default_css=False, elem_id="several"
        )
    judged = gr.State(())

    def on_judge(rows: tuple[Row, ...], event: gr.EventData, request: gr.Request):
        file = event.file if event.file in uploads else ""  # nothing else is opened
        uploads.keep_for(request.session_hash, file or None, place="several")
        try:
            one = judge(event.name, file, event.size)
        finally:
            uploads.keep_for(request.session_hash, place="several")
        rows = (*(rows if event.index else ()), one)
        return answer(rows, event.total), rows

    shown.judge(
        on_judge, judged, [shown, judged], api_visibility="private", show_progress="hidden",
        trigger_mode="multiple", concurrency_id="several", concurrency_limit=1,
    )  # fmt: skip
