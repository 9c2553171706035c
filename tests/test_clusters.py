import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from ncdetect import clusters
from ncdetect.clusters import ClusterParameters, algorithm_2, find_clusters, measure
from ncdetect.sampling import Threshold, algorithm_1

# Two that overlap. A: centre 2, distances 2 0 2, radius 2. B: centre 7, distances 4 0 4, radius 4.
# Their common centre is 4.5; the distances to it: a 4.5, b 2.5, c 0.5, d 1.5, e 2.5, f 6.5.
A, B = {"a": 0, "b": 2, "c": 4}, {"d": 3, "e": 7, "f": 11}
C = {"g": 10, "h": 12, "i": 14}  # centre 12, radius 2: overlaps with B, not with A
D = {"j": 100, "k": 102}  # far from all; centre 101, both 1 away


def measured(*parts, **parameters):
    """Clusters of given points on a line; each has its path as its generator, too."""
    points = [value for part in parts for value in part.values()]
    starts = np.cumsum([0] + [len(part) for part in parts])
    members = [np.arange(start, start + len(part)) for start, part in zip(starts, parts, strict=False)]
    names = tuple(path for part in parts for path in part)
    rows = np.arange(len(points))
    return measure(
        np.array(points, float)[:, None], rows, members, {}, names, ClusterParameters(**parameters)
    )


def kept(found, **threshold):
    return "".join(found.generators[row] for row in found.select(Threshold(**threshold)).rows)


def test_two_overlapping_clusters_by_hand():
    found = measured(A, B)
    assert found.centres.ravel().tolist() == [2, 7] and found.radii.tolist() == [2, 4]
    # c (4) lies in B's [3, 11], d (3) in A's [0, 4].
    np.testing.assert_allclose(found.overlap, [[1, 1 / 3], [1 / 3, 1]])
    assert found.groups == ((0, 1),)
    # In the own cluster ties go by path (a before c); in the group b and e tie, and b comes first.
    assert found.ranks.tolist() == [[2, 5], [1, 3], [3, 1], [2, 2], [1, 4], [3, 6]]
    np.testing.assert_allclose(found.needed_rates, [4 / 6, 2 / 6, 2 / 3, 1 / 3, 3 / 6, 5 / 6])
    assert kept(found, rate=1) == "bdeacf"


def test_overlapping_members_must_satisfy_the_rule_individually_and_collectively():
    found = measured(A, B)
    # Half is 2 of each cluster and 3 of the group. c is nearest to the common centre but third in its
    # cluster; e is first in its cluster but fourth in the group; b and d are both.
    assert kept(found, rate=0.5) == "bd"
    # Individually b c within 2 of their centre, e of its own; of these only c is within 2 of the common one.
    assert kept(found, distance=2) == "c"
    assert kept(found, distance=2.5) == "bec"
    assert found.reach.tolist() == [4.5, 2.5, 2, 4, 2.5, 6.5]


def test_clusters_apart_need_no_common_centre():
    found = measured(A, D)
    assert found.groups == ((0,), (1,)) and found.overlap.tolist() == [[1, 0], [0, 1]]
    assert kept(found, rate=0.5) == "bja"  # 2 of 3 and 1 of 2, where j and k tie
    assert kept(found, distance=1) == "bjk" and kept(found, distance=0.5) == "b"


def test_three_overlap_through_the_middle_one():
    found = measured(A, B, C, D)
    assert found.overlap[0, 2] == found.overlap[2, 0] == 0  # A and C do not
    assert found.groups == ((0, 1, 2), (3,))
    # Common centre of A, B and C: 63 / 9 = 7. Distances: a 7, b 5, c 3, d 4, e 0, f 4, g 3, h 5, i 7.
    assert found.ranks[:9, 1].tolist() == [8, 6, 2, 4, 1, 5, 3, 7, 9]
    assert found.sizes.tolist() == [[3, 9]] * 9 + [[2, 2]] * 2
    # Two of each three individually: a b, d e, g h; five of nine collectively: e c g d f; one of D.
    # The rates that they need: e and j 0, d and g 1/3.
    assert kept(found, rate=0.5) == "ejdg"
    # All are within 4 of their own centre; of the common one these, and j and k have no other than their own.
    assert kept(found, distance=4) == "ejdgkcf"


def test_all_overlap():
    found = measured(A, B, C)
    assert found.groups == ((0, 1, 2),)
    assert kept(found, rate=0.5) == "edg"
    assert kept(found, distance=4) == "edgcf" and kept(found, distance=3) == "egc"


def test_a_count_raises_one_common_rate():
    found = measured(A, B, C, D)
    order = kept(found, rate=1)
    rates = found.needed_rates[found.order]
    assert (np.diff(rates) >= 0).all()
    for count in range(13):
        assert kept(found, count=count) == order[:count]
    for rate in (0.1, 0.3, 0.5, 0.9):
        assert kept(found, rate=rate) == order[: np.sum(rates < rate)]


