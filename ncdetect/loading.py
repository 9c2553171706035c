"""From a manifest to batches: decoded clips, balanced draws, crops, collation."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ncdetect import audio
from ncdetect.corpora import Manifest

Balance = Literal["none", "class", "corpus", "generator"]
Augment = Callable[[Tensor, torch.Generator], Tensor]


class Batch(NamedTuple):
    """Clips ready for a model."""

    wave: Tensor
    """Waveforms at 16 kHz, (B, T)."""
    label: Tensor
    """Values of `Label`, (B,)."""
    row: Tensor
    """Rows of the manifest, (B,)."""


class Waves:
    """The decoded clips of a manifest, kept in memory up to a bound and read again beyond it."""

    def __init__(self, manifest: Manifest, limit_bytes: int = 2 * 2**30):
        """Take a manifest; nothing is decoded yet."""
        self.manifest = manifest
        self._cache = _Cache(limit_bytes)

    def subset(self, manifest: Manifest) -> "Waves":
        """The same cache seen through another manifest on the same root."""
        other = Waves(manifest)
        other._cache = self._cache
        return other

    def __getitem__(self, row: int) -> NDArray[np.float32]:
        """Waveform (T,) of a row.

        Raises:
            ValueError: If the file cannot be decoded; the text names it.
        """
        file = self.manifest.file(self.manifest.clips[row])
        wave = self._cache.kept.get(file)
        if wave is None:
            try:
                wave = audio.load(file).wave
            except audio.AudioError as error:
                raise ValueError(f"{file}: {error}") from error
            self._cache.keep(file, wave)
        return wave


class _Cache:
    def __init__(self, limit_bytes: int):
        self.kept: dict[Path, NDArray[np.float32]] = {}
        self._free_bytes = limit_bytes

    def keep(self, file: Path, wave: NDArray[np.float32]) -> None:
        if wave.nbytes <= self._free_bytes:
            self._free_bytes -= wave.nbytes
            self.kept[file] = wave


def balanced_rows(
    manifest: Manifest, balance: Balance, rng: np.random.Generator, draws: int | None = None
) -> NDArray[np.int64]:
    """One epoch's rows in random order.

    Args:
        manifest: The clips.
        balance: `none`: each clip once. `class`: as many reals as fakes within each corpus, so that the
            corpus tells nothing of the class. `corpus`: the same, and each corpus equally often. `generator`:
            as `class`, and within a class of a corpus each generator (source of reals) equally often.
        rng: Source of every random choice.
        draws: Clips in an epoch; None is as many as there are.

    Returns:
        Shape (draws,) but for rounding; within a group no clip comes a second time before all came once,
        generators apart: of a rare one the clips come again.
    """
    draws = len(manifest) if draws is None else draws
    if balance == "none":
        return _drawn(np.arange(len(manifest)), draws, rng)
    groups: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row, clip in enumerate(manifest.clips):
        groups[clip.corpus][clip.label].append(row)
    drawn = []
    for classes in groups.values():
        size = sum(map(len, classes.values()))
        share = 1 / len(groups) if balance == "corpus" else size / len(manifest)
        for rows in classes.values():
            wanted = round(draws * share / len(classes))
            if balance == "generator":
                names = [manifest.clips[row].generator for row in rows]
                _, which, counts = np.unique(names, return_inverse=True, return_counts=True)
                drawn.append(rng.choice(rows, wanted, p=1 / counts[which] / len(counts)))
            else:
                drawn.append(_drawn(rows, wanted, rng))
    return rng.permutation(np.concatenate(drawn))


def _drawn(rows: ArrayLike, draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows in random order, all of them once before any comes again."""
    rounds = [rng.permutation(rows) for _ in range(-(-draws // len(rows)))]
    return np.concatenate([*rounds, np.zeros(0, np.int64)])[:draws]


class _Crops(Dataset):
    """One epoch's clips, cut to a window at a place that depends on seed, epoch and clip only."""

    def __init__(self, waves: Waves, seed: int, epoch: int):
        self.waves, self.seed, self.epoch = waves, seed, epoch

    def __getitem__(self, row: int) -> tuple[NDArray[np.float32], int, int]:
        row = int(row)
        wave = self.waves[row]
        if len(wave) > audio.WINDOW_SAMPLES:
            rng = np.random.default_rng((self.seed, self.epoch, row))
            start = int(rng.integers(len(wave) - audio.WINDOW_SAMPLES + 1))
            wave = wave[start : start + audio.WINDOW_SAMPLES]
        return (
            audio.repeat_to(wave, audio.WINDOW_SAMPLES),
            int(self.waves.manifest.clips[row].label),
            row,
        )


class TrainBatches:
    """Balanced, cropped and augmented batches; the epoch's number decides every draw, so a run can resume."""

    def __init__(
        self,
        waves: Waves,
        batch_size: int = 32,
        seed: int = 0,
        balance: Balance = "class",
        augment: Augment | None = None,
        epoch_clips: int | None = None,
        in_order: bool = False,
    ):
        """Take decoded clips and how to draw them.

        Args:
            waves: The clips.
            batch_size: Clips in a batch.
            seed: Of every draw.
            balance: As in `balanced_rows`.
            augment: Changes whole batches.
            epoch_clips: Clips drawn in an epoch; None is as many as there are.
            in_order: Each clip once, in the manifest's order, the last batch whatever its size.
        """
        self.waves, self.batch_size, self.seed, self.in_order = waves, batch_size, seed, in_order
        self.balance, self.augment, self.epoch_clips = balance, augment, epoch_clips

    def __call__(self, epoch: int) -> DataLoader:
        """The batches of one epoch."""
        rng = np.random.default_rng((self.seed, epoch))
        rows = (
            np.arange(len(self.waves.manifest))
            if self.in_order
            else balanced_rows(self.waves.manifest, self.balance, rng, self.epoch_clips)
        )
        # Processes that train together damage their clips each in its own way.
        process = int(os.environ["RANK"]) if torch.distributed.is_torchelastic_launched() else 0
        generator = torch.Generator().manual_seed(self.seed * 100_003 + epoch + 1_000_000_007 * process)

        def collate(items: list[tuple[NDArray[np.float32], int, int]]) -> Batch:
            batch = _collate(items)
            return batch._replace(wave=self.augment(batch.wave, generator)) if self.augment else batch

        # A last batch of one clip would break batch normalisation.
        drop_last = len(rows) % self.batch_size == 1 and not self.in_order
        return DataLoader(
            _Crops(self.waves, self.seed, epoch),
            batch_size=self.batch_size,
            sampler=rows.tolist(),
            collate_fn=collate,
            drop_last=drop_last,
        )


def _collate(items: list[tuple[NDArray[np.float32], int, int]]) -> Batch:
    waves, labels, rows = zip(*items, strict=True)
    return Batch(torch.from_numpy(np.stack(waves)), torch.tensor(labels), torch.tensor(rows))


class WindowBatches:
    """All windows of all clips in order, as at inference; `row` says which clip a window belongs to.

    Windows without enough signal are left out, as at inference.
    """

    def __init__(self, waves: Waves, rows: NDArray[np.int64] | None = None, batch_size: int = 64):
        """Take decoded clips; `rows` limits to some of them."""
        self.waves, self.batch_size = waves, batch_size
        self.rows = np.arange(len(waves.manifest)) if rows is None else np.asarray(rows)

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Batch]:
        """Batches of windows."""
        items: list[tuple[NDArray[np.float32], int, int]] = []
        for row in self.rows.tolist():
            _, windows = audio.windows(self.waves[row])
            label = int(self.waves.manifest.clips[row].label)
            for window in windows[audio.active_windows(windows)]:
                items.append((window, label, row))
                if len(items) == self.batch_size:
                    yield _collate(items)
                    items = []
        if items:
            yield _collate(items)
