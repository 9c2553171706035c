"""The training loop: early stopping, resume to the same result, a log line an epoch. Fabric runs it.

Nothing here knows architectures or corpora: `fit` takes a detector and batches. Processes that torchrun
starts train one detector together (DDP): each takes its share of every batch, gradients are averaged, and the
first alone evaluates and writes.
"""

import dataclasses
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ncdetect import collapse, metrics
from ncdetect.files import replacing
from ncdetect.losses import bce_loss
from ncdetect.models import Detector, Output

log = logging.getLogger(__name__)

Progress = Callable[[Iterable, str], Iterable]
Schedule = Literal["constant", "cosine", "step"]
Optimiser = Literal["adam", "adamw"]
STATE_FILE, BEST_FILE, LOG_FILE = "state.safetensors", "best.safetensors", "log.jsonl"
NORM_BATCHES = 16
WARM_UP = 0.1
"""Share of the steps over which the cosine schedule rises from zero."""


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are the paper's (Yousif et al. 2024, section 3.2.2)."""

    epochs: int = 100
    """Most passes over the train clips."""
    patience: int = 10
    """Epochs without a lower dev loss after which training stops."""
    learning_rate: float = 1e-3
    """Of Adam; its peak under the cosine schedule."""
    schedule: Schedule = "constant"
    """`constant` is the paper's; `cosine` rises over the first tenth of all steps and falls to zero at the
    last (Loshchilov and Hutter 2017): for runs of a fixed number of steps, with patience at `epochs`; `step`
    halves the rate every `halve_every` epochs (Zhang et al. 2021)."""
    halve_every: int = 10
    """Epochs."""
    weight_decay: float = 0.0
    """L2 penalty of Adam; of AdamW the decay."""
    optimiser: Optimiser = "adam"
    """`adam` is the paper's."""
    pretrained_rate: float = 1.0
    """Learning rate of a detector's pretrained parts, as a share of the others'; 0 freezes them."""
    average: float = 0.0
    """Decay a step of an exponential moving average of the weights (Polyak and Juditsky 1992), which then is
    what is evaluated and kept; 0 is none."""
    seed: int = 0
    """Of initial weights and dropout; batches have the same."""
    precision: str = "auto"
    """`auto` (the faster of the two on this machine; 32-true for several processes without GPUs, which might
    not agree), `32-true`, `bf16-mixed` or `16-mixed`."""


@dataclass(frozen=True)
class Epoch:
    """One line of the log. Measures of collapse are taken in eval mode without augmentation.

    The means of NC4 are those of the watched train clips; NC2 has the fakes split by generator and is None
    where the generators are not known.
    """

    epoch: int
    train_loss: float
    dev_loss: float
    dev_eer: float
    nc1_train: float
    nc1_dev: float
    nc2_train: float | None
    nc2_dev: float | None
    nc3_train: float
    nc3_dev: float
    nc4_train: float
    nc4_dev: float
    cdnv_train: float
    cdnv_dev: float
    seconds: float


@dataclass(frozen=True)
class Draws:
    """Every clip that training drew, in order, and the logit that it had in that step."""

    rows: NDArray[np.int32]
    """Rows of the train manifest, (S,)."""
    scores: NDArray[np.float32]
    """Logits in training mode, before the step, (S,)."""


@dataclass(frozen=True)
class Fit:
    """What training came to; the detector holds the weights of the best epoch."""

    best_epoch: int
    precision: str
    history: tuple[Epoch, ...]
    draws: Draws

    @property
    def best(self) -> Epoch:
        """The epoch of the lowest dev loss."""
        return self.history[self.best_epoch]


@dataclass(frozen=True)
class Embedded:
    """Clips as a detector sees them: the means over each clip's windows."""

    rows: NDArray[np.int64]
    """Rows of the manifest in ascending order, (N,)."""
    labels: NDArray[np.int64]
    """Values of `Label`, (N,)."""
    embeddings: NDArray[np.float32]
    """(N, D)."""
    scores: NDArray[np.float32]
    """Logits, (N,)."""


