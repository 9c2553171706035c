"""The language in which people are spoken to: English, or one that has a catalogue in `languages/`.

A sentence stands in the code in English, as a template with named gaps:

    say("{agree} of {clips} clips", agree=3, clips=4)

`languages/<code>/*.json` hold its translations: one object a file, from the English template to the other
language's. A sentence that no catalogue knows is said in English. Which language is spoken belongs to the
context, so that visitors with different languages can be served at once; without one it is English, which
is what the library, the command line and the API speak.
"""

import contextlib
import contextvars
import functools
import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "languages"
ENGLISH = "en"
NAMES = {ENGLISH: "English", "de": "Deutsch"}
"""The languages there are, each in its own words."""
_spoken: contextvars.ContextVar[str] = contextvars.ContextVar("language", default=ENGLISH)


def spoken() -> str:
    """The code of the language that is spoken here and now."""
    return _spoken.get()


@contextlib.contextmanager
def speaking(language: str) -> Iterator[None]:
    """Speak a language inside the block.

    Raises:
        ValueError: If there is no such language.
    """
    if language not in NAMES:
        raise ValueError(f"there is no language {language!r}; there are {', '.join(NAMES)}")
    token = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(token)


def say(template: str, /, **values: Any) -> str:
    """A sentence in the language that is spoken.

    Args:
        template: In English, with gaps as `str.format` knows them.
        values: What fills the gaps; the same in every language.
    """
    return catalogue(spoken()).get(template, template).format(**values)


def number(value: float, form: str = "") -> str:
    """A number by a format such as `,.1f`, with the separators of the language that is spoken."""
    written = format(value, form)
    if spoken() == ENGLISH:
        return written
    return written.translate(str.maketrans({",": ".", ".": ","}))


@functools.cache
def catalogue(language: str) -> dict[str, str]:
    """The translations into a language by their English template; none for English.

    Raises:
        ValueError: If two files of it translate one template differently.
    """
    found: dict[str, str] = {}
    for file in sorted((FOLDER / language).glob("*.json")):
        for template, said in json.loads(file.read_text("utf-8")).items():
            if found.setdefault(template, said) != said:
                raise ValueError(f"{file.name} translates {template!r} another way than a file before it")
    return found


def in_language(language: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, or generator function, with a language spoken whenever its code runs."""
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def steps(*args: Any, **options: Any) -> Iterator[Any]:
            # A generator's steps may each run in a context of their own, so each speaks anew.
            running = function(*args, **options)
            while True:
                with speaking(language):
                    try:
                        step = next(running)
                    except StopIteration:
                        return
                yield step

        return steps

    @functools.wraps(function)
    def called(*args: Any, **options: Any) -> Any:
        with speaking(language):
            return function(*args, **options)

    return called
