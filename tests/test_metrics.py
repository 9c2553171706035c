import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn.metrics import roc_curve

from ncdetect import metrics
from ncdetect.labels import Label

RNG = np.random.default_rng(7)


def blobs(reals=300, fakes=200, gap=1.5, seed=0):
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.normal(0, 1, reals), rng.normal(gap, 1, fakes)])
    return scores, np.repeat([0, 1], [reals, fakes])


def test_eer_by_hand_without_ties():
    # reals 1 2 3 4, fakes 2.5 3.5 5 6: at 3.2 one real of four is above, one fake of four below.
    scores, labels = [1, 2, 3, 4, 2.5, 3.5, 5, 6], [0, 0, 0, 0, 1, 1, 1, 1]
    assert metrics.eer_roc(scores, labels) == pytest.approx(0.25)
    assert metrics.eer_det(scores, labels) == pytest.approx(0.25)


def test_eer_by_hand_with_ties():
    # Reals 0 0 1, fakes 0 1 1: thresholds 0, 1, inf give (FPR, FNR) (1, 0), (1/3, 1/3), (0, 1).
    scores, labels = [0, 0, 1, 0, 1, 1], [0, 0, 0, 1, 1, 1]
    assert metrics.eer_roc(scores, labels) == pytest.approx(1 / 3)
    assert metrics.eer_det(scores, labels) == pytest.approx(1 / 3)
    # Reals 0 1, fakes 1 1 1 1: (1, 0), (1/2, 0), (0, 1): the ROC's line meets FPR = FNR at 1/3,
    # and the step nearest to it has a mean of 1/4.
    scores, labels = [0, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1]
    assert metrics.eer_roc(scores, labels) == pytest.approx(1 / 3)
    assert metrics.eer_det(scores, labels) == pytest.approx(1 / 4)


@pytest.mark.parametrize("eer", [metrics.eer_roc, metrics.eer_det])
def test_eer_of_perfect_inverted_and_constant_scores(eer):
    labels = np.array([0, 0, 0, 1, 1])
    assert eer(labels * 2.0, labels) == 0
    assert eer(-labels * 2.0, labels) == 1
    assert eer(np.zeros(5), labels) == 0.5


@pytest.mark.parametrize("seed", range(5))
def test_eer_roc_against_scikit_learn(seed):
    scores, labels = blobs(seed=seed, gap=0.7)
    scores = np.round(scores, 1)  # many ties
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    expected = brentq(lambda x: 1 - x - interp1d(fpr, tpr)(x), 0, 1)
    assert metrics.eer_roc(scores, labels) == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 1)), min_size=2, max_size=30), st.randoms())
def test_eer_ignores_order_and_monotone_maps(trials, random):
    trials = [*trials, (0, 0), (0, 1)]
    shuffled = random.sample(trials, len(trials))
    for eer in (metrics.eer_roc, metrics.eer_det):
        scores, labels = zip(*trials, strict=True)
        value = eer(scores, labels)
        assert 0 <= value <= 1
        assert eer(*zip(*shuffled, strict=True)) == pytest.approx(value)
        assert eer(np.exp(np.array(scores)), labels) == pytest.approx(value)


def test_det_curve_runs_from_all_fake_to_all_real():
    fpr, fnr, thresholds = metrics.det_curve(*blobs())
    assert (fpr[0], fnr[0], fpr[-1], fnr[-1]) == (1, 0, 0, 1)
    assert (np.diff(fpr) <= 0).all() and (np.diff(fnr) >= 0).all() and (np.diff(thresholds) > 0).all()


def test_average_precision_says_which_class_is_positive():
    precision = metrics.average_precision([1, 2, 3, 4], [0, 1, 0, 1])
    assert precision.fake == pytest.approx((1 + 2 / 3) / 2)  # ranks 1 and 3 from the top
    assert precision.real == pytest.approx((1 + 2 / 3) / 2)
    assert precision.mean == pytest.approx((precision.fake + precision.real) / 2)
    assert precision.prevalence_fake == 0.5


