"""How the page loads, by the browser's own measures. Prints the figures; judges nothing."""

import pytest

from tests.browser.serving import launch_browser, serving

OBSERVE = """
window.seen = { tasks: [], shifts: [] };
new PerformanceObserver((list) => {
  for (const { startTime, duration } of list.getEntries()) seen.tasks.push([startTime, duration]);
}).observe({ type: "longtask", buffered: true });
new PerformanceObserver((list) => {
  for (const { value, hadRecentInput } of list.getEntries()) if (!hadRecentInput) seen.shifts.push(value);
}).observe({ type: "layout-shift", buffered: true });
"""
FIGURES = """() => {
  const loaded = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  const first = performance.getEntriesByName("first-contentful-paint")[0].startTime;
  return {
    first, requests: loaded.length,
    bytes: loaded.reduce((sum, entry) => sum + entry.transferSize, 0),
    blocked: seen.tasks.filter(([start]) => start > first).reduce((sum, [, took]) => sum + took - 50, 0),
    shift: seen.shifts.reduce((sum, value) => sum + value, 0),
  };
}"""


@pytest.mark.parametrize("language", ["", "de"])
@pytest.mark.parametrize("width", [1280, 390])
def test_loading(tmp_path, width, language):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, serving(tmp_path) as served:
        browser = launch_browser(playwright)
        if browser is None:
            pytest.skip("there is no Chromium")
        page = browser.new_page(viewport={"width": width, "height": 850})
        page.set_default_timeout(120_000)
        page.add_init_script(OBSERVE)
        page.goto(served.url + language)
        page.locator("#map .nc-plot[data-view]").wait_for()
        found = page.evaluate(FIGURES)
        print(
            f"\n{width} px, /{language}: first contentful paint {found['first']:.0f} ms; "
            f"{found['requests']} requests, {found['bytes'] / 1e6:.2f} MB; "
            f"total blocking time {found['blocked']:.0f} ms; cumulative layout shift {found['shift']:.3f}"
        )
        page.locator("[data-clip]").first.click()
        page.locator("#map .nc-plot[data-star]").wait_for()
        after = page.evaluate(FIGURES)
        print(f"  with a verdict: cumulative layout shift {after['shift']:.3f}")
        browser.close()
