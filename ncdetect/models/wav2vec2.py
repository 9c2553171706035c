"""`wav2vec2`: a detector on wav2vec 2.0 (Baevski et al. 2020), through the optional package transformers."""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from ncdetect._transformers import import_transformers
from ncdetect.models.base import Detector
from ncdetect.models.gru import MeanProjection

EMBEDDING_DIM = 128
UNMASKED = {"layerdrop": 0.0, "mask_time_prob": 0.0, "mask_feature_prob": 0.0}
"""Dropping whole layers and masking stretches belong to its pretraining."""


class Wav2Vec2FrontEnd(nn.Module):
    """The whole encoder: (B, T) -> last hidden states (B, F, L), 50 frames a second."""

    def __init__(self, model: nn.Module):
        """Take a `transformers.Wav2Vec2Model`."""
        super().__init__()
        self.model = model

    def forward(self, wave: Tensor) -> Tensor:
        """Of waveforms at 16 kHz, each brought to mean 0 and variance 1, as in the encoder's pretraining."""
        wave = wave.float() - wave.float().mean(dim=1, keepdim=True)
        wave = wave / (wave.square().mean(dim=1, keepdim=True) + 1e-7).sqrt()
        return self.model(wave).last_hidden_state.transpose(1, 2)


def wav2vec2(
    weights: str | Path | None = None, config: Mapping[str, Any] | None = None, dropout: float = 0.3
) -> Detector:
    """Wav2vec 2.0, the mean of its last hidden states, 128-d embedding; by default base, 94 M parameters.

    Args:
        weights: A folder, or a repository of the Hugging Face Hub such as `facebook/wav2vec2-base`, with
            published weights as safetensors; None leaves them random.
        config: Of a random one: what differs from base, arguments of `transformers.Wav2Vec2Config`.
        dropout: Above the encoder, in [0, 1).

    Raises:
        ImportError: If transformers is not installed.
        ValueError: If weights and config are given, or the weights are not those of a wav2vec 2.0.
        FileNotFoundError: If there are no weights under that name.
    """
    transformers = import_transformers()
    if weights is None:
        model = transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**UNMASKED | dict(config or {})))
    elif config:
        raise ValueError(f"{weights} brings its own config; got {sorted(config)} besides")
    else:
        model = _published(transformers, str(weights))
    size = model.config.hidden_size
    detector = Detector(Wav2Vec2FrontEnd(model), MeanProjection(size, EMBEDDING_DIM, dropout), EMBEDDING_DIM)
    detector.pretrained = ("frontend.",)
    return detector


def _published(transformers: ModuleType, weights: str) -> nn.Module:
    """The encoder with published weights; pickles are not read."""
    try:
        model, loaded = transformers.Wav2Vec2Model.from_pretrained(
            weights, use_safetensors=True, output_loading_info=True, **UNMASKED
        )
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise FileNotFoundError(f"there is no wav2vec 2.0 as safetensors at {weights}: {reason}") from error
    if loaded["missing_keys"]:
        raise ValueError(
            f"{weights} is not a wav2vec 2.0: it lacks {len(loaded['missing_keys'])} weights, "
            f"{sorted(loaded['missing_keys'])[0]} first"
        )
    return model.float().train()
