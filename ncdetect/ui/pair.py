"""Comparison with a known recording of the speaker."""

from typing import Any

import gradio as gr

from ncdetect.ui.checked import Checked
from ncdetect.ui.private import Uploads


def ready(checked: Checked | None) -> Any:
    """Nothing yet."""
    return ""


def build(checked: gr.State, uploads: Uploads) -> gr.HTML:
    """Lay it out."""
    return gr.HTML("", elem_id="pair", apply_default_css=False)
