"""Several files at once: a table of verdicts, and the same as CSV."""

import gradio as gr

from ncdetect.ui.private import Uploads


def build(uploads: Uploads) -> None:
    """Lay it out."""
    gr.HTML("", elem_id="several", apply_default_css=False)
