"""The corpora of the sampling lab, and what a rule keeps of them: `rules.choose`, fast enough for a slider.

Most rules order the clips of a class once, and every budget keeps a beginning of that order: it is made once
and kept. Algorithm 2 keeps its clusters. Only `REDRAWN` rules choose anew for every budget. A test holds all
of them to `rules.choose`.
"""

import functools
import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ncdetect import rules, sampling
from ncdetect.labels import Label
from ncdetect.language import say
from ncdetect.rules import Budget, Picked, Pool
from ncdetect.sampling import Threshold
from ncdetect.ui.model import CHECKPOINTS

if TYPE_CHECKING:
    from ncdetect.bank import EmbeddingBank
    from ncdetect.database import Chosen

CORPORA = CHECKPOINTS / "corpora"
KINDS = ("rate", "count", "distance")
START: dict[str, Any] = {"rule": "algorithm-1", "seed": 0, "kind": "rate", "real": 0.5, "fake": 0.5}
REDRAWN = ("random", "stratified")
"""Rules whose choice at one budget is no beginning of that at a larger one."""
MOST_SEED = 999
_KEPT_ORDERS, _KEPT_DRAWS = 256, 256
_guard = threading.Lock()


@dataclass(frozen=True)
class Setting:
    """What a visitor has chosen for a corpus."""

    rule: str
    seed: int
    budget: Budget

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Setting":
        """Read what the page sends: rule, seed, kind, real, fake; what is missing is as in START.

        Raises:
            ValueError: If a value is unknown or impossible.
        """
        values = {**START, **values}
        rules.named(str(values["rule"]))
        if values["kind"] not in KINDS:
            raise ValueError(f"unknown kind of threshold {values['kind']!r}; allowed: {', '.join(KINDS)}")
        seed = int(values["seed"])
        if not 0 <= seed <= MOST_SEED:
            raise ValueError(f"the seed must lie between 0 and {MOST_SEED}, got {seed}")
        convert = int if values["kind"] == "count" else float
        real, fake = (Threshold(**{values["kind"]: convert(values[label.word])}) for label in Label)
        return cls(str(values["rule"]), seed, Budget(real, fake))


@dataclass(frozen=True, eq=False)
class Corpus:
    """The train clips of one corpus as its own pre-trained model sees them."""

    name: str
    bank: "EmbeddingBank"
    pool: Pool
    by_path: np.ndarray
    """Rows of the pool in the order of their paths, (N,)."""
    guards: dict[tuple[str, int], threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))

    @classmethod
    def load(cls, name: str, file: Path) -> "Corpus":
        """Read a bank.

        Raises:
            ValueError: If it is damaged.
        """
        from ncdetect.bank import EmbeddingBank

        bank = EmbeddingBank.load(file)
        pool = Pool.of(bank)
        return cls(name, bank, pool, sampling.path_order(pool.paths))

    def missing(self, rule: str) -> str:
        """Why a rule cannot choose here, as a sentence; empty if it can."""
        if rules.named(rule).needs_records and getattr(self.pool, rule) is None:
            return say(
                "It needs what training recorded of each clip, and this collection has no such records."
            )
        return ""

    def all(self, rule: str, seed: int = 0) -> dict[Label, Picked]:
        """Everything that a rule can choose from, in its order.

        Raises:
            ValueError: If the rule lacks its records.
        """
        if missing := self.missing(rule):
            raise ValueError(missing)
        seed = seed if rules.named(rule).seeded else 0
        with self.guards[rule, seed]:  # two visitors do not look for the same clusters twice
            return {label: _order(self, rule, label, seed) for label in Label}

    def choose(self, setting: Setting) -> dict[Label, Picked]:
        """What `rules.choose` keeps.

        Raises:
            ValueError: As `rules.choose`.
        """
        found = {}
        for label, whole in self.all(setting.rule, setting.seed).items():
            threshold = setting.budget.of(label)
            if threshold.distance is not None and not rules.named(setting.rule).distance_ok:
                raise ValueError(say("this rule has no distance to compare with; give a share or a number"))
            if setting.rule in REDRAWN:
                found[label] = _draw(self, setting.rule, label, threshold, setting.seed)
            elif whole.detail is not None:
                found[label] = _from_clusters(whole, threshold)
            else:
                found[label] = _beginning(whole, threshold, farthest=setting.rule == "farthest")
        return found

    def entries(self, setting: Setting) -> list["Chosen"]:
        """What is kept, as clips of a new training database."""
        from ncdetect import database

        picked = self.choose(setting)
        return database.entries(self.bank, self.pool, picked, setting.budget, setting.rule, setting.seed)


def names() -> list[str]:
    """Corpora of which there is a bank; those to practise with, which are small, come last."""
    found = (file.parent.name for file in CORPORA.glob("*/bank.parquet"))
    return sorted(found, key=lambda name: (name.startswith("practice"), name))


def title(name: str) -> str:
    """A corpus's name for people: `practice-engines` is `Practice engines`."""
    return name.replace("-", " ").capitalize()


def corpus(name: object) -> Corpus:
    """Load one at first use.

    Raises:
        ValueError: If there is none of that name, or its bank is damaged.
    """
    if name not in names():
        there = ", ".join(names()) or say("none")
        raise ValueError(
            say("there is no collection {name}; there are: {there}", name=repr(name), there=there)
        )
    with _guard:
        return _load(str(name), CORPORA / str(name) / "bank.parquet")


_load = functools.cache(Corpus.load)


def _pick(corpus: Corpus, rule: str, label: Label, threshold: Threshold, seed: int) -> Picked:
    rows = corpus.by_path[corpus.pool.labels[corpus.by_path] == label]
    return rules.RULES[rule].pick(corpus.pool, label, rows, threshold, seed)


@functools.lru_cache(maxsize=_KEPT_ORDERS)
def _order(corpus: Corpus, rule: str, label: Label, seed: int) -> Picked:
    if rule in REDRAWN:  # drawing all of them would find strata for nothing
        rows = corpus.by_path[corpus.pool.labels[corpus.by_path] == label]
        return Picked(rows, candidates=rows)
    return _pick(corpus, rule, label, Threshold(count=len(corpus.pool)), seed)


_draw = functools.lru_cache(maxsize=_KEPT_DRAWS)(_pick)


def _beginning(whole: Picked, threshold: Threshold, farthest: bool) -> Picked:
    if threshold.distance is not None and farthest:
        count = int((whole.distances >= threshold.distance).sum()) if len(whole.rows) else 0
    else:
        count = threshold.size(whole.rows if whole.distances is None else whole.distances)
    distances = None if whole.distances is None else whole.distances[:count]
    return Picked(whole.rows[:count], distances, candidates=whole.candidates)


def _from_clusters(whole: Picked, threshold: Threshold) -> Picked:
    kept = whole.detail.select(threshold)
    return Picked(whole.candidates[kept.rows], kept.distances, kept.clusters, kept, whole.candidates)
