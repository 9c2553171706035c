"""From the series of changes to what ships: `checkpoints/listener` and `checkpoints/tiny`.

statistics of every train and dev clip -> the series -> for each of the two the change that validates best
-> trained with three seeds; the one with the least dev loss ships -> its figures on eval and wild
"""

import dataclasses
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from ncdetect import (
    abstention,
    build,
    cards,
    detector_study,
    detector_words,
    error_groups,
    listening,
    pipeline,
    training,
)  # fmt: skip
from ncdetect.abstention import Report
from ncdetect.audio import SAMPLE_RATE
from ncdetect.checkpoint import CHECKPOINTS, TrainedDetector
from ncdetect.corpora import Manifest
from ncdetect.detector_study import DEV, SERIES, Change, Place
from ncdetect.encoders import pretrained
from ncdetect.encoders.pooling import WhisperStatistics
from ncdetect.encoders.spectral import SpectralStatistics
from ncdetect.error_groups import Group
from ncdetect.experiments import decoded, open_data
from ncdetect.features import FeatureWindows, computed
from ncdetect.labels import Label
from ncdetect.listening import CLEAN, Tuning
from ncdetect.loading import Waves, WindowBatches
from ncdetect.models import Detector
from ncdetect.models.listener import BASE
from ncdetect.pipeline import Data, Figures
from ncdetect.predictor import Predictor
from ncdetect.training import Embedded, Progress

log = logging.getLogger(__name__)

SHIPPED = {"listener": ("both", "base"), "tiny": ("small",)}
"""By checkpoint: what it may hear, keys of `detector_study.MODELS`."""
SEEDS = 3


@dataclass(frozen=True)
class Shipped:
    """A finished checkpoint and how its seeds did."""

    name: str
    change: Change
    trained: TrainedDetector
    figures: dict[int, list[Figures]]
    """By seed, on eval of the training corpora and on wild."""
    dev_losses: dict[int, float]
    seed: int
    """Of the one that ships."""
    told: dict[str, Report]
    """By set of clips (eval of the training corpora, then the others): what the verdicts came to."""
    errors: dict[str, list[Group]]
    """By the same sets: which clips are on the wrong side at the equal error rate."""
    sources: dict[str, float]
    """How well the corpus of an eval real can be read: by training on clean clips alone, and as shipped."""


def statistics(place: Place, precision: str, progress: Progress) -> None:
    """What the encoders make of each train and dev clip, in each copy; at once where that is done.

    Statistics of every copy, and of some what the front end makes of them, for fine-tuning.
    """
    manifest = detector_study.clips(place.data)
    light = listening.encoders(detector_study.LIGHT, place.weights)
    base = pretrained.whisper_base(place.weights, BASE.layers)
    waves, kept = decoded(place.data).subset(manifest), place.work / "statistics"
    for reader, folder, copies in (
        (listening.pooled(light), kept / detector_study.LIGHT, detector_study.copies("both")),
        (WhisperStatistics(base), kept / detector_study.BASE, detector_study.copies("base")),
        (SpectralStatistics(), kept / detector_study.SPECTRAL, detector_study.copies("spectra")),
        (light.frontend, place.work / "features", Tuning().copies),
    ):
        listening.statistics(reader, waves, folder, copies, precision, progress)
    reals = tuple(manifest.clips[row] for row in detector_study.originals(manifest))
    listening.made(
        listening.pooled(light), waves.subset(Manifest(manifest.root, reals)), kept / detector_study.LIGHT,
        (CLEAN, detector_study.DAMAGED), precision, progress,
    )  # fmt: skip


