"""Publish a checkpoint as a model, and the page as a Space, on the Hugging Face Hub.

Both are called `USER/NAME`, and each is first laid out in a folder of its own, checked, and sent as a whole.
What the Hub has already, byte by byte, is not sent again: after a kill or without a network, running the same
once more finishes. (`upload_folder` splits a Space of more than 250 files into several commits.)
"""

import csv
import fnmatch
import hashlib
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from huggingface_hub import EvalResult, HfApi, ModelCard, SpaceCard, get_token
from huggingface_hub.errors import HFValidationError, HTTPError
from huggingface_hub.utils import validate_repo_id

from ncdetect.checkpoint import (
    BANK_FILE,
    CARD_FILE,
    CONFIG_FILE,
    PICKLES,
    RECORD_FILE,
    WEIGHTS_FILE,
    TrainedDetector,
    locate,
)

ROOT = Path(__file__).resolve().parent.parent
SPACE_PARTS = ("app.py", "requirements.txt", CARD_FILE, "LICENSE", "ncdetect", "checkpoints", "assets")
"""What the page needs of the repository."""
LEFT_OUT = ("*/__pycache__/*", "*/.*", "assets/*.py", "assets/film.js", "assets/demo.mp4")
"""What of it the page does not need: what Python and editors leave, the scripts that made clips, the film."""
AUDIO = (".wav", ".flac", ".mp3", ".opus", ".ogg", ".m4a", ".aac", ".webm", ".mp4", ".npy", ".npz")
"""Files from which somebody may be heard."""
UNFREE = re.compile(r"\b(NC|ND|unknown|unstated|proprietary)\b", re.IGNORECASE)

LARGEST_FILE = 200 * 10**9
LARGEST_SPACE = 10**9
MOST_ENTRIES = 10_000
"""Bytes of a file and of a Space, and entries of a folder: https://huggingface.co/docs/hub/storage-limits"""

SPACE_KEYS = (
    "title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "python_version", "app_file",
    "short_description", "models", "tags", "license", "pinned", "thumbnail",
)  # fmt: skip
"""Of https://huggingface.co/docs/hub/spaces-config-reference, those that this Space sets: all of them."""
COLOURS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
LONGEST_DESCRIPTION = 60


class PublishError(ValueError):
    """Something that may not, or could not, be published; the text says what to do."""


