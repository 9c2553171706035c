"""Run by `make bench`: the scale-out path on made manifests, its speed and memory; and the real embedders.

The path is timed with an embedder that makes its numbers up from the path, 128 a clip, so what is left is
reading the manifest, writing shards and the passes over them. Seconds of several processes on a machine that
does other work say little: compare the sizes with one another.
"""

import threading
import time
import tracemalloc
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

import media
from embedders import PathEmbedder, made_manifest
from ncdetect import cluster, cluster_select
from ncdetect.cluster_manifest import write_manifest
from ncdetect.cluster_shards import ShardedBank
from ncdetect.clusters import ClusterParameters
from ncdetect.corpora import Clip
from ncdetect.labels import Label
from ncdetect.rules import Budget

SIZES, DIMENSIONS = (1_000, 10_000, 100_000), 128
DRIVER_BYTES = 64
"""A clip that `select` may hold beyond the footers of the shards."""
FEW = ClusterParameters(sample=500)
"""Silhouettes take 4 bytes a pair of the sample: the 100 MB of the usual 5,000 would hide all else."""
WORKER_BYTES = 400 * 2**20
"""Of its own that a worker without a model may hold, however long the manifest; most of it is libraries."""


@pytest.fixture(scope="module")
def ray_here():
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'ncdetect[cluster]'")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(Path(__file__).resolve().parent.parent))
        environment.setenv("RAY_worker_niceness", "0")
        cluster.connect(cpus=2)
        list(cluster.each_block(lambda row: row, range(8)))  # its processes are up
        yield
    ray.shutdown()


class Peak(threading.Thread):
    """The most memory of its own that this process, and the largest worker, had meanwhile."""

    def __init__(self):
        super().__init__(daemon=True)
        self.driver = self.worker = 0
        self._over = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self.join()

    def run(self):
        me = psutil.Process()
        while not self._over.wait(1.0):
            self.driver = max(self.driver, _own(me))
            for child in me.children(recursive=True):
                try:
                    if child.name().startswith("ray::"):
                        self.worker = max(self.worker, _own(child))
                except psutil.Error:
                    continue


def _own(process: psutil.Process) -> int:
    memory = process.memory_info()
    return memory.rss - memory.shared  # without what all map, such as Ray's object store


def test_the_path_by_size(ray_here, tmp_path):
    print("\n  clips  embed  algorithm-1  algorithm-2 (s)  driver  worker (MB)  select (bytes a clip)")
    extra = {}
    for size in SIZES:
        folder = tmp_path / str(size)
        write_manifest(made_manifest(size), folder / "manifest.parquet")
        bank = ShardedBank.create(folder / "bank", folder / "manifest.parquet", "m", "0")
        marks = [time.perf_counter()]
        with Peak() as peak:
            cluster.embed(bank, folder / "manifest.parquet", partial(PathEmbedder, DIMENSIONS))
            marks.append(time.perf_counter())
            for rule in cluster_select.RULES:
                chosen = cluster_select.choose(bank, Budget.share(0.3), rule, parameters=FEW)
                cluster_select.write([chosen], folder / f"{rule}.csv")
                marks.append(time.perf_counter())
        tracemalloc.start()  # the footers are in memory by now: they grow with blocks, not clips
        cluster_select.choose(bank, Budget.share(0.3), "algorithm-2", parameters=FEW)
        extra[size] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        print(
            f"{size:7,} {marks[1] - marks[0]:6.1f} {marks[2] - marks[1]:12.1f} {marks[3] - marks[2]:12.1f} "
            f"{peak.driver / 2**20:11.0f} {peak.worker / 2**20:7.0f} {extra[size] / size:11.0f}",
            flush=True,
        )
        assert peak.worker < WORKER_BYTES
    assert (extra[SIZES[-1]] - extra[SIZES[0]]) / (SIZES[-1] - SIZES[0]) < DRIVER_BYTES


@pytest.mark.parametrize("name", ["tiny-resnet", "listener"])
def test_the_real_embedders(name, tmp_path):
    clips = [Clip(f"{number}.flac", Label.REAL) for number in range(200)]
    for number, clip in enumerate(clips):
        soundfile.write(tmp_path / clip.path, media.speech_like(3.0, seed=number % 8), 16_000)
    embed = cluster.ClipEmbedder(name, tmp_path, cluster.Workers())
    embed(clips[:64])
    started = time.process_time()
    made = embed(clips)
    print(f"\n{name}: {len(clips) / (time.process_time() - started):.1f} clips of 3 s per core-second")
    assert not made.failed and np.isfinite(made.embeddings).all()
