import ast
import json
import re
import string
import threading
from pathlib import Path

import pytest

from ncdetect import language
from ncdetect.language import catalogue, in_language, number, say, speaking

PACKAGE = Path(language.__file__).parent
OTHERS = sorted(set(language.NAMES) - {language.ENGLISH})


def said_in_python():
    """Every template that the code says, by file."""
    for file in sorted(PACKAGE.rglob("*.py")):
        nodes = list(ast.walk(ast.parse(file.read_text("utf-8"))))
        imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
        if not any(node.module == "ncdetect.language" for node in imports):
            continue
        for call in nodes:
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "say":
                yield file.name, call.args[0]


def said_in_scripts():
    """Every template that the page's scripts say, by file: `nc.say("…", …)`."""
    for file in sorted(PACKAGE.rglob("*.js")):
        for found in re.finditer(r'\bnc\.say\(\s*("(?:[^"\\]|\\.)*")', file.read_text("utf-8")):
            yield file.name, json.loads(found[1])


def gaps(template):
    return sorted(name for _, name, _, _ in string.Formatter().parse(template) if name is not None)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A catalogue of two files."""
    monkeypatch.setattr(language, "FOLDER", tmp_path)
    catalogue.cache_clear()
    (tmp_path / "de").mkdir()

    def write(**files):
        for name, entries in files.items():
            (tmp_path / "de" / f"{name}.json").write_text(json.dumps(entries))

    yield write
    catalogue.cache_clear()


def test_a_sentence_is_said_in_the_language_that_is_spoken(made):
    made(a={"{n} clips": "{n} Aufnahmen"}, b={"fake": "künstlich"})
    assert say("{n} clips", n=3) == "3 clips"
    with speaking("de"):
        assert say("{n} clips", n=3) == "3 Aufnahmen" and say("fake") == "künstlich"
        assert say("not in it: {x}", x=1) == "not in it: 1"
        with speaking("en"):
            assert say("fake") == "fake"
        assert language.spoken() == "de"
    assert language.spoken() == "en"


def test_two_translations_of_one_template_are_refused(made):
    made(a={"fake": "künstlich"}, b={"fake": "falsch"})
    with pytest.raises(ValueError, match=r"b\.json translates 'fake'"):
        catalogue("de")


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match="no language 'xx'; there are en, de"), speaking("xx"):
        pass


def test_numbers_have_the_separators_of_the_language():
    assert number(1234.5, ",.2f") == "1,234.50"
    with speaking("de"):
        assert (number(1234.5, ",.2f"), number(0.25, ".1%"), number(7)) == ("1.234,50", "25,0%", "7")


def test_a_handler_speaks_its_page_s_language_and_nobody_else_s():
    inside = threading.Event(), threading.Event()

    def handler(value: int) -> tuple[int, str]:
        """Waits until the other one runs too."""
        inside[value].set()
        assert inside[1 - value].wait(5)
        return value, language.spoken()

    found = []
    wrapped = in_language("de", handler), in_language("en", handler)
    threads = [threading.Thread(target=lambda n=n: found.append(wrapped[n](n))) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [(0, "de"), (1, "en")] and language.spoken() == "en"
    assert wrapped[0].__doc__ == handler.__doc__ and wrapped[0].__annotations__ == handler.__annotations__


def test_each_step_of_a_generator_speaks_it():
    def steps():
        yield language.spoken()
        yield language.spoken()

    running = in_language("de", steps)()
    assert next(running) == "de" and language.spoken() == "en" and list(running) == ["de"]


def test_what_is_said_is_a_whole_template():
    """Nothing that is put together at run time could be found in a catalogue."""
    for file, template in said_in_python():
        assert isinstance(template, ast.Constant), (file, ast.unparse(template))


@pytest.mark.parametrize("code", OTHERS)
def test_every_sentence_is_in_the_catalogue_with_the_same_gaps(code):
    known = catalogue(code)
    templates = [(file, node.value) for file, node in said_in_python() if isinstance(node, ast.Constant)]
    used = {*templates, *said_in_scripts()}
    assert sorted({(file, text) for file, text in used if text not in known}) == []
    for _, text in used:
        assert gaps(known[text]) == gaps(text), (text, known[text])
    assert sorted(set(known) - {text for _, text in used}) == [], "translated, but never said"
