"""Run by `make bench`: prints what ONNX Runtime gains on one thread, and what int8 costs in verdicts."""

import time

import numpy as np
import pytest
import torch

pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")

from ncdetect import audio, backends, metrics, onnx  # noqa: E402
from ncdetect.corpora import Manifest  # noqa: E402
from ncdetect.predictor import Predictor  # noqa: E402

CLIPS = {"tiny-resnet": 800, "tiny-nc": 200, "tiny": 200, "listener": 200}
"""Eval clips on which verdicts are compared."""


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def milliseconds(functions, repeat=40):
    """Median time of each, called in turn so that what else runs on the machine slows all of them."""
    window = np.random.default_rng(0).normal(0, 0.1, (1, audio.WINDOW_SAMPLES)).astype(np.float32)
    times = []
    for _ in range(repeat):
        row = []
        for function in functions:
            started = time.perf_counter()
            function(window)
            row.append(1000 * (time.perf_counter() - started))
        times.append(row)
    return np.median(times, axis=0)


@pytest.mark.parametrize("name", CLIPS)
def test_speed_and_verdicts(name, corpora_root, tmp_path):
    manifest = Manifest.read(corpora_root / "manifest.csv")
    dev, held_out = manifest.select(split="dev"), manifest.select(split="eval")
    rows = np.linspace(0, len(held_out) - 1, CLIPS[name]).astype(int)
    chosen = [held_out.clips[row] for row in rows]
    clips = [audio.load(held_out.file(clip)) for clip in chosen]
    labels = [int(clip.label) for clip in chosen]

    onnx.export(name, tmp_path)
    onnx.export(name, tmp_path, "int8", [dev.file(clip) for clip in dev])
    doors = {"torch": Predictor.from_pretrained(name)} | {
        precision: Predictor.from_pretrained(name, "onnx", precision=precision, onnx_path=tmp_path)
        for precision in backends.ONNX_FILES
    }
    taken = milliseconds([door.backend for door in doors.values()])
    verdicts = {kind: [door.judge(clip) for clip in clips] for kind, door in doors.items()}
    changed = {}
    print(f"\n{name}, one thread, {len(clips)} eval clips")
    for (kind, found), cost in zip(verdicts.items(), taken, strict=True):
        scores = np.array([verdict.score for verdict in found])
        error = max(abs(one.score - other.score) for one, other in zip(found, verdicts["torch"], strict=True))
        pairs = zip(found, verdicts["torch"], strict=True)
        changed[kind] = sum(one.verdict != other.verdict for one, other in pairs)
        print(
            f"{kind:8} {cost:7.2f} ms a window, {changed[kind]} verdicts differ, "
            f"scores by at most {error:.1e}, EER {metrics.eer_roc(scores, labels):.2%}"
        )
    assert changed["32-true"] == 0
    if name == "tiny-resnet":
        assert changed["int8"] <= 0.01 * len(clips)
