"""Detectors as ONNX graphs: waveforms (B, 48000) in, embeddings (B, D) and scores (B,) out.

A graph holds the whole detector, front end included, and is written only if it gives the verdicts of PyTorch.
`backends.OnnxBackend` runs it. The int8 graph computes convolutions and linear layers in whole numbers; what
turns the waveform into a spectrum, and the head, stay in float32.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

import ncdetect
from ncdetect import audio, folding
from ncdetect.backends import ONNX_FILES, OnnxBackend
from ncdetect.checkpoint import TrainedDetector, locate
from ncdetect.files import replacing
from ncdetect.models import Detector

if TYPE_CHECKING:
    import onnx

    from ncdetect.predictor import Predictor

EXAMPLES = Path(__file__).resolve().parent.parent / "assets" / "examples"
OPSET = 20
SCORE_ERROR = 1e-4
"""By so much the score of a clip may differ from PyTorch's."""
CALIBRATION_CLIPS, CALIBRATION_BATCH = 256, 8
PRODUCTS = ["Conv", "Gemm", "MatMul"]
"""Operators whose weights are int8; without calibration the convolutions stay exact."""
_SCOPES = "pkg.torch.onnx.name_scopes"


class ExportError(ValueError):
    """A graph that does not compute what the detector computes."""


@dataclass(frozen=True)
class Parity:
    """How two predictors agree on the same clips."""

    clips: int
    score_error: float
    """Largest difference of a clip's scores."""
    changed: tuple[str, ...]
    """Names of the clips whose verdict differs."""

    @classmethod
    def of(cls, one: "Predictor", other: "Predictor", files: Sequence[Path]) -> "Parity":
        """Judge clips, at least one, by both.

        Raises:
            AudioError: If one cannot be judged.
        """
        errors, changed = [], []
        for file in files:
            clip = audio.load(file)
            first, second = one.judge(clip), other.judge(clip)
            errors.append(abs(first.score - second.score))
            if first.verdict != second.verdict:
                changed.append(file.name)
        return cls(len(files), float(np.max(errors)), tuple(changed))


def export(
    name: str,
    out: Path | None = None,
    precision: str = "32-true",
    calibration: Sequence[Path] = (),
    clips: Sequence[Path] | None = None,
) -> tuple[Path, Parity]:
    """Write a checkpoint's graph, if it gives PyTorch's verdicts.

    Args:
        name: As `Predictor.from_pretrained` takes it.
        out: Folder; None is the checkpoint's own.
        precision: A key of ONNX_FILES.
        calibration: Of int8: clips on which the ranges of activations are measured, at most
            CALIBRATION_CLIPS of them; without any, ranges are measured anew in every call, which is slower.
        clips: On which verdicts are compared; None is the examples that come with the library.

    Returns:
        The file, and how it agrees with PyTorch.

    Raises:
        ExportError: If a float32 graph differs in a verdict, or by more than SCORE_ERROR in a score. There is
            no file then. Of int8 such differences are only told.
        ValueError: If the precision is unknown, or there are no clips.
        CheckpointError: As of `Predictor.from_pretrained`.
        ImportError: If a package of the extra `onnx` is missing.
    """
    from ncdetect.predictor import Predictor

    if precision not in ONNX_FILES:
        raise ValueError(f"unknown precision {precision!r}; allowed: {', '.join(ONNX_FILES)}")
    _check_packages()
    clips = sorted(EXAMPLES.glob("*.flac")) if clips is None else clips
    if not clips:
        raise ValueError("there are no clips to compare verdicts on")
    reference = Predictor.from_pretrained(name)
    graph = graph_of(reference.trained.detector)
    if precision == "int8":
        graph = quantised(graph, calibration)
    _describe(graph, reference.trained, reference.name, precision)
    file = (locate(name) if out is None else out) / ONNX_FILES[precision]
    with replacing(file) as temporary:
        temporary.write_bytes(graph.SerializeToString())
        backend = OnnxBackend(temporary, reference.trained.sha256)
        other = Predictor(reference.trained, reference.name, backend)
        parity = Parity.of(reference, other, clips)
        if precision != "int8" and (parity.changed or not parity.score_error <= SCORE_ERROR):
            raise ExportError(
                f"the graph of {name} differs from PyTorch by up to {parity.score_error:.1e} in a score "
                f"(allowed: {SCORE_ERROR:.0e}) and in {len(parity.changed)} of {parity.clips} verdicts: "
                "it was not written"
            )
    return file, parity


