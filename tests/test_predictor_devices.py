import numpy as np
import pytest
import torch

from conftest import REPOSITORY
from ncdetect import audio
from ncdetect.predictor import Predictor

EXAMPLES = sorted((REPOSITORY / "assets" / "examples").glob("*.flac"))
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no CUDA GPU here")


def judged(predictor, clips):
    return [predictor.judge(clip) for clip in clips]


@pytest.fixture(scope="module")
def clips():
    if not EXAMPLES:
        pytest.skip("the examples are not in this checkout")
    return [audio.load(file) for file in EXAMPLES]


@pytest.fixture(scope="module")
def exact(clips):
    return judged(Predictor.from_pretrained("tiny-resnet"), clips)


def close(found, exact, score_error, same):
    assert max(abs(a.score - b.score) for a, b in zip(found, exact, strict=True)) < score_error
    assert np.mean([a.verdict == b.verdict for a, b in zip(found, exact, strict=True)]) >= same


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_on_the_cpu(clips, exact, precision):
    predictor = Predictor.from_pretrained("tiny-resnet", device="cpu", precision=precision)
    found = judged(predictor, clips)
    close(found, exact, 0.1, 0.995)
    assert any(a.score != b.score for a, b in zip(found, exact, strict=True))
    embeddings, scores = predictor.embed_windows(np.zeros((1, 48_000), np.float32))
    assert embeddings.dtype == scores.dtype == np.float32


def test_batches_change_nothing(made_checkpoint):
    predictor = Predictor.from_pretrained(made_checkpoint)
    windows = np.random.default_rng(0).normal(0, 0.1, (35, 48_000)).astype(np.float32)
    embeddings, scores = predictor.embed_windows(windows)
    assert embeddings.shape == (35, 128) and scores.shape == (35,)
    one_by_one = np.concatenate([predictor.embed_windows(windows[row : row + 1])[1] for row in range(35)])
    np.testing.assert_allclose(scores, one_by_one, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device": "tpu"}, "unknown device 'tpu'; allowed: cpu, cuda"),
        ({"precision": "int4"}, "unknown precision 'int4' .*32-true, bf16, fp16"),
    ],
)
def test_unknown_devices_and_precisions(made_checkpoint, options, said):
    with pytest.raises(ValueError, match=said):
        Predictor.from_pretrained(made_checkpoint, **options)


def test_a_gpu_that_is_not_there(made_checkpoint, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="finds no GPU; available: cpu"):
        Predictor.from_pretrained(made_checkpoint, device="cuda")


@on_gpu
@pytest.mark.parametrize(
    ("precision", "score_error", "same"), [("32-true", 1e-3, 1), ("bf16", 0.1, 0.995), ("fp16", 0.1, 0.995)]
)
def test_the_gpu_says_what_the_cpu_says(clips, exact, precision, score_error, same):
    predictor = Predictor.from_pretrained("tiny-resnet", device="cuda", precision=precision)
    close(judged(predictor, clips), exact, score_error, same)


def test_a_gpu_would_be_fed_from_pinned_memory(made_checkpoint, monkeypatch):
    """Without a GPU: the copies are asked for, and go to the CPU instead."""
    predictor = Predictor.from_pretrained(made_checkpoint)
    windows = np.random.default_rng(0).normal(0, 0.1, (3, 48_000)).astype(np.float32)
    expected = predictor.embed_windows(windows)
    asked, travel = [], torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda wave: asked.append("pinned") or wave)

    def to(wave, *args, **options):
        if args and args[0] == "cuda":
            asked.append(options)
            return wave
        return travel(wave, *args, **options)

    monkeypatch.setattr(torch.Tensor, "to", to)
    predictor.backend.device = "cuda"
    found = predictor.embed_windows(windows)
    assert asked == ["pinned", {"non_blocking": True}]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
