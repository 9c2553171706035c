"""Rules that choose some of a corpus's train clips: neural-collapse sampling and its rivals, side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ncdetect import clusters, sampling
from ncdetect.clusters import ClusterParameters, ClusterSelection
from ncdetect.labels import Label
from ncdetect.sampling import Threshold

if TYPE_CHECKING:
    import pandas as pd

    from ncdetect.bank import EmbeddingBank

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

MOST_STRATA = 8
"""Strata of a class whose clips all have one generator, such as the reals, are at most so many."""


@dataclass(frozen=True, eq=False)
class Pool:
    """The train clips of one corpus as its own pre-trained model sees them: what a rule chooses from.

    Raises:
        ValueError: If there is not one value of everything for each clip.
    """

    embeddings: NDArray[np.floating]
    """Penultimate embeddings, shape (N, D)."""
    scores: NDArray[np.floating]
    """Logits, shape (N,)."""
    labels: NDArray[np.int64]
    """Values of `Label`, shape (N,)."""
    paths: Sequence[str]
    """Distinct, N."""
    generators: Sequence[str]
    """What made each fake, N; often empty for reals."""
    el2n: NDArray[np.floating] | None = None
    """`dynamics.el2n_scores` of the model's training, shape (N,); None where it was not recorded."""
    forgetting: NDArray[np.floating] | None = None
    """`dynamics.forgetting_events` of the model's training, shape (N,); None where it was not recorded."""
    rows: Rows | None = None
    """Row of each clip in the bank that the pool was taken from, ascending; None counts from 0."""

    def __post_init__(self) -> None:
        """Make arrays of what are none, and count."""
        embeddings = sampling.as_matrix(self.embeddings, self.paths)
        object.__setattr__(self, "embeddings", embeddings)
        for name in ("scores", "labels", "el2n", "forgetting", "rows"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, np.asarray(getattr(self, name)))
        if self.rows is None:
            object.__setattr__(self, "rows", np.arange(len(embeddings)))
        for name, value in vars(self).items():
            if value is not None and len(value) != len(embeddings):
                raise ValueError(f"{name} has {len(value)} values for {len(embeddings)} clips")

    @classmethod
    def of(cls, bank: "EmbeddingBank") -> "Pool":
        """The clips of split train of a bank."""
        train = (bank.clips["split"] == "train").to_numpy()
        rows = np.flatnonzero(train)
        clips = bank.clips if train.all() else bank.clips.iloc[rows]
        return cls(
            embeddings=bank.embeddings if train.all() else bank.embeddings[rows],
            scores=clips["score"].to_numpy(),
            labels=bank.labels[rows],
            paths=clips["path"].tolist(),
            generators=clips["generator"].tolist(),
            el2n=_record(clips, "el2n"),
            forgetting=_record(clips, "forgetting"),
            rows=rows,
        )

    def __len__(self) -> int:
        """Number of clips N."""
        return len(self.paths)


@dataclass(frozen=True)
class Budget:
    """How much of each class to keep."""

    real: Threshold
    fake: Threshold

    @classmethod
    def share(cls, rate: float) -> "Budget":
        """The same share of both classes."""
        return cls(Threshold(rate=rate), Threshold(rate=rate))

    @classmethod
    def counts(cls, real: int, fake: int) -> "Budget":
        """So many clips of each class, or all, if there are fewer."""
        return cls(Threshold(count=real), Threshold(count=fake))

    def of(self, label: Label) -> Threshold:
        """That of one class."""
        return self.fake if label == Label.FAKE else self.real


@dataclass(frozen=True, eq=False)
class Picked:
    """What a rule keeps of one class."""

    rows: Rows
    """Rows of the pool, in the order of the rule: what it wants most comes first, shape (M,)."""
    distances: Floats | None = None
    """To the class mean, or to the centre of the own cluster, shape (M,); None if the rule uses none."""
    clusters: Rows | None = None
    """Cluster, or stratum, of each, shape (M,); None if the rule makes none."""
    detail: ClusterSelection | None = None
    """All that Algorithm 2 found of the fakes; its row i is row `candidates[i]` of the pool."""
    candidates: Rows | None = None
    """Rows of the pool that were to be had, in the order of their paths."""


