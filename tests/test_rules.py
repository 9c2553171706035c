from dataclasses import replace

import numpy as np
import pytest

from ncdetect import rules
from ncdetect.bank import EmbeddingBank
from ncdetect.clusters import find_clusters
from ncdetect.corpora import Clip
from ncdetect.labels import Label
from ncdetect.rules import RULES, Budget, Pool, choose
from ncdetect.sampling import Threshold, algorithm_1

PATHS = ["e", "d", "c", "b", "a"]
# Mean 3: distances 3 2 1 1 5, median distance 2.
LINE = Pool([[0.0], [1], [2], [4], [8]], [-1] * 5, [0] * 5, PATHS, [""] * 5)


def order(rule, count, pool=LINE, seed=0):
    """Paths that a rule keeps of the reals, in its order."""
    budget = Budget(Threshold(count=count), Threshold(count=0))
    return "".join(pool.paths[row] for row in choose(pool, rule, budget, seed)[Label.REAL].rows)


def crowd(seed=0):
    """Two classes, three generators, records with ties, some clips misjudged."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [40, 60])
    generators = np.where(labels, np.char.add("g", (np.arange(100) % 3).astype(str)), "")
    embeddings = rng.normal(size=(100, 4)).astype(np.float32)
    embeddings[:, 0] += 8 * labels
    embeddings[:, 1] += np.where(labels, 30 * (np.arange(100) % 3), 0)
    scores = np.where(labels, 1.0, -1.0) * np.where(np.arange(100) % 10 == 0, -1, 1)
    forgetting = rng.integers(0, 3, 100).astype(np.float32)
    return Pool(
        embeddings, scores, labels, [f"clip{row:03}" for row in rng.permutation(100)], generators.tolist(),
        rng.random(100).astype(np.float32), forgetting,
    )  # fmt: skip


def shuffled(pool, places):
    return Pool(
        pool.embeddings[places], pool.scores[places], pool.labels[places],
        [pool.paths[row] for row in places], [pool.generators[row] for row in places],
        pool.el2n[places], pool.forgetting[places],
    )  # fmt: skip


def test_the_order_of_the_rules():
    assert list(RULES) == [
        "algorithm-1", "algorithm-2", "farthest", "moderate", "random", "stratified", "k-center", "herding",
        "el2n", "forgetting",
    ]  # fmt: skip
    flags = {
        flag: {name for name, rule in RULES.items() if getattr(rule, flag)}
        for flag in ("of_interest", "distance_ok", "needs_records", "seeded")
    }
    assert flags == {
        "of_interest": {"algorithm-1", "algorithm-2"},
        "distance_ok": {"algorithm-1", "algorithm-2", "farthest"},
        "needs_records": {"el2n", "forgetting"},
        "seeded": {"algorithm-2", "random", "stratified", "forgetting"},
    }
    assert all(rule.title and rule.source and rule.explanation.endswith(".") for rule in RULES.values())


def test_nearest_and_farthest_by_hand():
    assert order("algorithm-1", 5) == "bcdea"
    assert order("farthest", 5) == "aedbc"  # b and c tie, and go by path here as well
    far = choose(LINE, "farthest", Budget(Threshold(distance=2.0), Threshold(distance=0.0)))[Label.REAL]
    assert far.rows.tolist() == [4, 0, 1] and far.distances.tolist() == [5, 3, 2]


def test_moderate_by_hand():
    assert order("moderate", 5) == "dbcea"  # from the median distance: 0, then 1 1 1 by path, then 3
    assert choose(LINE, "moderate", Budget.share(0.2))[Label.REAL].distances.tolist() == [2]


def test_k_center_by_hand():
    # b (4) and c (2) are as near to the mean: b. Then e (0) and a (8) are 4 away: a. Then e 4, d 3, c 2.
    assert order("k-center", 5) == "baecd"


def test_k_center_takes_equal_clips_last():
    pool = Pool([[0.0], [0], [0], [9]], [-1] * 4, [0] * 4, list("abcd"), [""] * 4)
    assert order("k-center", 4, pool) == "adbc"


def test_herding_by_hand():
    # 3 is wanted: b (4); then 2 * 3 - 4 = 2: c; then 9 - 6 = 3: d is nearest; then 12 - 7 = 5: a (8); then e.
    assert order("herding", 5) == "bcdae"


def test_herding_keeps_the_mean():
    points = np.random.default_rng(0).normal(size=(200, 5))
    pool = Pool(points, [-1] * 200, [0] * 200, [f"{row:03}" for row in range(200)], [""] * 200)
    rows = choose(pool, "herding", Budget.counts(real=20, fake=0))[Label.REAL].rows
    off = np.linalg.norm(points[rows].mean(axis=0) - points.mean(axis=0))
    blind = choose(pool, "random", Budget.counts(real=20, fake=0))[Label.REAL].rows
    assert off < 0.1 * np.linalg.norm(points[blind].mean(axis=0) - points.mean(axis=0))


def test_el2n_and_forgetting_by_hand():
    nan, inf = np.nan, np.inf
    pool = replace(LINE, el2n=np.array([0.1, 0.9, nan, 0.9, 0.3]), forgetting=np.array([0, 2, inf, 2, nan]))
    assert order("el2n", 5, pool) == "cbdae"  # never drawn counts as never learned; b and d tie
    lots = {order("forgetting", 5, pool, seed) for seed in range(20)}
    assert lots == {"acbde", "acdbe", "cabde", "cadbe"}  # ties by lot, and e (never forgotten) last
    assert order("forgetting", 5, pool, 3) == order("forgetting", 5, pool, 3)


def test_random_draws_are_of_all_clips():
    seen = {letter for seed in range(30) for letter in order("random", 2, seed=seed)}
    assert seen == set("abcde")


def test_pairs_are_not_drawn_together():
    labels = np.repeat([0, 1], 50)
    paths = [f"{word}/{place:02}" for word in ("real", "fake") for place in range(50)]
    pool = Pool(np.zeros((100, 2)), 2.0 * labels - 1, labels, paths, [""] * 100)
    picked = choose(pool, "random", Budget.share(0.5))
    assert set(picked[Label.REAL].rows) != set(picked[Label.FAKE].rows - 50)


def test_stratified_takes_from_every_stratum_in_proportion():
    # 10 clips in strata of 5, 3 and 2: of 4, they have a right to 2.0, 1.2 and 0.8.
    points = [0, 1, 2, 3, 4, 100, 101, 102, 200, 201]
    paths = "abcdefghij"
    pool = Pool(np.array(points, float)[:, None], [-1] * 10, [0] * 10, list(paths), [""] * 10)
    for seed in range(5):
        picked = choose(pool, "stratified", Budget.counts(real=4, fake=0), seed)[Label.REAL]
        assert picked.clusters.tolist() == [0, 0, 1, 2]
        assert [int(points[row]) // 100 for row in picked.rows] == [0, 0, 1, 2]
    assert len({order("stratified", 4, pool, seed) for seed in range(5)}) > 1
    assert sorted(order("stratified", 10, pool)) == list(paths)


def test_strata_are_as_many_as_generators_where_there_are_several():
    pool = crowd()
    budget = Budget.counts(real=8, fake=6)
    picked = choose(pool, "stratified", budget)[Label.FAKE]
    assert picked.clusters.tolist() == [0, 0, 1, 1, 2, 2]
    two = replace(pool, generators=[name.replace("g2", "g1") for name in pool.generators])
    assert set(choose(two, "stratified", budget)[Label.FAKE].clusters) == {0, 1}
    one = replace(pool, generators=["g"] * 100)  # then nothing is known of how many there are
    assert set(choose(one, "stratified", budget)[Label.FAKE].clusters) == {0, 1, 2}
    assert [pool.generators[row] for row in picked.rows[::2]] == [
        pool.generators[row] for row in picked.rows[1::2]
    ]


def test_largest_remainder():
    assert rules._largest_remainder([5, 3, 2], 4) == [2, 1, 1]
    assert rules._largest_remainder([1, 1, 1], 2) == [1, 1, 0]  # ties in order
    assert rules._largest_remainder([7, 3], 10) == [7, 3] and rules._largest_remainder([7, 3], 0) == [0, 0]


def test_algorithm_2_clusters_fakes_and_takes_reals_by_algorithm_1():
    pool = crowd()
    picked = choose(pool, "algorithm-2", Budget.share(0.5), seed=2)
    plain = choose(pool, "algorithm-1", Budget.share(0.5))
    assert picked[Label.REAL].rows.tolist() == plain[Label.REAL].rows.tolist()
    assert picked[Label.REAL].clusters is None and picked[Label.REAL].detail is None
    fake = picked[Label.FAKE]
    rows = np.flatnonzero((pool.labels == 1) & (pool.scores > 0))
    assert sorted(fake.candidates.tolist()) == rows.tolist()
    whole = find_clusters(
        pool.embeddings[rows], [pool.paths[row] for row in rows], [pool.generators[row] for row in rows], 2
    )
    expected = whole.select(Threshold(rate=0.5))
    assert fake.detail.k == 3 and fake.rows.tolist() == rows[expected.rows].tolist()
    assert fake.candidates[fake.detail.rows].tolist() == fake.rows.tolist()
    assert np.array_equal(fake.distances, expected.distances)
    assert np.array_equal(fake.clusters, expected.clusters)


def test_only_neural_collapse_sampling_leaves_out_misjudged_clips():
    pool = crowd()
    wrong = set(np.flatnonzero((pool.scores > 0) != (pool.labels == 1)).tolist())
    assert len(wrong) == 10
    for name, rule in RULES.items():
        picked = choose(pool, name, Budget.share(1.0))
        rows = {int(row) for label in Label for row in picked[label].rows}
        assert rows == set(range(100)) - (wrong if rule.of_interest else set()), name
    right = np.flatnonzero((pool.labels == 0) & (pool.scores < 0))
    plain = algorithm_1(pool.embeddings[right], [pool.paths[row] for row in right], Threshold(rate=0.3))
    picked = choose(pool, "algorithm-1", Budget.share(0.3))[Label.REAL]
    assert picked.rows.tolist() == right[plain.rows].tolist()
    assert np.array_equal(picked.distances, plain.distances)


@pytest.mark.parametrize("rule", RULES)
def test_contract(rule):
    pool, budget = crowd(), Budget.counts(real=7, fake=13)
    picked = choose(pool, rule, budget, seed=1)
    for label, count in ((Label.REAL, 7), (Label.FAKE, 13)):
        rows = picked[label].rows
        assert len(rows) == count == len(set(rows.tolist()))
        assert (pool.labels[rows] == label).all()
        for values in (picked[label].distances, picked[label].clusters):
            assert values is None or (len(values) == count and np.isfinite(values).all())
        if RULES[rule].distance_ok:
            assert picked[label].distances is not None
        assert np.isin(rows, picked[label].candidates).all()

    places = np.random.default_rng(5).permutation(100)
    again = choose(shuffled(pool, places), rule, budget, seed=1)
    for label in Label:
        assert places[again[label].rows].tolist() == picked[label].rows.tolist()

    def chosen(seed):
        return [choose(pool, rule, budget, seed)[label].rows.tolist() for label in Label]

    assert chosen(1) == chosen(1)
    if rule in ("random", "stratified", "forgetting"):  # k-means finds these blobs from every seed
        assert chosen(1) != chosen(2)
    else:
        assert chosen(1) == chosen(2)


@pytest.mark.parametrize("rule", RULES)
def test_a_share_is_rounded_up_and_a_count_takes_all_there_are(rule):
    pool = crowd()
    reals = 36 if RULES[rule].of_interest else 40
    assert len(choose(pool, rule, Budget.share(0.26))[Label.REAL].rows) == np.ceil(0.26 * reals)
    assert len(choose(pool, rule, Budget.share(0))[Label.FAKE].rows) == 0
    assert len(choose(pool, rule, Budget.counts(real=500, fake=0))[Label.REAL].rows) == reals


@pytest.mark.parametrize("rule", RULES)
def test_a_class_that_is_not_there_gives_nothing(rule):
    pool = crowd()
    picked = choose(shuffled(pool, np.flatnonzero(pool.labels == 0)), rule, Budget.share(0.5))
    assert len(picked[Label.FAKE].rows) == 0 and len(picked[Label.REAL].rows) > 0


@pytest.mark.parametrize("rule", RULES)
def test_a_distance_only_where_it_makes_sense(rule):
    budget = Budget(Threshold(distance=1.0), Threshold(rate=0.5))
    if RULES[rule].distance_ok:
        choose(crowd(), rule, budget)
    else:
        with pytest.raises(ValueError, match="no distance to compare with"):
            choose(crowd(), rule, budget)


def test_bad_input_is_named():
    with pytest.raises(
        ValueError, match="unknown rule 'nearest'; allowed: algorithm-1, algorithm-2, farthest"
    ):
        choose(LINE, "nearest", Budget.share(0.5))
    for rule in ("el2n", "forgetting"):
        with pytest.raises(ValueError, match=f"rule {rule} needs what the training recorded"):
            choose(LINE, rule, Budget.share(0.5))
    with pytest.raises(ValueError, match="labels has 2 values for 5 clips"):
        replace(LINE, labels=[0, 1])
    twice = replace(LINE, paths=["a", "b", "a", "c", "d"])
    with pytest.raises(ValueError, match="a clip occurs twice"):
        choose(twice, "random", Budget.share(0.5))
    broken = replace(LINE, embeddings=np.array([[0.0], [1], [np.nan], [4], [8]]))
    for rule in ("algorithm-1", "farthest", "moderate", "stratified", "k-center", "herding"):
        with pytest.raises(ValueError, match="not finite"):
            choose(broken, rule, Budget.share(0.5))


def banked(extra=None):
    splits = ["dev", "train", "train", "eval", "train", "train"]
    clips = [
        Clip(
            f"{6 - row}", Label.FAKE if row > 3 else Label.REAL, "c", split, generator="g" if row > 3 else ""
        )
        for row, split in enumerate(splits)
    ]
    bank = EmbeddingBank.build(
        clips, np.arange(6.0)[:, None], [-1, -1, -1, -1, 1, -1], np.zeros((2, 1)), "m", "0" * 64, maps=False
    )
    return replace(bank, clips=bank.clips.assign(**(extra or {})))


def test_a_pool_is_the_train_clips_of_a_bank():
    pool = Pool.of(banked())
    assert pool.rows.tolist() == [1, 2, 4, 5] and pool.paths == ["5", "4", "2", "1"]
    assert pool.embeddings.ravel().tolist() == [1, 2, 4, 5] and pool.labels.tolist() == [0, 0, 1, 1]
    assert pool.generators == ["", "", "g", "g"] and pool.el2n is None and pool.forgetting is None
    record = np.array([np.nan, 1, 2, np.nan, 3, np.nan])
    pool = Pool.of(banked({"el2n": record, "forgetting": np.full(6, np.nan)}))
    np.testing.assert_array_equal(pool.el2n, [1, 2, 3, np.nan])
    assert pool.forgetting is None  # a column in which nothing was recorded


def test_select_gives_rows_of_the_bank():
    assert rules.select(banked(), "algorithm-1", Budget.share(1.0)).tolist() == [1, 2, 4]  # 5 is misjudged
    assert rules.select(banked(), "farthest", Budget.counts(real=1, fake=2)).tolist() == [2, 4, 5]
