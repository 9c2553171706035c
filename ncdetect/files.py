"""Files that are there whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_text(file: Path, text: str) -> None:
    """Write a text in UTF-8, whole or not at all."""
    with replacing(file) as temporary:
        temporary.write_text(text, "utf-8")


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A path beside a file to write to, in a folder that is made; at the end it takes the file's place.

    A kill leaves the old file or the new one, never half of one; an exception leaves the old one.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.writing")
    try:
        yield temporary
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