Function = Callable[[Pool, Label, Rows, Threshold, int], Picked]
"""(pool, class, its candidates in the order of their paths, one at least; threshold, seed) -> kept."""


@dataclass(frozen=True)
class Rule:
    """A way to choose clips."""

    title: str
    """Plain words for a page."""
    source: str
    """Where it was proposed."""
    explanation: str
    """One plain sentence."""
    function: Function
    """What chooses, among the candidates of a class."""
    of_interest: bool = False
    """Whether it chooses among the samples of interest only; if not, among all clips of the class."""
    distance_ok: bool = False
    """Whether a distance makes sense as a threshold."""
    needs_records: bool = False
    """Whether it needs what the pre-trained model's training recorded of each clip."""
    seeded: bool = False
    """Whether the seed changes the choice."""

    def pick(self, pool: Pool, label: Label, rows: Rows, threshold: Threshold, seed: int) -> Picked:
        """Choose clips of one class.

        Args:
            pool: The corpus.
            label: The class.
            rows: All its clips in the pool, in the order of their paths, shape (N,).
            threshold: How much to keep.
            seed: Used if the rule is seeded.
        """
        if self.of_interest:
            rows = rows[sampling.samples_of_interest(pool.scores[rows], pool.labels[rows])]
        kept = self.function(pool, label, rows, threshold, seed) if len(rows) else Picked(rows)
        return replace(kept, candidates=rows)


def choose(pool: Pool, rule: str, budget: Budget, seed: int = 0) -> dict[Label, Picked]:
    """Choose clips of each class by a rule; the order of the pool's rows does not matter.

    Algorithms 1 and 2 choose among the samples of interest, all others among all clips of the class; a rate
    is a share of these candidates. If there are fewer than a count, all are taken.

    Args:
        pool: The corpus.
        rule: Name in RULES.
        budget: How much of each class.
        seed: For rules that draw or cluster.

    Raises:
        ValueError: If the rule is unknown, cannot take a distance, or lacks its records; or if a path occurs
            twice or an embedding is not finite.
    """
    chosen = named(rule)
    record = getattr(pool, rule) if chosen.needs_records else ()
    if record is None:
        raise ValueError(
            f"rule {rule} needs what the training recorded of each clip, and this bank has none: "
            "train the corpus's model again"
        )
    by_path = sampling.path_order(pool.paths)
    picked = {}
    for label in Label:
        threshold = budget.of(label)
        if threshold.distance is not None and not chosen.distance_ok:
            raise ValueError(f"rule {rule} has no distance to compare with; give a rate or a count")
        picked[label] = chosen.pick(pool, label, by_path[pool.labels[by_path] == label], threshold, seed)
    return picked


def select(bank: "EmbeddingBank", rule: str, budget: Budget, seed: int = 0) -> Rows:
    """Rows of a bank that a rule chooses from its train clips, ascending; arguments as in `choose`."""
    pool = Pool.of(bank)
    picked = choose(pool, rule, budget, seed)
    return np.sort(pool.rows[np.concatenate([picked[label].rows for label in Label])])


def named(rule: str) -> Rule:
    """The rule of a name.

    Raises:
        ValueError: If there is none, naming those there are.
    """
    if rule not in RULES:
        raise ValueError(f"unknown rule {rule!r}; allowed: {', '.join(RULES)}")
    return RULES[rule]


def _algorithm_1(pool: Pool, label: Label, rows: Rows, threshold: Threshold, seed: int) -> Picked:
    kept = sampling.algorithm_1(pool.embeddings[rows], _listed(pool.paths, rows), threshold)
    return Picked(rows[kept.rows], kept.distances)


def _algorithm_2(pool: Pool, label: Label, rows: Rows, threshold: Threshold, seed: int) -> Picked:
    if label == Label.REAL:
        return _algorithm_1(pool, label, rows, threshold, seed)
    kept = clusters.algorithm_2(
        pool.embeddings[rows],
        _listed(pool.paths, rows),
        _listed(pool.generators, rows),
        threshold,
        seed,
    )
    return Picked(rows[kept.rows], kept.distances, kept.clusters, kept)


