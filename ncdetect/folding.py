"""Short-time Fourier transforms as matrix products, for ONNX Runtime, whose own operator takes longer."""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ncdetect.frontends import LogBands
from ncdetect.models import Detector


@contextmanager
def folded(detector: Detector) -> Iterator[Detector]:
    """A copy of a detector, and while it is traced, `folded_stft` in the place of `torch.stft`.

    Where a window does not fold, the transforms stay as they are.
    """
    detector = copy.deepcopy(detector)
    for part in detector.modules():
        if isinstance(part, LogBands) and folds(part.window) and not part.pre_emphasis:
            part.power = partial(_folded_power, part)
    windows = [buffer for path, buffer in detector.named_buffers() if path.split(".")[-1] == "window"]
    with _FoldedTransforms() if all(map(folds, windows)) else nullcontext():
        yield detector


class _FoldedTransforms(TorchFunctionMode):
    """While it is entered, `torch.stft` is `folded_stft`."""

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        return (_stft if function is torch.stft else function)(*args, **(kwargs or {}))


def _stft(wave: Tensor, n_fft: int, *, hop_length: int, window: Tensor, center: bool, **_: Any) -> Tensor:
    if center:
        wave = F.pad(wave.unsqueeze(1), (n_fft // 2, n_fft // 2), mode="reflect").squeeze(1)
    return folded_stft(wave, n_fft, hop_length, window)


def folds(window: Tensor) -> bool:
    """Whether `folded_stft` is right for a window (N,): w[0] = 0, w[n] = w[N - n], N a multiple of 4."""
    mirrored = window[1:].flip(0)
    return len(window) % 4 == 0 and window[0] == 0 and torch.allclose(window[1:], mirrored, atol=1e-6)


def _folded_power(bands: LogBands, wave: Tensor) -> Tensor:
    """`LogBands.power`, which needs no spectrum in order of frequency: putting it in order takes as long."""
    half = bands.n_fft // 2
    wave = F.pad(wave.unsqueeze(1), (half, half), mode="reflect").squeeze(1)
    real_even, real_odd, imaginary_even, imaginary_odd = _parts(wave, bands.n_fft, bands.hop, bands.window)
    even = real_even * real_even + imaginary_even * imaginary_even
    odd = real_odd * real_odd + imaginary_odd * imaginary_odd
    return (even @ bands.filters[::2] + odd @ bands.filters[1::2]).transpose(1, 2)


def folded_stft(wave: Tensor, n_fft: int, hop: int, window: Tensor) -> Tensor:
    """`torch.stft` as four matrix products, for ONNX Runtime, whose own operator takes longer.

    Under a symmetric window a transform folds twice: cosines of n and N - n are equal and sines opposite;
    those of n and N / 2 - n are equal or opposite by whether the frequency is even or odd. That leaves N / 4
    sums of samples against half of the frequencies, for cosines and sines.

    Args:
        wave: Waveforms, shape (B, T), padded already.
        n_fft: N in samples, at most 4 hops.
        hop: In samples.
        window: Shape (N,), for which `folds` is true.

    Returns:
        Complex spectrum, (B, N / 2 + 1, L).
    """
    real_even, real_odd, imaginary_even, imaginary_odd = _parts(wave, n_fft, hop, window)
    real, imaginary = _interleaved(real_even, real_odd), _interleaved(imaginary_even, imaginary_odd)
    return torch.complex(real, imaginary).transpose(1, 2)


def _parts(wave: Tensor, n_fft: int, hop: int, window: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Real parts at even and odd frequencies, then imaginary parts: (B, L, N / 4 + 1 or N / 4) each."""
    half, quarter = n_fft // 2, n_fft // 4
    frames = (wave.shape[1] - n_fft) // hop + 1
    wave = F.pad(wave, (0, hop))

    def samples(start: int, count: int = quarter) -> Tensor:
        """Those of every frame from `start` on, (B, L, count)."""
        cut = wave[:, start : start + frames * hop]
        return cut.reshape(-1, frames, hop)[:, :, :count]

    # Samples n, N - n, N / 2 - n and N / 2 + n for n = 1 ... N / 4; the middle one folds onto none.
    outer = window[1 : quarter + 1]
    inner = window[quarter:half].flip(0)
    first, last = samples(1), samples(n_fft - quarter).flip(2)
    before, after = samples(quarter).flip(2), samples(half + 1)
    middle = samples(half, 1) * window[half]
    even, odd = (first + last) * outer, (first - last) * outer
    even_inner, odd_inner = (before + after) * inner, (before - after) * inner

    angles = 2 * math.pi / n_fft * np.outer(np.arange(1, quarter + 1), np.arange(half + 1))
    # n = N / 4 stands in both of the sums that are folded.
    share = np.where(np.arange(1, quarter + 1) == quarter, 0.5, 1.0)[:, None]
    cosines, sines = (
        torch.from_numpy((share * part).astype(np.float32)) for part in (np.cos(angles), -np.sin(angles))
    )
    return (
        (even + even_inner) @ cosines[:, ::2] + middle,
        (even - even_inner) @ cosines[:, 1::2] - middle,
        (odd - odd_inner) @ sines[:, ::2],
        (odd + odd_inner) @ sines[:, 1::2],
    )


def _interleaved(even: Tensor, odd: Tensor) -> Tensor:
    """Values at even and at odd frequencies, (B, L, K + 1) and (B, L, K), in one row: (B, L, 2 K + 1)."""
    return torch.stack([even, F.pad(odd, (0, 1))], dim=3).flatten(2)[:, :, :-1]