def run(
    place: Place,
    out: Path = CHECKPOINTS,
    results: Path = Path("assets/results"),
    examples: Path | None = None,
    precision: str = "auto",
    progress: Progress = pipeline.no_progress,
    say: Callable[[str], None] = log.info,
) -> list[Shipped]:
    """Run the whole chain, or what of it is not yet done.

    Raises:
        FileNotFoundError: If the encoders' weights are not there.
        ValueError: If the data lacks a corpus or a split.
    """
    statistics(place, precision, progress)
    found = detector_study.series(place, SERIES, say)
    rows = {name: detector_study.summary(by_fold) for name, by_fold in found.items()}
    shipped = []
    for name, parts in SHIPPED.items():
        fitting = [change for change in SERIES if change.part in parts and change.may_ship]
        best = min(fitting, key=lambda change: rows[change.name]["eer_validation"])
        say(f"{name}: {best.name} validates best")
        held_out = _held_out(place, found[best.name])
        shipped.append(_ship(place, name, best, held_out, examples, say))
    detector_words.write(SERIES, rows, shipped, results)
    for entry in shipped:
        validation = rows[entry.change.name]["eer_validation"]
        entry.trained.card = cards.listener_card(entry, validation, open_data(place.data))
        entry.trained.save(out / entry.name)
    return shipped


def _held_out(place: Place, by_fold: Mapping[str, Sequence[Mapping]]) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels of clips by probes trained without their corpus, or without their voices."""
    manifest = detector_study.clips(place.data)
    scores, labels = [], []
    for fold, (_, judged) in detector_study.folds(manifest).items():
        if fold != DEV:
            scores.append(by_fold[fold][0]["scores"])
            labels.append(manifest.labels[judged])
    return np.concatenate(scores), np.concatenate(labels)


def source_accuracy(
    known: Embedded, known_corpora: Sequence[str], judged: Embedded, judged_corpora: Sequence[str]
) -> float:
    """How well a linear probe reads from embeddings of reals which corpus they are of, as balanced accuracy.

    Chance is one over the number of corpora. A detector needs no such knowledge; where it has it, it may
    tell sources instead of voices.

    Args:
        known: Clips of both classes to learn from; fakes are left out.
        known_corpora: Of each.
        judged: Clips to read.
        judged_corpora: Of each.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    parts = []
    for seen, corpora in ((known, known_corpora), (judged, judged_corpora)):
        reals = seen.labels == Label.REAL
        parts.append((seen.embeddings[reals], np.asarray(corpora)[reals]))
    reader = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    reader.fit(*parts[0])
    return float(balanced_accuracy_score(parts[1][1], reader.predict(parts[1][0])))


class Heard:
    """Embeds clips by what the encoders, or the front end, made of them; of train and dev that is known."""

    def __init__(self, place: Place, change: Change):
        """Take where things are; a change that tunes reads what the front end makes, others statistics."""
        self.known = {clip.path: row for row, clip in enumerate(detector_study.clips(place.data))}
        self.tuned = change.tuning is not None
        kind = "features" if self.tuned else "statistics"
        self.folder = place.work / "heard" / change.part / kind
        read = detector_study.features if self.tuned else detector_study.statistics
        self.features = read(place.work, CLEAN, change.part)

    def __call__(self, detector: Detector, waves: Waves) -> Embedded:
        """Embeddings and scores, as `pipeline.embed_manifest` gives them."""
        upper = detector.backbone if self.tuned else detector.backbone[1]
        top = Detector(nn.Identity(), upper, detector.embedding_dim)
        top.head = detector.head
        return self.by(top, detector, waves)

    def by(self, top: Detector, detector: Detector, waves: Waves) -> Embedded:
        """The same by another top, one that reads statistics."""
        paths = [clip.path for clip in waves.manifest]
        if set(paths) <= self.known.keys():
            return listening.judged(top, self.features, [self.known[path] for path in paths])
        name = hashlib.sha256("\n".join(paths).encode()).hexdigest()[:16]
        reader = detector.frontend.eval() if self.tuned else listening.pooled(detector)
        found = computed(reader, WindowBatches(waves), self.folder / f"{name}.npy")
        return training.embed(top.eval(), FeatureWindows(found))


