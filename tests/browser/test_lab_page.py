import pytest

from ncdetect import plots, rules
from ncdetect.corpora import Manifest
from ncdetect.labels import Label
from ncdetect.rules import RULES
from ncdetect.ui import lab, lab_corpora
from ncdetect.ui.lab_corpora import Setting

SEEN = "({real: [...ncdetect.kept.real], fake: [...ncdetect.kept.fake]})"


@pytest.fixture
def lab_page(open_page):
    page = open_page()
    page.get_by_role("tab", name="Sampling lab").click()
    page.locator(".nc-lab[data-measured]").wait_for()
    return page


def kept(page, word: str) -> int:
    return int(page.locator(f".nc-slider[data-label={word}] .nc-kept").inner_text())


def total(page, word: str) -> int:
    return int(page.locator(f".nc-slider[data-label={word}] .nc-total").inner_text())


def type_threshold(page, word: str, value: object) -> None:
    page.locator(f".nc-slider[data-label={word}] input[type=number]").fill(str(value))


def wait_drawn(page, real: int, fake: int, measured: bool = False) -> None:
    drawn = f"{real},{fake}"
    page.locator(f'.nc-lab[data-drawn="{drawn}"]' + f'[data-measured="{drawn}"]' * measured).wait_for()


def smallest() -> str:
    return min(lab_corpora.names(), key=lambda name: len(lab_corpora.corpus(name).pool))


def open_corpus(page, name: str) -> None:
    page.get_by_role("radio", name=lab_corpora.title(name), exact=True).click()
    page.locator(".nc-name", has_text=lab_corpora.title(name)).wait_for()
    page.locator(".nc-lab[data-measured]").wait_for()


def test_the_slider_changes_counts_map_and_measures(lab_page):
    page = lab_page
    before = kept(page, "fake")
    nc1 = page.locator("[data-of=after][data-what=nc1]").inner_text()
    slider = page.get_by_label("Keep fake clips", exact=True)
    slider.focus()
    page.keyboard.press("Home")
    wait_drawn(page, kept(page, "real"), 0)
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    share = rules.Threshold(rate=float(slider.input_value()) / 100)
    expected = share.size(range(total(page, "fake")))
    assert 0 < expected < before
    wait_drawn(page, kept(page, "real"), expected, measured=True)
    on_map = page.evaluate("document.querySelector('#lab .nc-plot').data[4].x.length")
    assert on_map == kept(page, "fake") == expected
    assert page.locator("[data-of=after][data-what=nc1]").inner_text() != nc1


@pytest.mark.parametrize("rule", RULES)
def test_the_map_shows_what_the_library_chooses(lab_page, rule):
    page, name = lab_page, smallest()
    open_corpus(page, name)
    if lab_corpora.corpus(name).missing(rule):
        option = page.locator(f'#lab-rule option[value="{rule}"]')
        assert option.is_disabled() and "not recorded" in option.text_content()
        return
    page.get_by_label("Which clips to keep").select_option(rule)
    page.locator(".nc-explained", has_text=RULES[rule].explanation).wait_for()
    seed = page.locator("#lab-seed")
    assert seed.is_enabled() == RULES[rule].seeded
    setting = {"rule": rule, "kind": "count", "real": 17, "fake": 20, "seed": 0}
    page.get_by_role("radio", name="Number").click()
    if RULES[rule].seeded:
        page.get_by_role("button", name="Another draw").click()
        setting["seed"] = 1
        assert seed.input_value() == "1"
    for word in ("real", "fake"):
        type_threshold(page, word, setting[word])
    wait_drawn(page, 17, 20, measured=True)
    found = rules.choose(lab_corpora.corpus(name).pool, rule, Setting.of(setting).budget, setting["seed"])
    assert page.evaluate(SEEN) == {label.word: found[label].rows.tolist() for label in Label}
    measured = lab.measures({"corpus": name, **setting})
    for part in ("before", "after"):
        shown = page.locator(f"[data-of={part}][data-what=nc1]").inner_text()
        assert shown == f"{measured[part]['nc1']:.3f}"
    distance = page.get_by_role("radio", name="Distance")
    distance.click(force=True)  # one that is out of use still answers
    chosen = distance.get_attribute("aria-checked") == "true"
    assert chosen == RULES[rule].distance_ok


