"""Score the clips of a CSV file: every column passes through, a clip that cannot be read does not stop it."""

import csv
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from ncdetect.audio import AudioError
from ncdetect.files import replacing
from ncdetect.predictor import Predictor

SCORE_COLUMNS = (
    "score", "probability", "verdict", "distance_real", "distance_fake", "nearest_mean", "error",
)  # fmt: skip


def score_manifest(
    predictor: Predictor,
    manifest: Path,
    root: Path,
    out: Path,
    progress: Callable[[Iterable, str], Iterable] = lambda rows, _: rows,
) -> tuple[int, int]:
    """Score each file whole and write a CSV.

    Args:
        predictor: Judges the clips.
        manifest: CSV with a column `path`, relative to `root`.
        root: Folder of the clips.
        out: The CSV to write: the manifest's columns and SCORE_COLUMNS, of the same names replaced. It
            appears when all clips are done.
        progress: Wraps the rows, given a caption.

    Returns:
        Number of clips scored, and of clips with an error.

    Raises:
        FileNotFoundError: If manifest or root does not exist.
        ValueError: If the manifest is no CSV with a column `path`.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root}")
    with manifest.open(encoding="utf-8-sig", newline="") as stream:
        try:
            reader = csv.DictReader(stream, restkey="", strict=True)
            rows = list(reader)
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{manifest} is no CSV file in UTF-8: {error}") from error
        columns = list(reader.fieldnames or [])
    if "path" not in columns:
        raise ValueError(f"{manifest} has no column `path`; it has: {', '.join(columns) or 'nothing'}")
    columns = [name for name in columns if name not in SCORE_COLUMNS]
    failed = 0
    with replacing(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(
            stream, [*columns, *SCORE_COLUMNS], extrasaction="ignore", lineterminator="\n"
        )
        writer.writeheader()
        for row in progress(rows, "scoring"):
            scores = _scores(predictor, root, row["path"] or "")
            failed += bool(scores["error"])
            writer.writerow(row | scores)
    return len(rows) - failed, failed


def _scores(predictor: Predictor, root: Path, path: str) -> dict[str, str]:
    blank = dict.fromkeys(SCORE_COLUMNS, "")
    if not path or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        return blank | {"error": f"The path {path!r} is empty or leads out of the folder."}
    try:
        verdict = predictor.check(root / path)
    except AudioError as error:
        return blank | {"error": str(error)}
    return blank | {
        "score": f"{verdict.score:.6f}",
        "probability": f"{verdict.probability:.6f}",
        "verdict": verdict.verdict,
        "distance_real": f"{verdict.distance_real:.6f}",
        "distance_fake": f"{verdict.distance_fake:.6f}",
        "nearest_mean": verdict.nearest_mean,
    }
