"""Why a detector says what it says: the moments that speak for its verdict, found in three ways.

What is compared with, or masks, is always noise with the clip's own mean spectrum and level, never silence:
silence is a known shortcut, and a detector would answer to it instead of to what is missing. `deletion` tests
what is found here.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from ncdetect.audio import SAMPLE_RATE
from ncdetect.labels import Label
from ncdetect.masking import FADE_SAMPLES, noise_like, share_of
from ncdetect.models import Detector

REGION_S = 0.4
"""Length of a named region: a syllable or two."""
FRAME_SAMPLES = SAMPLE_RATE // 100
"""Of the curve, where what is explained is the waveform."""
BATCH = 8
"""Clips that are judged at once."""
Region = tuple[float, float]
"""Start and end in seconds."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """What speaks for a detector's verdict on a clip."""

    method: str
    """Key of METHODS."""
    towards: Label
    """The class that is explained: positive values speak for it, negative ones against it."""
    score: float
    """The clip's logit, higher = more fake."""
    duration_s: float
    curve: NDArray[np.float32]
    """Of evenly spaced frames, (L,): frame i lasts from i / L to (i + 1) / L of the duration."""
    map: NDArray[np.float32] | None = None
    """Of rows and frames, (F, L): see the methods for what the rows are."""

    @property
    def times_s(self) -> NDArray[np.float64]:
        """Centres of the curve's frames, (L,)."""
        return (np.arange(len(self.curve)) + 0.5) * self.duration_s / len(self.curve)

    def regions(self, count: int = 3, seconds: float = REGION_S) -> tuple[Region, ...]:
        """The stretches that speak most for the class, the strongest first.

        Args:
            count: How many at most: only those that speak more for the class than the clip does on average.
            seconds: How long each is, to the nearest frame. One as long as the clip is never named.

        Returns:
            Starts and ends in seconds; none overlaps another.

        Raises:
            ValueError: If `count` or `seconds` is not positive.
        """
        if count < 1 or seconds <= 0:
            raise ValueError(f"count {count}, seconds {seconds}; allowed: at least 1, more than 0")
        frames = len(self.curve)
        width = min(frames, max(1, round(seconds / self.duration_s * frames)))
        total = np.concatenate([[0.0], np.cumsum(self.curve, dtype=np.float64)])
        strength = total[width:] - total[:-width]  # of the stretch that begins at each frame
        # With room for rounding: of a flat curve, nothing is named.
        average = width * total[-1] / frames + 1e-6 * np.abs(total).max()
        found: list[Region] = []
        while len(found) < count and strength.max() > average:
            start = int(strength.argmax())
            found.append((start * self.duration_s / frames, (start + width) * self.duration_s / frames))
            strength[max(0, start - width + 1) : start + width] = -np.inf
        return tuple(found)