@dataclass(frozen=True)
class Upload:
    """What a repository of the Hub is to hold."""

    repo: str
    kind: Literal["model", "space"]
    files: Mapping[str, Path]
    """By path in the repository: the file here."""
    card: str
    """The README.md as it is published, which differs from the one here."""
    refused: Sequence[str] = field(default_factory=tuple)
    """Why it may not be published; empty if it may."""

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes by path in the repository."""
        return {
            name: len(self.card.encode()) if name == CARD_FILE else file.stat().st_size
            for name, file in self.files.items()
        }

    @property
    def url(self) -> str:
        """Where it will be."""
        return f"https://huggingface.co/{'spaces/' if self.kind == 'space' else ''}{self.repo}"


def plan_model(repo: str, checkpoint: str, root: Path = ROOT) -> Upload:
    """What the model's repository is to hold: the checkpoint, loaded once to see that it is whole.

    Args:
        repo: `USER/NAME`.
        checkpoint: Name in `checkpoints/`, or a folder.
        root: Of this repository.

    Raises:
        CheckpointError: If the checkpoint is not on this machine, or damaged.
        PublishError: If `repo` is no name.
    """
    _check_name(repo)
    folder = locate(checkpoint, local_files_only=True)
    trained = TrainedDetector.from_pretrained(folder)
    names = [CONFIG_FILE, WEIGHTS_FILE, BANK_FILE, CARD_FILE, RECORD_FILE]
    files = {name: folder / name for name in names if (folder / name).is_file()}
    card = _model_card(trained, repo, folder.name, root)
    refused = [] if card.data.license else [f"{folder} has no {CARD_FILE} that names its licence"]
    refused += [
        f"{file} is a file of {place}: models are published from checkpoints/ or a folder of your own"
        for file in files.values()
        if (place := _never_published(file, root))
    ]
    return Upload(repo, "model", files, str(card), (*refused, *_over_limits(files)))


def plan_space(repo: str, root: Path = ROOT) -> Upload:
    """What the Space is to hold.

    Args:
        repo: `USER/NAME`.
        root: Of this repository.

    Raises:
        FileNotFoundError: If a part of the page is missing.
        PublishError: If `repo` is no name.
    """
    _check_name(repo)
    files: dict[str, Path] = {}
    for part in SPACE_PARTS:
        if not (root / part).exists():
            raise FileNotFoundError(f"there is no {part} in {root}: the Space needs it")
        for file in sorted((root / part).rglob("*") if (root / part).is_dir() else [root / part]):
            name = file.relative_to(root).as_posix()
            if file.is_file() and not any(fnmatch.fnmatch(name, pattern) for pattern in LEFT_OUT):
                files[name] = file
    card = SpaceCard(files[CARD_FILE].read_text("utf-8"))
    refused = [*space_card_faults(card, files), *_unfree(files, root), *_over_limits(files, LARGEST_SPACE)]
    card.data["models"] = [repo, *(card.data.get("models") or [])]
    card.data["thumbnail"] = (
        f"https://huggingface.co/spaces/{repo}/resolve/main/{card.data.get('thumbnail', '')}"
    )
    return Upload(repo, "space", files, str(card), tuple(refused))


def publish(uploads: Sequence[Upload], private: bool = False) -> Iterator[str]:
    """Send repositories to the Hub, one after the other, once all of them are known to be allowed.

    Args:
        uploads: In this order.
        private: Whether repositories that are made now are seen by their owner only; what is there stays as
            it is.

    Yields:
        The address of each repository that is done.

    Raises:
        PublishError: If something may not be published, there is no token, or the Hub refuses or cannot be
            reached.
    """
    refused = [reason for upload in uploads for reason in upload.refused]
    if refused:
        raise PublishError("\n  ".join(["this may not be published:", *refused]))
    if not get_token():
        raise PublishError("there is no token of the Hugging Face Hub: run `hf auth login`, or set HF_TOKEN")
    api = HfApi()
    for upload in uploads:
        sdk = {"space_sdk": "gradio"} if upload.kind == "space" else {}
        try:
            api.create_repo(upload.repo, repo_type=upload.kind, private=private, exist_ok=True, **sdk)
            with laid_out(upload) as folder:
                api.upload_folder(
                    repo_id=upload.repo,
                    repo_type=upload.kind,
                    folder_path=folder,
                    commit_message=f"Publish the {upload.kind} with ncdetect",
                    # A module or translation that is gone here must not live on in the Space.
                    delete_patterns=[f"{part}/*" for part in SPACE_PARTS if (folder / part).is_dir()] or None,
                )
        except (HTTPError, OSError) as error:
            said = getattr(error, "server_message", None) or str(error).strip() or type(error).__name__
            reason = said.splitlines()[0].rstrip(".")
            raise PublishError(
                f"the {upload.kind} {upload.repo} was not published: {reason}. Is there a network, and may "
                "your token write there? The same command goes on where this one stopped."
            ) from error
        yield upload.url


@contextmanager
def laid_out(upload: Upload) -> Iterator[Path]:
    """A folder that holds exactly what is published, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="ncdetect-publish-") as temporary:
        folder = Path(temporary)
        for name, file in upload.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / name)
        (folder / CARD_FILE).write_text(upload.card, "utf-8")
        yield folder


def listing(upload: Upload) -> Iterator[str]:
    """The repository in lines: its address, every file with its size, what speaks against it."""
    sizes = upload.sizes
    yield f"{upload.kind} {upload.url}: {len(sizes)} files, {sum(sizes.values()) / 1e6:.1f} MB"
    for name, size in sizes.items():
        yield f"{size:>12,}  {name}"
    for reason in upload.refused:
        yield f"may not be published: {reason}"


# -- cards


def space_card_faults(card: SpaceCard, files: Mapping[str, Path]) -> list[str]:
    """What is wrong with the front matter of the Space's README.md; empty if nothing is."""
    said = card.data.to_dict()
    faults = [f"names no {key}" for key in SPACE_KEYS if key not in said]
    faults += [
        f"names {key}, which is none of {', '.join(SPACE_KEYS)}" for key in said if key not in SPACE_KEYS
    ]
    for key, allowed in {"colorFrom": COLOURS, "colorTo": COLOURS, "sdk": ("gradio",)}.items():
        if said.get(key) not in allowed:
            faults.append(f"names {said.get(key)!r} as {key}; allowed: {', '.join(allowed)}")
    for key in ("app_file", "thumbnail"):
        if said.get(key) not in files:
            faults.append(f"names {said.get(key)!r} as {key}, which is no file of the Space")
    for key in ("sdk_version", "python_version"):
        if not (isinstance(said.get(key), str) and re.fullmatch(r"\d+\.\d+(\.\d+)?", said[key])):
            faults.append(f"names {said.get(key)!r} as {key}; it must be a version in quotes")
    if len(str(said.get("short_description"))) > LONGEST_DESCRIPTION:
        faults.append(f"has a short_description of more than {LONGEST_DESCRIPTION} characters")
    return [f"{CARD_FILE} {fault}" for fault in faults]


