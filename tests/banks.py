"""Banks of made-up embeddings for the clips of a manifest: for what asks only where clips lie, not why."""

from pathlib import Path

import numpy as np

from ncdetect import collapse
from ncdetect.bank import EmbeddingBank
from ncdetect.corpora import Manifest
from ncdetect.labels import Label


def make_bank(
    manifest: Manifest, file: Path, seed: int = 0, records: bool = True, dimensions: int = 16
) -> EmbeddingBank:
    """Write a bank of train and dev clips: a cloud for the reals, one for each generator's fakes."""
    rng, axes = np.random.default_rng(seed), np.eye(dimensions)
    clips = [clip for split in ("train", "dev") for clip in manifest if clip.split == split]
    sources = sorted({clip.generator for clip in clips if clip.label == Label.FAKE})
    centres = {name: 4 * axes[0] + 3 * axes[1 + index] for index, name in enumerate(sources)}
    embeddings = np.stack([centres.get(clip.generator, np.zeros(dimensions)) for clip in clips])
    embeddings += 0.6 * rng.normal(size=embeddings.shape)
    labels = np.array([clip.label for clip in clips])
    scores = np.where(labels == Label.FAKE, 1.5, -1.5) + rng.normal(size=len(labels))
    train = sum(clip.split == "train" for clip in clips)
    told = {"el2n": rng.random(train), "forgetting": rng.integers(0, 3, train)} if records else None
    means = collapse.class_means(embeddings, labels)
    bank = EmbeddingBank.build(
        clips, embeddings, scores, means, "tiny-resnet", "0" * 64, maps=False, records=told
    )
    bank.maps.update({name: embeddings[:, :2].astype(np.float32) for name in ("tsne", "umap")})
    file.parent.mkdir(parents=True, exist_ok=True)
    bank.save(file)
    return bank
