"""Adversarial clips: waveforms changed within a small ball so that a detector errs, and training on them."""

from collections.abc import Callable, Iterable, Iterator, Sized

import torch
from torch import Tensor, nn

from ncdetect.loading import Batch
from ncdetect.losses import bce_loss
from ncdetect.models import Detector, Output

EPSILON = 5e-4
"""Of a clip's peak, 66 dB below it; a longer single step harmed `tiny-resnet` less."""
PATH = 2.5
"""Length of all steps together, in radii: enough to leave a bad start behind (Madry et al. 2018)."""

Loss = Callable[[Output, Tensor], Tensor]


def perturbed(
    detector: Detector,
    wave: Tensor,
    labels: Tensor,
    loss: Loss = bce_loss,
    epsilon: float = EPSILON,
    steps: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Waveforms near the given ones on which a detector's loss is higher.

    One step is the fast gradient sign method (Goodfellow et al. 2015, section 4), from the clip itself; more
    are projected gradient ascent (Madry et al. 2018, section 2.1), from a random point of the ball. The
    detector is attacked as it judges, in eval mode; its weights, gradients, buffers and modes stay as they
    were.

    Args:
        detector: What is to err.
        wave: Waveforms at 16 kHz, (B, T), on the detector's device.
        labels: Values of `Label`, (B,).
        loss: To be raised.
        epsilon: Greatest change of a sample, as a share of its clip's peak, >= 0.
        steps: Gradients taken, >= 1.
        generator: Of the random start, on the CPU; None is the global one.

    Returns:
        A new tensor of the same shape, without gradient, nowhere beyond full scale (or beyond the peak of a
        clip that is). A silent clip stays silent.

    Raises:
        ValueError: If `epsilon` or `steps` is too small.
    """
    if epsilon < 0 or steps < 1:
        raise ValueError(f"epsilon must be at least 0 and steps at least 1, got {epsilon} and {steps}")
    wave = wave.detach()
    peak = wave.abs().amax(dim=1, keepdim=True)
    radius, highest = epsilon * peak, peak.clamp_min(1)
    low, high = torch.maximum(wave - radius, -highest), torch.minimum(wave + radius, highest)
    length = radius if steps == 1 else radius * (PATH / steps)
    found = wave
    if steps > 1:
        start = torch.rand(wave.shape, generator=generator).to(wave)
        found = (wave + radius * (2 * start - 1)).clamp(low, high)
    modes = {module: module.training for module in detector.modules()}
    detector.eval()
    for module in modes:
        if isinstance(module, nn.RNNBase):  # cuDNN gives no gradient of a recurrent layer in eval mode
            module.train()
    try:
        for _ in range(steps):
            gradient = _gradient(detector, found, labels, loss)
            # On silence the gradient may be no number; the sign of that is 0.
            found = (found + length * gradient.sign()).clamp(low, high)
    finally:
        for module, training in modes.items():
            module.training = training
    return found


def _gradient(detector: Detector, wave: Tensor, labels: Tensor, loss: Loss) -> Tensor:
    """Of the loss by the waveforms, (B, T)."""
    with torch.enable_grad():
        asked = wave.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(detector(asked), labels), asked)
    return gradient


class AdversarialBatches:
    """Train batches of which a share is perturbed against the detector as it is at that step.

    Takes the place of the batches that `training.fit` is given. They are perturbed only while the detector is
    in training mode, so that the batch statistics after an epoch are those of clips as they come.
    """

    def __init__(
        self,
        batches: Callable[[int], Iterable[Batch]],
        detector: Detector,
        share: float = 0.5,
        epsilon: float = EPSILON,
        steps: int = 1,
        loss: Loss = bce_loss,
        seed: int = 0,
    ):
        """Take clean batches and whom to attack.

        Args:
            batches: Batches of an epoch, by its number from 0.
            detector: The one in training.
            share: Of the clips, in [0, 1].
            epsilon: As in `perturbed`.
            steps: As in `perturbed`; each costs about two thirds of a training step.
            loss: The one of the training.
            seed: Of the choice of clips and of random starts; with the epoch's number it decides every draw.

        Raises:
            ValueError: If the share is not one.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"share must be in [0, 1], got {share}")
        self.batches, self.detector, self.share = batches, detector, share
        self.epsilon, self.steps, self.loss, self.seed = epsilon, steps, loss, seed

    def __call__(self, epoch: int) -> "_Epoch":
        """The batches of one epoch."""
        return _Epoch(self, self.batches(epoch), self.seed * 100_003 + epoch)


class _Epoch:
    def __init__(self, source: AdversarialBatches, batches: Iterable[Batch], seed: int):
        self.source, self.batches, self.seed = source, batches, seed

    def __len__(self) -> int:
        return len(self.batches) if isinstance(self.batches, Sized) else 0

    def __iter__(self) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(self.seed)
        for batch in self.batches:
            chosen = torch.rand(len(batch.wave), generator=generator) < self.source.share
            if self.source.detector.training and chosen.any():
                batch = batch._replace(wave=self._attacked(batch, chosen, generator))
            yield batch

    def _attacked(self, batch: Batch, chosen: Tensor, generator: torch.Generator) -> Tensor:
        """The waveforms of a batch, the chosen ones perturbed, where the batch is."""
        source, wave = self.source, batch.wave.clone()
        device = next(source.detector.parameters()).device
        wave[chosen] = perturbed(
            source.detector, wave[chosen].to(device), batch.label[chosen].to(device),
            source.loss, source.epsilon, source.steps, generator,
        ).to(wave)  # fmt: skip
        return wave