def graph_of(detector: Detector) -> "onnx.ModelProto":
    """The graph of a detector in eval mode, on the CPU."""
    wave = torch.zeros(2, audio.WINDOW_SAMPLES)
    with folding.folded(detector) as detector:
        program = torch.onnx.export(
            detector,
            (wave,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("B", min=1)},),
            input_names=["wave"],
            output_names=["embedding", "score"],
            opset_version=OPSET,
            verbose=False,
        )
    graph = program.model_proto
    # The exporter notes the lines of source that each node came from, with this machine's paths.
    for node in graph.graph.node:
        kept = [entry for entry in node.metadata_props if entry.key == _SCOPES]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    return graph


def quantised(graph: "onnx.ModelProto", calibration: Sequence[Path]) -> "onnx.ModelProto":
    """The graph in int8, weights by output channel.

    Args:
        graph: Of `graph_of`.
        calibration: Clips that ranges of activations are measured on; none: they are measured in every call.
    """
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    options: dict[str, Any] = {
        "op_types_to_quantize": [*PRODUCTS, "Add", "Relu", "MaxPool"] if calibration else PRODUCTS[1:],
        "per_channel": True,
        "extra_options": {"MatMulConstBOnly": True},
    }
    with TemporaryDirectory() as folder:
        whole, prepared, made = (Path(folder) / name for name in ("whole", "prepared", "made"))
        whole.write_bytes(graph.SerializeToString())
        quant_pre_process(whole, prepared, skip_symbolic_shape=True)
        model = _load(prepared)
        options["nodes_to_exclude"] = exact_nodes(model.graph)
        # Shapes are inferred anew: weights are transposed, and those noted would contradict them.
        del model.graph.value_info[:]
        if calibration:
            # Unsigned, for a ReLU then needs no step of its own.
            quantization.quantize_static(
                model,
                made,
                _Calibration(calibration),
                activation_type=quantization.QuantType.QUInt8,
                **options,
            )
        else:
            quantization.quantize_dynamic(model, made, **options)
        return _load(made)


def exact_nodes(graph: "onnx.GraphProto") -> list[str]:
    """Names of the nodes that stay in float32.

    Those up to the first convolutions (8 bits do not hold a spectrum's 60 dB), those behind the embedding
    (the head), and sums that no convolution goes into directly.
    """
    source = {output: node for node in graph.node for output in node.output}
    convolved, headed = set(), {"embedding"}
    exact = []
    for node in graph.node:  # in the order of computation
        behind = bool(convolved.intersection(node.input))
        if node.op_type == "Conv" or behind:
            convolved.update(node.output)
        if headed.intersection(node.input):
            headed.update(node.output)
        direct = any(source[name].op_type == "Conv" for name in node.input if name in source)
        if (
            not behind
            or headed.intersection(node.output) - {"embedding"}
            or (node.op_type == "Add" and not direct)
        ):
            exact.append(node.name)
    return exact


class _Calibration:
    """Windows of clips, as ONNX Runtime's quantisation reads them."""

    def __init__(self, files: Sequence[Path]):
        # Spread over the whole list, which goes by corpus.
        chosen = np.unique(np.linspace(0, len(files) - 1, min(CALIBRATION_CLIPS, len(files))).astype(int))
        self._batches = self._read([files[row] for row in chosen])

    def _read(self, files: Iterable[Path]) -> Iterator[dict[str, NDArray[np.float32]]]:
        waiting: list[NDArray[np.float32]] = []
        for file in files:
            _, windows = audio.windows(audio.load(file).wave)
            waiting.extend(windows[audio.active_windows(windows)][:1])
            if len(waiting) == CALIBRATION_BATCH:
                yield {"wave": np.stack(waiting)}
                waiting = []
        if waiting:
            yield {"wave": np.stack(waiting)}

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next batch, None at the end."""
        return next(self._batches, None)


def _describe(graph: "onnx.ModelProto", trained: TrainedDetector, name: str, precision: str) -> None:
    from onnx import helper

    graph.producer_name, graph.producer_version = "ncdetect", ncdetect.__version__
    helper.set_model_props(
        graph,
        {
            "checkpoint": name,
            "architecture": trained.config.model,
            "sha256": trained.sha256,
            "version": ncdetect.__version__,
            "sample_rate_hz": str(audio.SAMPLE_RATE),
            "precision": precision,
        },
    )


def _load(file: Path) -> "onnx.ModelProto":
    import onnx

    return onnx.load(file)


def _check_packages() -> None:
    missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]
    if missing:
        raise ImportError(f'export needs {", ".join(missing)}: pip install "ncdetect[onnx]"')
