import json
import re

import pytest

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright is not installed")

SLOW_MS = 120_000
"""The model judges in the background, and a busy machine takes its time."""
EAR = """() => {
  window.heard = 0;
  const start = AudioBufferSourceNode.prototype.start;
  AudioBufferSourceNode.prototype.start = function (...given) {
    heard += 1;
    return start.apply(this, given);
  };
}"""
ENDLESS = """() => {
  const start = AudioBufferSourceNode.prototype.start;
  AudioBufferSourceNode.prototype.start = function (...given) {
    this.loop = true;
    return start.apply(this, given);
  };
}"""
"""A slow page may not miss a clip's end."""
CLUES = re.compile(
    r"fake|real|vocod|synth|griffin|world|espeak|piper|kokoro|flite|june|carlo|allison|flac|opus|assets", re.I
)


def opened(page):
    page.set_default_timeout(SLOW_MS)
    page.locator("#tab-quiz-button").click()
    page.locator("#quiz [data-kind]").first.wait_for()
    return page.locator("#quiz")


def asked(quiz, number):
    """The stage's HTML once a clip is there to be heard, without what differs by its sound."""
    quiz.locator("[data-at]", has_text=re.compile(rf"\b{number}\b")).wait_for()
    quiz.locator(".nc-quiz-wave rect").first.wait_for()
    html = quiz.locator(".nc-quiz-stage").evaluate("stage => stage.outerHTML")
    return re.sub(r"<rect[^>]*></rect>|\d+| nc-playing", "", html)


def of_quiz(request):
    return "component_server" in request.url and request.post_data_json["fn_name"].startswith("quiz_")


def violations(page):
    found = axe.Axe().run(page, context={"include": [["#quiz"]]}).response["violations"]
    return [one["id"] for one in found if one["impact"] in ("serious", "critical")]


def test_a_round_by_keyboard_with_no_clue_before_the_answer(open_page):
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(EAR)
    quiz = opened(page)
    assert not violations(page)
    answers, urls, title = [], [], page.title()
    page.on("request", lambda request: urls.append(request.url))
    page.on("response", lambda response: answers.append(response) if of_quiz(response.request) else None)
    quiz.locator("[data-kind=warm-up]").focus()
    page.keyboard.press("Enter")

    first = asked(quiz, 1)
    assert not violations(page)
    page.wait_for_function("heard == 1")
    page.keyboard.press("Space")
    page.wait_for_function("heard == 2")
    told = [json.loads(response.text()) for response in answers]
    assert {name for one in told for name in one} <= {"round", "clips", "board", "sound"}
    words = [re.sub(r"<[^>]+>", " ", str(one.get("board", ""))) + " ".join(one) for one in told]
    assert page.title() == title
    for text in (*urls, *words):
        assert not CLUES.search(text), text

    for number in range(1, 7):
        assert asked(quiz, number) == first  # nothing on the stage tells one clip from another
        page.keyboard.press("r" if number % 2 else "F")
        quiz.locator("[data-next]").wait_for()
        page.wait_for_function("document.activeElement.matches('.nc-quiz-stage')")
        assert "What to listen for" in quiz.locator(".nc-quiz-reveal").inner_text()
        if number == 1:
            assert not violations(page)
            said = quiz.locator("[data-spoken]").inner_text()
            assert re.match(
                r"(A real person|A computer's voice)\. You said real: (right|wrong)\. The model", said
            )
        page.keyboard.press("Enter")
    result = quiz.locator(".nc-quiz-end")
    result.get_by_text(re.compile(r"You recognised \d of 6")).wait_for()
    assert "of 100 rounds" in result.inner_text() and not violations(page)
    result.locator("[data-copy]").click()
    result.get_by_text("Copied.").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == result.locator("blockquote").inner_text()


def test_on_a_phone_in_german_it_fits_and_falls_silent_with_its_tab(open_page, server):
    page = open_page(390, "dark")
    page.goto(f"{server.url}de")
    page.evaluate(ENDLESS)
    quiz = opened(page)
    quiz.locator("[data-kind=hard]").click()
    asked(quiz, 1)
    quiz.locator(".nc-quiz-play.nc-playing").wait_for()
    page.locator("#tab-about-button").click()
    quiz.locator(".nc-quiz-play.nc-playing").wait_for(state="detached")
    page.locator("#tab-quiz-button").click()
    quiz.locator("[data-answer=fake]").click()
    quiz.locator("[data-next]").wait_for()
    assert "Sie sagten künstlich" in quiz.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not violations(page)
    before = quiz.locator(".nc-quiz-top").bounding_box()["y"]
    quiz.locator("[data-next]").click()
    asked(quiz, 2)
    assert quiz.locator(".nc-quiz-stage").bounding_box()["y"] <= max(before, 425)
    quiz.locator(".nc-quiz-quit").click()
    assert quiz.locator("[data-kind=hard]").first.is_visible()
