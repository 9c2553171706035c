"""Tab "Inside the model": neural collapse by epoch, error curves, and what it is worst at."""

import gradio as gr

from ncdetect.ui.private import Uploads


def build(uploads: Uploads) -> None:
    """Lay it out."""
    gr.HTML("", elem_id="inside", apply_default_css=False)
