"""Run by `make bench`: prints figures, and holds those of the design that this room answers for."""

import time

import numpy as np
import pytest
import torch

import media
from ncdetect import projection, runtime, sampling
from ncdetect._torchaudio import torchaudio
from ncdetect.predictor import Predictor

runtime.keep_freed_memory()


def seconds(function, repeat=9):
    """Median time of a call, after one to warm up."""
    function()
    times = []
    for _ in range(repeat):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return float(np.median(times))


@pytest.fixture(scope="module")
def predictor():
    return Predictor.from_pretrained("tiny")


@pytest.mark.parametrize(("length_s", "limit_s"), [(3, 0.150), (60, 1.5)])
def test_a_verdict(predictor, length_s, limit_s):
    wave = media.speech_like(float(length_s))
    taken = seconds(lambda: predictor.check((16_000, wave)))
    print(f"\nverdict on {length_s} s: {1000 * taken:.0f} ms (limit {1000 * limit_s:.0f})")
    assert taken < limit_s


def test_log_mel_against_torchaudio(predictor):
    waves = torch.randn(64, 48_000)
    peer = torchaudio.transforms.MelSpectrogram(16_000, n_fft=512, hop_length=160, n_mels=80)
    with torch.inference_mode():
        ours = seconds(lambda: predictor.trained.detector.frontend(waves))
        theirs = seconds(lambda: torch.log(peer(waves) + 1e-6))
    print(f"\nlog-mel: {64 / ours:.0f} clips/s, {theirs / ours:.2f} times torchaudio's speed")


def test_embedding_costs_what_its_parts_cost(predictor):
    waves = np.random.default_rng(0).normal(0, 0.1, (256, 48_000)).astype(np.float32)
    detector = predictor.trained.detector
    with torch.inference_mode():
        batch = torch.from_numpy(waves[:32])
        features = detector.frontend(batch)
        parts = seconds(lambda: detector.frontend(batch)) + seconds(lambda: detector.backbone(features))
    whole = seconds(lambda: predictor.embed_windows(waves), repeat=3) / 8
    print(f"\nembedding: {32 / whole:.0f} clips/s, {parts / whole:.0%} of log-mel and network in series")
    assert parts / whole > 0.85


def test_placing_a_clip(predictor):
    rng = np.random.default_rng(0)
    known, places = rng.normal(size=(5_000, 128)).astype(np.float32), rng.normal(size=(5_000, 2))
    taken = seconds(lambda: projection.place(known[7] + 0.1, known, places), repeat=50)
    print(f"\nplacing among 5,000 clips: {1000 * taken:.2f} ms")


def test_algorithm_1():
    embeddings = np.random.default_rng(0).normal(size=(100_000, 256)).astype(np.float32)
    paths = [f"clip{i:06}" for i in range(len(embeddings))]
    threshold = sampling.Threshold(rate=0.5)
    taken = seconds(lambda: sampling.algorithm_1(embeddings, paths, threshold), repeat=3)
    print(f"\nAlgorithm 1 on 100,000 x 256: {taken:.2f} s")
