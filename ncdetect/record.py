"""The track record: what a checkpoint said of test clips, so that a verdict can say how often it errs.

A row a clip, kept beside the checkpoint without paths or sound. Test clips are the eval clips of the corpora
that can be trained on, and the wild ones, from sources that no training clip came from. The two are never
pooled: each number is of one part.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from zlib import crc32

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from ncdetect import metrics
from ncdetect.abstention import UNDECIDED
from ncdetect.checkpoint import CONFIG_FILE, RECORD_FILE, WEIGHTS_FILE, DetectorConfig, locate
from ncdetect.corpora import Clip, Manifest
from ncdetect.files import replacing
from ncdetect.findings_words import WILDS
from ncdetect.labels import Label
from ncdetect.metrics import Interval
from ncdetect.record_words import like_sentence

if TYPE_CHECKING:
    from ncdetect.predictor import Predictor, Verdict
    from ncdetect.training import Progress

log = logging.getLogger(__name__)

FILE = RECORD_FILE
Part = Literal["eval", "wild"]
PARTS: tuple[Part, ...] = ("eval", "wild")
"""`eval`: the test part of the training corpora, other clips and speakers. `wild`: other sources."""
COLUMNS = (
    "corpus", "split", "label", "generator", "kind", "group", "language", "duration_s", "score",
    "probability", "nearest_mean", "novelty", "verdict", "warnings",
)  # fmt: skip
"""Of a row: `group` is a speaker, or a made-up name where none is known; `warnings` are codes with spaces
between; the rest as in `Clip` and `Verdict`, labels as words."""
LIKE, LEAST_LIKE = 100, 20
"""Clips that count as like a given one, and how few are too few to speak of."""
DET_POINTS = 200
ROUNDS, Z_95 = 1000, 1.959964


@dataclass(frozen=True)
class Rates:
    """What happens to test clips at an operating point: shares of all clips of a class, with intervals."""

    reals: int
    fakes: int
    reals_called_fake: Interval
    reals_undecided: Interval
    fakes_called_real: Interval
    fakes_undecided: Interval

    @property
    def said(self) -> str:
        """All of it in a line, in per cent."""

        def cell(share: Interval) -> str:
            value, low, high = (round(100 * number) for number in (share.value, share.low, share.high))
            return f"{value} [{low}, {high}]"

        return (
            f"{self.reals} reals called fake {cell(self.reals_called_fake)}, undecided "
            f"{cell(self.reals_undecided)}; {self.fakes} fakes called real {cell(self.fakes_called_real)}, "
            f"undecided {cell(self.fakes_undecided)}"
        )


@dataclass(frozen=True)
class Like:
    """The test clips of one part that got the same verdict with a similar probability."""

    clips: int
    right: int
    """How many were what the verdict says; of an undecided one, how many were fake."""
    low: float
    high: float
    """95 % interval of right / clips (see `shares`)."""
    nearest: tuple[float, float]
    """Lowest and highest probability of fake among them."""
    sentence: str
    """Said of them: counts, and the interval as of 100."""


@dataclass(frozen=True, eq=False)
class TrackRecord:
    """What one checkpoint said of test clips."""

    rows: pd.DataFrame
    """A row a clip, COLUMNS."""
    config: DetectorConfig
    """Of the checkpoint: its calibration and thresholds."""

    @classmethod
    def load(cls, folder: Path) -> "TrackRecord | None":
        """Read the record of a checkpoint.

        Args:
            folder: The checkpoint's.

        Returns:
            None where there is no file, or (which is logged) it is damaged or of other weights.
        """
        file = folder / FILE
        if not file.is_file():
            return None
        try:
            table = pq.read_table(file)
            made_for = (table.schema.metadata or {}).get(b"model_sha256", b"").decode()
            found = hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()
            if made_for != found:
                raise ValueError(f"it is of other weights ({made_for[:12]}..., here {found[:12]}...)")
            return cls(table.select(list(COLUMNS)).to_pandas(), DetectorConfig.read(folder / CONFIG_FILE))
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            log.warning("%s cannot be used: %s", file, error)
            return None

    def save(self, folder: Path, sha256: str) -> Path:
        """Write the record beside a checkpoint whose weights have this hash, whole or not at all."""
        table = pa.Table.from_pandas(self.rows[list(COLUMNS)], preserve_index=False)
        with replacing(folder / FILE) as temporary:
            pq.write_table(
                table.replace_schema_metadata({"model_sha256": sha256}), temporary, compression="zstd"
            )
        return folder / FILE

    def part(self, part: Part) -> pd.DataFrame:
        """The rows of one part."""
        wild = self.rows["corpus"].isin(WILDS)
        return self.rows[wild if part == "wild" else ~wild]

    def verdicts(
        self, scores: ArrayLike, nearest_means: ArrayLike, novelties: ArrayLike, offset: ArrayLike = 0.0
    ) -> NDArray[np.str_]:
        """What is said of clips at an operating point, by the rule of `Predictor`.

        Args:
            scores: Logits, (N,).
            nearest_means: `real` or `fake`, (N,).
            novelties: In the checkpoint's novelty distance, (N,).
            offset: Added to the calibrated log-odds of fake: as if fakes were exp(offset) times as common as
                reals; of all clips, or of each (N,). 0 is as shipped.

        Returns:
            `real`, `fake` or `undecided`, (N,).
        """
        probabilities = expit(self.config.calibration.llr(scores) + np.asarray(offset))
        words = self.config.thresholds.verdicts(probabilities)
        leans = np.where(probabilities > 0.5, Label.FAKE.word, Label.REAL.word)
        unsettled = (np.asarray(novelties) > 1) | (leans != np.asarray(nearest_means))
        return np.where(unsettled, UNDECIDED, words)

    def rates(self, offset: float = 0.0, part: Part = "eval") -> Rates | None:
        """What happens at one operating point; None where the part lacks a class."""
        return next(iter(self.sweep([offset], part)), None)

    def sweep(self, offsets: Sequence[float], part: Part = "eval") -> list[Rates]:
        """`rates` at several operating points, from the same draws; nothing where the part lacks a class."""
        rows = self.part(part)
        words = np.stack(
            [self.verdicts(rows["score"], rows["nearest_mean"], rows["novelty"], one) for one in offsets], 1
        )
        told = []
        for label in Label:
            own = (rows["label"] == label.word).to_numpy()
            if not own.any():
                return []
            groups = _groups(rows[own])
            wrong = Label(1 - label).word
            told.append([shares(words[own] == word, groups) for word in (wrong, UNDECIDED)])
        (real_wrong, real_open), (fake_wrong, fake_open) = told
        reals = int((rows["label"] == Label.REAL.word).sum())
        return [
            Rates(reals, len(rows) - reals, *four)
            for four in zip(real_wrong, real_open, fake_wrong, fake_open, strict=True)
        ]

    def like(self, verdict: "Verdict", part: Part = "eval") -> Like | None:
        """The LIKE test clips with this verdict whose log-odds lie nearest to the clip's, or as many as are.

        Prevalence in the test is what it happens to be (about as many fakes as reals): where fakes are
        rarer, a fake verdict is wrong more often than said here.

        Returns:
            None where there are fewer than LEAST_LIKE.
        """
        rows = self.part(part)
        rows = rows[rows["verdict"] == verdict.verdict]
        if len(rows) < LEAST_LIKE:
            return None
        rows = rows.iloc[np.argsort((rows["score"] - verdict.score).abs(), kind="stable")[:LIKE]]
        wanted = Label.FAKE.word if verdict.verdict == UNDECIDED else verdict.verdict
        hits = (rows["label"] == wanted).to_numpy()
        (share,) = shares(hits[:, None], _groups(rows))
        right, chances = int(hits.sum()), (float(rows["probability"].min()), float(rows["probability"].max()))
        sentence = like_sentence(verdict.verdict, part, len(rows), right, share)
        return Like(len(rows), right, share.low, share.high, chances, sentence)

    def det(self, part: Part = "eval") -> metrics.Det | None:
        """The DET curve of the raw score, without undecided, in at most DET_POINTS points.

        Returns:
            FPR, FNR and thresholds, (P,) each, both ends among them; None where the part lacks a class.
        """
        rows = self.part(part)
        labels = (rows["label"] == Label.FAKE.word).to_numpy(np.int64)
        if len(set(labels.tolist())) < len(Label):
            return None
        curve = metrics.det_curve(rows["score"], labels)
        # A stair is told by its corners.
        across, up = (np.diff(rates) != 0 for rates in (curve.fpr, curve.fnr))
        corner = np.ones(len(curve.fpr), bool)
        corner[1:-1] = (across[1:] != across[:-1]) | (up[1:] != up[:-1])
        kept = np.flatnonzero(corner)
        kept = kept[np.unique(np.linspace(0, len(kept) - 1, min(DET_POINTS, len(kept))).round().astype(int))]
        return metrics.Det(*(values[kept] for values in curve))


def shares(hits: NDArray[np.bool_], groups: NDArray[np.str_]) -> list[Interval]:
    """Shares of clips with 95 % intervals that are not too narrow for clips which resemble one another.

    Each end is the wider of two: Wilson's (1927), which is right for clips that have nothing in common and
    for counts of none or all, and the percentile of a bootstrap that draws whole groups.

    Args:
        hits: Which clips count, a column a share, (N, K).
        groups: What a clip is drawn with, (N,): a fake's generator, a real's speaker.

    Returns:
        K shares.
    """
    clips, hits = len(hits), np.asarray(hits, np.float64)
    names, which = np.unique(groups, return_inverse=True)
    sizes, sums = np.bincount(which), np.zeros((len(names), hits.shape[1]))
    np.add.at(sums, which, hits)
    drawn = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), ROUNDS)
    resampled = (drawn @ sums) / (drawn @ sizes)[:, None]
    value = hits.mean(axis=0)
    middle = (value + Z_95**2 / (2 * clips)) / (1 + Z_95**2 / clips)
    reach = Z_95 / (1 + Z_95**2 / clips) * np.sqrt(value * (1 - value) / clips + (Z_95 / (2 * clips)) ** 2)
    low, high = np.quantile(resampled, (0.025, 0.975), axis=0)
    low, high = (
        np.clip(np.minimum(low, middle - reach), 0, 1),
        np.clip(np.maximum(high, middle + reach), 0, 1),
    )
    return [Interval(*map(float, three)) for three in zip(value, low, high, strict=True)]


def _groups(rows: pd.DataFrame) -> NDArray[np.str_]:
    """What is drawn together in a bootstrap, as in `pipeline.group_of`."""
    fake = (rows["label"] == Label.FAKE.word) & (rows["generator"] != "")
    return np.where(fake, "generator " + rows["generator"], "speaker " + rows["group"]).astype(np.str_)


# -- how it is measured


def test_clips(manifest: Manifest) -> Manifest:
    """The eval clips of all corpora: those of the training corpora, and the wild ones."""
    return manifest.select(split="eval")


test_clips.__test__ = False


def measure(predictor: "Predictor", tests: Manifest, progress: "Progress") -> TrackRecord:
    """Judge test clips, each file whole.

    Args:
        predictor: Judges.
        tests: The clips.
        progress: Wraps the clips.

    Raises:
        AudioError: If a file cannot be judged: a record without the hard clips would flatter.
    """
    rows = [_row(clip, predictor.check(tests.file(clip))) for clip in progress(tests.clips, predictor.name)]
    return TrackRecord(pd.DataFrame(rows, columns=list(COLUMNS)), predictor.config)


def _row(clip: Clip, verdict: "Verdict") -> dict[str, str | float]:
    return {
        "corpus": clip.corpus,
        "split": clip.split,
        "label": clip.label.word,
        "generator": clip.generator,
        "kind": clip.kind,
        "group": clip.speaker or f"clip {crc32(clip.path.encode()):08x}",
        "language": clip.language,
        "duration_s": verdict.duration_s,
        "score": verdict.score,
        "probability": verdict.probability,
        "nearest_mean": verdict.nearest_mean,
        "novelty": verdict.novelty,
        "verdict": verdict.verdict,
        "warnings": " ".join(warning.code for warning in verdict.warnings),
    }


def write(name: str, data: Path, progress: "Progress") -> Path:
    """Measure a checkpoint on a folder of corpora and keep the record beside it.

    Raises:
        CheckpointError: If it is nowhere, or damaged.
        AudioError: If a test clip cannot be judged.
    """
    from ncdetect.experiments import open_data
    from ncdetect.predictor import Predictor

    tests, predictor = test_clips(open_data(data)), Predictor.from_pretrained(name)
    return measure(predictor, tests, progress).save(locate(name), predictor.trained.sha256)
