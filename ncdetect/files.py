"""Files that are there whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A path beside a file to write to, in a folder that is made; at the end it takes the file's place.

    A kill leaves the old file or the new one, never half of one.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.writing")
    yield temporary
    temporary.replace(file)