def _farthest(pool: Pool, label: Label, rows: Rows, threshold: Threshold, seed: int) -> Picked:
    distances = _to_mean(pool, rows)
    order = np.argsort(-distances, kind="stable")
    if threshold.distance is None:
        order = order[: _count(threshold, rows)]
    else:
        order = order[distances[order] >= threshold.distance]
    return Picked(rows[order], distances[order])


def _moderate(pool: Pool, label: Label, rows: Rows, threshold: Threshold, seed: int) -> Picked:
    distances = _to_mean(pool, rows)
    from_median = np.abs(distances - np.median(distances))
    order = np.argsort(from_median, kind="stable")[: _count(threshold, rows)]
    return Picked(rows[order], distances[order])


def _random(pool: Pool, label: Label, rows: Rows, threshold: Threshold, seed: int) -> Picked:
    drawn = sampling.random_rows(_listed(pool.paths, rows), _count(threshold, rows), _mixed(seed, label))
    return Picked(rows[drawn])


def _stratified(pool: Pool, label: Label, rows: Rows, threshold: Threshold, seed: int) -> Picked:
    """Strata are found as Algorithm 2 finds clusters, of all clips of the class.

    At most one a generator; where there is only one generator, as with most reals, at most MOST_STRATA.
    """
    sampling.mean_of(pool.embeddings, rows)  # are all finite?
    generators = len(set(_listed(pool.generators, rows)))
    most = generators if generators > 1 else MOST_STRATA
    strata, _ = clusters.partition(pool.embeddings, rows, most, seed, ClusterParameters())
    shares = _largest_remainder([len(stratum) for stratum in strata], _count(threshold, rows))
    random = np.random.default_rng(_mixed(seed, label))
    drawn = [
        np.sort(random.choice(stratum, share, replace=False))
        for stratum, share in zip(strata, shares, strict=True)
    ]
    return Picked(rows[np.concatenate(drawn)], clusters=np.repeat(np.arange(len(strata)), shares))


def _k_center(pool: Pool, label: Label, rows: Rows, threshold: Threshold, seed: int) -> Picked:
    """Time is that of N M differences of embeddings, for M clips kept of N."""
    count = _count(threshold, rows)
    uncovered = np.full(len(rows), np.inf)  # distance to the nearest kept clip
    kept: list[int] = []
    place = int(np.argmin(_to_mean(pool, rows)))
    while len(kept) < count:
        kept.append(place)
        centre = pool.embeddings[rows[place]].astype(np.float64)
        uncovered = np.minimum(uncovered, sampling.distances_to(pool.embeddings, rows, centre[None])[:, 0])
        uncovered[place] = -1  # for good: clips equal to it are 0 away and still to be had
        place = int(np.argmax(uncovered))
    return Picked(rows[np.array(kept, np.int64)])


def _herding(pool: Pool, label: Label, rows: Rows, threshold: Threshold, seed: int) -> Picked:
    """Rebuffi et al. 2017, Eq. 4, on embeddings as they are; time as that of k-center."""
    count = _count(threshold, rows)
    mean = sampling.mean_of(pool.embeddings, rows)
    total, taken = np.zeros_like(mean), np.zeros(len(rows), bool)
    kept: list[int] = []
    while len(kept) < count:
        # The mean of the kept clips and this one is nearest to the class mean where the clip is nearest to
        # what the sum still lacks.
        lacking = (len(kept) + 1) * mean - total
        distances = sampling.distances_to(pool.embeddings, rows, lacking[None])[:, 0]
        place = int(np.argmin(np.where(taken, np.inf, distances)))
        kept.append(place)
        taken[place] = True
        total += pool.embeddings[rows[place]]
    return Picked(rows[np.array(kept, np.int64)])


def _el2n(pool: Pool, label: Label, rows: Rows, threshold: Threshold, seed: int) -> Picked:
    return _most(pool.el2n, rows, threshold)


def _forgetting(pool: Pool, label: Label, rows: Rows, threshold: Threshold, seed: int) -> Picked:
    # Counts tie often, and paths say who speaks: ties go by lot.
    lot = np.random.default_rng(_mixed(seed, label)).permutation(len(rows))
    return _most(pool.forgetting, rows[lot], threshold)


