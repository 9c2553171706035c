"""Dropin and plasticity against what else the same epochs could buy (Li et al. 2026, arXiv 2603.24343).

    as-is        the trained base
    fine-tuned   the base, all of it trained further
    dropin       the base widened, only the new neurons trained
    plasticity   the base widened and trained, then pruned and trained: each for half of the epochs
    same-size    a network of the widened one's size, trained from scratch

and a sweep: dropin into one layer, or group of layers, alone (the paper's figure 5). The paper has neither
the second nor the last; without them a gain could be that of more epochs or of more neurons.
"""

import copy
import dataclasses
import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from ncdetect import metrics, training
from ncdetect.checkpoint import weights_sha256
from ncdetect.dropin import freeze_old, prune, widen
from ncdetect.files import replacing
from ncdetect.losses import LOSSES
from ncdetect.models import Detector
from ncdetect.pipeline import Data
from ncdetect.tables import TestSet
from ncdetect.training import BEST_FILE, Fit, Recipe, remove_state

log = logging.getLogger(__name__)

AS_IS, FINE_TUNED, DROPIN, PLASTICITY, SAME_SIZE = ARMS = (
    "as-is", "fine-tuned", "dropin", "plasticity", "same-size",
)  # fmt: skip
RESULT_FILE = "result.json"


class Batches(NamedTuple):
    """What `training.fit` is given."""

    train: Callable[[int], Iterable]
    """Batches of an epoch, by its number."""
    dev: Iterable
    watch: Iterable
    """Some of the train clips, on which collapse is measured."""


@dataclass(frozen=True, eq=False)
class Study:
    """One trained base, and what is tried with it."""

    name: str
    """Of the base, in the table."""
    base: Detector
    """Trained; stays as it is."""
    fresh: Callable[[], Detector]
    """Builds its architecture anew."""
    batches: Callable[[Data, int], Batches]
    """Given how to draw, and a seed."""
    judge: Callable[[Detector], NDArray[np.floating]]
    """Scores of the eval clips, (N,)."""
    sets: Sequence[TestSet]
    """Which of the eval clips are told apart."""
    work: Path
    """Holds a folder for each run; may be removed afterwards."""
    data: Data
    """How clips are drawn in every arm."""
    recipe: Recipe
    """Of every arm but `same-size`; two epochs or more."""
    from_scratch: Recipe
    """Of `same-size`: longer, for it has nothing to start from."""
    share: float = 0.25
    layers: tuple[str, ...] | Literal["random"] | None = None
    count: int | None = None
    """As in `dropin.widen`."""
    sweep: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Layers to widen alone, by a name for the table; empty: no sweep."""
    seeds: int = 2
    sweep_seeds: int = 1


@dataclass(frozen=True)
class Arm:
    """What is done to the base."""

    name: str
    """One of ARMS."""
    layer: str = ""
    """Of the sweep: what alone is widened, a key of `Study.sweep`."""

    @property
    def label(self) -> str:
        """As a file's name."""
        return f"{self.name}-{self.layer}" if self.layer else self.name


@dataclass(frozen=True)
class Result:
    """What a run came to."""

    parameters: int
    """Of the detector that was judged."""
    trained_parameters: int
    """At most at a time."""
    epochs: int
    seconds: float
    """Of training."""
    dev_eer: float
    scores: tuple[float, ...]
    """Logits of the eval clips, (N,)."""


def arms(study: Study) -> list[Arm]:
    """All arms, then the sweep."""
    return [*map(Arm, ARMS), *(Arm(DROPIN, layer) for layer in study.sweep)]


def tasks(study: Study, chosen: Sequence[Arm] = ()) -> list[tuple[Arm, int]]:
    """Arms and seeds to run; of what draws nothing at random there is one run.

    Args:
        study: On what.
        chosen: Which arms; none: all, the sweep included.
    """
    return [
        (arm, seed)
        for arm in chosen or arms(study)
        for seed in range(1 if arm.name == AS_IS else study.sweep_seeds if arm.layer else study.seeds)
    ]


def run(study: Study, arm: Arm, seed: int) -> Result:
    """Train an arm and judge it, or read how that went; a killed run goes on where it was.

    Raises:
        ValueError: If plasticity is to share less than two epochs.
    """
    folder = _folder(study, arm, seed)
    file = folder / RESULT_FILE
    if file.exists():
        found = json.loads(file.read_text("utf-8"))
        return Result(**found | {"scores": tuple(found["scores"])})
    stages = _Stages(study, arm, seed, folder)
    detector = _DONE[arm.name](stages).eval()
    last = stages.fits[-1] if stages.fits else None
    with torch.autocast("cpu", torch.bfloat16, enabled=bool(last) and last.precision == "bf16-mixed"):
        scores = study.judge(detector)
    result = Result(
        parameters=sum(parameter.numel() for parameter in detector.parameters()),
        trained_parameters=stages.trained_parameters,
        epochs=sum(len(fit.history) for fit in stages.fits),
        seconds=round(sum(epoch.seconds for fit in stages.fits for epoch in fit.history), 1),
        dev_eer=last.best.dev_eer if last else _dev_eer(study, detector),
        scores=tuple(round(float(score), 4) for score in scores),
    )
    with replacing(file) as temporary:
        temporary.write_text(json.dumps(dataclasses.asdict(result)), "utf-8")
    for stage in folder.iterdir():
        if stage.is_dir():
            remove_state(stage)
    return result


