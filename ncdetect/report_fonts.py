"""The letters of reports: fonts under the SIL Open Font License which gradio brings. Gradio is not imported.

They have Latin, Greek and Cyrillic.
"""

import base64
import importlib.util
import io
from collections.abc import Iterable
from pathlib import Path

FILES = {
    ("sans", False): "SourceSansPro/SourceSansPro-Regular.woff2",
    ("sans", True): "SourceSansPro/SourceSansPro-Bold.woff2",
    ("mono", False): "IBMPlexMono/IBMPlexMono-Regular.woff2",
}
"""By family, and whether it is bold."""


def file(family: str, bold: bool = False) -> Path:
    """Where a font lies."""
    spec = importlib.util.find_spec("gradio")
    assert spec and spec.submodule_search_locations
    folder = Path(next(iter(spec.submodule_search_locations)))
    return folder / "templates/frontend/static/fonts" / FILES[family, bold]


def subset(family: str, bold: bool, letters: Iterable[str]) -> str:
    """A font with no more than these letters, as a data URI of WOFF2."""
    from fontTools import subset as tools

    options = tools.Options(flavor="woff2", notdef_outline=True)
    font = tools.load_font(file(family, bold), options)
    cutter = tools.Subsetter(options)
    cutter.populate(text="".join(sorted(set(letters))))
    cutter.subset(font)
    written = io.BytesIO()
    tools.save_font(font, written, options)
    return f"data:font/woff2;base64,{base64.b64encode(written.getvalue()).decode()}"
