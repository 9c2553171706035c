"""The report to print or to keep: made when asked for, and sent to the browser without a file here."""

import base64
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from ncdetect.language import number, say
from ncdetect.ui import model
from ncdetect.ui.checked import Checked
from ncdetect.ui.private import Uploads

if TYPE_CHECKING:
    pass

log = logging.getLogger(__name__)

LARGEST_STEM = 60
"""Letters of the clip's name in the name of its report."""
NOTHING: dict[str, Any] = {"key": "", "answer": "", "html": ""}


def ready(checked: Checked | None) -> dict[str, Any]:
    """The offer of a report; nothing where there is no clip."""
    return NOTHING if checked is None else NOTHING | {"key": checked.key, "html": _ask()}


def make(checked: Checked | None, form: str) -> dict[str, Any]:
    """The report on the clip that is on the page.

    Args:
        checked: The clip.
        form: html or pdf.

    Returns:
        What the browser saves: `name`, `type` and `data` (base64), with a sentence `said`. Where it cannot be
        made, only a sentence on what went wrong.
    """
    from ncdetect import audio, report

    now = datetime.now(UTC)
    answer = {"key": checked.key if checked else "", "answer": now.isoformat(), "data": "", "said": ""}
    if checked is None or form not in report.MEDIA_TYPES:
        return answer
    gone = say("The clip was removed here already. Bring it once more, and ask again.")
    try:
        made = report.report_on(model.predictor(), checked.verdict, Path(checked.path), now, model.record())
        data = report.written(made, form)
    except FileNotFoundError:
        if not checked.there:
            return answer | {"said": gone}
        log.exception("a report could not be made")
    except audio.AudioError as error:
        return answer | {"said": gone if not checked.there else str(error)}
    except Exception:
        log.exception("a report could not be made")
    else:
        size = say("{size} kB, not kept on the server", size=number(-(-len(data) // 1000), ","))
        encoded = base64.b64encode(data).decode()
        found = {"name": file_name(checked.name, form), "type": report.MEDIA_TYPES[form], "data": encoded}
        return answer | found | {"said": size}
    return answer | {
        "said": say("The report could not be made. Something is wrong here, not with your clip.")
    }


def file_name(clip: str, form: str) -> str:
    """How the report on a clip is called: letters, digits and hyphens, whatever the clip was called."""
    stem = "".join(letter if letter.isalnum() else "-" for letter in Path(clip).stem)[:LARGEST_STEM].strip(
        "-"
    )
    return f"ncdetect-{stem or 'report'}.{form}"


def _ask() -> str:
    note = say(
        "One page to print or to hand on: the verdict and its pictures, what identifies the file and the "
        "model, and what the verdict cannot do."
    )
    title, waiting = say("A report on paper?"), say("The report is being made …")
    buttons = "".join(
        f'<button type="button" class="nc-button{kind}" data-form="{form}">{name}</button>'
        for form, kind, name in (
            ("pdf", "", say("Save as PDF")),
            ("html", " nc-second", say("Save as web page")),
        )
    )
    return (
        f'<section class="nc-card nc-report" aria-label="{say("Report")}"><div><h3>{title}</h3>'
        f'<p class="nc-note">{note}</p></div><div class="nc-report-forms">{buttons}</div>'
        f'<p class="nc-report-said" role="status" data-waiting="{waiting}"></p></section>'
    )


def build(checked: gr.State, _: Uploads) -> gr.HTML:
    """Lay out the offer."""
    shown = gr.HTML(
        NOTHING, html_template="<div></div>", apply_default_css=False, elem_id="report",
        js_on_load=Path(__file__).with_suffix(".js").read_text("utf-8"),
    )  # fmt: skip

    def on_make(event: gr.EventData, checked: Checked | None) -> dict[str, Any]:
        return make(checked, event.form)

    shown.make(
        on_make, checked, shown, api_visibility="private", show_progress="hidden", trigger_mode="multiple",
        concurrency_id="report", concurrency_limit=1,
    )  # fmt: skip
    return shown