def test_distances_cut_exactly_where_the_library_cuts(lab_page):
    page, name = lab_page, smallest()
    open_corpus(page, name)
    page.get_by_role("radio", name="Distance").click()
    largest = float(page.locator("#keep-fake").get_attribute("max"))
    pool = lab_corpora.corpus(name).pool
    for value in (0, round(largest / 3, 3), round(largest / 2, 3), 2 * largest):
        for word in ("real", "fake"):
            type_threshold(page, word, value)
        most = {word: float(page.locator(f"#keep-{word}").get_attribute("max")) for word in ("real", "fake")}
        limited = {word: min(value, most[word]) for word in most}
        found = rules.choose(pool, "algorithm-1", Setting.of({"kind": "distance", **limited}).budget)
        wait_drawn(page, *(len(found[label].rows) for label in Label))
        assert page.evaluate(SEEN) == {label.word: found[label].rows.tolist() for label in Label}


def test_turning_the_kind_of_threshold_keeps_the_selection(lab_page):
    page = lab_page
    real, fake = kept(page, "real"), kept(page, "fake")
    for kind in ("Number", "Distance", "Number", "Share"):
        page.get_by_role("radio", name=kind).click()
        page.locator(f'.nc-kinds [aria-checked="true"]:has-text("{kind}")').wait_for()
        page.wait_for_timeout(300)
        wait_drawn(page, kept(page, "real"), kept(page, "fake"), measured=True)
        assert (kept(page, "real") - real, kept(page, "fake") - fake) in {(0, 0), (1, 0), (0, 1), (1, 1)}
        if kind == "Number":
            assert page.locator("#keep-real").input_value() == str(kept(page, "real"))


def test_the_clusters_of_algorithm_2_are_told_and_ringed(lab_page):
    page, name = lab_page, smallest()
    open_corpus(page, name)
    assert page.locator(".nc-overlap").is_hidden()
    page.get_by_label("Which clips to keep").select_option("algorithm-2")
    page.get_by_role("heading", name="Clusters among the fakes").wait_for()
    setting = {"corpus": name, "rule": "algorithm-2", "kind": "rate", "real": 0.5, "fake": 0.5}
    found = lab.measures(setting)["clusters"]
    page.locator(".nc-overlap").get_by_text(f"{found['k']} clusters", exact=True).first.wait_for()
    page.get_by_role("button", name="Show cluster 2 on the map").click()
    of = plots.unpack(found["of"])
    rings = "document.querySelector('#lab .nc-plot').data[5].x.length"
    page.wait_for_function(f"{rings} === {int((of == 1).sum())}")
    page.get_by_role("button", name="Show cluster 2 on the map").click()
    page.wait_for_function(f"{rings} === 0")
    page.get_by_label("Which clips to keep").select_option("random")
    page.locator(".nc-overlap").wait_for(state="hidden")


def test_a_lost_answer_is_asked_for_again(lab_page):
    page, lost = lab_page, []

    def lose(route):
        if lost:
            route.continue_()
        else:
            lost.append(route.request.url)
            route.fulfill(content_type="application/json", body="{")  # cut off on the way

    page.route(lambda url: "component_server" in url, lose)
    page.get_by_label("Keep fake clips", exact=True).focus()
    page.keyboard.press("Home")
    wait_drawn(page, kept(page, "real"), 0)
    assert lost


