"""What a front end makes of clips, computed once and kept: for detectors whose front end is not trained."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ncdetect.corpora import Manifest
from ncdetect.loading import Balance, Batch, balanced_rows


@dataclass(frozen=True)
class Features:
    """Features of some windows; a training run reads them in place of the waveforms."""

    values: NDArray[np.float16]
    """(N, F, L), or (N, F) where the time was pooled away."""
    labels: NDArray[np.int64]
    """Values of `Label`, (N,)."""
    rows: NDArray[np.int64]
    """Rows of the manifest, (N,)."""

    @classmethod
    def read(cls, file: Path) -> "Features":
        """What `computed` kept in a file."""
        labels, rows = np.load(file.with_suffix(".index.npy"))
        return cls(np.load(file, mmap_mode="r"), labels, rows)

    def subset(self, chosen: Sequence[int]) -> "Features":
        """Some of the windows, their rows counted anew."""
        chosen = np.asarray(chosen)
        return Features(self.values[chosen], self.labels[chosen], np.arange(len(chosen)))

    def batch(self, chosen: NDArray[np.int64]) -> Batch:
        """Some of the windows as a batch, float32."""
        values = torch.from_numpy(np.asarray(self.values[chosen], np.float32))
        return Batch(values, torch.from_numpy(self.labels[chosen]), torch.from_numpy(self.rows[chosen]))


@torch.inference_mode()
def computed(
    frontend: nn.Module, batches: Iterable[Batch], file: Path, precision: str = "32-true"
) -> Features:
    """Features of all windows, from `file` if they were computed before.

    Args:
        frontend: Waveforms (B, T) -> features (B, F, L) or (B, F), in eval mode.
        batches: The windows.
        file: `.npy` file of the features; labels and rows lie beside it. They are held in memory once while
            they are computed, and read from the file as they are needed.
        precision: `32-true` or `bf16-mixed`.
    """
    index = file.with_suffix(".index.npy")
    if not index.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        values, labels, rows = [], [], []
        for batch in batches:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
                values.append(frontend(batch.wave).float().numpy().astype(np.float16))
            labels.append(batch.label.numpy())
            rows.append(batch.row.numpy())
        np.save(file, np.concatenate(values))
        np.save(index, np.stack([np.concatenate(labels), np.concatenate(rows)]))
    return Features.read(file)


class FeatureBatches:
    """Balanced batches of features, each clip in one of its copies; the epoch's number decides every draw."""

    def __init__(
        self,
        copies: Sequence[Features],
        manifest: Manifest,
        batch_size: int,
        seed: int,
        balance: Balance,
        epoch_clips: int | None,
        shares: Sequence[float] | None = None,
        mixup: float = 0.0,
        frames: int | None = None,
    ):
        """Take the copies of a manifest's clips.

        Args:
            copies: Each with one window of every clip, in the manifest's order.
            manifest: The clips.
            batch_size: Clips in a batch.
            seed: Of every draw.
            balance: As in `loading.balanced_rows`.
            epoch_clips: Clips drawn in an epoch; None is all, once.
            shares: How often each copy is taken; None is equally often.
            mixup: Parameter of the beta distribution from which each batch's share of a second clip is drawn
                (Zhang et al. 2018), labels likewise; 0 mixes nothing.
            frames: A batch is cut to so many frames at one place; None leaves it whole.

        Raises:
            ValueError: If a copy does not hold the manifest's clips.
        """
        for copy in copies:
            if copy.rows.tolist() != list(range(len(manifest))):
                raise ValueError("a copy must hold one window of every clip, in the manifest's order")
        self.copies, self.manifest, self.batch_size, self.seed = copies, manifest, batch_size, seed
        self.balance, self.epoch_clips, self.shares = balance, epoch_clips, shares
        self.mixup, self.frames = mixup, frames

    def __call__(self, epoch: int) -> "_Epoch":
        """The batches of one epoch."""
        rng = np.random.default_rng((self.seed, epoch))
        rows = balanced_rows(self.manifest, self.balance, rng, self.epoch_clips)
        copies = rng.choice(len(self.copies), len(rows), p=self.shares)
        return _Epoch(self.copies, rows, copies, self.batch_size, self.mixup, self.frames, rng)


@dataclass(frozen=True)
class _Epoch:
    copies: Sequence[Features]
    rows: NDArray[np.int64]
    which: NDArray[np.int64]
    batch_size: int
    mixup: float
    frames: int | None
    rng: np.random.Generator

    def __len__(self) -> int:
        return len(self.rows) // self.batch_size

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            rows, which = (part[start : start + self.batch_size] for part in (self.rows, self.which))
            parts = [self.copies[copy].batch(rows[which == copy]) for copy in np.unique(which)]
            batch = Batch(*(torch.cat(values) for values in zip(*parts, strict=True)))
            if self.frames and self.frames < batch.wave.shape[-1]:
                cut = int(self.rng.integers(batch.wave.shape[-1] - self.frames + 1))
                batch = batch._replace(wave=batch.wave[..., cut : cut + self.frames])
            yield self._mixed(batch) if self.mixup else batch

    def _mixed(self, batch: Batch) -> Batch:
        share = float(self.rng.beta(self.mixup, self.mixup))
        other = torch.from_numpy(self.rng.permutation(len(batch.row)))
        wave, label = (share * part + (1 - share) * part[other] for part in (batch.wave, batch.label))
        return batch._replace(wave=wave, label=label)


@dataclass(frozen=True)
class FeatureWindows:
    """All windows in order, as batches."""

    features: Features
    batch_size: int = 64

    def __len__(self) -> int:
        """Number of batches."""
        return -(-len(self.features.rows) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Batches of windows."""
        for start in range(0, len(self.features.rows), self.batch_size):
            yield self.features.batch(np.arange(start, min(start + self.batch_size, len(self.features.rows))))