def grad_cam(
    detector: Detector, wave: ArrayLike, towards: Label | None = None, layer: str | None = None
) -> Explanation:
    """Grad-CAM (Selvaraju et al. 2017, equations 1 and 2) of a layer of two-dimensional convolutions.

    Only what passes through that layer is seen: of a detector with several paths, that path. The map is
    interpolated to the picture that the first convolution of the detector reads: a spectrogram, in the models
    here. Nothing in it is negative.

    Args:
        detector: Any with a Conv2d.
        wave: Clip as the detector is given it, shape (T,), at 16 kHz.
        towards: The class to explain; None is the one that the detector says.
        layer: Name of a module as in `named_modules`, with output (B, C, F, L); None is the last one that
            holds convolutions.

    Raises:
        ValueError: If there is no such layer, or the score does not depend on it.
    """
    clip = checked(wave)
    # Its own copy: another thread may be judging clips with the detector, and must not meet the hooks.
    with torch.inference_mode(False):
        detector = copy.deepcopy(detector)
    holders = {
        name: module
        for name, module in detector.named_modules()
        if name and any(isinstance(part, nn.Conv2d) for part in module.modules())
    }
    if not holders:
        raise ValueError("this detector has no 2-D convolution; allowed: integrated_gradients, occlusion")
    if layer is not None and layer not in holders:
        raise ValueError(f"no layer {layer!r} with a 2-D convolution; allowed: {', '.join(holders)}")
    pictures, outputs = [], []

    def seen(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        pictures.append(arguments[0].shape[-2:])

    def cut(_: nn.Module, __: tuple[Tensor, ...], output: object) -> Tensor | None:
        if not isinstance(output, Tensor) or output.ndim != 4:
            return None
        # From here upwards only. The copy lets an activation that works in place leave the original alone.
        outputs.append(output.detach().requires_grad_())
        return outputs[-1].clone()

    for module in holders.values():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(seen)
    for module in holders.values() if layer is None else [holders[layer]]:
        module.register_forward_hook(cut)
    with evaluated(detector, gradients=True):
        score = detector(_batch(detector, clip)).score.sum()
        if not outputs:
            raise ValueError(f"{layer or 'every layer'} has an output of another shape than (B, C, F, L)")
        (gradient,) = torch.autograd.grad(score, outputs[-1], allow_unused=True)
    if gradient is None:
        raise ValueError(f"the score does not depend on {layer or 'the last layer of convolutions'}")
    score = score.detach()
    towards = _said(score) if towards is None else towards
    weights = _sign(towards) * gradient.mean(dim=(2, 3), keepdim=True)
    cam = F.relu((weights * outputs[-1].detach()).sum(dim=1, keepdim=True))
    cam = F.interpolate(cam, pictures[0], mode="bilinear", align_corners=False)[0, 0].cpu().numpy()
    return _explained("grad-cam", towards, score, clip, cam.mean(axis=0), cam)


def integrated_gradients(
    detector: Detector,
    wave: ArrayLike,
    towards: Label | None = None,
    of: Literal["features", "wave"] = "features",
    steps: int = 16,
) -> Explanation:
    """Integrated gradients (Sundararajan et al. 2017, equation 1), by the midpoint rule.

    The path is straight and starts from noise like the clip (`masking`), or from its features. The values sum
    to the score minus that of the start (completeness), for the reals with the sign turned: of the features
    to one or two per cent with 16 steps, of the waveform, where the gradient is rough, only with hundreds.

    Args:
        detector: Any.
        wave: Clip as the detector is given it, shape (T,), at 16 kHz.
        towards: The class to explain; None is the one that the detector says.
        of: `features` of the front end, whose rows the map has, or `wave`, of which there is no map; a front
            end that returns waveforms has no features but these.
        steps: Points on the path.

    Raises:
        ValueError: If `of` is neither of these, or `steps` is below 1.
    """
    if of not in ("features", "wave") or steps < 1:
        raise ValueError(f"of {of!r}, {steps} steps; allowed: 'features' or 'wave', at least 1")
    clip = checked(wave)
    with evaluated(detector, gradients=True):
        both = _batch(detector, clip, noise_like(clip))
        if of == "features":
            with torch.no_grad():
                both = detector.frontend(both)
        end, start = both.split(1)

        def judge(points: Tensor) -> Tensor:
            if of == "wave":
                return detector(points).score
            return detector.classify(detector.backbone(points))

        with torch.no_grad():
            score = judge(end).sum()
        total = torch.zeros_like(end)
        for part in ((torch.arange(steps) + 0.5) / steps).split(BATCH):
            share = part.to(end).view(-1, *[1] * (end.ndim - 1))
            points = (start + share * (end - start)).requires_grad_()
            (gradient,) = torch.autograd.grad(judge(points).sum(), points)
            total += gradient.nan_to_num().sum(dim=0, keepdim=True)  # digital silence has no gradient
    towards = _said(score) if towards is None else towards
    values = (_sign(towards) * (end - start) * total / steps)[0].cpu().numpy()
    if values.ndim > 1:
        return _explained("integrated-gradients", towards, score, clip, values.sum(axis=0), values)
    starts = np.arange(0, len(values), FRAME_SAMPLES)
    return _explained("integrated-gradients", towards, score, clip, np.add.reduceat(values, starts))


def occlusion(
    detector: Detector, wave: ArrayLike, towards: Label | None = None, seconds: float = REGION_S
) -> Explanation:
    """How far the score falls where each stretch is masked (Zeiler and Fergus 2014, section 4.2).

    Stretches overlap by half; a frame has the mean of those that hold it. They are masked in the features, by
    those of noise like the clip, so that the front end hears two clips and not one for every stretch.

    Args:
        detector: Any.
        wave: Clip as the detector is given it, shape (T,), at 16 kHz.
        towards: The class to explain; None is the one that the detector says.
        seconds: Length of a stretch.

    Raises:
        ValueError: If `seconds` is not positive.
    """
    if seconds <= 0:
        raise ValueError(f"seconds {seconds}; allowed: more than 0")
    clip = checked(wave)
    with evaluated(detector):
        features, mask = detector.frontend(_batch(detector, clip, noise_like(clip))).split(1)
        raw = features.ndim == 2
        frames = features.shape[-1]
        width = min(frames, max(2, round(seconds * SAMPLE_RATE / len(clip) * frames)))
        step = max(1, width // 2)
        starts = range(0, max(1, frames - step), step)
        spans = [(start, min(start + width, frames)) for start in starts]
        shares = np.stack([share_of([span], frames, FADE_SAMPLES if raw else 0) for span in spans])
        shaped = torch.from_numpy(shares).view(len(spans), *[1] * (features.ndim - 2), frames)
        scores = [
            detector.classify(detector.backbone(torch.lerp(features, mask, part)))
            for part in shaped.to(features).split(BATCH)
        ]
        score = detector.classify(detector.backbone(features)).sum()
    towards = _said(score) if towards is None else towards
    falls = _sign(towards) * (score - torch.cat(scores)).cpu().numpy()
    held = np.stack([share_of([span], frames) for span in spans])
    curve = (falls @ held / held.sum(axis=0))[:: FRAME_SAMPLES if raw else 1]
    return _explained("occlusion", towards, score, clip, curve)


METHODS: dict[str, Callable[[Detector, ArrayLike], Explanation]] = {
    "grad-cam": grad_cam,
    "integrated-gradients": integrated_gradients,
    "occlusion": occlusion,
}
"""By name, each with its defaults."""


@contextmanager
def evaluated(detector: Detector, gradients: bool = False) -> Iterator[None]:
    """The detector in eval mode, with or without gradients, whatever the caller has switched on or off."""
    training = detector.training
    detector.eval()
    try:
        with torch.inference_mode(not gradients), torch.set_grad_enabled(gradients):
            yield
    finally:
        detector.train(training)


def checked(wave: ArrayLike) -> NDArray[np.float32]:
    """A clip as float32, shape (T,).

    Raises:
        ValueError: If it is of another shape or no floating point, empty, or not finite.
    """
    clip = np.asarray(wave)
    if clip.ndim != 1 or not len(clip) or not np.issubdtype(clip.dtype, np.floating):
        raise ValueError(
            f"a clip has shape (T,), not empty, of floating point; got {clip.dtype} {clip.shape}"
        )
    if not np.isfinite(clip).all():
        raise ValueError(f"{int((~np.isfinite(clip)).sum())} samples are not finite")
    return clip.astype(np.float32)


def _explained(
    method: str,
    towards: Label,
    score: Tensor,
    clip: NDArray[np.float32],
    curve: NDArray[np.float32],
    picture: NDArray[np.float32] | None = None,
) -> Explanation:
    return Explanation(method, towards, float(score), len(clip) / SAMPLE_RATE, curve, picture)


def _sign(towards: Label) -> int:
    return 1 if towards == Label.FAKE else -1


def _said(score: Tensor) -> Label:
    return Label.FAKE if float(score) > 0 else Label.REAL


def _batch(detector: Detector, *clips: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.stack(clips)).to(next(detector.parameters()).device)
