"""The page as a whole: tabs, look, and how it is launched. A new tab is one line in `tabs`."""

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from ncdetect import plots
from ncdetect.language import ENGLISH, NAMES, catalogue, in_language, say, speaking, spoken
from ncdetect.ui import about, check, document, examples, inside, lab, microphone, present, quiz, results
from ncdetect.ui.private import LARGEST_AGE_S, SWEEP_EVERY_S, Uploads

HERE = Path(__file__).parent
SCRIPTS = (
    "language.js", "sound.js", "map.js", "check.js", "why.js", "operating.js", "probe.js", "lab.js",
    "lab_training.js", "inside.js", "quiz.js", "present.js", "microphone.js",
)  # fmt: skip
STYLES = (
    "page.css", "cards.css", "why.css", "operating.css", "probe.css", "pair.css", "several.css", "report.css",
    "inside.css", "results.css", "quiz.css", "about.css", "present.css", "microphone.css",
)  # fmt: skip
SESSIONS = 500
"""So many visitors' states are kept, the latest: Gradio holds 0.3 MB for each, and for each API call."""
FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")


def tabs() -> dict[str, Callable[[Uploads], None]]:
    """The tabs by their names."""
    return {
        say("Check a clip"): check.build,
        say("Live"): microphone.build,
        say("Sampling lab"): lab.build,
        say("Inside the model"): inside.build,
        say("Results"): results.build,
        say("Try yourself"): quiz.build,
        say("About"): about.build,
    }


def tab_id(build_tab: Callable[[Uploads], None]) -> str:
    """How scripts know a tab: by the module that lays it out; the id of its button ends in `-button`."""
    return f"tab-{build_tab.__module__.rpartition('.')[2]}"


def build(folder: Path) -> gr.Blocks:
    """The page.

    Args:
        folder: Where visitors' clips lie: what GRADIO_TEMP_DIR says.
    """
    gr.set_static_paths([examples.FOLDER, plotly_script()])
    with gr.Blocks(
        title=document.title(), delete_cache=(SWEEP_EVERY_S, LARGEST_AGE_S), analytics_enabled=False
    ) as demo:
        demo.state_session_capacity = SESSIONS
        uploads = watch_uploads(demo, folder)
        check.build_api(uploads)
        _lay_out(demo, uploads, ENGLISH)
    for code in NAMES:
        if code != ENGLISH:
            with demo.route(NAMES[code], code, show_in_navbar=False):
                _lay_out(demo, uploads, code)
    return demo


def _lay_out(demo: gr.Blocks, uploads: Uploads, language: str) -> None:
    """The page in one language; English is at /, any other at its code."""
    events, blocks = set(demo.fns), set(demo.blocks)
    with speaking(language):
        gr.HTML(bar(), js_on_load="ncdetect.bar(element)", apply_default_css=False, elem_id="bar")
        present.build()
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap"):
            for name, build_tab in tabs().items():
                with gr.Tab(name, elem_id=tab_id(build_tab)):
                    build_tab(uploads)

        def on_leave(request: gr.Request) -> None:
            check.leave(uploads, request.session_hash)

        demo.unload(on_leave)
    # Whatever a visitor of this page sets off answers in its language.
    for key, event in demo.fns.items():
        if key not in events and event.fn:
            event.fn = in_language(language, event.fn)
    for key, block in demo.blocks.items():
        if key not in blocks:
            for function in getattr(block, "server_fns", ()):
                setattr(block, function.__name__, in_language(language, function))


def bar() -> str:
    """The slim bar at the top: the name, and the languages to choose from."""
    places = {code: "./" if code == ENGLISH else f"./{code}" for code in NAMES}
    here = {code: ' aria-current="page"' if code == spoken() else "" for code in NAMES}
    links = "".join(
        f'<a lang="{code}" hreflang="{code}" href="{places[code]}"{here[code]}>{name}</a>'
        for code, name in NAMES.items()
    )
    return (
        f'<header class="nc-top"><a class="nc-brand" href="{places[spoken()]}">'
        f'{document.mark()}<span>ncdetect</span></a><nav class="nc-languages" '
        f'aria-label="{say("Language")}">{links}</nav></header>'
    )


def watch_uploads(demo: gr.Blocks, folder: Path) -> Uploads:
    """Put our count of uploads in the place of Gradio's set, and start sweeping."""
    uploads = Uploads(folder)
    demo.temp_file_sets[demo.temp_file_sets.index(demo.upload_file_set)] = uploads
    demo.upload_file_set = uploads
    uploads.sweep_for_ever()
    return uploads


def launch_options() -> dict[str, Any]:
    """What `launch` needs for the look and the limits of the page."""
    return {
        "theme": theme(),
        "css": colours_css() + "".join((HERE / name).read_text("utf-8") for name in STYLES),
        "head": head(),
        "max_file_size": "25mb",
        "ssr_mode": False,
        "footer_links": ["api"],
        "show_error": False,
        "app_kwargs": {"middleware": [Middleware(document.InLanguage)]},
    }


def plotly_script() -> Path:
    """plotly.min.js in the wheel of plotly, found without importing it."""
    spec = importlib.util.find_spec("plotly")
    assert spec and spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations))) / "package_data" / "plotly.min.js"


def head() -> str:
    """Our scripts, inline: nothing is fetched from elsewhere."""
    scripts = "\n".join((HERE / name).read_text("utf-8") for name in SCRIPTS)
    url = json.dumps(f"gradio_api/file={plotly_script()}")
    said = {json.loads(text) for text in re.findall(r'\bnc\.say\(\s*("(?:[^"\\]|\\.)*")', scripts)}
    words = {code: {text: words for text, words in catalogue(code).items() if text in said} for code in NAMES}
    return (
        f"<script>window.ncdetect = {{ plotlyUrl: {url}, words: {json.dumps(words)} }};\n{scripts}</script>"
    )


def theme() -> gr.themes.Base:
    """Calm and plain: system fonts, one accent."""
    return gr.themes.Base(
        primary_hue="blue", neutral_hue="slate", font=FONTS, font_mono=("ui-monospace", "monospace"),
        radius_size="lg", spacing_size="md",
    ).set(
        body_background_fill="#f5f7fa", body_background_fill_dark="#0d131c",
        block_background_fill="#ffffff", block_background_fill_dark="#161e2b",
        block_border_color="#dfe5ee", block_border_color_dark="#273244",
        border_color_primary="#dfe5ee", border_color_primary_dark="#273244",
        background_fill_primary="#ffffff", background_fill_primary_dark="#161e2b",
        block_shadow="none",
    )  # fmt: skip


def colours_css() -> str:
    """The colours of `plots.COLOURS` as CSS variables, light and dark."""

    def rules(mode: str) -> str:
        return "".join(f"--nc-{name}: {values[mode]};" for name, values in plots.COLOURS.items())

    return f":root {{{rules('light')}}} .dark {{{rules('dark')}}}\n"
