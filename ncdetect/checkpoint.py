"""Save, load and push a trained detector: config.json, model.safetensors, bank.parquet and the model card."""

import dataclasses
import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import PyTorchModelHubMixin, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
)
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ncdetect.abstention import Thresholds
from ncdetect.bank import EmbeddingBank
from ncdetect.compression import compress, expand
from ncdetect.dropin import Widening, widen, widening_of
from ncdetect.metrics import Calibration
from ncdetect.models import MODELS, Detector, HubDetector, Output, build_model
from ncdetect.models.hub import PREFIX

CHECKPOINTS = Path(__file__).resolve().parent.parent / "checkpoints"
DEFAULT = "listener"
"""What judges where no checkpoint is named: of those that ship, the one that validates best."""
CONFIG_FILE, WEIGHTS_FILE, BANK_FILE, CARD_FILE, RECORD_FILE = (
    "config.json",
    "model.safetensors",
    "bank.parquet",
    "README.md",
    "record.parquet",
)
"""Of a checkpoint's folder; `record` says what the track record is."""
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


class CheckpointError(ValueError):
    """A checkpoint that is not there, damaged, or not data only."""


@dataclass(frozen=True)
class DetectorConfig:
    """Everything besides weights and bank that a detector needs; this is config.json."""

    model: str
    """Architecture: a key of MODELS, or `hub:SOURCE`."""
    calibration_scale: float = 1.0
    calibration_offset: float = 0.0
    """Log-likelihood ratio = scale * score + offset, fitted on clips that were not trained on."""
    real_below: float = 0.35
    """At this probability of fake, or a lower one, a clip may be called real."""
    fake_above: float = 0.65
    """At this probability of fake, or a higher one, a clip may be called fake; between the two it is
    undecided."""
    novelty_neighbours: int = 5
    """Novelty looks at the distance to this nearest train clip."""
    novelty_distance: float = float("inf")
    """The distance that 1 % of the dev clips exceed: novelty is measured in it. Infinite: not measured."""
    training: dict[str, Any] = field(default_factory=dict)
    """How it was trained, for the card and the page: corpora, rule, keep-rates, counts, seed, agreement."""
    published: dict[str, Any] | None = None
    """What a model `hub:SOURCE` is built from, so that SOURCE is not needed (`HubDetector.published`)."""
    widening: Widening | None = None
    """By how much, and where, the architecture is widened (`dropin`); None: as it is built."""

    @property
    def calibration(self) -> Calibration:
        """From score to probability."""
        return Calibration(self.calibration_scale, self.calibration_offset)

    @property
    def thresholds(self) -> Thresholds:
        """Which probabilities are decided."""
        return Thresholds(self.real_below, self.fake_above)

    @classmethod
    def read(cls, file: Path) -> "DetectorConfig":
        """Read config.json.

        Raises:
            CheckpointError: If it is missing or damaged, names a key or a model that is not known, has
                thresholds on the wrong side of a half, or a widening without a share and layers.
        """
        if not file.is_file():
            raise CheckpointError(f"there is no {file.name} in {file.parent}")
        try:
            values = json.loads(file.read_text("utf-8"))
        except ValueError as error:
            raise CheckpointError(f"{file} is damaged: {error}") from error
        known = [entry.name for entry in dataclasses.fields(cls)]
        if not isinstance(values, dict) or "model" not in values or set(values) - set(known):
            met = sorted(values) if isinstance(values, dict) else type(values).__name__
            raise CheckpointError(
                f"{file} holds {met}; it must name a model, and may hold {', '.join(known)}"
            )
        adopted = str(values["model"]).startswith(PREFIX) and values.get("published")
        if values["model"] not in MODELS and not adopted:
            raise CheckpointError(f"{file}: unknown model {values['model']!r}; allowed: {', '.join(MODELS)}")
        if values.get("widening") is not None:
            values["widening"] = _widening(values["widening"], file)
        config = cls(**values)
        if not 0 <= config.real_below <= 0.5 <= config.fake_above <= 1:
            raise CheckpointError(
                f"{file}: real_below is {config.real_below}, fake_above {config.fake_above}; "
                "allowed: at most 0.5 and at least 0.5"
            )
        return config


def _widening(values: Any, file: Path) -> Widening:
    """What config.json says of a widening.

    Raises:
        CheckpointError: If it is not a share and names of layers.
    """
    if isinstance(values, dict) and set(values) == {"share", "layers"}:
        share, layers = values["share"], values["layers"]
        named = isinstance(layers, list) and all(isinstance(name, str) for name in layers)
        if named and isinstance(share, int | float) and not isinstance(share, bool):
            return Widening(float(share), tuple(layers))
    raise CheckpointError(f"{file}: widening is {values!r}; allowed: null, or a share and a list of layers")


