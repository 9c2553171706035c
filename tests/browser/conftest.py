import numpy as np
import pytest
import soundfile

from ncdetect import audio
from ncdetect.ui import examples
from tests.browser.serving import launch_browser, serving
from tests.media import with_ffmpeg, with_soundfile


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/browser" in item.path.as_posix():
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("server")) as served:
        yield served


@pytest.fixture(scope="session")
def voice():
    """Speech of an example clip, (T,) at 16 kHz."""
    return audio.load(next(iter(examples.examples().values())).file).wave


@pytest.fixture(scope="session")
def clips(voice, tmp_path_factory):
    """The same clip in four formats, and two files that are none."""
    folder = tmp_path_factory.mktemp("clips")
    files = {
        "wav": with_soundfile(voice, 16_000, "WAV", "PCM_16"),
        "mp3": with_soundfile(voice, 16_000, "MP3", "MPEG_LAYER_III"),
        "m4a": with_ffmpeg(voice, 16_000, "ipod", "aac"),
        "webm": with_ffmpeg(voice, 16_000, "webm", "libopus"),
    }
    paths = {name: folder / f"voice.{name}" for name in files}
    for name, data in files.items():
        paths[name].write_bytes(data)
    paths["garbage"] = folder / "garbage.wav"
    paths["garbage"].write_bytes(b"This is a letter, not a recording. " * 200)
    paths["silent"] = folder / "silent.wav"
    soundfile.write(paths["silent"], np.zeros(32_000), 16_000)
    return paths


@pytest.fixture(scope="session")
def browser(voice, tmp_path_factory):
    playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    spoken = tmp_path_factory.mktemp("microphone") / "voice.wav"
    soundfile.write(spoken, audio.soxr.resample(voice, 16_000, 48_000), 48_000, subtype="PCM_16")
    with playwright_api.sync_playwright() as playwright:
        started = launch_browser(playwright, f"--use-file-for-fake-audio-capture={spoken}")
        if started is None:
            pytest.skip("there is no Chromium: install it, or run `playwright install chromium`")
        yield started
        started.close()


@pytest.fixture
def open_page(browser, server):
    """Opens the page; at the end no script may have failed and no other host been asked."""
    contexts, errors, hosts = [], [], set()

    def opened(width=1280, scheme="light", allow=()):
        context = browser.new_context(viewport={"width": width, "height": 850}, color_scheme=scheme)
        context.set_default_timeout(40_000)
        contexts.append(context)
        page = context.new_page()

        def hear(message):
            if message.type == "error" and not any(word in message.text for word in allow):
                errors.append(message.text)

        page.on("console", hear)
        page.on("pageerror", lambda error: allow or errors.append(str(error)))
        page.on("request", lambda request: hosts.add(request.url))
        page.goto(server.url)
        page.get_by_role("heading", name="Is this voice real?").wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()
    elsewhere = [url for url in hosts if not url.startswith((server.url, "blob:", "data:"))]
    assert not elsewhere
    assert not errors