def _model_card(trained: TrainedDetector, repo: str, name: str, root: Path) -> ModelCard:
    """The card as it stands, with the figures that were measured of these very weights as a model index."""
    card = ModelCard(trained.card or "---\n---\n")
    figures = _figures(trained.sha256, root / "assets" / "results" / "compare.csv")
    if figures:
        card.data.model_name, card.data.eval_results = f"ncdetect {name}", figures
    card.text = card.text.replace(f'from_pretrained("{name}")', f'from_pretrained("{repo}")')
    return card


def _figures(sha256: str, file: Path) -> list[EvalResult]:
    """Equal error rates in per cent of the weights with this hash, a result for each set of clips."""
    if not file.is_file():
        return []
    with file.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["sha256"] == sha256 and not row["generator"]]
    return [
        EvalResult(
            task_type="audio-classification",
            dataset_type=f"ncdetect-eval-{row['set']}",
            dataset_name=f"{row['set']}: {row['reals']} real and {row['fakes']} fake eval clips",
            metric_type="equal-error-rate",
            metric_name="Equal error rate in % (95 % interval {} to {})".format(
                *(f"{100 * float(row[bound]):.1f}" for bound in ("eer_low", "eer_high"))
            ),
            metric_value=round(100 * float(row["eer"]), 1),
        )
        for row in rows
    ]


# -- what may be published


def _check_name(repo: str) -> None:
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise PublishError(str(error)) from error
    if repo.count("/") != 1:
        raise PublishError(f"--repo is {repo!r}; it must read USER/NAME")


def _never_published(file: Path, root: Path) -> Path | None:
    """The folder whose files are never published, if it is the file's: work in progress, and the corpora."""
    places = (root / "build", root.parent / "shared")
    return next((place for place in places if file.resolve().is_relative_to(place.resolve())), None)


def _unfree(files: Mapping[str, Path], root: Path) -> Iterator[str]:
    """Files that the Space may not show: from elsewhere, pickles, clips and models without a free licence."""
    licences = _licences(root)
    for name, file in files.items():
        place = _never_published(file, root)
        if place or not file.resolve().is_relative_to(root.resolve()):
            yield f"{name} is a file of {place or file.resolve().parent}"
        elif file.suffix in PICKLES:
            yield f"{name} is a pickle, which could run code"
        elif file.suffix in AUDIO:
            licence, sha256 = licences.get(file.resolve(), ("", ""))
            if not licence or UNFREE.search(licence):
                yield f"{name} is a recording whose table names {licence or 'no licence'}"
            elif hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
                yield f"{name} is another recording than the one whose licence is known"
        elif file.name == WEIGHTS_FILE:
            card = file.with_name(CARD_FILE)
            if not card.is_file() or not ModelCard(card.read_text("utf-8")).data.license:
                yield f"{name} has no card that names its licence"


def _licences(root: Path) -> dict[Path, tuple[str, str]]:
    """Licence and SHA-256 of the clips in `assets/`, from the tables beside them."""
    found = {}
    for table in sorted((root / "assets").rglob("*.csv")):
        with table.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                if row.keys() >= {"path", "license", "sha256"}:
                    found[(table.parent / row["path"]).resolve()] = row["license"], row["sha256"]
    return found


def _over_limits(files: Mapping[str, Path], largest: float = float("inf")) -> Iterator[str]:
    """What the Hub would not take."""
    sizes = {name: file.stat().st_size for name, file in files.items()}
    for name, size in sizes.items():
        if size > LARGEST_FILE:
            yield f"{name} has {size / 1e9:.0f} GB; the Hub takes files of {LARGEST_FILE / 1e9:.0f} GB"
    for folder, entries in Counter(name.rpartition("/")[0] for name in files).items():
        if entries > MOST_ENTRIES:
            yield f"{folder}/ has {entries:,} files; the Hub takes {MOST_ENTRIES:,} in a folder"
    if sum(sizes.values()) > largest:
        yield f"the Space has {sum(sizes.values()) / 1e9:.1f} GB; the Hub takes {largest / 1e9:.0f} GB"
