import numpy as np
import pytest

from ncdetect import collapse

RNG = np.random.default_rng(3)


def test_class_means_and_nearest_mean_by_hand():
    embeddings = [[0, 0], [2, 0], [10, 0], [10, 4]]
    means = collapse.class_means(embeddings, [0, 0, 1, 1])
    assert means.tolist() == [[1, 0], [10, 2]]
    assert collapse.nearest_class_mean([[1, 1], [9, 9], [5.5, 1]], means).tolist() == [0, 1, 0]
    assert collapse.distances_to([[1, 0]], means)[0].tolist() == pytest.approx([0, np.sqrt(85)])


def test_nc1_by_hand():
    # Means -3 and 3 around 0: S_B = 9. Within: deviations +-1 of both classes: S_W = 1. 1 / 9 / 2.
    assert collapse.nc1_variability([[-4], [-2], [2], [4]], [0, 0, 1, 1]) == pytest.approx(1 / 18)
    # A spread that is no part of the means' direction does not count in NC1, but does in CDNV.
    spread = [[-3, -5], [-3, 5], [3, -5], [3, 5]]
    assert collapse.nc1_variability(spread, [0, 0, 1, 1]) == pytest.approx(0)
    assert collapse.cdnv(spread, [0, 0, 1, 1]) == pytest.approx((25 + 25) / (2 * 36))


def test_nc1_against_the_plain_formula_with_several_classes():
    labels = np.repeat([0, 1, 2], [30, 50, 20])
    embeddings = RNG.normal(size=(100, 5)) + 3 * np.eye(5)[labels]
    means = np.stack([embeddings[labels == c].mean(axis=0) for c in range(3)])
    within = np.mean([np.cov(embeddings[labels == c].T, bias=True) for c in range(3)], axis=0)
    between = (means - means.mean(axis=0)).T @ (means - means.mean(axis=0)) / 3
    expected = np.trace(within @ np.linalg.pinv(between)) / 3
    assert collapse.nc1_variability(embeddings, labels) == pytest.approx(expected)


def test_collapsed_classes_and_equal_means():
    collapsed = np.repeat(np.eye(3), 4, axis=0)
    labels = np.repeat([0, 1, 2], 4)
    assert collapse.nc1_variability(collapsed, labels) == pytest.approx(0)
    assert collapse.cdnv(collapsed, labels) == pytest.approx(0)
    assert collapse.nc1_variability([[0.0], [1], [0], [1]], [0, 0, 1, 1]) == np.inf
    assert collapse.cdnv([[0.0], [1], [0], [1]], [0, 0, 1, 1]) == np.inf


def test_measures_do_not_change_under_rotation_and_copies():
    labels = np.repeat([0, 1], [40, 60])
    embeddings = RNG.normal(size=(100, 6)) + labels[:, None]
    turn, _ = np.linalg.qr(RNG.normal(size=(6, 6)))
    again = np.concatenate([embeddings, embeddings[labels == 1]])
    for measure in (collapse.nc1_variability, collapse.cdnv):
        value = measure(embeddings, labels)
        assert measure(embeddings @ turn, labels) == pytest.approx(value)
        # Twice the fakes: classes weigh equally, so nothing changes.
        assert measure(again, np.append(labels, np.ones(60, int))) == pytest.approx(value)


def test_nc2_is_zero_for_a_simplex_and_grows_with_its_distortion():
    groups = np.repeat([0, 1, 2, 7], 3)
    corners = np.eye(4)[[0, 1, 2, 3]].repeat(3, axis=0)
    assert collapse.nc2_simplex(corners, groups) == pytest.approx(0, abs=1e-12)
    assert collapse.nc2_simplex(corners * 3 + 5, groups) == pytest.approx(0, abs=1e-12)
    assert collapse.nc2_simplex([[0.0, 3], [9, 1]], [4, 9]) == pytest.approx(0, abs=1e-12)  # any two
    # Three means on a line, -1, 0, 1: G = [[1,0,-1],[0,0,0],[-1,0,1]] / 2, E / ||E|| = (I - 1/3) / sqrt(2).
    gram = np.array([[1, 0, -1], [0, 0, 0], [-1, 0, 1]]) / 2
    simplex = (np.eye(3) - 1 / 3) / np.sqrt(2)
    assert collapse.nc2_simplex([[-1.0], [0], [1]], [0, 1, 2]) == pytest.approx(
        np.linalg.norm(gram - simplex)
    )
    assert collapse.nc2_simplex(np.zeros((3, 2)), [0, 1, 2]) == pytest.approx(1)
    with pytest.raises(ValueError, match="two groups or more, got 1"):
        collapse.nc2_simplex(corners, np.zeros(12))


def test_self_duality():
    means = np.array([[0.0, 0, 1], [2, 0, 1]])
    assert collapse.nc3_self_duality(means, [5.0, 0, 0]) == pytest.approx(0)
    assert collapse.nc3_self_duality(means, [-5.0, 0, 0]) == pytest.approx(4)
    assert collapse.nc3_self_duality(means, [0, 1.0, 0]) == pytest.approx(2)


def test_agreement_counts_the_bias():
    means = np.array([[-1.0], [1]])
    assert collapse.nc4_agreement([[-2], [-0.5], [0.5], [2]], [-2, -0.5, 0.5, 2], means) == 1
    assert collapse.nc4_agreement([[-2], [-0.5], [0.5], [2]], [-3, -1.5, -0.5, 1], means) == 0.75


@pytest.mark.parametrize(
    ("embeddings", "labels", "message"),
    [
        ([[1.0], [2]], [0, 0], "class 1 has no rows"),
        ([[1.0], [2]], [0], "must be"),
        ([1.0, 2], [0, 1], "must be"),
    ],
)
def test_bad_input_is_named(embeddings, labels, message):
    with pytest.raises(ValueError, match=message):
        collapse.nc1_variability(embeddings, labels)
