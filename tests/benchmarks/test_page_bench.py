"""How fast the page is: start, upload to verdict, server part, slider. Prints the figures; judges nothing."""

import statistics
import time

import numpy as np
import pytest
import soundfile

from banks import make_bank
from ncdetect import audio, plots
from ncdetect.corpora import Clip, Manifest
from ncdetect.labels import Label
from ncdetect.ui import check, examples, lab, lab_corpora
from tests.browser.serving import VERDICTS, launch_browser, serving

SERVER_ROUNDS, PAGE_ROUNDS = 15, 5
SLIDE = """async () => {
  const slider = document.querySelector("#keep-fake"), lab = document.querySelector(".nc-lab"), times = [];
  for (let i = 1; i <= 12; i++) {
    const begun = performance.now();
    lab.dataset.drawn = "";
    slider.value = 5 * i;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    while (!lab.dataset.drawn) await new Promise(requestAnimationFrame);
    await new Promise(requestAnimationFrame);
    times.push((performance.now() - begun) / 1000);
  }
  return times;
}"""
SLIDE_MANY = """async (payload) => {
  const host = document.createElement("div"), times = [];
  host.className = "nc-plot";
  host.style.width = "760px";
  document.querySelector(".nc-lab").append(host);
  const { real, fake } = payload.classes;
  const rows = { real: ncdetect.unpack(real), fake: ncdetect.unpack(fake) };
  const layer = (role, strong) => ({ role, strong, cover: strong, rows: rows[role] });
  const layers = [layer("real", false), layer("fake", false), layer("real", true), layer("fake", true)];
  const map = new ncdetect.Map(host, payload, layers);
  await map.draw();
  for (let i = 1; i <= 10; i++) {
    const begun = performance.now(), kept = i * 900;
    await map.keep({ 2: rows.real.subarray(0, kept), 3: rows.fake.subarray(0, kept) }, null);
    await new Promise(requestAnimationFrame);
    times.push((performance.now() - begun) / 1000);
  }
  return times;
}"""


def told(what: str, seconds: list[float], goal: str) -> None:
    middle, most = statistics.median(seconds), max(seconds)
    print(f"{what}: median {1000 * middle:.0f} ms, most {1000 * most:.0f} ms of {len(seconds)} (goal {goal})")


def clip_of(seconds: int) -> np.ndarray:
    voice = audio.load(next(iter(examples.examples().values())).file).wave
    return np.resize(voice, seconds * audio.SAMPLE_RATE)


@pytest.mark.parametrize(("seconds", "goal"), [(3, "150 ms"), (60, "1500 ms")])
def test_server_part(tmp_path, seconds, goal):
    file = tmp_path / "clip.wav"
    soundfile.write(file, clip_of(seconds), audio.SAMPLE_RATE)
    check.warm_up()
    check.show(file)
    times = []
    for _ in range(SERVER_ROUNDS):
        started = time.perf_counter()
        shown = check.show(file)
        times.append(time.perf_counter() - started)
    assert shown.star
    told(f"server, clip of {seconds} s", times, goal)


def test_page(tmp_path):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = launch_browser(playwright)
        if browser is None:
            pytest.skip("there is no Chromium")
        (tmp_path / "server").mkdir()
        started = time.perf_counter()
        with serving(tmp_path / "server") as served:
            page = browser.new_page(viewport={"width": 1280, "height": 850})
            page.set_default_timeout(120_000)
            opened = time.perf_counter()
            page.goto(served.url)
            page.get_by_text("Try one of these").wait_for()
            page.locator("#clip input[type=file]").wait_for(state="attached")
            usable = time.perf_counter()
            told("start of app.py to the server's first answer", [served.started_s], "none")
            told("opening the page until it is usable", [usable - opened], "none")
            told("start of app.py to a usable page", [usable - started], "4000 ms")
            page.locator("#map .nc-plot[data-view]").wait_for()
            told("start of app.py to the map", [time.perf_counter() - started], "none")
            told("upload to verdict and star on the screen", upload_times(page, tmp_path), "1000 ms")
            page.get_by_role("tab", name="Sampling lab").click()
            page.locator(".nc-lab[data-measured]").wait_for()
            told("slider to redrawn map, as shipped", page.evaluate(SLIDE), "300 ms")
            told("slider to redrawn map, 20,000 clips", page.evaluate(SLIDE_MANY, many_clips()), "300 ms")
        browser.close()


def upload_times(page, folder) -> list[float]:
    times = []
    for i in range(PAGE_ROUNDS):
        file = folder / f"clip-{i}.wav"
        soundfile.write(file, clip_of(5)[i * 4000 :], audio.SAMPLE_RATE)
        begun = time.perf_counter()
        page.locator("#clip input[type=file]").set_input_files(file)
        shown = "(words) => words.includes(document.querySelector('#verdict h2').innerText)"
        page.wait_for_function(shown, arg=list(VERDICTS))
        page.locator("#map .nc-plot[data-star]").wait_for()
        times.append(time.perf_counter() - begun)
        page.locator("#clip").get_by_label("Clear").click()
        page.get_by_text("Your verdict appears here").wait_for()
        page.locator("#map .nc-plot:not([data-star])").wait_for()
    return times


def many_clips() -> dict:
    """A map of 20,000 made-up clips."""
    rng, count = np.random.default_rng(0), 20_000
    place, labels = rng.normal(size=(count, 2)), np.arange(count) % 2
    maps, means = {"tsne": place, "exact": np.abs(place)}, {"tsne": np.eye(2), "exact": np.eye(2)}
    return plots.sampling_map(maps, means, labels, ["g"] * count, ["a clip"] * count)


def test_the_labs_part_in_the_server(tmp_path, monkeypatch):
    clips = [
        Clip(f"{label.word}/{index:05}.flac", label, "many", "train", f"g{index % 8}" if label else "studio")
        for label in Label
        for index in range(10_000)
    ]
    make_bank(Manifest(tmp_path, tuple(clips)), tmp_path / "many" / "bank.parquet", dimensions=256)
    monkeypatch.setattr(lab_corpora, "CORPORA", tmp_path)
    for rule in ("algorithm-1", "algorithm-2", "random"):
        request = {"corpus": "many", "rule": rule, "kind": "rate", "fake": 0.5}
        started = time.perf_counter()
        lab.keep(request | {"real": 0.5})
        told(f"{rule} meets 20,000 clips", [time.perf_counter() - started], "none")
        times = []
        for i in range(SERVER_ROUNDS):
            started = time.perf_counter()
            lab.keep(request | {"real": i / SERVER_ROUNDS})
            times.append(time.perf_counter() - started)
        told(f"{rule}: the server's part of a move of the slider, 20,000 clips", times, "of 300 ms")