def dropped_in(study: Study, seed: int) -> Detector:
    """The detector that the arm `dropin` came to.

    Raises:
        FileNotFoundError: If it was not run.
    """
    arm = Arm(DROPIN)
    folder = _folder(study, arm, seed)
    stages = _Stages(study, arm, seed, folder)
    wide = stages.widened(stages.base())
    wide.load_state_dict(load_file(folder / "fit-0" / BEST_FILE))
    return wide.eval()


def _dev_eer(study: Study, detector: Detector) -> float:
    dev = training.embed(detector, study.batches(study.data, 0).dev)
    return metrics.eer_roc(dev.scores, dev.labels)


def _folder(study: Study, arm: Arm, seed: int) -> Path:
    return study.work / f"{arm.label}-seed{seed}-{_digest(study, arm)}"


def _digest(study: Study, arm: Arm) -> str:
    """Of all that decides what a run comes to, but for the clips."""
    described: dict[str, Any] = {
        name: getattr(study, name) for name in ("share", "layers", "count", "data", "recipe", "from_scratch")
    }
    described["alone"] = study.sweep.get(arm.layer)
    text = json.dumps(described | {"base": weights_sha256(study.base)}, default=dataclasses.asdict)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


class _Stages:
    """The fits of one run."""

    def __init__(self, study: Study, arm: Arm, seed: int, folder: Path):
        self.study, self.arm, self.seed, self.folder = study, arm, seed, folder
        self.fits: list[Fit] = []
        self.trained_parameters = 0

    def base(self) -> Detector:
        return copy.deepcopy(self.study.base).requires_grad_(True)

    def widened(self, detector: Detector, keep_function: bool = True) -> Detector:
        study = self.study
        alone = self.arm.layer
        layers, count = (study.sweep[alone], None) if alone else (study.layers, study.count)
        return widen(detector, study.share, layers, count, self.seed, keep_function)

    def fit(self, detector: Detector, recipe: Recipe) -> Detector:
        kept = detector.pretrained if recipe.pretrained_rate == 0 else ()
        trained = sum(
            parameter.numel()
            for name, parameter in detector.named_parameters()
            if parameter.requires_grad and not name.startswith(kept)
        )
        self.trained_parameters = max(self.trained_parameters, trained)
        folder = self.folder / f"fit-{len(self.fits)}"
        recipe = dataclasses.replace(recipe, seed=self.seed)
        batches = self.study.batches(self.study.data, self.seed)
        self.fits.append(training.fit(detector, *batches, recipe, folder, loss=LOSSES[detector.loss]))
        return detector


def _as_is(stages: _Stages) -> Detector:
    return stages.base()


def _fine_tuned(stages: _Stages) -> Detector:
    return stages.fit(stages.base(), stages.study.recipe)


def _dropin(stages: _Stages) -> Detector:
    wide = stages.widened(stages.base())
    freeze_old(wide)
    return stages.fit(wide, stages.study.recipe)


def _plasticity(stages: _Stages) -> Detector:
    recipe = stages.study.recipe
    if recipe.epochs < 2:
        raise ValueError(f"plasticity trains twice and needs two epochs, got {recipe.epochs}")
    last = recipe.epochs // 2
    wide = stages.fit(stages.widened(stages.base()), dataclasses.replace(recipe, epochs=recipe.epochs - last))
    return stages.fit(prune(wide), dataclasses.replace(recipe, epochs=last))


def _same_size(stages: _Stages) -> Detector:
    torch.manual_seed(stages.seed)
    return stages.fit(stages.widened(stages.study.fresh(), keep_function=False), stages.study.from_scratch)


_DONE: dict[str, Callable[[_Stages], Detector]] = dict(
    zip(ARMS, (_as_is, _fine_tuned, _dropin, _plasticity, _same_size), strict=True)
)


def series(
    study: Study, chosen: Sequence[Arm] = (), say: Callable[[str], None] = log.info
) -> dict[Arm, list[Result]]:
    """Run arms with every seed; what is done is read.

    Args:
        study: On what.
        chosen: Which; none: all, the sweep included.
        say: Is told how each run went.

    Returns:
        By arm, the results in the order of their seeds.
    """
    found: dict[Arm, list[Result]] = {}
    for arm, seed in tasks(study, chosen):
        result = run(study, arm, seed)
        found.setdefault(arm, []).append(result)
        say(f"{study.name}, {arm.label}, seed {seed}: dev EER {result.dev_eer:.1%}, {result.seconds} s")
    return found
