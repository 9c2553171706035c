"""Does the verdict hold? The clip again as over a phone line, as MP3, with noise, and cut."""

from typing import Any

import gradio as gr

from ncdetect.ui.checked import Checked
from ncdetect.ui.private import Uploads


def ready(checked: Checked | None) -> Any:
    """Nothing yet."""
    return ""


def build(checked: gr.State, uploads: Uploads) -> gr.HTML:
    """Lay it out."""
    return gr.HTML("", elem_id="probe", apply_default_css=False)
