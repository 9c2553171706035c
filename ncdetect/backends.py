"""What computes a Predictor's embeddings and scores: PyTorch on a device, or ONNX Runtime.

A backend is called with windows (N, T), float32 at 16 kHz, and answers with embeddings (N, D) and scores (N,)
as float32 arrays. Everything else of a verdict is the same whatever the backend.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ncdetect.checkpoint import CheckpointError, TrainedDetector

Floats = NDArray[np.float32]

AUTOCAST = {"32-true": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Precisions of PyTorch, and what is computed in where it loses little; front ends stay in float32."""
ONNX_FILES = {"32-true": "model.onnx", "int8": "model-int8.onnx"}
"""Precisions of ONNX Runtime, and the files beside a checkpoint's weights."""
PRECISIONS = {"torch": tuple(AUTOCAST), "onnx": tuple(ONNX_FILES)}
"""Backends, and what each computes in; the first is the default."""
DEVICES = ("cpu", "cuda")
BATCH_WINDOWS = {"cpu": 32, "cuda": 256}
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
"""Short names of ONNX Runtime's execution providers; the long ones are taken as well."""


class Backend(Protocol):
    """Windows (N, T) to embeddings (N, D) and scores (N,)."""

    def __call__(self, windows: Floats) -> tuple[Floats, Floats]:
        """Compute both."""
        ...


class TorchBackend:
    """A detector in PyTorch, on the CPU or a GPU."""

    def __init__(self, trained: TrainedDetector, device: str = "cpu", precision: str = "32-true"):
        """Take a detector, which is moved to the device.

        Raises:
            ValueError: If there is no such device or precision.
        """
        if device not in DEVICES:
            raise ValueError(f"unknown device {device!r}; allowed: {', '.join(DEVICES)}")
        if device == "cuda" and not torch.cuda.is_available():
            raise ValueError("device 'cuda' is not there: PyTorch finds no GPU; available: cpu")
        self.precision = _checked_precision("torch", precision)
        self.device = device
        self.trained = trained.to(device).eval()

    @torch.inference_mode()
    def __call__(self, windows: Floats) -> tuple[Floats, Floats]:
        """Compute in batches; on a GPU the next one travels while the last is computed."""
        outputs = []
        with ExitStack() as stack:
            dtype = AUTOCAST[self.precision]
            if dtype is not None:
                stack.enter_context(torch.autocast(self.device, dtype))
            elif self.device == "cuda":
                # cuDNN otherwise rounds what goes into convolutions to 10 bits.
                stack.enter_context(torch.backends.cudnn.flags(enabled=True, allow_tf32=False))
            for batch in _batches(windows, BATCH_WINDOWS[self.device]):
                wave = torch.from_numpy(batch)
                if self.device == "cuda":
                    wave = wave.pin_memory().to(self.device, non_blocking=True)
                outputs.append(self.trained(wave))
        embedding = torch.cat([output.embedding for output in outputs])
        score = torch.cat([output.score for output in outputs])
        return embedding.float().cpu().numpy(), score.float().cpu().numpy()


