"""Predictor: a clip in, a Verdict out. The one door for page, command line and API."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

import ncdetect
from ncdetect import audio, backends, collapse
from ncdetect.bank import MAPS, EmbeddingBank
from ncdetect.checkpoint import CheckpointError, TrainedDetector, locate
from ncdetect.labels import Label
from ncdetect.language import number, say

NEIGHBOURS = 5
MIXED_PROBABILITY, MIXED_WINDOWS = 0.85, 2
"""So many windows in a row this sure of the other class are told of in a warning. `python -m ncdetect joined`
measures how often that finds a fake part, and what other values would do."""

Word = Literal["real", "fake", "undecided"]


@dataclass(frozen=True)
class Window:
    """What the model says of one window of the clip."""

    start_s: float
    end_s: float
    judged: bool
    """False where there is too little signal: such a window has no part in the verdict."""
    score: float | None
    probability: float | None


@dataclass(frozen=True)
class Neighbour:
    """A known clip that is near in the model's embedding."""

    row: int
    """Row of the bank."""
    path: str
    corpus: str
    split: str
    label: str
    generator: str
    kind: str
    language: str
    distance: float


class Embedded(NamedTuple):
    """What the model makes of a clip's W windows, J of which hold enough signal to be judged."""

    starts: NDArray[np.int64]
    """Samples at 16 kHz, (W,)."""
    judged: NDArray[np.bool_]
    """(W,)."""
    embeddings: NDArray[np.float32]
    """(J, D)."""
    scores: NDArray[np.float32]
    """(J,)."""

    def mean(self) -> tuple[NDArray[np.float64], float]:
        """Embedding (D,) and score of the clip: with a linear head the mean's score is the mean score."""
        return self.embeddings.mean(axis=0, dtype=np.float64), float(self.scores.mean(dtype=np.float64))


@dataclass(frozen=True)
class Decision:
    """What is said of one embedding; distances are Euclidean in the embedding."""

    verdict: Word
    reason_code: str
    reason: str
    probability: float
    distance_real: float
    distance_fake: float
    nearest: Label
    """The nearer class mean."""
    called: Label
    """What the classifier alone calls it."""
    novelty: float


class Band(NamedTuple):
    """Where the known clips of a class lie: distances to their own mean that 5 % and 95 % do not exceed."""

    low: float
    high: float
    known: int


@dataclass(frozen=True)
class Verdict:
    """What is said of a clip; distances are Euclidean in the embedding, never in a picture."""

    verdict: Word
    reason: str
    """One plain sentence: why."""
    reason_code: str
    """agree, novel, disagree or middling."""
    score: float
    """Logit, higher = more fake."""
    probability: float
    """Of fake, if real and fake were equally likely."""
    distance_real: float
    distance_fake: float
    percentile_real: float
    """Share of the known real clips that lie nearer to the real mean than this clip."""
    percentile_fake: float
    """Share of the known fake clips that lie nearer to the fake mean than this clip."""
    nearest_mean: str
    agreement: bool
    """Whether nearest class mean and classifier say the same."""
    novelty: float
    """Distance to the known train clips; above 1 it is unlike 99 % of the clips of the dev split."""
    windows: tuple[Window, ...]
    neighbours: tuple[Neighbour, ...]
    warnings: tuple[audio.QualityWarning, ...]
    maps: dict[str, tuple[float, float]]
    """Where the clip falls on the maps: t-SNE and UMAP where the bank has them, and the exact distances."""
    duration_s: float
    model: dict[str, str]
    """Name, architecture, hash of the weights and version of the library."""

    def to_dict(self) -> dict[str, Any]:
        """JSON of all doors.

        A neighbour's file is called `clip`: Gradio's client takes any `path` for a file that it must fetch.
        """
        answer = dataclasses.asdict(self)
        for neighbour in answer["neighbours"]:
            neighbour["clip"] = neighbour.pop("path")
        return answer