def test_measures_that_come_late_do_not_speak_for_a_collection_opened_again(lab_page):
    page, held, released = lab_page, [], []

    def hold(route):
        body = route.request.post_data or ""
        if released:
            route.continue_()
        elif '"measures"' in body and not held or '"keep"' in body and held:
            held.append(route)
        else:
            route.continue_()

    page.route(lambda url: "component_server" in url, hold)
    page.get_by_label("Keep fake clips", exact=True).focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(1000)  # the measures of this choice are on their way
    first, second = lab_corpora.names()[:2]
    page.get_by_role("radio", name=lab_corpora.title(second), exact=True).click()
    page.get_by_role("radio", name=lab_corpora.title(first), exact=True).click()
    page.wait_for_timeout(500)
    held[0].continue_()
    page.wait_for_timeout(1500)
    assert page.locator(".nc-lab[data-measured]").count() == 0
    released.append(True)
    for route in held[1:]:
        route.continue_()
    page.locator(".nc-lab[data-measured]").wait_for()


def test_a_click_while_a_collection_opens_is_not_lost(lab_page):
    page, held = lab_page, []
    page.route(
        lambda url: "component_server" in url,
        lambda route: held.append(route) if not held else route.continue_(),
    )
    page.get_by_role("radio", name=lab_corpora.title(smallest()), exact=True).click()
    page.get_by_role("radio", name="Number").click()
    page.wait_for_timeout(300)
    assert held
    held[0].continue_()
    for word in ("real", "fake"):
        page.locator(f".nc-slider[data-label={word}] em", has_text="%").wait_for(state="hidden")
        type_threshold(page, word, 7)
    wait_drawn(page, 7, 7, measured=True)


def test_what_is_typed_replaces_a_number_that_changed_meanwhile(lab_page):
    page, held = lab_page, []
    page.route(
        lambda url: "component_server" in url,
        lambda route: route.continue_() if held else held.append(route),
    )
    page.get_by_role("radio", name="Number").click()
    box = page.locator(".nc-slider[data-label=fake] input[type=number]")
    before = box.input_value()
    box.select_text()
    page.wait_for_timeout(100)
    held[0].continue_()
    page.wait_for_function("([box, before]) => box.value !== before", arg=[box.element_handle(), before])
    page.keyboard.insert_text("13")
    assert box.input_value() == "13"
    wait_drawn(page, kept(page, "real"), 13)


@pytest.mark.parametrize("whole", [False, True])
def test_the_downloaded_database_is_what_is_shown(lab_page, tmp_path, whole):
    page = lab_page
    page.get_by_label("Which clips to keep").select_option("random")
    page.get_by_role("button", name="Another draw").click()
    page.get_by_role("radio", name="Number").click()
    type_threshold(page, "real", 11)
    type_threshold(page, "fake", 13)
    wait_drawn(page, 11, 13)
    seen = page.evaluate(SEEN)
    with page.expect_download() as download:
        page.get_by_role("button", name="All collections merged" if whole else "This collection").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    manifest, first = Manifest.read(file), lab_corpora.names()[0]
    paths = lab_corpora.corpus(first).pool.paths
    shown = {label: {paths[row] for row in seen[label.word]} for label in Label}
    own = {label: {clip.path for clip in manifest.select(corpus=first, label=label)} for label in Label}
    assert own[Label.FAKE] == shown[Label.FAKE] and own[Label.REAL] <= shown[Label.REAL]
    if not whole:
        assert own == shown
    assert {clip.corpus for clip in manifest} == (set(lab_corpora.names()) if whole else {first})
    assert "random count 13 seed 1" in file.read_text("utf-8")
    page.get_by_text(f"{len(manifest)} clips: ").wait_for()


def test_every_corpus_opens_in_every_view(lab_page):
    page = lab_page
    for name in lab_corpora.names():
        open_corpus(page, name)
        assert total(page, "real") > 0 and total(page, "fake") > 0
    page.locator("#lab").get_by_role("radio", name="Exact").click()
    page.locator('#lab .nc-plot[data-view="exact"]').wait_for()
    page.locator("#lab").get_by_text("distance to the average real voice").wait_for()


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_page(open_page, width):
    page = open_page(width)
    page.get_by_role("tab", name="Sampling lab").click()
    open_corpus(page, smallest())
    page.get_by_label("Which clips to keep").select_option("algorithm-2")
    page.get_by_role("heading", name="Clusters among the fakes").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
