"""The report to download: one printable page, as HTML and PDF."""

from typing import Any

import gradio as gr

from ncdetect.ui.checked import Checked
from ncdetect.ui.private import Uploads


def ready(checked: Checked | None) -> Any:
    """Nothing yet."""
    return ""


def build(checked: gr.State, uploads: Uploads) -> gr.HTML:
    """Lay it out."""
    return gr.HTML("", elem_id="report", apply_default_css=False)