def _ship(
    place: Place,
    name: str,
    change: Change,
    held_out: tuple[np.ndarray, np.ndarray],
    examples: Path | None,
    say: Callable[[str], None],
) -> Shipped:
    """Train with each seed, measure each, and take the one with the least dev loss."""
    manifest, waves = detector_study.clips(place.data), decoded(place.data)
    everything = open_data(place.data)
    train_rows, dev_rows = detector_study.folds(manifest)[DEV]
    train, dev = manifest.select(split="train"), manifest.select(split="dev")
    corpora = sorted({clip.corpus for clip in manifest})
    tests = [everything.select(corpus=corpora, split="eval")]
    tests += [
        everything.select(corpus=corpus, split="eval")
        for corpus in sorted({clip.corpus for clip in everything} - set(corpora))
    ]
    model = detector_study.MODELS[change.part]
    heard = Heard(place, change)
    tops, fits = {}, {}
    for seed in range(SEEDS):
        folder = place.work / "shipped" / f"{name}-{change.name}-seed{seed}"
        tops[seed], fits[seed], _ = detector_study.fitted(place, change, train_rows, dev_rows, seed, folder)
    losses = {seed: fit.best.dev_loss for seed, fit in fits.items()}
    best = min(losses, key=losses.__getitem__)
    made, figures = {}, {}
    for seed, fit in fits.items():
        data = Data(change.probe.batch_size, change.probe.balance, change.probe.epoch_clips, augment=True)
        recipe = dataclasses.replace(change.probe.recipe, seed=seed)
        made[seed] = pipeline.finish(
            model, listening.assembled(model, place.weights, tops[seed]),
            waves.subset(train), waves.subset(dev),
            pipeline.training_facts(train, change.name, fit, recipe, data) | {"what": change.what},
            examples=build.example_waves(examples) if examples else None,
            maps=seed == best, held_out=held_out, embed=heard,
        )  # fmt: skip
        figures[seed] = [
            entry
            for test in tests
            for entry in pipeline.evaluate(
                made[seed], waves.subset(test), heard(made[seed].detector, waves.subset(test))
            )
        ]
        say(f"{name} seed {seed}: " + ", ".join(f"{e.clips} {e.eer.value:.1%}" for e in figures[seed]))
    trained = made[best]
    agreement = pipeline.agreement(trained, heard(trained.detector, waves.subset(tests[0])))
    trained.config = dataclasses.replace(
        trained.config, training=trained.config.training | {"agreement": agreement}
    )
    start = next(entry for entry in SERIES if entry.part == change.part and entry.probe.copies == (CLEAN,))
    plain, _, _ = detector_study.fitted(
        place, start, train_rows, dev_rows, 0, place.work / "runs" / f"{start.name}-{DEV}-seed0" / "fit"
    )
    sources = {}
    for told_name, top, ear in (
        (start.name, plain, Heard(place, start)),
        (change.name, tops[best], heard),
    ):
        seen = [ear.by(top, trained.detector, waves.subset(part)) for part in (train, tests[0])]
        corpora_of = [[clip.corpus for clip in part] for part in (train, tests[0])]
        sources[told_name] = source_accuracy(seen[0], corpora_of[0], seen[1], corpora_of[1])
    predictor = Predictor(trained, name)
    names = ("eval", *(test.clips[0].corpus for test in tests[1:]))
    errors = {
        clips: _errors(waves.subset(test), heard(trained.detector, waves.subset(test)))
        for clips, test in zip(names, tests, strict=True)
    }
    told = {
        clips: abstention.report(
            [predictor.check((SAMPLE_RATE, waves.subset(test)[row])).verdict for row in range(len(test))],
            test.labels,
        )
        for clips, test in zip(names, tests, strict=True)
    }
    for clips, entry in told.items():
        say(f"{name} on {clips}: {entry.decided:.1%} decided, {entry.accuracy:.1%} of them rightly, "
            f"{entry.false_alarm:.1%} of the decided reals called fake")  # fmt: skip
    return Shipped(name, change, trained, figures, losses, best, told, errors, sources)


def _errors(waves: Waves, seen: Embedded) -> list[Group]:
    described = [error_groups.attributes(clip, waves[row]) for row, clip in enumerate(waves.manifest.clips)]
    return error_groups.grouped(error_groups.wrong_at_eer(seen.scores, seen.labels), seen.labels, described)
