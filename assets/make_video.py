"""Make the film of the page and the README's pictures.

From the repository root; it takes ffmpeg and Chromium:

    make video

The app is started and driven through `scenario.py`. Each frame is drawn and taken one by one, so that a slow
machine makes as smooth a film as a fast one; what the page plays is heard at the moment that it plays it.
"""

import base64
import io
import logging
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, TimeoutError, sync_playwright

from assets.film import FRAME_S, FRAMES_PER_S, NO_FFMPEG, Film, Sound, glide
from assets.scenario import LONGEST_S, SCENARIO, Act, Scene
from ncdetect import audio
from ncdetect.ui import present
from tests.browser.serving import launch_browser, serving

log = logging.getLogger(__name__)

ASSETS = Path(__file__).resolve().parent
WIDTH, HEIGHT = 1280, 720
MOST_BYTES = 6_000_000
PATIENCE_MS = 60_000
"""How long the page may take for anything."""
NEEDED_MS = 5_000
"""How long what a scene needs may take to be there."""
PRESS_S = 3 * FRAME_S
NOTE_S = 1.2
"""How long the film says that waiting was left out."""
CAPTIONED = 0.8
"""Share of the window's height above the caption: what is pointed at lies there."""


class Stage:
    """The page on the one hand, the film on the other; the cursor is drawn, a headless browser shows none."""

    def __init__(self, page: Page, film: Film):
        """Watch and hear a page that is not open yet."""
        self.page, self.film = page, film
        self.at = (WIDTH * 0.5, HEIGHT * 0.62)
        self.note_until = 0.0
        self._heard: dict[int, tuple[Sound, float]] = {}
        page.set_default_timeout(PATIENCE_MS)
        page.add_init_script(path=ASSETS / "film.js")
        page.expose_function("filmHear", self._hear)
        page.expose_function("filmSound", self._take)
        self._session = page.context.new_cdp_session(page)

    def _hear(self, told: dict[str, Any]) -> None:
        key = told["key"]
        if told["starts"]:
            self._heard[key] = Sound(self.film.clock, np.zeros(0, np.float32)), told["offset"]
            self.film.sounds.append(self._heard[key][0])
        elif key in self._heard:
            self._heard[key][0].end_s = self.film.clock

    def _take(self, told: dict[str, Any]) -> None:
        sound, offset_s = self._heard[told["key"]]
        data = base64.b64decode(told["data"])
        try:
            found = audio.load((told["rate"], np.frombuffer(data, "<i2")) if told["rate"] else data).wave
        except audio.AudioError as error:
            log.warning("a sound is not heard in the film: %s", error)
            return
        if told["length"]:
            found = np.resize(found, round(told["length"] * audio.SAMPLE_RATE))
        sound.wave = found[round(offset_s * audio.SAMPLE_RATE) :]

    def caption(self, text: str) -> None:
        """What stands below from now on."""
        self.page.evaluate("text => filmCaption(text)", text)

    def shoot(self, seconds: float, scroll: float | None = None, pressed: bool = False) -> None:
        """Take one frame and let it stand for some time."""
        x, y = self.at
        note = self.film.clock < self.note_until
        told = {"x": x, "y": y, "pressed": pressed, "scroll": scroll, "note": note}
        self.page.evaluate("told => filmFrame(told)", told)
        answer = self._session.send("Page.captureScreenshot", {"format": "png", "optimizeForSpeed": True})
        self.film.add(base64.b64decode(answer["data"]), seconds)

    def glide_to(
        self, seconds: float, at: tuple[float, float], scroll: float, pressing: bool = False
    ) -> None:
        """Move cursor and page calmly."""
        from_at, from_scroll = self.at, self.page.evaluate("scrollY")
        frames = max(1, round(seconds * FRAMES_PER_S))
        for frame in range(1, frames + 1):
            share = glide(frame / frames)
            self.at = tuple(old + share * (new - old) for old, new in zip(from_at, at, strict=True))
            moved = None if scroll == from_scroll else from_scroll + share * (scroll - from_scroll)
            if pressing:
                self.page.mouse.move(*self.at)
            self.shoot(FRAME_S, moved, pressing)

    def live(self, seconds: float, until: Locator | None = None) -> None:
        """Let the page move by itself: its clock is the film's."""
        end, last = self.film.clock + seconds, time.perf_counter()
        while (left := end - self.film.clock) > FRAME_S and not (until and until.is_visible()):
            self.shoot(0)
            now = time.perf_counter()
            took, last = min(now - last, left), now
            self.film.frames[-1] = (self.film.frames[-1][0], took)
            self.film.clock += took

    def play(self, act: Act) -> None:
        """Do one act of the scenario.

        Raises:
            playwright.sync_api.TimeoutError: If what it is about does not appear.
        """
        target = self.page.locator(act.at).first if act.at else None
        match act.do:
            case "rest":
                self.shoot(act.seconds)
            case "live":
                self.live(act.seconds)
            case "wait":
                self._wait(target, act.seconds)
            case "look":
                self.glide_to(act.seconds, self.at, self._scroll_for(target, act.place) if target else 0)
            case "point" | "click" | "bring" | "drag":
                self._reach(target, act)
            case _:
                raise ValueError(f"there is no act {act.do!r}")

    def _wait(self, target: Locator, seconds: float) -> None:
        self.live(seconds, until=target)
        if not target.is_visible():
            self.note_until = self.film.clock + NOTE_S
            target.wait_for()

    def _scroll_for(self, target: Locator, place: float) -> float:
        """Where to scroll so that an element's upper edge lies at a share of the window's height."""
        target.wait_for()
        wanted = target.evaluate("e => e.getBoundingClientRect().top + scrollY") - place * HEIGHT
        return max(0, min(wanted, self.page.evaluate("document.documentElement.scrollHeight - innerHeight")))

    def _reach(self, target: Locator, act: Act) -> None:
        target.wait_for()
        box, scroll = target.bounding_box(), self.page.evaluate("scrollY")
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        share = (
            float(target.evaluate("e => (e.value - e.min) / (e.max - e.min)")) if act.do == "drag" else 0.5
        )
        if act.do == "drag":
            x = box["x"] + share * box["width"]
        if not 0.05 * HEIGHT < y < CAPTIONED * HEIGHT:
            moved = self._scroll_for(target, 0.45)
            y, scroll = y + scroll - moved, moved
        to_there = act.seconds / 2 if act.do == "drag" else max(FRAME_S, act.seconds - PRESS_S)
        self.glide_to(to_there, (x, y), scroll)
        self.page.mouse.move(x, y)
        if act.do == "point":
            self.shoot(PRESS_S)
            return
        self.shoot(PRESS_S, pressed=True)
        if act.do == "click":
            self.page.mouse.click(x, y)
        elif act.do == "bring":
            target.locator("input[type=file]").set_input_files(ASSETS / act.what)
        else:
            self.page.mouse.down()
            self.glide_to(
                act.seconds / 2, (box["x"] + float(act.what) * box["width"], y), scroll, pressing=True
            )
            self.page.mouse.up()


