"""What the commands of the command line share: options, and bars that show progress."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

Checkpoint = Annotated[
    str, typer.Option(help="Name in checkpoints/, a folder, or user/name on the Hugging Face Hub.")
]
Data = Annotated[
    Path, typer.Option(help="Folder of a corpus: manifest.csv, a corpus as distributed, or real/ and fake/.")
]
Corpora = Annotated[list[str] | None, typer.Option(help="Only this corpus; may be given several times.")]
Work = Annotated[Path, typer.Option(help="Folder for the runs; what was killed goes on there.")]
Jobs = Annotated[
    int,
    typer.Option(min=1, help="Trainings side by side, each with its share of the cores."),
]
Precision = Annotated[str, typer.Option(help="auto, 32-true, bf16-mixed or 16-mixed.")]


def progress_bar(items: Iterable, caption: str) -> Iterable:
    """A tqdm bar on standard error, where that is a terminal."""
    from tqdm import tqdm

    return tqdm(items, caption, leave=False, disable=None)


@contextmanager
def runs_bar(caption: str) -> Iterator[Callable[[int, int], None]]:
    """A tqdm bar on standard error for trainings; what it gives is told how many of how many are done."""
    from tqdm import tqdm

    with tqdm(desc=caption, unit="run", disable=None) as bar:

        def finished(done: int, of: int) -> None:
            bar.total, bar.n = of, done
            bar.refresh()

        yield finished