@torch.inference_mode()
def embed(model: Callable[[Tensor], Output], batches: Iterable) -> Embedded:
    """Embeddings and scores of clips, averaged over the windows of each.

    Args:
        model: A detector in eval mode, or Fabric's wrapper of one.
        batches: Windows, each with `wave` (B, T), `label` (B,) and `row` (B,).

    Raises:
        ValueError: If there are no batches.
    """
    parts: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    for batch in batches:
        output = model(batch.wave)
        parts.append((batch.row, batch.label, output.embedding.float().cpu(), output.score.float().cpu()))
    if not parts:
        raise ValueError("there are no clips to embed")
    row, label, embedding, score = (torch.cat(column).numpy() for column in zip(*parts, strict=True))
    rows, first, inverse = np.unique(row, return_index=True, return_inverse=True)
    windows = np.bincount(inverse)
    mean_embedding = np.zeros((len(rows), embedding.shape[1]))
    np.add.at(mean_embedding, inverse, embedding)
    mean_embedding /= windows[:, None]
    mean_score = np.bincount(inverse, score) / windows
    return Embedded(rows, label[first], mean_embedding.astype(np.float32), mean_score.astype(np.float32))


class _ExactInput(MixedPrecision):
    """Mixed precision that leaves the input alone: Fabric rounds it, and a waveform then has 8 bits."""

    def convert_input(self, data: object) -> object:
        return data


def is_launched() -> bool:
    """Whether torchrun started this process."""
    return torch.distributed.is_torchelastic_launched()


def is_helper() -> bool:
    """Whether torchrun started this process beside a first one, which alone writes what comes of it."""
    return is_launched() and os.environ["RANK"] != "0"


