import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ncdetect import sampling
from ncdetect.sampling import Threshold, algorithm_1

PATHS = ["e", "d", "c", "b", "a"]
LINE = np.array([[0.0], [1], [2], [4], [8]])  # mean 3: distances 3 2 1 1 5


def test_algorithm_1_by_hand():
    kept = algorithm_1(LINE, PATHS, Threshold(count=3))
    # c and b tie at 1 and go by path: b (row 3) first.
    assert kept.rows.tolist() == [3, 2, 1]
    assert kept.distances.tolist() == [1, 1, 2]
    assert kept.mean.tolist() == [3] and kept.threshold == 2


def test_distance_rate_and_count_are_one_function():
    for by in (Threshold(distance=2.0), Threshold(rate=0.6), Threshold(count=3)):
        assert algorithm_1(LINE, PATHS, by).rows.tolist() == [3, 2, 1]
    assert algorithm_1(LINE, PATHS, Threshold(distance=1.999)).rows.tolist() == [3, 2]
    assert algorithm_1(LINE, PATHS, Threshold(rate=0.2)).rows.tolist() == [3]  # the tie is cut by path
    assert len(algorithm_1(LINE, PATHS, Threshold(rate=0)).rows) == 0
    assert len(algorithm_1(LINE, PATHS, Threshold(rate=1)).rows) == 5
    assert len(algorithm_1(LINE, PATHS, Threshold(count=99)).rows) == 5
    assert Threshold(rate=0.1).size(np.arange(30.0)) == 3  # 0.1 * 30 is a little over 3 in floating point


@given(st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0, 1), st.randoms())
def test_size_and_order_do_not_depend_on_row_order(count, seed, rate, random):
    rng = np.random.default_rng(seed)
    embeddings = rng.integers(-2, 3, (count, 3)).astype(float)  # many ties
    paths = [f"clip{i:03}" for i in range(count)]
    kept = algorithm_1(embeddings, paths, Threshold(rate=rate))
    assert rate * count - 1e-6 <= len(kept.rows) < rate * count + 1
    assert (np.diff(kept.distances) >= 0).all()
    order = random.sample(range(count), count)
    again = algorithm_1(embeddings[order], [paths[i] for i in order], Threshold(rate=rate))
    assert [paths[i] for i in kept.rows] == [paths[order[i]] for i in again.rows]
    assert np.array_equal(kept.mean, again.mean)


def test_a_class_larger_than_a_block():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(3_000, 100)).astype(np.float32)
    assert embeddings.size > 2 * sampling.BLOCK_VALUES
    paths = [f"clip{i:04}" for i in rng.permutation(3_000)]
    kept = algorithm_1(embeddings, paths, Threshold(rate=1))
    wide = embeddings.astype(np.float64)
    np.testing.assert_allclose(kept.mean, wide.mean(axis=0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(kept.distances, np.sort(np.linalg.norm(wide - kept.mean, axis=1)), rtol=1e-12)
    centres = wide[:2]
    np.testing.assert_allclose(
        sampling.distances_to(embeddings, np.array([7, 2_999]), centres),
        [[np.linalg.norm(wide[row] - centre) for centre in centres] for row in (7, 2_999)],
    )


def test_sampling_uses_only_correctly_classified_clips():
    scores, labels = np.array([-1.0, -2, 3, 4, -5, 0]), np.array([0, 0, 0, 1, 1, 1])
    assert sampling.samples_of_interest(scores, labels).tolist() == [True, True, False, True, False, False]


@pytest.mark.parametrize(
    "given_",
    [{}, {"rate": 0.5, "count": 3}, {"rate": 1.1}, {"rate": -0.1}, {"count": -1}, {"distance": -1.0}],
)
def test_thresholds_that_make_no_sense(given_):
    with pytest.raises(ValueError):
        Threshold(**given_)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="a clip occurs twice"):
        algorithm_1(LINE, ["a", "b", "a", "c", "d"], Threshold(rate=1))
    with pytest.raises(ValueError, match="not finite"):
        algorithm_1([[np.nan]], ["a"], Threshold(rate=1))
    with pytest.raises(ValueError, match="paths must be"):
        algorithm_1(LINE, ["a"], Threshold(rate=1))


def test_random_rows_ignore_row_order():
    paths = [f"clip{i:02}" for i in range(50)]
    drawn = {paths[i] for i in sampling.random_rows(paths, 20, seed=3)}
    assert len(drawn) == 20
    backwards = paths[::-1]
    assert {backwards[i] for i in sampling.random_rows(backwards, 20, seed=3)} == drawn
    assert {paths[i] for i in sampling.random_rows(paths, 20, seed=4)} != drawn
    with pytest.raises(ValueError, match="cannot draw 51 of 50"):
        sampling.random_rows(paths, 51, seed=0)