class OnnxBackend:
    """A graph that `onnx.export` wrote, in ONNX Runtime, with as many threads as PyTorch would take."""

    def __init__(self, file: Path, sha256: str, providers: Sequence[str] | None = None):
        """Open a graph.

        Args:
            file: The `.onnx` file.
            sha256: Of the checkpoint's weights, which the file must name.
            providers: Execution providers, the first that can do an operation does it; None is the CPU. The
                CPU always stands behind them.

        Raises:
            CheckpointError: If the file is missing, damaged, or of other weights.
            ValueError: If a provider is not there.
            ImportError: If ONNX Runtime is not installed.
        """
        ort = _onnxruntime()
        names = chosen_providers(providers, ort.get_available_providers())
        if not file.is_file():
            raise CheckpointError(
                f"there is no {file.name} in {file.parent}: write it with `python -m ncdetect export`"
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        try:
            self.session = ort.InferenceSession(file, options, providers=names)
        except Exception as error:  # its errors have no base class of their own
            raise CheckpointError(f"{file} is damaged or not ONNX: {str(error).splitlines()[0]}") from error
        found = self.session.get_modelmeta().custom_metadata_map.get("sha256", "none")
        if found != sha256:
            raise CheckpointError(
                f"{file} belongs to other weights than this checkpoint (sha256 {found[:12]} instead of "
                f"{sha256[:12]}): write it again with `python -m ncdetect export`"
            )

    @property
    def providers(self) -> tuple[str, ...]:
        """The execution providers in use."""
        return tuple(self.session.get_providers())

    def __call__(self, windows: Floats) -> tuple[Floats, Floats]:
        """Compute in batches."""
        outputs = [
            self.session.run(["embedding", "score"], {"wave": batch})
            for batch in _batches(windows, BATCH_WINDOWS["cpu"])
        ]
        embeddings, scores = zip(*outputs, strict=True)
        return np.concatenate(embeddings), np.concatenate(scores)


def build(
    trained: TrainedDetector,
    backend: str = "torch",
    device: str | None = None,
    precision: str | None = None,
    providers: Sequence[str] | None = None,
    onnx_path: str | Path | None = None,
) -> Backend:
    """The backend that was asked for.

    Args:
        trained: The detector.
        backend: `torch` or `onnx`.
        device: Of `torch`: `cpu` (where it is None) or `cuda`.
        precision: A value of PRECISIONS; None is the backend's first.
        providers: Of `onnx`: see `OnnxBackend`.
        onnx_path: Of `onnx`: the file, or a folder in which it has its usual name.

    Raises:
        ValueError: If a name is unknown, or an option belongs to the other backend.
        CheckpointError, ImportError: As of `OnnxBackend`.
    """
    if backend not in PRECISIONS:
        raise ValueError(f"unknown backend {backend!r}; allowed: {', '.join(PRECISIONS)}")
    precision = _checked_precision(backend, precision or PRECISIONS[backend][0])
    if backend == "torch":
        if providers is not None or onnx_path is not None:
            raise ValueError("providers and onnx_path are of the backend 'onnx'; 'torch' takes a device")
        return TorchBackend(trained, device or DEVICES[0], precision)
    if device is not None:
        raise ValueError(f"the backend 'onnx' takes providers ({', '.join(PROVIDERS)}) instead of a device")
    if onnx_path is None:
        raise ValueError("the backend 'onnx' needs onnx_path: the file, or the folder of the checkpoint")
    path = Path(onnx_path)
    return OnnxBackend(path / ONNX_FILES[precision] if path.is_dir() else path, trained.sha256, providers)


def chosen_providers(wanted: Sequence[str] | None, available: Sequence[str]) -> list[str]:
    """Long names of execution providers, the CPU last.

    Args:
        wanted: Short or long names; None is the CPU alone.
        available: Those of the installed ONNX Runtime.

    Raises:
        ValueError: If one is not available.
    """
    names = [PROVIDERS.get(name, name) for name in wanted or ()]
    missing = [name for name in names if name not in available]
    if missing:
        raise ValueError(
            f"execution provider {missing[0]} is not in this ONNX Runtime; available: {', '.join(available)} "
            "(those of NVIDIA GPUs: pip install onnxruntime-gpu)"
        )
    return list(dict.fromkeys([*names, PROVIDERS["cpu"]]))


def _batches(windows: Floats, size: int) -> list[Floats]:
    return [np.ascontiguousarray(windows[start : start + size]) for start in range(0, len(windows), size)]


def _checked_precision(backend: str, precision: str) -> str:
    if precision not in PRECISIONS[backend]:
        raise ValueError(
            f"unknown precision {precision!r} of the backend {backend!r}; "
            f"allowed: {', '.join(PRECISIONS[backend])}"
        )
    return precision


def _onnxruntime() -> ModuleType:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError("the backend 'onnx' needs ONNX Runtime: pip install \"ncdetect[onnx]\"") from error
    return onnxruntime