class TrainedDetector(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="ncdetect",
    license="mit",
    pipeline_tag="audio-classification",
    tags=["audio", "deepfake-detection", "anti-spoofing", "neural-collapse"],
):
    """A detector with its calibration, bank and card: what is saved, shared and shown."""

    def __init__(self, config: DetectorConfig):
        """Build the architecture with fresh weights; `bank` and `card` are set by whoever has them.

        Raises:
            ValueError: If there is no such model, or it cannot be widened in that way.
        """
        super().__init__()
        self.config = config
        self.detector = build_model(config.model, config.published)
        if isinstance(self.detector, HubDetector):
            self.config = dataclasses.replace(config, published=self.detector.published)
        if config.widening:
            self.detector = widen(self.detector, config.widening.share, config.widening.layers)
        self.bank: EmbeddingBank | None = None
        self.card: str | None = None
        self.sha256 = ""

    def forward(self, wave: Tensor) -> Output:
        """Embeddings and scores of waveforms (B, T) at 16 kHz."""
        return self.detector(wave)

    def _save_pretrained(self, save_directory: Path) -> None:
        if self.bank is not None and self.bank.model_sha256 != weights_sha256(self.detector):
            raise CheckpointError("the bank belongs to other weights than these: build it again")
        if widening_of(self.detector) != self.config.widening:
            raise CheckpointError(
                f"the detector is widened by {widening_of(self.detector)}, its config says "
                f"{self.config.widening}"
            )
        save_file(_plain(self.detector), save_directory / WEIGHTS_FILE)
        config = json.dumps(dataclasses.asdict(self.config), indent=2, sort_keys=True)
        (save_directory / CONFIG_FILE).write_text(config + "\n", "utf-8")
        if self.bank is not None:
            self.bank.save(save_directory / BANK_FILE)
        if self.card is not None:
            (save_directory / CARD_FILE).write_text(self.card, "utf-8")

    def save(self, folder: Path) -> None:
        """Write the checkpoint to `folder`, replacing what is there only when all of it is written."""
        folder = Path(folder)
        writing, old = folder.with_name(f".{folder.name}.writing"), folder.with_name(f".{folder.name}.old")
        if old.exists() and not folder.exists():  # killed between the two renames below
            old.rename(folder)
        for leftover in (writing, old):
            shutil.rmtree(leftover, ignore_errors=True)
        self.save_pretrained(writing)
        if folder.exists():
            folder.rename(old)
        writing.rename(folder)
        shutil.rmtree(old, ignore_errors=True)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> "TrainedDetector":
        """Load a checkpoint: a name in `checkpoints/`, a folder, or a repository of the Hugging Face Hub.

        Args:
            pretrained_model_name_or_path: `tiny`, a path, or `user/name`. What lies on this machine is taken
                first; only then the Hub is asked.
            **options: Of the Hub: `revision`, `cache_dir`, `token`, `force_download`, `local_files_only`.

        Raises:
            CheckpointError: If it is nowhere, damaged, of an unknown model, a pickle, widened in a way that
                its model is not, or has a bank of another model.
        """
        folder = locate(str(pretrained_model_name_or_path), **options)
        config = DetectorConfig.read(folder / CONFIG_FILE)
        try:
            trained = cls(config)
        except (ImportError, ValueError) as error:
            raise CheckpointError(f"{folder / CONFIG_FILE}: {error}") from error
        weights = folder / WEIGHTS_FILE
        if not weights.is_file():
            pickles = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLES)
            found = f"; {pickles[0]} is a pickle, which could run code and is never loaded" if pickles else ""
            raise CheckpointError(f"there is no {WEIGHTS_FILE} in {folder}{found}")
        try:
            trained.detector.load_state_dict(expand(load_file(weights)))
        except (SafetensorError, RuntimeError, OSError) as error:
            reason = str(error).splitlines()[0]
            kind = f"{config.model} with {config.widening}" if config.widening else config.model
            raise CheckpointError(f"{weights} is damaged or not of a {kind}: {reason}") from error
        trained.eval()
        trained.sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
        if (folder / BANK_FILE).exists():
            trained.bank = EmbeddingBank.load(folder / BANK_FILE, trained.sha256)
        if (folder / CARD_FILE).exists():
            trained.card = (folder / CARD_FILE).read_text("utf-8")
        return trained


def _plain(detector: Detector) -> dict[str, Tensor]:
    return compress(detector.state_dict(), detector.stored)


def as_stored(detector: Detector) -> None:
    """Give a detector the very weights that it will have after it was saved and loaded."""
    detector.load_state_dict(expand(_plain(detector)))


def weights_sha256(detector: Detector) -> str:
    """Hash of the `model.safetensors` that these weights make (the format is deterministic)."""
    from safetensors.torch import save

    return hashlib.sha256(save(_plain(detector))).hexdigest()


def locate(name: str, **options: Any) -> Path:
    """Folder of a checkpoint, fetched from the Hub where this machine does not have it.

    Raises:
        CheckpointError: If it is neither here nor on the Hub.
    """
    for folder in (Path(name), CHECKPOINTS / name):
        if (folder / CONFIG_FILE).is_file() or (folder / WEIGHTS_FILE).is_file():
            return folder
        if folder.is_file():
            raise CheckpointError(
                f"{folder} is a file; a checkpoint is a folder with {CONFIG_FILE} and {WEIGHTS_FILE}"
            )
    shipped = sorted(file.parent.name for file in CHECKPOINTS.glob(f"*/{CONFIG_FILE}"))
    missing = f"there is no checkpoint {name!r} here (shipped: {', '.join(shipped) or 'none'})"
    if name.count("/") != 1 or name.startswith((".", "/")):
        raise CheckpointError(missing)
    try:
        folder = Path(hf_hub_download(name, CONFIG_FILE, **options)).parent
        hf_hub_download(name, WEIGHTS_FILE, **options)
        for optional in (BANK_FILE, CARD_FILE, RECORD_FILE):
            try:
                hf_hub_download(name, optional, **options)
            except LocalEntryNotFoundError:
                raise
            except EntryNotFoundError:
                continue
    except (HfHubHTTPError, HFValidationError, EntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"{missing}, and the Hub has none either: {str(error).splitlines()[0]}"
        ) from error
    return folder
