"""The page as `python -m ncdetect serve` serves it: nothing that it does is against its own policy."""

from tests.browser.serving import serving

SERVE = (
    "import os; from ncdetect.api_limits import Limits; from ncdetect.api_server import serve;"
    "serve('127.0.0.1', int(os.environ['GRADIO_SERVER_PORT']), 'listener', True, Limits(), 1, 4)"
)
LISTEN = """window.violations = [];
document.addEventListener("securitypolicyviolation",
  (event) => window.violations.push([event.violatedDirective, event.blockedURI]));"""


def test_the_page_keeps_to_the_policy_that_is_sent_with_it(browser, tmp_path):
    with serving(tmp_path, "-c", SERVE) as served:
        context = browser.new_context(viewport={"width": 1280, "height": 850})
        context.set_default_timeout(120_000)
        page, errors = context.new_page(), []
        page.add_init_script(LISTEN)
        page.on("pageerror", lambda error: errors.append(str(error)))
        answer = page.goto(served.url)
        assert "frame-ancestors 'self' https://huggingface.co" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        page.locator(".nc-group button").first.click()
        page.locator("#details .nc-card").first.wait_for()
        page.locator("#map .js-plotly-plot").wait_for()
        for tab in page.get_by_role("tab").all():
            tab.click()
            page.locator("[role=tabpanel]:visible .nc-card").first.wait_for()
        assert page.evaluate("violations") == [] and errors == []
        context.close()
    assert not served.clips()
