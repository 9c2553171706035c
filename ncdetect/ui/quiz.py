"""Tab "Try yourself": a blind quiz, the visitor against the model."""

import gradio as gr

from ncdetect.ui.private import Uploads


def build(uploads: Uploads) -> None:
    """Lay it out."""
    gr.HTML("", elem_id="quiz", apply_default_css=False)
