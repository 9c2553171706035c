import pytest

SLOW_MS = 120_000
"""A busy machine reads the data and draws thousands of clips slowly."""
STAGE = ".nc-inside-picture"

CURSOR = """() => new Promise((done) => {
  const seen = new Set(), cursor = document.querySelector("[data-measure=nc1] hr");
  const look = () => {
    seen.add(cursor.style.left);
    if (seen.size < 3) requestAnimationFrame(look); else done([...seen]);
  };
  look();
  document.querySelector(".nc-inside-play").click();
})"""
"""The first three places of the cursor while it plays."""


def open_inside(page):
    """Open the tab, wherever a narrow page keeps its button, and wait for what it fetches."""
    page.set_default_timeout(SLOW_MS)
    page.locator("#tabs button", has_text="Inside the model").first.dispatch_event("click")
    page.locator(f"{STAGE}[data-moment]").wait_for()
    page.locator(".nc-fail").first.wait_for()


def moment(page, number):
    page.locator(f"{STAGE}[data-moment='{number}']").wait_for()


def painted(page) -> int:
    """How many pixels of the canvas are not empty."""
    return page.evaluate(
        """() => { const canvas = document.querySelector(".nc-inside-picture canvas");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        let count = 0; for (let i = 3; i < data.length; i += 4) count += data[i] > 0; return count; }"""
    )


def no_serious_violation(page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    found = axe.Axe().run(page, context="#inside").response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


def test_the_training_plays_pauses_and_is_walked_by_keyboard(open_page):
    page = open_page()
    open_inside(page)
    page.locator(STAGE).scroll_into_view_if_needed()
    page.locator(f"{STAGE}[data-playing=true]").wait_for()  # by itself, once it is seen
    page.wait_for_function("Number(document.querySelector('.nc-inside-picture').dataset.moment) >= 2")
    slider = page.get_by_label("Moment")
    slider.focus()
    page.keyboard.press(" ")
    page.locator(f"{STAGE}[data-playing=false]").wait_for()
    page.keyboard.press("End")
    moment(page, 19)
    assert slider.get_attribute("aria-valuetext") == "after 6 epochs"
    tale = page.locator(".nc-inside-tale")
    assert "huddle on" in tale.inner_text() and tale.get_attribute("aria-live") == "polite"
    assert page.locator("[data-measure=nc1] output[data-side=train]").inner_text() == "0.04"
    assert page.locator("[data-measure=nc1] hr").evaluate("e => e.style.left") == "100%"
    everything = painted(page)
    page.get_by_role("radio", name="Held back").click()
    assert 0 < painted(page) < everything
    page.get_by_role("radio", name="True distances").click()
    page.locator(f"{STAGE}[data-view=exact]").wait_for()
    assert "Not a sketch" in page.locator(".nc-inside-note").inner_text()
    page.locator(STAGE).focus()
    page.keyboard.press("Home")  # not a key of the picture
    page.keyboard.press("ArrowLeft")
    moment(page, 18)
    box = page.locator(STAGE).bounding_box()
    for share in (0.3, 0.35, 0.4, 0.45, 0.5):
        page.mouse.move(box["x"] + share * box["width"], box["y"] + 0.6 * box["height"])
    page.locator(".nc-told", has_text="(held back)").wait_for()
    no_serious_violation(page)


def test_rows_are_chosen_and_found_and_results_are_next(open_page):
    page = open_page()
    open_inside(page)
    page.locator(".nc-fail", has_text="tortoise-tts").wait_for()
    assert page.locator(".nc-det polyline").count() == 2
    page.get_by_label("Show only rows").fill("starg")
    found = [one.get_attribute("data-name") for one in page.locator(".nc-fail:visible").all()]
    assert found and all("starg" in name for name in found)
    page.get_by_label("Show only rows").fill("")
    page.get_by_role("radio", name="Collections").click()
    page.locator(".nc-fail", has_text="silero").wait_for()
    page.get_by_role("radio", name="By kind").click()
    page.locator(".nc-fail", has_text="Voice conversion").wait_for()
    assert page.locator(".nc-det polyline").count() == 2
    page.get_by_role("button", name="Compare them in Results").click()
    page.get_by_role("heading", name="All models on the same clips").wait_for()


def test_a_narrow_dark_calm_page_jumps_and_cuts_nothing_off(open_page):
    page = open_page(390, "dark")
    page.emulate_media(reduced_motion="reduce", color_scheme="dark")
    open_inside(page)
    page.locator(STAGE).scroll_into_view_if_needed()
    assert page.locator(STAGE).get_attribute("data-playing") == "false"
    shares = [19 * float(left.rstrip("%")) / 100 for left in page.evaluate(CURSOR)]
    assert shares == pytest.approx([0, 1, 2], abs=1e-4)
    page.get_by_role("button", name="Pause").click()
    right = page.evaluate(
        "Math.max(...[...document.querySelectorAll('#inside *')].map(e => e.getBoundingClientRect().right))"
    )
    assert right <= 391
    no_serious_violation(page)
