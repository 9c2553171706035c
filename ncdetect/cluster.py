"""Sampling at scale on Ray Data: a manifest of any size becomes a bank in shards, worker by worker.

A finished shard is a file of its own, and its name says which block of the manifest it is: nothing is kept of
a run but these files, so whatever dies (a worker, a machine, the driver) costs at most the blocks under way.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncdetect import audio
from ncdetect.audio import AudioError
from ncdetect.cluster_manifest import ShardError, read_block
from ncdetect.cluster_shards import Embeddings, ShardedBank, write_shard
from ncdetect.corpora import Clip, Manifest

BATCH_WINDOWS = 64
"""Windows of three seconds that a model is given at once."""
TASKS_PER_CPU = 4
"""Tasks of a pass over a bank: a task costs some 50 ms, however few shards it reads."""

RETRIES = 3
"""Times that a block is given to a worker again after one died of it, before the run ends."""

Embedder = Callable[[Sequence[Clip]], Embeddings]
Row = dict[str, Any]


@dataclass(frozen=True)
class Workers:
    """What embeds: so many actors, each with its own copy of the model."""

    count: int = 1
    cpus: float = 1
    """Of each; so many clips are decoded at once."""
    gpus: float = 0
    """Of each; 0 is the CPU."""


@dataclass(frozen=True)
class Done:
    """What a run of `embed` did."""

    made: int
    """Shards written now."""
    found: int
    """Shards that were there."""
    failed: tuple[tuple[str, str], ...]
    """Path and reason of each clip of the whole bank that could not be embedded."""


class ClipEmbedder:
    """A checkpoint that embeds clips, windows as at inference, while threads read those that come next."""

    def __init__(self, checkpoint: str, root: Path, workers: Workers):
        """Load the checkpoint; an actor does so once."""
        from ncdetect.checkpoint import TrainedDetector

        self.root = root
        self.device = "cuda" if workers.gpus else "cpu"
        self.detector = TrainedDetector.from_pretrained(checkpoint).detector.to(self.device).eval()
        self.threads = max(1, int(workers.cpus))

    def __call__(self, clips: Sequence[Clip]) -> Embeddings:
        """Embed clips, N > 0."""
        from ncdetect import training
        from ncdetect.loading import WindowBatches

        with ThreadPoolExecutor(self.threads) as pool:
            waves = _Ahead(Manifest(self.root, tuple(clips)), pool, 2 * self.threads)
            batches = WindowBatches(waves, batch_size=BATCH_WINDOWS)
            found = training.embed(lambda wave: self.detector(wave.to(self.device)), batches)
        return Embeddings(found.embeddings, found.scores, waves.failed)


class _Ahead:
    """What `WindowBatches` takes: waveforms of a manifest, each asked for once, in order.

    Threads decode a few clips ahead. Silence stands for a clip that cannot be read, so that rows stay rows.
    """

    def __init__(self, manifest: Manifest, pool: ThreadPoolExecutor, ahead: int):
        self.manifest, self.failed = manifest, {}
        self._pool, self._ahead = pool, ahead
        self._waiting: dict[int, Future] = {}

    def __getitem__(self, row: int) -> NDArray[np.float32]:
        for later in range(row, min(row + 1 + self._ahead, len(self.manifest))):
            if later not in self._waiting:
                file = self.manifest.file(self.manifest.clips[later])
                self._waiting[later] = self._pool.submit(audio.load, file)
        try:
            return self._waiting.pop(row).result().wave
        except (AudioError, OSError) as error:
            self.failed[row] = str(error)
            return np.zeros(audio.WINDOW_SAMPLES, np.float32)


class _Worker:
    """The actor: makes the shards of the blocks that it is given."""

    def __init__(self, bank: ShardedBank, manifest: Path, embedder: Callable[[], Embedder]):
        self.bank, self.manifest, self.embed = bank, manifest, embedder()

    def __call__(self, row: Row) -> Row:
        try:
            clips = read_block(self.manifest, row["block"])
        except ShardError as error:
            return {"error": str(error)}
        write_shard(self.bank.file(row["block"]), clips, self.embed(clips))
        return {"error": ""}


def connect(address: str | None = None, cpus: int | None = None) -> None:
    """Join a Ray cluster, or start one of this machine alone; ends with the process. Sends no telemetry.

    Args:
        address: Of the cluster, or `auto`; None starts one here.
        cpus: Of the one started here; None takes all.

    Raises:
        ImportError: If Ray is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ImportError("the cluster commands need Ray: pip install 'ncdetect[cluster]'") from error
    here = {} if address else {"num_cpus": cpus, "include_dashboard": False}
    if not ray.is_initialized():
        ray.init(address or "local", log_to_driver=False, logging_level="ERROR", **here)
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    ray.data.DataContext.get_current().enable_progress_bars = False


def embed(
    bank: ShardedBank,
    manifest: Path,
    embedder: Callable[[], Embedder],
    workers: Workers | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Done:
    """Embed every block of a manifest that has no shard yet: one pass over the audio.

    A worker holds the model, the embeddings of one block, and the audio of BATCH_WINDOWS windows and of the
    clips that its threads read ahead. One that dies is started again, and its block with it, RETRIES times.

    Args:
        bank: As `ShardedBank.create` gives it.
        manifest: What `write_manifest` wrote; every worker must see it, the audio and the bank's folder.
        embedder: Makes what embeds, once in each worker.
        workers: How many, and what each may use.
        progress: Is told how many blocks of how many are done.

    Raises:
        ShardError: If a block of the manifest is none, or is the death of every worker.
    """
    import ray.data
    from ray.exceptions import RayActorError

    workers = workers or Workers()
    todo = bank.unfinished()
    found = bank.blocks - len(todo)
    progress(found, bank.blocks)
    if todo:
        made = ray.data.from_items([{"block": block} for block in todo], override_num_blocks=len(todo)).map(
            _Worker,
            fn_constructor_args=(bank, manifest, embedder),
            compute=ray.data.ActorPoolStrategy(size=min(workers.count, len(todo))),
            num_cpus=workers.cpus,
            num_gpus=workers.gpus,
            ray_remote_args_fn=lambda: {"max_task_retries": RETRIES},
        )
        try:
            for number, row in enumerate(made.iter_rows(), 1):
                if row["error"]:
                    raise ShardError(row["error"])
                progress(found + number, bank.blocks)
        except RayActorError as error:
            left = bank.unfinished()
            raise ShardError(
                f"a worker died {RETRIES + 1} times of one block, {left[0]} or one after it; "
                f"{bank.blocks - len(left)} of {bank.blocks} blocks are finished and stay"
            ) from error
    failed = tuple(entry for facts in bank.facts for entry in map(tuple, facts.failed))
    bank.tidy()
    return Done(len(todo), found, failed)


def each_block(
    function: Callable[[Row], Row], blocks: Sequence[int], given: Mapping[int, bytes] | None = None
) -> Iterator[Row]:
    """Apply a function to blocks of a bank, in whatever order: one pass.

    Args:
        function: From {"block": number, "given": bytes} to a dictionary of numbers and bytes.
        blocks: Which.
        given: What the function is given of each block; nothing, if None.
    """
    import ray
    import ray.data

    items = [{"block": block, "given": given[block] if given else b""} for block in blocks]
    if items:
        tasks = min(len(items), TASKS_PER_CPU * max(1, int(ray.cluster_resources().get("CPU", 1))))
        yield from ray.data.from_items(items, override_num_blocks=tasks).map(function).iter_rows()