def test_costs_by_hand():
    cost = metrics.Cost(prior_fake=0.5, miss=1, false_alarm=1)
    assert cost.beta == 1
    # Between 2 and 3 one real of two is called fake and no fake is missed: (0 + 1/2) / 1.
    scores, labels = [1, 3, 3.5, 4], [0, 0, 1, 1]
    assert metrics.min_dcf(scores, labels, cost) == 0
    assert metrics.act_dcf(scores, labels, cost) == 1  # threshold 0 calls all fake
    assert metrics.ASVSPOOF5_COST.beta == pytest.approx(0.95 / 0.5)
    assert metrics.min_dcf(np.zeros(4), labels) == 1


def test_asv_rates_by_hand():
    # At 3 one target of four is below and one impostor of four is not; at 4 the rates lie further apart.
    rates = metrics.asv_rates([2, 4, 5, 6], [0, 1, 1.5, 3], [1, 2.5, 3, 7, 8])
    assert rates == (0.25, 0.25, 0.4)  # a score at the threshold is accepted
    assert metrics.asv_rates([2, 3], [0, 1], [0.0]) == (0, 0, 1)
    with pytest.raises(ValueError, match="2 target, 0 nontarget and 1 spoof trials"):
        metrics.asv_rates([1, 2], [], [1])
    with pytest.raises(ValueError, match="not all finite"):
        metrics.asv_rates([2, 3], [0, 1], [np.nan])


def test_min_tdcf_by_hand():
    # Weights with this ASV: 0.9405 (1 - 0.1) - 0.0095 * 10 * 0.2 = 0.82745 of a rejected real,
    # 10 * 0.05 * (1 - 0.4) = 0.3 of an accepted fake.
    asv = metrics.AsvRates(miss=0.1, false_alarm=0.2, spoof_miss=0.4)
    scores, labels = [0, 1, 2, 3, 2.5, 2.6, 4, 5], [0, 0, 0, 0, 1, 1, 1, 1]
    # Above 3 no real is rejected and two fakes of four pass: 0.3 * 0.5. At 2.5 one real of four is rejected
    # and no fake passes: 0.82745 * 0.25 is more.
    assert metrics.min_tdcf(scores, labels, asv) == pytest.approx(0.15 / 0.3)
    # An ASV without errors that lets every fake through has the weights 0.9405 and 0.5: now 2.5 is cheaper.
    perfect = metrics.AsvRates(0, 0, 0)
    assert metrics.min_tdcf(scores, labels, perfect) == pytest.approx(0.9405 * 0.25 / 0.5)
    # Where a rejected real costs a tenth of a fake, what divides is the cost of rejecting all.
    cheap = metrics.TandemCost(0.05, 0.0)
    assert metrics.min_tdcf(scores, labels, perfect, cheap) == pytest.approx(0.05 * 0.25 / 0.05)


def test_min_tdcf_keeps_to_its_bounds():
    asv = metrics.AsvRates(0.05, 0.05, 0.5)
    scores, labels = blobs()
    assert 0 < metrics.min_tdcf(scores, labels, asv) < 1
    assert metrics.min_tdcf(labels * 1.0, labels, asv) == 0
    assert metrics.min_tdcf(np.zeros(4), [0, 0, 1, 1], asv) == 1
    assert metrics.min_tdcf(np.exp(scores), labels, asv) == pytest.approx(
        metrics.min_tdcf(scores, labels, asv)
    )
    for bad in (metrics.AsvRates(0.05, 0.05, 1), metrics.AsvRates(1, 0.05, 0.5)):
        with pytest.raises(ValueError, match="not defined"):
            metrics.min_tdcf(scores, labels, bad)


def test_cllr_of_nothing_known_and_of_certainty():
    assert metrics.cllr([0, 0, 0], [0, 1, 1]) == pytest.approx(1)
    assert metrics.cllr([-50, 50], [0, 1]) == pytest.approx(0, abs=1e-12)
    # One real at llr ln 3: log2(1 + 3) = 2 bits; one fake likewise: log2(1 + 1/3).
    assert metrics.cllr([np.log(3), np.log(3)], [0, 1]) == pytest.approx((2 + np.log2(4 / 3)) / 2)


