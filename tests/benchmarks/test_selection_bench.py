"""Run by `make bench`: choosing clips at 100,000 x 256, time and memory."""

import time
import tracemalloc

import numpy as np
import pytest

from ncdetect import clusters, rules, sampling
from ncdetect.sampling import Threshold

CLIPS, SIZE, GENERATORS = 100_000, 256, 20


@pytest.fixture(scope="module")
def corpus():
    """Fakes of 20 generators in clusters that overlap, in no order of path, all judged right."""
    rng = np.random.default_rng(0)
    made_by = rng.integers(0, GENERATORS, CLIPS)
    embeddings = rng.normal(size=(CLIPS, SIZE)).astype(np.float32)
    embeddings += 0.5 * rng.normal(size=(GENERATORS, SIZE)).astype(np.float32)[made_by]
    paths = [f"clip{row:06}" for row in rng.permutation(CLIPS)]
    ones = np.ones(CLIPS)
    return rules.Pool(embeddings, ones, ones.astype(int), paths, made_by.astype(str).tolist())


def cost(function, repeat):
    """Least seconds of some calls, after one to warm up, and the extra memory of one more, in bytes."""
    function()
    times = []
    for _ in range(repeat):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    tracemalloc.start()
    function()
    extra = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return min(times), extra


@pytest.mark.parametrize("door", ["function", "rule"])
@pytest.mark.parametrize(("name", "limit_s", "repeat"), [("algorithm-1", 0.3, 5), ("algorithm-2", 60, 1)])
def test_selecting(corpus, door, name, limit_s, repeat):
    threshold, budget = Threshold(rate=0.5), rules.Budget.share(0.5)
    functions = {
        ("algorithm-1", "function"): lambda: sampling.algorithm_1(corpus.embeddings, corpus.paths, threshold),
        ("algorithm-2", "function"): lambda: clusters.algorithm_2(
            corpus.embeddings, corpus.paths, corpus.generators, threshold
        ),
    }
    taken, extra = cost(functions.get((name, door), lambda: rules.choose(corpus, name, budget)), repeat)
    share = extra / corpus.embeddings.nbytes
    print(f"\n{name} ({door}): {taken:.2f} s (limit {limit_s}), {share:.1f} times the input in extra memory")
    assert share < 4
    assert taken < limit_s


def test_a_slider_over_clusters(corpus):
    found = clusters.find_clusters(corpus.embeddings, corpus.paths, corpus.generators)
    taken, _ = cost(lambda: found.select(Threshold(rate=0.3)), 9)
    print(f"\nAlgorithm 2 with another threshold: {1000 * taken:.1f} ms")
    assert taken < 0.1