@pytest.mark.parametrize(("share", "groups"), [(0.3, ((0, 1),)), (1 / 3, ((0,), (1,)))])
def test_overlap_is_more_than_the_share_of_either(share, groups):
    assert measured(A, B, overlap_share=share).groups == groups


def test_one_cluster_inside_the_other_is_enough():
    # B's only member inside A's radius is half of B; of A a quarter lies within B's.
    found = measured({"a": 0, "b": 0, "c": 10, "d": -10}, {"e": 8, "f": 14}, overlap_share=0.4)
    assert found.overlap[1, 0] == 0.5 and found.overlap[0, 1] == 0.25
    assert found.groups == ((0, 1),)


def test_radius_is_a_quantile():
    points = {"a": 0, "b": 4, "c": 8, "d": 100 - 12}  # centre 25: distances 25 21 17 63
    assert measured(points).radii[0] == pytest.approx(25 + 0.7 * (63 - 25))
    assert measured(points, radius_quantile=0.5).radii[0] == 23


def blobs(sizes, seed=0, apart=100.0, width=2):
    rng = np.random.default_rng(seed)
    centres = np.arange(len(sizes)).repeat(sizes)
    points = rng.normal(size=(len(centres), width))
    points[:, 0] += apart * centres
    paths = [f"clip{place:04}" for place in range(len(points))]
    return points, paths, [f"g{centre}" for centre in centres]


def test_blobs_are_found_and_numbered_by_size():
    points, paths, generators = blobs([5, 20, 10])
    found = algorithm_2(points, paths, generators, Threshold(rate=0.5))
    assert found.k == 3 and set(found.silhouettes) == {2, 3}
    assert found.assignment.tolist() == [2] * 5 + [0] * 20 + [1] * 10
    assert found.total_by_cluster == (20, 10, 5) and found.kept_by_cluster == (10, 5, 3)
    assert found.total_by_generator == {"g0": 5, "g1": 20, "g2": 10}
    assert found.kept_by_generator == {"g0": 3, "g1": 10, "g2": 5}
    np.testing.assert_allclose(found.centres[1], points[25:].mean(axis=0))
    for cluster in range(3):
        rows = np.flatnonzero(found.assignment == cluster)
        alone = algorithm_1(points[rows], [paths[row] for row in rows], Threshold(rate=0.5))
        assert found.rows[found.clusters == cluster].tolist() == rows[alone.rows].tolist()
        assert np.array_equal(found.distances[found.clusters == cluster], alone.distances)


def test_clusters_of_one_size_are_numbered_by_path():
    points, paths, generators = blobs([4, 4])
    assert find_clusters(points, paths, generators).assignment.tolist() == [0] * 4 + [1] * 4
    assert find_clusters(points, paths[::-1], generators).assignment.tolist() == [1] * 4 + [0] * 4


def test_k_is_that_of_the_best_silhouette():
    points, paths, generators = blobs([30, 30, 30, 30], apart=4.0)
    found = find_clusters(points, paths, generators, seed=7)
    expected = {}
    for k in (2, 3, 4):
        fit = KMeans(k, n_init=ClusterParameters().starts, random_state=7).fit(points)
        expected[k] = silhouette_score(points, fit.labels_)
    assert found.silhouettes == pytest.approx(expected, abs=1e-5)
    assert found.k == max(expected, key=expected.get)


def test_never_more_clusters_than_generators_or_the_parameter():
    points, paths, generators = blobs([9, 9, 9, 9])
    assert find_clusters(points, paths, generators).k == 4
    assert find_clusters(points, paths, [name.replace("g3", "g2") for name in generators]).k <= 3
    limited = find_clusters(points, paths, generators, parameters=ClusterParameters(most_clusters=2))
    assert limited.k == 2 and set(limited.silhouettes) == {2}


ONE_CLUSTER = {
    "one generator": (*blobs([9, 9])[:2], ["g"] * 18, {}),
    "no structure": (
        np.random.default_rng(0).normal(size=(60, 40)), [f"{i:02}" for i in range(60)], ["g", "h"] * 30, {}
    ),
    "two distinct points": (np.array([[0.0], [0], [1], [1]]), list("abcd"), list("ghij"), {}),
    "identical points": (np.ones((5, 3)), list("edcba"), list("ghijk"), {}),
    "one fake": (np.ones((1, 3)), ["a"], ["g"], {}),
    "silhouette asked for": (*blobs([9, 9]), {"least_silhouette": 0.999}),
}  # fmt: skip


@pytest.mark.parametrize("case", ONE_CLUSTER)
@pytest.mark.parametrize(
    "threshold", [Threshold(rate=0.34), Threshold(count=3), Threshold(distance=5.0), Threshold(count=0)]
)
def test_one_cluster_is_algorithm_1(case, threshold):
    points, paths, generators, parameters = ONE_CLUSTER[case]
    found = algorithm_2(points, paths, generators, threshold, parameters=ClusterParameters(**parameters))
    plain = algorithm_1(points, paths, threshold)
    assert found.k == 1 and found.groups == ((0,),)
    assert found.rows.tolist() == plain.rows.tolist()
    assert np.array_equal(found.distances, plain.distances)
    assert np.array_equal(found.centres[0], plain.mean)


