import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

import media
from ncdetect.corpora import Clip, Manifest
from ncdetect.labels import Label
from ncdetect.runtime import keep_freed_memory

keep_freed_memory()
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def corpora_root() -> Path:
    """The shared corpora beside the checkout."""
    root = REPOSITORY.parent / "shared" / "corpora"
    if not (root / "manifest.csv").is_file():
        pytest.skip("../shared/corpora is not beside this checkout")
    return root


@pytest.fixture(scope="session")
def made_corpus(tmp_path_factory) -> Manifest:
    """Two small corpora: reals are speech-like, fakes are the same with a whistle at 3 or 5 kHz."""
    root = tmp_path_factory.mktemp("made")
    clips = []
    number = 0
    for corpus in ("ant", "bee"):
        for split, count in (("train", 12), ("dev", 6), ("eval", 6)):
            for label in Label:
                for index in range(count):
                    number += 1
                    wave = media.speech_like(1.0 + 0.25 * (number % 3), seed=number)
                    if label == Label.FAKE:
                        hertz = 5000 if corpus == "ant" else 3000
                        wave = wave + media.tone(16_000, len(wave) / 16_000, hertz, 0.05)[: len(wave)]
                    path = f"{corpus}/{split}-{label.word}-{index}.flac"
                    (root / corpus).mkdir(exist_ok=True)
                    soundfile.write(root / path, np.clip(wave, -1, 1), 16_000)
                    generator = f"gen{index % 2}" if label == Label.FAKE else "room"
                    clips.append(
                        Clip(path, label, corpus, split, generator, speaker=f"{corpus}-{split}-{index}")
                    )
    manifest = Manifest(root, tuple(clips))
    manifest.write(root / "manifest.csv")
    return manifest


@pytest.fixture(scope="session")
def made_checkpoint(made_corpus, tmp_path_factory) -> Path:
    """A tiny-resnet trained for a moment on the made corpus, with its bank."""
    from ncdetect import pipeline
    from ncdetect.loading import Waves
    from ncdetect.training import Recipe

    folder = tmp_path_factory.mktemp("checkpoint")
    train, dev = (Waves(made_corpus.select(split=split)) for split in ("train", "dev"))
    recipe, data = Recipe(epochs=4, precision="32-true"), pipeline.Data(16, epoch_clips=48)
    detector, fit = pipeline.train_detector("tiny-resnet", train, dev, folder / "run", recipe, data)
    facts = pipeline.training_facts(train.manifest, "all", fit, recipe, data)
    pipeline.finish("tiny-resnet", detector, train, dev, facts, maps=False).save(folder / "made")
    return folder / "made"