def play(stage: Stage, scenario: tuple[Scene, ...]) -> list[str]:
    """Play the scenes; one that lacks what it needs is left out.

    Returns:
        The points that were played.
    """
    captions, played = {point.key: point.says for point in present.talk()}, []
    for scene in scenario:
        if scene.when:
            try:
                stage.page.locator(scene.when).first.wait_for(timeout=NEEDED_MS)
            except TimeoutError:
                log.warning("the scene %r is left out: there is no %s", scene.point, scene.when)
                continue
        began, clock = time.perf_counter(), stage.film.clock
        stage.caption(captions[scene.point])
        act = scene.acts[0]
        try:
            for act in scene.acts:
                stage.play(act)
        except TimeoutError:
            log.warning("the scene %r is left out: nothing came of %s %s", scene.point, act.do, act.at)
            stage.film.cut(clock)
            continue
        played.append(scene.point)
        log.info(
            "%-8s %5.1f s of the film in %5.1f s",
            scene.point, stage.film.clock - clock, time.perf_counter() - began,
        )  # fmt: skip
    return played


def opened(browser: Browser, url: str, width: int, height: int, scheme: str, scale: float = 1) -> Page:
    """A page in a context of its own, before it goes anywhere."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, device_scale_factor=scale,
        base_url=url, locale="en",
    )  # fmt: skip
    return context.new_page()


def visit(page: Page, scheme: str) -> None:
    """Open the page and wait until its map is drawn."""
    page.goto(f"/?__theme={scheme}")
    page.locator("#map .nc-plot canvas").first.wait_for(timeout=PATIENCE_MS)


def take_picture(browser: Browser, url: str, out: Path, width: int, scheme: str, scale: float) -> None:
    """A picture of the page with a verdict for the README; on a phone of the verdict alone."""
    page = opened(browser, url, width, 900, scheme, scale)
    page.set_default_timeout(PATIENCE_MS)
    visit(page, scheme)
    page.locator(f'[data-clip="{present.FAKE}"]').click()
    page.locator("#verdict .nc-truth").wait_for()
    page.locator("#map .nc-plot[data-star]").wait_for()
    bottom = "e => e.getBoundingClientRect().bottom + scrollY"
    phone = width < 700
    top = (
        page.locator("#verdict").evaluate("e => e.getBoundingClientRect().top + scrollY") - 16 if phone else 0
    )
    height = page.locator("#verdict" if phone else "#map").evaluate(bottom) + 16 - top
    clip = {"x": 0, "y": top, "width": width, "height": height}
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True, clip=clip)))
    page.context.close()
    # A page has few colours: a third of the bytes, and nobody sees it.
    picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(out, optimize=True)


def main() -> None:
    """Make film and pictures."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if not shutil.which("ffmpeg"):
        raise SystemExit(NO_FFMPEG)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="film-") as folder, sync_playwright() as playwright:
        browser = launch_browser(playwright, "--autoplay-policy=no-user-gesture-required", "--mute-audio")
        if browser is None:
            raise SystemExit("Chromium is needed: apt-get install chromium, or playwright install chromium")
        served, frames = Path(folder, "served"), Path(folder, "frames")
        served.mkdir()
        frames.mkdir()
        with serving(served) as server:
            page, film = opened(browser, server.url, WIDTH, HEIGHT, "light"), Film(frames)
            stage = Stage(page, film)
            visit(page, "light")
            play(stage, SCENARIO)
            page.context.close()
            take_picture(browser, server.url, ASSETS / "page.png", WIDTH, "light", 1)
            take_picture(browser, server.url, ASSETS / "page-phone.png", 390, "dark", 2)
        out = ASSETS / "demo.mp4"
        film.write(out)
    size = out.stat().st_size
    log.info("%s: %.1f s, %.1f MB, in %.0f s", out.name, film.clock, size / 1e6, time.perf_counter() - began)
    if size > MOST_BYTES or film.clock > LONGEST_S:
        raise SystemExit(f"the film is to be below {MOST_BYTES / 1e6:.0f} MB and {LONGEST_S:.0f} s")


if __name__ == "__main__":
    main()