class Predictor:
    """A trained detector with its bank, ready to judge clips."""

    def __init__(
        self,
        trained: TrainedDetector,
        name: str,
        backend: backends.Backend | None = None,
        decode: Callable[[audio.Source], audio.Audio] = audio.load,
    ):
        """Take a detector that has a bank.

        Args:
            trained: The detector.
            name: What it is called.
            backend: What computes it: None is PyTorch on the CPU.
            decode: Reads a clip: here, or `decoding_process.Decoders.load` in a process of its own.

        Raises:
            CheckpointError: If it has none: means and neighbours would be missing.
        """
        if trained.bank is None:
            raise CheckpointError(f"checkpoint {name!r} has no bank: class means and neighbours are missing")
        self.trained = trained.eval()
        self.backend, self.decode = backend or backends.TorchBackend(trained), decode
        self.bank: EmbeddingBank = trained.bank
        self.config = trained.config
        self.name = name
        known = self.bank.known()
        distances, labels = self.bank.mean_distances()[known], self.bank.labels[known]
        self._train = (self.bank.clips["split"] == "train").to_numpy()
        self._class_distances = {label: np.sort(distances[labels == label, label]) for label in Label}

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        backend: str = "torch",
        device: str | None = None,
        precision: str | None = None,
        providers: Sequence[str] | None = None,
        onnx_path: str | Path | None = None,
        decode: Callable[[audio.Source], audio.Audio] = audio.load,
        **options: Any,
    ) -> "Predictor":
        """Load a checkpoint: a name in `checkpoints/`, a folder, or a repository of the Hugging Face Hub.

        Args:
            name_or_path: As `TrainedDetector.from_pretrained` takes it, like `options`.
            backend: `torch`, or `onnx` for ONNX Runtime (`python -m ncdetect export` writes its file).
            device: Of `torch`: `cpu` or `cuda`.
            precision: Of `torch` 32-true, bf16 or fp16, of `onnx` 32-true or int8.
            providers: Of `onnx`: execution providers, `cuda` or `tensorrt`; the CPU stands behind them.
            onnx_path: Of `onnx`: its file or folder, where it does not lie beside the checkpoint's weights.
            decode: Reads a clip.
            **options: Of the Hub.

        Raises:
            CheckpointError: If it is nowhere, damaged, has no bank, or its ONNX file is of other weights.
            ValueError: If backend, device, precision or provider are unknown here.
            ImportError: If ONNX Runtime is asked for and not installed.
        """
        trained = TrainedDetector.from_pretrained(name_or_path, **options)
        if backend == "onnx" and onnx_path is None:
            onnx_path = locate(str(name_or_path), **options)
        runner = backends.build(trained, backend, device, precision, providers, onnx_path)
        return cls(trained, Path(str(name_or_path)).name, runner, decode)

    def check(self, source: audio.Source) -> Verdict:
        """Judge one clip.

        Args:
            source: Path, bytes, or (sample rate in Hz, samples).

        Raises:
            AudioError: If it cannot be judged; the text is a sentence for laymen.
        """
        return self.judge(self.decode(source))

    def embed_windows(self, windows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Embeddings (B, D) and scores (B,) of windows (B, T)."""
        return self.backend(windows)

    def embed(self, clip: audio.Audio) -> Embedded:
        """What the model makes of a clip's windows that hold enough signal."""
        starts, windows = audio.windows(clip.wave)
        judged = audio.active_windows(windows)
        return Embedded(starts, judged, *self.embed_windows(windows[judged]))

    def judge(self, clip: audio.Audio, embedded: Embedded | None = None) -> Verdict:
        """Judge a decoded clip.

        Args:
            clip: The clip.
            embedded: What `embed` gives of it, where that is known already.
        """
        embedded = embedded or self.embed(clip)
        embedding, score = embedded.mean()
        decision = self.decide(embedding, score)
        timeline = self._timeline(clip, embedded)
        return Verdict(
            verdict=decision.verdict,
            reason=decision.reason,
            reason_code=decision.reason_code,
            score=score,
            probability=decision.probability,
            distance_real=decision.distance_real,
            distance_fake=decision.distance_fake,
            percentile_real=self._percentile(Label.REAL, decision.distance_real),
            percentile_fake=self._percentile(Label.FAKE, decision.distance_fake),
            nearest_mean=decision.nearest.word,
            agreement=decision.nearest == decision.called,
            novelty=decision.novelty,
            windows=timeline,
            neighbours=self.neighbours(embedding),
            warnings=(*audio.quality_warnings(clip), *_mixed(timeline, decision.called)),
            maps={
                name: tuple(float(x) for x in self.bank.place(embedding, name))
                for name in MAPS
                if name in self.bank.maps
            }
            | {"exact": (decision.distance_real, decision.distance_fake)},
            duration_s=clip.duration_s,
            model={
                "name": self.name,
                "architecture": self.config.model,
                "sha256": self.trained.sha256,
                "version": ncdetect.__version__,
            },
        )

    def decide(self, embedding: NDArray[np.float64], score: float) -> Decision:
        """What is said of an embedding (D,) with that score, by both readings."""
        probability = float(self.config.calibration.probability(score))
        distances = collapse.distances_to(embedding[None], self.bank.means)[0]
        nearest, called = Label(int(distances.argmin())), Label(int(probability > 0.5))
        novelty = self._novelty(embedding)
        return Decision(
            *self._say(called, nearest, probability, novelty),
            probability=probability,
            distance_real=float(distances[Label.REAL]),
            distance_fake=float(distances[Label.FAKE]),
            nearest=nearest,
            called=called,
            novelty=novelty,
        )

    def _timeline(self, clip: audio.Audio, embedded: Embedded) -> tuple[Window, ...]:
        scores = iter(embedded.scores)
        timeline = []
        for start, judged in zip(embedded.starts, embedded.judged, strict=True):
            score = float(next(scores)) if judged else None
            end_s = min(float((start + audio.WINDOW_SAMPLES) / audio.SAMPLE_RATE), clip.duration_s)
            probability = None if score is None else float(self.config.calibration.probability(score))
            timeline.append(Window(float(start / audio.SAMPLE_RATE), end_s, bool(judged), score, probability))
        return tuple(timeline)

    def neighbours(self, embedding: NDArray[np.float64], count: int = NEIGHBOURS) -> tuple[Neighbour, ...]:
        """The nearest known clips, nearest first."""
        rows, distances = self.bank.nearest(embedding, count)
        fields = [field.name for field in dataclasses.fields(Neighbour)][1:-1]
        return tuple(
            Neighbour(int(row), *(str(self.bank.clips.at[row, name]) for name in fields), float(distance))
            for row, distance in zip(rows, distances, strict=True)
        )

    def band(self, label: Label) -> Band:
        """Where the known clips of a class lie; zeros where there is none."""
        known = self._class_distances[label]
        low, high = np.quantile(known, (0.05, 0.95)) if len(known) else (0.0, 0.0)
        return Band(float(low), float(high), len(known))

    def _novelty(self, embedding: NDArray[np.float64]) -> float:
        if not np.isfinite(self.config.novelty_distance):
            return 0.0
        _, distances = self.bank.nearest(embedding, self.config.novelty_neighbours, self._train)
        return float(distances[-1] / self.config.novelty_distance)

    def _percentile(self, label: Label, distance: float) -> float:
        known = self._class_distances[label]
        return float(np.searchsorted(known, distance) / len(known))

    def _say(
        self, called: Label, nearest: Label, probability: float, novelty: float
    ) -> tuple[Word, str, str]:
        real = called == Label.REAL
        if novelty > 1:
            reason = say(
                "This clip is unlike anything the model has learned from, so it would only be guessing."
            )
            return "undecided", "novel", reason
        if nearest != called:
            return "undecided", "disagree", _disagreement(called)
        if not self.config.thresholds.decided(probability):
            if real:
                reason = say(
                    "The signs are mixed: both readings lean towards real, but too weakly to say so."
                )
            else:
                reason = say(
                    "The signs are mixed: both readings lean towards synthetic, but too weakly to say so."
                )
            return "undecided", "middling", reason
        if real:
            reason = say("The clip lies nearer to the average real voice, and the classifier says the same.")
        else:
            reason = say(
                "The clip lies nearer to the average synthetic voice, and the classifier says the same."
            )
        return called.word, "agree", reason


def _disagreement(called: Label) -> str:
    """Why nothing is said where the classifier calls a clip so and it lies nearer to the other mean."""
    if called == Label.FAKE:
        return say(
            "The two readings disagree: the clip lies nearer to the average real voice, but the classifier "
            "leans towards synthetic."
        )
    return say(
        "The two readings disagree: the clip lies nearer to the average synthetic voice, but the classifier "
        "leans towards real."
    )


def other_stretch(
    timeline: Sequence[Window],
    called: Label,
    probability: float = MIXED_PROBABILITY,
    windows: int = MIXED_WINDOWS,
) -> tuple[int, int] | None:
    """First and last of the first windows in a row that are sure of the other class than the clip as a whole.

    None where there are not so many in a row.

    Args:
        timeline: The clip's windows.
        called: What the clip as a whole is called.
        probability: Of the other class, at least.
        windows: In a row, at least.
    """
    start = 0
    for sure, run in groupby(timeline, lambda window: _is_other(window, called, probability)):
        end = start + len(list(run))
        if sure and end - start >= windows:
            return start, end - 1
        start = end
    return None


def _is_other(window: Window, called: Label, probability: float) -> bool:
    fake = window.probability
    return fake is not None and (fake if called == Label.REAL else 1 - fake) >= probability


def _mixed(timeline: Sequence[Window], called: Label) -> tuple[audio.QualityWarning, ...]:
    """A warning where a part is of the other class."""
    stretch = other_stretch(timeline, called)
    if stretch is None:
        return ()
    first, last = (timeline[index] for index in stretch)
    span = {"start": number(first.start_s, ".0f"), "end": number(last.end_s, ".0f")}
    if called == Label.REAL:
        sentence = say(
            "Parts of the recording sound different: from {start} s to {end} s it seems synthetic, unlike "
            "the rest.",
            **span,
        )
    else:
        sentence = say(
            "Parts of the recording sound different: from {start} s to {end} s it seems real, unlike the "
            "rest.",
            **span,
        )
    return (audio.QualityWarning("mixed", sentence),)
