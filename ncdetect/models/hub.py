"""`hub:SOURCE`: any audio classifier of transformers whose labels mean real and fake, as a detector.

SOURCE is a folder, or a repository of the Hugging Face Hub, with a `...ForSequenceClassification` or
`...ForAudioClassification` (wav2vec 2.0, WavLM, HuBERT, Whisper, AST and others) as safetensors, and with
its feature extractor. The embedding is what its last linear layer reads, the score its own logit of fake less
that of real; where several labels mean one class, the logarithm of the sum of their exponentials stands for
it. `hub_labels` says how labels are read. Where their names do not tell, `hub:SOURCE#fake=LABEL_1` names
those that mean fake (commas between them); all others mean real.
"""

import json
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor, nn

from ncdetect._transformers import import_transformers
from ncdetect.frontends import SAMPLE_RATE
from ncdetect.labels import Label
from ncdetect.models.base import Detector
from ncdetect.models.hub_labels import read_labels

PREFIX, FAKE_LABELS = "hub:", "#fake="
CONFIG_FILE, EXTRACTOR_FILE = "config.json", "preprocessor_config.json"
FETCHED = (
    CONFIG_FILE,
    EXTRACTOR_FILE,
    "processor_config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
)
"""Of a repository: no pickle is even fetched."""
UNUSED_KEYS = ("_name_or_path", "auto_map")
"""Of a config: where it once lay, and code that is never run."""
DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, StrictDataclassError)
"""What transformers raises of files that it cannot use."""
CLIPS_AT_ONCE = 8
"""Without gradients: Whisper makes 30 s of every clip, and 64 of them would fill the memory."""


class HubFrontEnd(nn.Module):
    """What a model's own feature extractor makes of waveforms.

    Models of raw waveforms read (B, T), each brought to mean 0 and variance 1 where they ask for it, and
    gradients pass. For all others the extractor itself makes a spectrogram (B, F, L) on NumPy arrays, filled
    up to the length that the model wants: no gradient reaches the waveform.
    """

    def __init__(self, extractor: Any):
        """Take a feature extractor of transformers.

        Raises:
            ValueError: If it is not one for 16 kHz.
        """
        super().__init__()
        transformers = import_transformers()
        rate = getattr(extractor, "sampling_rate", None)
        if rate != SAMPLE_RATE:
            raise ValueError(f"the model hears {rate} Hz; allowed: {SAMPLE_RATE}")
        self.extractor = extractor
        self.raw = isinstance(extractor, transformers.Wav2Vec2FeatureExtractor)
        self.frames_last = isinstance(extractor, transformers.WhisperFeatureExtractor)
        """Whether the model reads (B, F, L) and not (B, L, F)."""

    def forward(self, wave: Tensor) -> Tensor:
        """Of waveforms (B, T) at 16 kHz, float32."""
        wave = wave.float()
        if self.raw:
            if not self.extractor.do_normalize:
                return wave
            wave = wave - wave.mean(dim=1, keepdim=True)
            return wave / (wave.square().mean(dim=1, keepdim=True) + 1e-7).sqrt()
        clips = list(wave.detach().cpu().numpy())
        made = self.extractor(clips, sampling_rate=SAMPLE_RATE, return_tensors="np")
        features = torch.from_numpy(np.asarray(made[self.extractor.model_input_names[0]], np.float32))
        return (features if self.frames_last else features.transpose(1, 2)).to(wave.device)


class HubBackbone(nn.Module):
    """A classifier of transformers without its last layer: features to embeddings (B, D)."""

    def __init__(self, model: nn.Module, transposed: bool):
        """Take a model whose logits are embeddings; `transposed` if it reads spectrograms as (B, L, F)."""
        super().__init__()
        self.model, self.transposed = model, transposed

    def forward(self, features: Tensor) -> Tensor:
        """Waveforms (B, T) or spectrograms (B, F, L)."""
        if self.transposed:
            features = features.transpose(1, 2)
        if torch.is_grad_enabled():
            return self.model(features).logits
        return torch.cat([self.model(part).logits for part in features.split(CLIPS_AT_ONCE)])


class LabelHead(nn.Module):
    """The last layer of a classifier, read as one logit."""

    def __init__(self, linear: nn.Linear, labels: Sequence[Label]):
        """Take the layer and the class of each of its outputs."""
        super().__init__()
        self.linear = linear
        self.outputs = tuple([i for i, label in enumerate(labels) if label == which] for which in Label)

    @property
    def weight(self) -> Tensor:
        """From real to fake, (1, D): with several labels of a class, between their means."""
        real, fake = (self.linear.weight[rows].mean(dim=0, keepdim=True) for rows in self.outputs)
        return fake - real

    def forward(self, embedding: Tensor) -> Tensor:
        """(B, D) -> (B, 1): linear in the embedding where each class has one label."""
        logits = self.linear(embedding)
        real, fake = (logits[:, rows].logsumexp(dim=1, keepdim=True) for rows in self.outputs)
        return fake - real


