"""Tab "About": the method in pictures, data, licences, limits, privacy, citation."""

import gradio as gr

from ncdetect.ui.private import Uploads


def build(uploads: Uploads) -> None:
    """Lay it out."""
    gr.HTML("", elem_id="about", apply_default_css=False)