def test_calibration_recovers_a_known_distortion():
    rng = np.random.default_rng(0)
    llr = np.concatenate([rng.normal(-2, 2, 20_000), rng.normal(2, 2, 5_000)])  # its own LLR: mean = var / 2
    labels = np.repeat([0, 1], [20_000, 5_000])
    calibration = metrics.fit_calibration((llr - 1.5) / 3, labels)
    assert calibration.scale == pytest.approx(3, rel=0.06)
    assert calibration.offset == pytest.approx(1.5, abs=0.12)
    assert metrics.cllr(calibration.llr((llr - 1.5) / 3), labels) == pytest.approx(
        metrics.cllr(llr, labels), abs=0.005
    )
    assert calibration.probability([calibration.score_at(0.3)])[0] == pytest.approx(0.3)


def test_calibration_refuses_inverted_scores():
    scores, labels = blobs()
    with pytest.raises(ValueError, match="higher scores do not mean more fake"):
        metrics.fit_calibration(-scores, labels)


def test_bootstrap_covers_the_value_and_is_wider_by_group():
    scores, labels = blobs()
    narrow = metrics.eer_interval(scores, labels, rounds=200)
    assert narrow.low < narrow.value < narrow.high
    assert narrow == metrics.eer_interval(scores, labels, rounds=200)
    # Ten speakers and ten generators whose clips are copies: the interval must know of twenty things.
    few_scores, few_labels = blobs(10, 10)
    copies = np.repeat(np.arange(20), 20)
    by_clip = metrics.eer_interval(few_scores[copies], few_labels[copies], rounds=200)
    by_group = metrics.eer_interval(few_scores[copies], few_labels[copies], copies, rounds=200)
    assert by_group.high - by_group.low > 2 * (by_clip.high - by_clip.low)


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([1, 2], [0, 0], "no fake clip"),
        ([1, 2], [1, 1], "no real clip"),
        ([1, np.nan], [0, 1], "1 scores are not finite"),
        ([1, 2, 3], [0, 1], "one shape"),
        ([1, 2], [0, 2], "labels must be 0"),
    ],
)
def test_bad_input_is_named(scores, labels, message):
    with pytest.raises(ValueError, match=message):
        metrics.eer_roc(scores, labels)


def test_balanced_accuracy_weighs_classes_equally():
    assert metrics.balanced_accuracy([-1, -1, -1, 1, -1], [0, 0, 0, 0, 1]) == pytest.approx(0.375)


def test_labels_read_the_words_of_corpora():
    assert Label.from_word(" Bona-Fide ") == Label.REAL and Label.from_word("spoof") == Label.FAKE
    with pytest.raises(ValueError, match="unknown label 'maybe'"):
        Label.from_word("maybe")


def test_resampled_rates_equal_those_of_the_drawn_clips():
    rng = np.random.default_rng(3)
    scores = rng.integers(-4, 5, 40) / 2.0  # ties
    labels = rng.integers(0, 2, 40)
    groups = rng.integers(0, 12, 40)
    counts = metrics.resample(labels, groups, rounds=50, seed=1)
    rates = metrics.eer_resampled(scores, labels, counts)
    for drawn, rate in zip(counts, rates, strict=True):
        rows = np.repeat(np.arange(40), drawn)
        assert rate == pytest.approx(metrics.eer_roc(scores[rows], labels[rows]), abs=1e-12)
        for label in (0, 1):  # a group comes whole, and as many groups are drawn as there are
            of_group = {g: set(drawn[(labels == label) & (groups == g)]) for g in groups[labels == label]}
            assert all(len(times) == 1 for times in of_group.values())
            assert sum(times.copy().pop() for times in of_group.values()) == len(of_group)
    assert (metrics.resample(labels, groups, 5, seed=2) == metrics.resample(labels, groups, 5, seed=2)).all()
