"""The architectures by name. A new model = one file and one line in MODELS.

Besides them, `hub:SOURCE` is any audio classifier of transformers (see `hub`).
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ncdetect.models.aasist import aasist, aasist_l
from ncdetect.models.base import Detector, Output
from ncdetect.models.convnext import convnext
from ncdetect.models.gru import gru
from ncdetect.models.hub import PREFIX, HubDetector, hub_model
from ncdetect.models.listener import light_listener, listener, small_listener
from ncdetect.models.mel_attention import mel_attention
from ncdetect.models.mesonet import whisper_mesonet
from ncdetect.models.ocsoftmax import cepstral_resnet18
from ncdetect.models.resnet import resnet18b, tiny_resnet
from ncdetect.models.wav2vec2 import wav2vec2

MODELS: dict[str, Callable[[], Detector]] = {
    "resnet18b": resnet18b,
    "convnext": convnext,
    "tiny-resnet": tiny_resnet,
    "listener": listener,
    "light-listener": light_listener,
    "small-listener": small_listener,
    "lfcc-resnet18": partial(cepstral_resnet18, "lfcc", "oc-softmax"),
    "lfcc-resnet18-softmax": partial(cepstral_resnet18, "lfcc", "bce"),
    "lfcc-resnet18-am": partial(cepstral_resnet18, "lfcc", "am-softmax"),
    "mfcc-resnet18": partial(cepstral_resnet18, "mfcc", "oc-softmax"),
    "mfcc-resnet18-softmax": partial(cepstral_resnet18, "mfcc", "bce"),
    "mfcc-resnet18-am": partial(cepstral_resnet18, "mfcc", "am-softmax"),
    "whisper-mesonet": partial(whisper_mesonet, "bce"),
    "whisper-mesonet-oc": partial(whisper_mesonet, "oc-softmax"),
    "aasist": aasist,
    "aasist-l": aasist_l,
    "mel-attention": mel_attention,
    "gru": gru,
    "wav2vec2": wav2vec2,
}


def build_model(name: str, published: Mapping[str, Any] | None = None) -> Detector:
    """A freshly initialised detector; of `hub:SOURCE` one with the published weights.

    Args:
        name: A key of MODELS, or `hub:SOURCE`.
        published: Of `hub:SOURCE` what a checkpoint keeps of it (`HubDetector.published`): then SOURCE is not
            opened, and the weights are random.

    Raises:
        ValueError: If no model has that name; further errors of `hub:SOURCE` are those of `hub_model`.
    """
    if name.startswith(PREFIX):
        return hub_model(name, published)
    if name not in MODELS:
        raise ValueError(
            f"unknown model {name!r}; allowed: {', '.join(MODELS)}, and {PREFIX}FOLDER or {PREFIX}USER/NAME"
        )
    return MODELS[name]()


__all__ = ["MODELS", "Detector", "HubDetector", "Output", "build_model"]
