"""Pretrained speech encoders: waveforms to the hidden states of every layer."""

from ncdetect.encoders.distillmos import DistillMOS
from ncdetect.encoders.whisper import WhisperEncoder

__all__ = ["DistillMOS", "WhisperEncoder"]