def _most(record: NDArray[np.floating], rows: Rows, threshold: Threshold) -> Picked:
    """The highest first, ties in the given order; what was never drawn was never learned."""
    values = np.where(np.isnan(record[rows]), np.inf, record[rows])
    return Picked(rows[np.argsort(-values, kind="stable")[: _count(threshold, rows)]])


def _record(clips: "pd.DataFrame", name: str) -> NDArray[np.floating] | None:
    """A column, unless it is missing or nothing was recorded of any clip."""
    values = clips[name].to_numpy() if name in clips else np.zeros(0)
    return None if np.isnan(values).all() else values


def _to_mean(pool: Pool, rows: Rows) -> Floats:
    mean = sampling.mean_of(pool.embeddings, rows)
    return sampling.distances_to(pool.embeddings, rows, mean[None])[:, 0]


def _count(threshold: Threshold, rows: Rows) -> int:
    return threshold.size(np.broadcast_to(0.0, len(rows)))


def _mixed(seed: int, label: Label) -> list[int]:
    """A seed for each class, or reals and the copies made of them would be drawn in pairs."""
    return [seed, int(label)]


def _listed(values: Sequence[str], rows: Rows) -> list[str]:
    return [values[row] for row in rows]


def _largest_remainder(sizes: Sequence[int], count: int) -> list[int]:
    """Divide a count in proportion to sizes: whole parts, then the largest remainders, ties in order."""
    total = sum(sizes)
    shares = [count * size // total for size in sizes]
    remainders = [count * size % total for size in sizes]
    for place in sorted(range(len(sizes)), key=lambda place: -remainders[place])[: count - sum(shares)]:
        shares[place] += 1
    return shares


RULES: dict[str, Rule] = {
    "algorithm-1": Rule(
        "Nearest to the class mean",
        "Yousif et al. 2024, Algorithm 1",
        "Keeps the clips that are most typical of their class, among those that the model gets right.",
        _algorithm_1,
        of_interest=True,
        distance_ok=True,
    ),
    "algorithm-2": Rule(
        "Nearest to the centre of their own cluster",
        "Yousif et al. 2024, Algorithm 2",
        "Sorts the fakes into clusters and keeps the most typical of each; reals go by the class mean.",
        _algorithm_2,
        of_interest=True,
        distance_ok=True,
        seeded=True,
    ),
    "farthest": Rule(
        "Farthest from the class mean",
        "Sorscher et al. 2022, keeping the hard clips",
        "Keeps the clips that are least typical of their class.",
        _farthest,
        distance_ok=True,
    ),
    "moderate": Rule(
        "Neither typical nor unusual",
        "Xia et al. 2023, Moderate Coreset",
        "Keeps the clips whose distance to the class mean is nearest to the median distance.",
        _moderate,
    ),
    "random": Rule(
        "Random",
        "no source: what every rule must beat",
        "Draws clips blindly.",
        _random,
        seeded=True,
    ),
    "stratified": Rule(
        "Random within clusters",
        "stratified sampling on k-means strata",
        "Draws blindly, but from every cluster of the class in proportion to its size.",
        _stratified,
        seeded=True,
    ),
    "k-center": Rule(
        "Covering the class",
        "Sener & Savarese 2018; Gonzalez 1985",
        "Adds, again and again, the clip that is farthest from all those already kept.",
        _k_center,
    ),
    "herding": Rule(
        "Keeping the average",
        "Welling 2009; Rebuffi et al. 2017",
        "Adds, again and again, the clip that brings the average of the kept ones nearest to the class mean.",
        _herding,
    ),
    "el2n": Rule(
        "Hardest early in training",
        "Paul et al. 2021, EL2N",
        "Keeps the clips on which the model erred most when it first met them.",
        _el2n,
        needs_records=True,
    ),
    "forgetting": Rule(
        "Most often forgotten",
        "Toneva et al. 2019",
        "Keeps the clips that the model learned and lost most often while it trained, or never learned.",
        _forgetting,
        needs_records=True,
        seeded=True,
    ),
}
"""All rules by name. A new one is one function and one entry here."""
