"""Embedders without audio or model: what they make of a clip follows from its path alone."""

import hashlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ncdetect.cluster_shards import Embeddings
from ncdetect.corpora import Clip, Manifest
from ncdetect.labels import Label


class PathEmbedder:
    """A cloud for the reals, one for each generator's fakes; one clip in twenty is misjudged.

    That of g0 is wide and reaches into that of g1. Every tenth clip lies where another does: distances tie.
    """

    def __init__(self, size: int = 8):
        self.size = size

    def __call__(self, clips: Sequence[Clip]) -> Embeddings:
        embeddings, scores = np.zeros((len(clips), self.size), np.float32), np.zeros(len(clips), np.float32)
        for row, clip in enumerate(clips):
            number = int.from_bytes(hashlib.blake2b(clip.path.encode(), digest_size=8).digest())
            random = np.random.default_rng(number % 5 if number % 10 == 0 else number)
            sign = 1 if clip.label == Label.FAKE else -1
            embeddings[row] = random.normal(size=self.size)
            if clip.label == Label.FAKE:
                generator = int(clip.generator[1:])
                embeddings[row] *= 1 if generator else 2
                embeddings[row, generator % self.size] += (0, 7, 10)[min(generator, 2)]
            scores[row] = -sign if number % 20 == 1 else sign
        return Embeddings(embeddings, scores, {})


class Told(PathEmbedder):
    """Writes down each block that it is given, and dies once of the first whose path is deadly."""

    def __init__(self, folder: Path, deadly: str = "", seconds: float = 0):
        super().__init__()
        self.folder, self.deadly, self.seconds = folder, deadly, seconds

    def __call__(self, clips: Sequence[Clip]) -> Embeddings:
        with (self.folder / "calls").open("a") as stream:
            stream.write(clips[0].path + "\n")
        if clips[0].path == self.deadly and not (self.folder / "died").exists():
            (self.folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        return super().__call__(clips)


def made_manifest(clips: int, corpus: str = "c", generators: int = 4) -> Manifest:
    """Reals and fakes in turn, nine tenths of them train; no such files lie anywhere.

    A fake has the recording of the real before it, and every corpus has the same recordings.
    """
    return Manifest(
        Path("."),
        tuple(
            Clip(
                f"{corpus}/{hashlib.blake2b(b'%d' % number, digest_size=5).hexdigest()}.flac",
                label := Label(number % 2),
                corpus,
                "dev" if number % 10 == 9 or number % 10 == 4 and number % 3 == 0 else "train",
                f"g{number // 2 % generators}" if label == Label.FAKE else "",
                recording=f"r{number // 2}",
            )
            for number in range(clips)
        ),
    )