class HubDetector(Detector):
    """A classifier of transformers as a detector."""

    def __init__(self, model: nn.Module, extractor: Any, published: Mapping[str, Any]):
        """Compose the parts.

        Args:
            model: An audio classifier.
            extractor: Its feature extractor.
            published: `config` and `extractor`, both as JSON has them, and `labels`, the word of each
                output's class: with the weights all that it takes to make this detector again.

        Raises:
            ValueError: If the model does not end in a linear layer that gives a logit for each label, or the
                extractor is not for 16 kHz.
        """
        labels, last = [Label.from_word(word) for word in published["labels"]], _take_last_layer(model)
        if last.out_features != len(labels) or set(labels) != set(Label):
            raise ValueError(
                f"{last.out_features} outputs, labels {published['labels']}: needs real and fake"
            )
        frontend = HubFrontEnd(extractor)
        backbone = HubBackbone(model, not (frontend.raw or frontend.frames_last))
        super().__init__(frontend, backbone, last.in_features, LabelHead(last, labels))
        self.published = dict(published)
        self.pretrained = ("backbone.",)


def hub_model(name: str, published: Mapping[str, Any] | None = None) -> HubDetector:
    """A classifier of transformers as a detector, in float32.

    Args:
        name: `hub:SOURCE` or `hub:SOURCE#fake=LABEL,LABEL`.
        published: What `HubDetector` says of itself, as a checkpoint keeps it: then SOURCE is not opened, and
            the weights are random. None reads all from SOURCE.

    Raises:
        ImportError: If transformers is not installed.
        FileNotFoundError: If there is no such model, or only pickles of one.
        ValueError: If it is no audio classifier for 16 kHz, or its labels do not tell real from fake.
    """
    if published is None:
        source, _, fakes = name.removeprefix(PREFIX).partition(FAKE_LABELS)
        return _opened(source, fakes.split(",") if fakes else ())
    try:
        return _rebuilt(published)
    except DAMAGED as error:
        raise ValueError(f"the description of {name} is damaged: {_first_line(error)}") from error


def _opened(source: str, fake: Collection[str]) -> HubDetector:
    auto, folder = import_transformers().AutoModelForAudioClassification, _folder(source)
    try:
        config, extractor = _described(folder)
        values = json.loads((folder / CONFIG_FILE).read_text("utf-8"))
    except DAMAGED as error:
        raise ValueError(f"{source} is no audio classifier: {_first_line(error)}") from error
    labels = read_labels([config.id2label[index] for index in range(config.num_labels)], fake)
    try:
        model, loaded = auto.from_pretrained(
            folder, config=config, use_safetensors=True, trust_remote_code=False, output_loading_info=True,
            dtype=torch.float32,
        )  # fmt: skip
    except (*DAMAGED, SafetensorError) as error:
        raise ValueError(f"{source} is no audio classifier: {_first_line(error)}") from error
    # What stands for masked frames is used in training alone; published weights may lack it.
    lacking = sorted(key for key in loaded["missing_keys"] if not key.endswith("masked_spec_embed"))
    if lacking:
        raise ValueError(
            f"{source} is no trained audio classifier: it lacks {len(lacking)} weights, {lacking[0]} first"
        )
    published = {
        "config": {key: value for key, value in values.items() if key not in UNUSED_KEYS},
        "extractor": json.loads(extractor.to_json_string()),
        "labels": [label.word for label in labels],
    }
    return HubDetector(model.train(), extractor, published)


def _rebuilt(published: Mapping[str, Any]) -> HubDetector:
    """With random weights."""
    auto = import_transformers().AutoModelForAudioClassification
    with tempfile.TemporaryDirectory() as place:
        for name, part in ((CONFIG_FILE, "config"), (EXTRACTOR_FILE, "extractor")):
            (Path(place) / name).write_text(json.dumps(published[part]), "utf-8")
        config, extractor = _described(Path(place))
    model = auto.from_config(config, trust_remote_code=False, dtype=torch.float32)
    return HubDetector(model.train(), extractor, published)


def _folder(source: str) -> Path:
    """Where the model's files lie, fetched from the Hub where this machine does not have them."""
    folder = Path(source)
    if not folder.is_dir():
        try:
            folder = Path(snapshot_download(source, allow_patterns=list(FETCHED)))
        except (HfHubHTTPError, HFValidationError, OSError) as error:
            raise FileNotFoundError(
                f"{source} is no folder, and the Hub has no such model: {_first_line(error)}"
            ) from error
    if not any(folder.glob("model*.safetensors")):
        raise FileNotFoundError(
            f"{source} has no weights as safetensors; a pickle such as pytorch_model.bin could run code and "
            "is never loaded"
        )
    return folder


def _described(folder: Path) -> tuple[Any, Any]:
    """The config and the feature extractor in a folder; code that comes with them is never run."""
    transformers = import_transformers()
    return (
        transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False),
        transformers.AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=False),
    )


def _take_last_layer(model: nn.Module) -> nn.Linear:
    """Take the last linear layer out of a model, so that its logits are what that layer read."""
    classifier = getattr(model, "classifier", None)
    for holder, name in ((model, "classifier"), (classifier, "dense")):
        last = getattr(holder, name, None)
        if isinstance(last, nn.Linear):
            setattr(holder, name, nn.Identity())
            return last
    raise ValueError(f"a {type(model).__name__} does not end in a linear layer")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