def test_fewer_fakes_than_generators():
    points = np.array([[0.0], [1], [50]])
    found = find_clusters(points, list("abc"), list("xyz"))
    assert set(found.silhouettes) == {2}  # 3 would leave every clip alone
    assert found.assignment.tolist() == [0, 0, 1]


def test_minus_zero_is_zero():
    found = find_clusters([[0.0], [-0.0], [1.0]], list("abc"), list("xyz"))
    assert found.silhouettes == {} and found.k == 1  # two distinct points


def test_nothing_gives_nothing():
    found = algorithm_2(np.zeros((0, 4)), [], [], Threshold(rate=0.5))
    assert found.k == 0 and len(found.rows) == 0 and found.groups == () and found.centres.shape == (0, 4)
    assert found.kept_by_cluster == () and found.kept_by_generator == {}


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 25), st.integers(0, 2**32 - 1), st.integers(0, 30), st.randoms())
def test_row_order_does_not_matter_and_counts_are_met(count, seed, wanted, random):
    rng = np.random.default_rng(seed)
    points = rng.integers(-3, 4, (count, 2)).astype(np.float32)  # many ties
    paths, generators = [f"clip{i:03}" for i in range(count)], rng.integers(0, 5, count).astype(str)
    parameters = ClusterParameters(sample=15)
    found = algorithm_2(points, paths, generators, Threshold(count=wanted), parameters=parameters)
    assert len(found.rows) == min(wanted, count) == len(set(found.rows.tolist()))
    order = random.sample(range(count), count)
    again = algorithm_2(
        points[order], [paths[i] for i in order], generators[order], Threshold(count=wanted), 0, parameters
    )
    assert [paths[i] for i in found.rows] == [paths[order[i]] for i in again.rows]
    assert np.array_equal(found.clusters, again.clusters)
    assert np.array_equal(found.distances, again.distances)
    assert np.array_equal(found.centres, again.centres) and found.groups == again.groups
    assert np.array_equal(found.assignment[order], again.assignment)


def test_a_large_class_is_clustered_on_a_sample():
    points, paths, generators = blobs([300, 200, 100], width=3)
    parameters = ClusterParameters(sample=60)
    found = find_clusters(points, paths, generators, 3, parameters)
    assert found.assignment.tolist() == [0] * 300 + [1] * 200 + [2] * 100
    for cluster, part in enumerate((points[:300], points[300:500], points[500:])):
        np.testing.assert_allclose(found.centres[cluster], part.mean(axis=0))  # of all, not of the sample
    # Where there is no structure the sample decides, and the seed the sample.
    cloud = np.random.default_rng(0).normal(size=(600, 2))
    runs = [find_clusters(cloud, paths, generators, seed, parameters).assignment for seed in (0, 0, 1)]
    assert np.array_equal(runs[0], runs[1]) and not np.array_equal(runs[0], runs[2])


def test_single_precision_is_not_widened_to_another_answer():
    points, paths, generators = blobs([20, 30], apart=6.0)
    narrow = points.astype(np.float32)
    assert np.array_equal(
        algorithm_2(narrow, paths, generators, Threshold(rate=0.3)).rows,
        algorithm_2(narrow.astype(np.float64), paths, generators, Threshold(rate=0.3)).rows,
    )


def test_a_selection_can_be_cut_again():
    points, paths, generators = blobs([20, 30])
    found = algorithm_2(points, paths, generators, Threshold(rate=0.3))
    assert found.select(Threshold(rate=0.8)).rows.tolist() == (
        algorithm_2(points, paths, generators, Threshold(rate=0.8)).rows.tolist()
    )


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="a clip occurs twice"):
        algorithm_2([[0.0], [1]], ["a", "a"], ["g", "g"], Threshold(rate=1))
    with pytest.raises(ValueError, match="not finite"):
        algorithm_2([[0.0], [np.nan]], ["a", "b"], ["g", "h"], Threshold(rate=1))
    with pytest.raises(ValueError, match="1 generators and 2 embeddings"):
        algorithm_2([[0.0], [1]], ["a", "b"], ["g"], Threshold(rate=1))
    with pytest.raises(ValueError, match="paths must be"):
        algorithm_2([[0.0], [1]], ["a"], ["g"], Threshold(rate=1))
    with pytest.raises(ValueError, match="at least 1"):
        ClusterParameters(starts=0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        ClusterParameters(overlap_share=1.5)


def test_importing_does_not_load_scikit_learn():
    code = "import sys; import ncdetect.rules; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_groups_are_connected_components():
    linked = np.zeros((6, 6), bool)
    for i, j in ((0, 3), (3, 5), (1, 2)):
        linked[i, j] = linked[j, i] = True
    assert clusters._connected(linked) == ((0, 3, 5), (1, 2), (4,))