def _fabric(precision: str) -> Fabric:
    options: dict[str, object] = {"accelerator": "auto", "devices": 1, "precision": precision}
    if precision.endswith("-mixed"):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        options |= {"precision": None, "plugins": [_ExactInput(precision, device)]}
    if is_launched():
        here, all_ = (int(os.environ[name]) for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
        options |= {"devices": here, "num_nodes": all_ // here, "strategy": "ddp"}
    fabric = Fabric(**options)
    fabric.launch()
    return fabric


def _shared(fabric: Fabric, batches: Iterable) -> Iterable:
    """This process's part of each batch: every n-th clip of n processes' batch, as many for each.

    What cannot be divided, and a batch with fewer than two clips for each (batch normalisation needs them),
    is left out. The clips of other processes are not read.

    Raises:
        ValueError: If there are several processes, and the batches are of a kind that cannot be divided.
    """
    count, first = fabric.world_size, fabric.global_rank
    if count == 1:
        return batches
    if not isinstance(batches, DataLoader):
        raise ValueError(f"{type(batches).__name__} cannot be shared among processes: train in one")
    whole = (list(rows) for rows in batches.batch_sampler)
    own = [rows[first : len(rows) // count * count : count] for rows in whole if len(rows) >= 2 * count]
    return DataLoader(batches.dataset, batch_sampler=own, collate_fn=batches.collate_fn)


def unwatched(batches: Iterable, _: str) -> Iterable:
    """Progress that nobody looks at."""
    return batches


def fit(
    detector: Detector,
    train: Callable[[int], Iterable],
    dev: Iterable,
    watch: Iterable,
    recipe: Recipe,
    folder: Path,
    loss: Callable[[Output, Tensor], Tensor] = bce_loss,
    sources: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
    progress: Progress = unwatched,
    epoch_done: Callable[[Epoch], None] = lambda _: None,
) -> Fit:
    """Train a detector and leave it with the weights of its best epoch.

    Killed at any point and called again with the same arguments and folder, it goes on and ends in the same
    result as an unbroken run. Several processes must see the same folder; batch statistics are those of each
    process's share, as always with DDP, and so many processes make the same steps as one would.

    Args:
        detector: Freshly built; its initial weights are drawn anew from the recipe's seed by the caller.
        train: Batches of an epoch, by its number from 0.
        dev: Windows of the dev clips, of both classes.
        watch: Windows of some train clips, on which collapse is measured.
        recipe: How to train.
        folder: Holds `state.safetensors`, `best.safetensors` and `log.jsonl` (a line an epoch).
        loss: Of a batch.
        sources: For NC2: of each row of the train and of the dev manifest, 0 for a real and the number of its
            generator, from 1, for a fake.
        progress: Wraps an epoch's batches, given a caption: a progress bar.
        epoch_done: Is told of each finished epoch.

    Raises:
        ValueError: If the folder holds a run with another recipe, or several processes cannot share the
            batches.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = _State.load(folder / STATE_FILE, recipe)
    precision = state.precision if state else recipe.precision
    if precision == "auto":
        precision = choose_precision(detector, next(iter(train(0))))
    fabric = _fabric(precision)
    if fabric.device.type == "cpu":
        detector.to(memory_format=torch.channels_last)
    trainable = [parameter for parameter in detector.parameters() if parameter.requires_grad]
    optimisers = _optimisers(detector, recipe)
    average = Average(detector, recipe.average) if recipe.average else None
    if state:
        state.restore(detector, optimisers[0], average)
    state = state or _State(precision=precision)
    model, *optimisers = fabric.setup(detector, *optimisers)

    while not state.finished(recipe):
        started = time.perf_counter()
        epoch = len(state.history)
        # Dropout draws from the global generator; seeding each epoch makes a resumed run draw the same, and
        # every process something else.
        torch.manual_seed(recipe.seed * 100_003 + epoch + 1_000_000_007 * fabric.global_rank)
        model.train()
        losses, rows, scores = [], [], []
        batches = _shared(fabric, train(epoch))
        shown = progress if fabric.is_global_zero else unwatched
        for step, batch in enumerate(shown(_on(fabric, batches), f"epoch {epoch + 1}")):
            for optimiser in optimisers:
                _set_rate(optimiser, recipe, epoch + step / len(batches))
                optimiser.zero_grad()
            output = model(batch.wave)
            value = loss(output, batch.label)
            fabric.backward(value)
            for optimiser in optimisers:
                optimiser.step()
            if average:
                average.update()
            losses.append(value.detach())
            rows.append(batch.row)
            scores.append(output.score.detach().float())
        train_loss = float(fabric.all_reduce(torch.stack(losses).mean(), reduce_op="mean"))
        if not np.isfinite(train_loss):
            raise FloatingPointError(f"loss {train_loss} in epoch {epoch + 1}: lower the learning rate")
        state.drawn(_gathered(fabric, rows), _gathered(fabric, scores))
        if fabric.is_global_zero:
            # The detector itself, not DDP's wrapper, whose every pass waits for the other processes.
            with average.applied() if average else nullcontext(), fabric.autocast():
                recalibrate_norms(detector, islice(_on(fabric, train(epoch)), NORM_BATCHES))
                held_out, watched = embed(detector, _on(fabric, dev)), embed(detector, _on(fabric, watch))
                entry = _measure(epoch, train_loss, watched, held_out, sources, detector.head.weight, started)
                state.history.append(entry)
                if state.best_epoch == epoch:
                    _write(folder / BEST_FILE, dict(detector.state_dict()), {})
            state.save(folder / STATE_FILE, detector, optimisers[0], recipe, average)
            _write_log(folder / LOG_FILE, state.history)
            log.info("epoch %d: dev loss %.4f, dev EER %.3f", epoch + 1, entry.dev_loss, entry.dev_eer)
            epoch_done(entry)
        state.history = fabric.broadcast(state.history)

    for parameter in trainable:  # also those that a rate of 0 kept still
        parameter.requires_grad_(True)
    detector.load_state_dict(load_file(folder / BEST_FILE))
    detector.to("cpu", memory_format=torch.contiguous_format).eval()
    draws = Draws(state.draws["row"].numpy(), state.draws["score"].numpy())
    return Fit(state.best_epoch, precision, tuple(state.history), draws)


@torch.no_grad()
def recalibrate_norms(model: nn.Module, batches: Iterable) -> None:
    """Estimate the batch-norm statistics anew, without dropout, as the model will be used.

    The running averages lag behind weights that move fast in epochs of a few steps, and were taken under
    dropout, which widens them ("variance shift", Li et al. 2019): without this the dev loss jumped tenfold
    from epoch to epoch. The model is left in eval mode.
    """
    model.eval()
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # plain averages over the batches
        norm.train()
    for batch in batches:
        model(batch.wave)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def choose_precision(detector: Detector, batch: object, steps: int = 3) -> str:
    """The faster of float32 and mixed bfloat16 for a training step on this machine, by trying both.

    bfloat16 pays only where the processor has it; elsewhere it is several times slower. The detector's
    weights and buffers are left as they were. Several processes without GPUs do not try.
    """
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    if is_launched():
        return "32-true"
    kept = {name: value.clone() for name, value in detector.state_dict().items()}
    detector.train()
    seconds = {}
    for precision in ("32-true", "bf16-mixed"):
        timings = []
        for _ in range(steps):
            started = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
                bce_loss(detector(batch.wave), batch.label).backward()
            detector.zero_grad(set_to_none=True)
            timings.append(time.perf_counter() - started)
        seconds[precision] = min(timings)
    detector.load_state_dict(kept)
    return min(seconds, key=seconds.__getitem__)


def _gathered(fabric: Fabric, parts: list[Tensor]) -> Tensor:
    """What each process has of every batch, (S,) each, in the order of the undivided batches."""
    own = torch.cat(parts)
    return own if fabric.world_size == 1 else fabric.all_gather(own).T.reshape(-1)


def _on(fabric: Fabric, batches: Iterable) -> Iterable:
    """Batches moved to Fabric's device; the length is kept for the progress bar."""
    if fabric.device.type == "cpu":
        return batches

    class Moved:
        def __iter__(self):
            return (type(batch)(*(fabric.to_device(value) for value in batch)) for batch in batches)

        def __len__(self) -> int:
            return len(batches) if isinstance(batches, Sized) else 0

    return Moved()


def _optimisers(detector: Detector, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Adam or AdamW, with a rate of its own for what is pretrained; then SGD, where a detector asks for it.

    SGD is plain: it has neither momentum nor decay, so nothing of it needs to be kept between two steps.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    separate: list[nn.Parameter] = []
    for name, parameter in detector.named_parameters():
        if not parameter.requires_grad:
            continue  # frozen by whoever made the detector
        share = recipe.pretrained_rate if name.startswith(detector.pretrained or ("-",)) else 1.0
        parameter.requires_grad_(share > 0)
        if detector.separate and name.startswith(detector.separate):
            separate.append(parameter)
        elif share > 0:
            groups.setdefault(share, []).append(parameter)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimiser]
    found: list[torch.optim.Optimizer] = [
        kind(
            [{"params": parameters, "share": share} for share, parameters in groups.items()],
            lr=recipe.learning_rate, weight_decay=recipe.weight_decay,
        )
    ]  # fmt: skip
    if separate:
        found.append(torch.optim.SGD(separate, lr=recipe.learning_rate))
    return found


class Average:
    """An exponential moving average of a detector's weights; its start weighs no more than what follows."""

    def __init__(self, detector: Detector, decay: float):
        """Begin with the weights as they are, float ones only."""
        self.detector, self.decay, self.steps = detector, decay, 0
        self.values = {name: value.detach().clone() for name, value in self._floats()}

    def _floats(self) -> Iterator[tuple[str, Tensor]]:
        state = self.detector.state_dict()
        return ((name, value) for name, value in state.items() if value.is_floating_point())

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights of one more step."""
        self.steps += 1
        kept = min(self.decay, self.steps / (self.steps + 10))
        for name, value in self._floats():
            self.values[name].lerp_(value, 1 - kept)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The detector has the averaged weights inside, its own again afterwards."""
        own = {name: value.clone() for name, value in self.detector.state_dict().items()}
        self.detector.load_state_dict(self.values, strict=False)
        try:
            yield
        finally:
            self.detector.load_state_dict(own)


def _set_rate(optimiser: torch.optim.Optimizer, recipe: Recipe, epochs_done: float) -> None:
    """Set the learning rate of the step that starts after so many epochs, a fraction."""
    rate = recipe.learning_rate
    if recipe.schedule == "cosine":
        done = epochs_done / recipe.epochs
        rate *= min(1.0, (done + 0.01) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * done))
    elif recipe.schedule == "step":
        rate *= 0.5 ** (epochs_done // recipe.halve_every)
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("share", 1.0)


def _measure(
    epoch: int,
    train_loss: float,
    watch: Embedded,
    dev: Embedded,
    sources: tuple[NDArray[np.int64], NDArray[np.int64]] | None,
    head: Tensor,
    started: float,
) -> Epoch:
    means = collapse.class_means(watch.embeddings, watch.labels)
    dev_means = collapse.class_means(dev.embeddings, dev.labels)
    weight = head.detach().float().cpu().numpy()
    nc2 = [
        collapse.nc2_simplex(part.embeddings, of_row[part.rows]) if sources else None
        for part, of_row in zip((watch, dev), sources or (None, None), strict=True)
    ]
    dev_loss = metrics.cllr(dev.scores, dev.labels) * np.log(2)  # class-balanced cross-entropy in nats
    return Epoch(
        epoch=epoch,
        train_loss=train_loss,
        dev_loss=float(dev_loss),
        dev_eer=metrics.eer_roc(dev.scores, dev.labels),
        nc1_train=collapse.nc1_variability(watch.embeddings, watch.labels),
        nc1_dev=collapse.nc1_variability(dev.embeddings, dev.labels),
        nc2_train=nc2[0],
        nc2_dev=nc2[1],
        nc3_train=collapse.nc3_self_duality(means, weight),
        nc3_dev=collapse.nc3_self_duality(dev_means, weight),
        nc4_train=collapse.nc4_agreement(watch.embeddings, watch.scores, means),
        nc4_dev=collapse.nc4_agreement(dev.embeddings, dev.scores, means),
        cdnv_train=collapse.cdnv(watch.embeddings, watch.labels),
        cdnv_dev=collapse.cdnv(dev.embeddings, dev.labels),
        seconds=round(time.perf_counter() - started, 3),
    )


@dataclass
class _State:
    """Everything a resumed run needs besides weights and moments: which epochs are done, and how."""

    precision: str
    history: list[Epoch] = dataclasses.field(default_factory=list)
    tensors: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    draws: dict[str, Tensor] = dataclasses.field(
        default_factory=lambda: {
            "row": torch.zeros(0, dtype=torch.int32),
            "score": torch.zeros(0, dtype=torch.float32),
        }
    )

    @property
    def best_epoch(self) -> int:
        return min(range(len(self.history)), key=lambda epoch: self.history[epoch].dev_loss)

    def finished(self, recipe: Recipe) -> bool:
        done = len(self.history)
        return done >= recipe.epochs or (done > 0 and done - 1 - self.best_epoch >= recipe.patience)

    @classmethod
    def load(cls, file: Path, recipe: Recipe) -> "_State | None":
        if not file.exists():
            return None
        with safe_open(file, "pt") as saved:
            described = json.loads(saved.metadata()["state"])
        # What was written before a field of the recipe existed was trained with the field's default.
        if dataclasses.asdict(Recipe()) | described["recipe"] != dataclasses.asdict(recipe):
            raise ValueError(
                f"{file.parent} holds a run with another recipe ({described['recipe']}); "
                f"asked for {dataclasses.asdict(recipe)}: use another folder or remove it"
            )
        history = [Epoch(**entry) for entry in described["history"]]
        tensors = load_file(file)
        draws = {name: tensors.pop(f"draws/{name}") for name in ("row", "score")}
        return cls(described["precision"], history, tensors, draws)

    def drawn(self, rows: Tensor, scores: Tensor) -> None:
        """Add an epoch's draws."""
        for name, new in (("row", rows), ("score", scores)):
            self.draws[name] = torch.cat([self.draws[name], new.cpu().to(self.draws[name].dtype)])

    def restore(self, detector: Detector, optimiser: torch.optim.Optimizer, average: Average | None) -> None:
        moments: dict[int, dict[str, Tensor]] = {}
        weights = {}
        for name, value in self.tensors.items():
            kind, _, rest = name.partition("/")
            if kind == "model":
                weights[rest] = value
            elif kind == "average":
                average.values[rest] = value
            else:
                index, _, field = rest.partition("/")
                moments.setdefault(int(index), {})[field] = value
        detector.load_state_dict(weights)
        if average:
            average.steps = max(int(fields["step"]) for fields in moments.values())
        optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})

    def save(
        self,
        file: Path,
        detector: Detector,
        optimiser: torch.optim.Optimizer,
        recipe: Recipe,
        average: Average | None,
    ) -> None:
        tensors = {f"model/{name}": value for name, value in detector.state_dict().items()}
        tensors |= {f"draws/{name}": value for name, value in self.draws.items()}
        if average:
            tensors |= {f"average/{name}": value for name, value in average.values.items()}
        for index, fields in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser/{index}/{field}": value for field, value in fields.items()}
        described = {
            "recipe": dataclasses.asdict(recipe),
            "precision": self.precision,
            "history": [dataclasses.asdict(entry) for entry in self.history],
        }
        _write(file, tensors, {"state": json.dumps(described)})


def _write(file: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with replacing(file) as temporary:
        save_file(plain, temporary, metadata)


def _write_log(file: Path, history: list[Epoch]) -> None:
    with replacing(file) as temporary:
        temporary.write_text("".join(json.dumps(dataclasses.asdict(entry)) + "\n" for entry in history))


def remove_state(folder: Path) -> None:
    """Delete the optimiser's state of a finished run; best weights and log stay."""
    with suppress(FileNotFoundError):
        (folder / STATE_FILE).unlink()
