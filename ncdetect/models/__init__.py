"""The architectures by name. A new model = one file and one line in MODELS."""

from collections.abc import Callable

from ncdetect.models.base import Detector, Output
from ncdetect.models.convnext import convnext
from ncdetect.models.listener import listener, small_listener
from ncdetect.models.resnet import resnet18b, tiny_resnet

MODELS: dict[str, Callable[[], Detector]] = {
    "resnet18b": resnet18b,
    "convnext": convnext,
    "tiny-resnet": tiny_resnet,
    "listener": listener,
    "small-listener": small_listener,
}


def build_model(name: str) -> Detector:
    """A freshly initialised detector.

    Raises:
        ValueError: If no model has that name.
    """
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; allowed: {', '.join(MODELS)}")
    return MODELS[name]()


__all__ = ["MODELS", "Detector", "Output", "build_model"]
