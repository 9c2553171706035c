import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from ncdetect.abstention import WIDEST, Thresholds, choose, novelty_auc, report

TRIALS = st.lists(st.tuples(st.integers(-8, 8), st.integers(0, 1)), min_size=2, max_size=24)
RATES = st.sampled_from([0.0, 0.05, 0.1, 0.25, 0.5])


def chosen(reals, fakes, false_alarm, miss):
    """`choose` on probabilities."""
    labels = np.repeat([0, 1], [len(reals), len(fakes)])
    return choose(logit(np.array([*reals, *fakes])), labels, false_alarm, miss)


def outcome(thresholds, llrs, labels):
    return report(thresholds.verdicts(expit(llrs)), labels)


def test_what_is_decided_by_hand():
    thresholds = Thresholds(0.3, 0.8)
    probabilities = [0.0, 0.3, 0.31, 0.5, 0.79, 0.8, 1.0]
    assert thresholds.verdicts(probabilities).tolist() == [
        "real", "real", "undecided", "undecided", "undecided", "fake", "fake",
    ]  # fmt: skip
    assert Thresholds(0.5, 0.5).verdicts([0.5, np.nextafter(0.5, 1)]).tolist() == ["real", "fake"]
    # A half leans to real, so it is decided by the threshold for reals.
    assert not Thresholds(0.4, 0.5).decided(0.5) and Thresholds(0.5, 0.6).decided(0.5)


def test_all_is_decided_where_nothing_would_be_wrong():
    assert chosen([0.1, 0.2, 0.4], [0.6, 0.9], 0, 0) == (0.5, 0.5)


def test_thresholds_by_hand():
    # No error allowed: the real at 0.7 keeps fakes up to it undecided, the fake at 0.2 the reals from it.
    reals, fakes = [0.1, 0.15, 0.3, 0.7], [0.2, 0.65, 0.8, 0.9]
    assert chosen(reals, fakes, 0, 0) == pytest.approx((0.15, 0.8))
    # With the fake at 0.2 undecided so is the real at 0.3. The one at 0.7 called fake is one real of three.
    assert chosen(reals, fakes, 0.25, 0) == pytest.approx((0.15, 0.8))
    assert chosen(reals, fakes, 0.34, 0) == pytest.approx((0.15, 0.5))
    # One of four decided fakes called real as well: one real of four is called fake, and all is decided.
    assert chosen(reals, fakes, 0.25, 0.25) == (0.5, 0.5)


def test_tied_clips_go_together():
    reals, fakes = [0.2, 0.4, 0.4, 0.4], [0.4, 0.9]
    assert chosen(reals, fakes, 0, 0.4) == pytest.approx((0.2, 0.5))
    assert chosen(reals, fakes, 0, 0.5) == (0.5, 0.5)


def test_the_band_is_never_wider_than_the_widest():
    # Inverted scores: no thresholds keep to the rates.
    assert chosen([0.97, 0.99], [0.01, 0.03], 0.05, 0.15) == WIDEST
    # A hopeless detector decides nothing, and keeps to the rates that way.
    assert chosen([0.4, 0.6], [0.4, 0.6], 0, 0) == WIDEST
    # What lies beyond the widest band is decided whatever it is.
    assert chosen([0.01, 0.2], [0.02, 0.9], 0, 0.5).real_below > WIDEST.real_below


def test_huge_ratios_are_probabilities_of_one():
    assert choose([-800.0, 800.0], [0, 1], 0, 0) == (0.5, 0.5)
    assert choose([800.0, 900.0, 1000.0, -5.0], [0, 1, 1, 0], 0.5, 0) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("llrs", "labels", "rates", "message"),
    [
        ([1.0, 2.0], [1, 1], (0, 0), "0 real and 2 fake"),
        ([1.0], [0, 1], (0, 0), "one shape"),
        ([1.0, np.nan], [0, 1], (0, 0), "finite"),
        ([1.0, 2.0], [0, 1], (1, 0), "false_alarm is 1"),
        ([1.0, 2.0], [0, 1], (0, -0.1), "miss -0.1"),
    ],
)
def test_what_cannot_be_chosen_from_is_refused(llrs, labels, rates, message):
    with pytest.raises(ValueError, match=message):
        choose(llrs, labels, *rates)


@given(TRIALS, RATES, RATES)
def test_the_choice_is_the_narrowest_of_all_that_keep_the_rates(trials, false_alarm, miss):
    llrs, labels = map(np.array, zip(*trials, (0, 0), (0, 1), strict=True))
    llrs = llrs / 2
    found = choose(llrs, labels, false_alarm, miss)
    assert WIDEST.real_below <= found.real_below <= 0.5 <= found.fake_above <= WIDEST.fake_above
    grid = np.unique(np.clip([*expit(llrs), 0, 0.5, 1], *WIDEST))
    keeping = []
    for low, high in itertools.product(grid[grid <= 0.5], grid[grid >= 0.5]):
        said = outcome(Thresholds(low, high), llrs, labels)
        if (
            said.reals_called_fake <= false_alarm * said.reals_decided + 1e-9
            and said.fakes_called_real <= miss * said.fakes_decided + 1e-9
        ):
            keeping.append((low, high))
    if keeping:
        # One of them is the narrowest at both ends, so it decides most of either class.
        assert found in keeping and found == (
            max(low for low, _ in keeping),
            min(high for _, high in keeping),
        )
    else:
        assert found == WIDEST


@given(TRIALS, RATES, RATES, st.randoms())
def test_the_order_of_the_clips_does_not_matter(trials, false_alarm, miss, random):
    trials = [*trials, (0, 0), (0, 1)]
    one, other = (choose(*zip(*found, strict=True), false_alarm, miss) for found in (
        trials, random.sample(trials, len(trials))
    ))  # fmt: skip
    assert one == other


@given(TRIALS, RATES, RATES)
def test_exchanging_the_classes_mirrors_the_thresholds(trials, false_alarm, miss):
    llrs, labels = map(np.array, zip(*trials, (1, 0), (-1, 1), strict=True))
    llrs = llrs + 0.25 * np.sign(llrs) + 0.25 * (llrs == 0)  # none of exactly a half, which leans to real
    decided = outcome(choose(llrs, labels, false_alarm, miss), llrs, labels).decided
    mirrored = choose(-llrs, 1 - labels, miss, false_alarm)
    assert outcome(mirrored, -llrs, 1 - labels).decided == pytest.approx(decided)


def test_a_report_by_hand():
    verdicts = ["real", "real", "undecided", "fake", "fake", "real", "undecided", "undecided", "fake"]
    said = report(verdicts, [0, 0, 0, 0, 1, 1, 1, 1, 1])
    assert vars(said) == {
        "reals": 4, "fakes": 5, "reals_decided": 3, "fakes_decided": 3, "reals_called_fake": 1,
        "fakes_called_real": 1,
    }  # fmt: skip
    assert said.decided == pytest.approx((3 / 4 + 3 / 5) / 2)
    assert said.accuracy == pytest.approx(2 / 3)
    assert (said.false_alarm, said.false_alarm_of_all) == pytest.approx((1 / 3, 1 / 4))
    assert (said.miss, said.miss_of_all) == pytest.approx((1 / 3, 1 / 5))
    assert said.row()["miss"] == 0.3333 and said.row()["fakes_called_real"] == 1


def test_a_report_weighs_both_classes_equally():
    # 1 of 2 verdicts on reals is right, 8 of 8 on fakes.
    said = report(["real", "fake", *["fake"] * 8], [0] * 2 + [1] * 8)
    assert said.accuracy == 0.75
    said = report(["undecided"] * 6 + ["fake"] * 2, [0] * 4 + [1] * 4)
    assert said.decided == 0.25 and said.accuracy == 1 and np.isnan(said.false_alarm)


def test_a_report_of_one_class_and_of_no_verdict():
    assert report(["real", "undecided"], [0, 0]).decided == 0.5
    said = report(["undecided"], [1])
    assert said.decided == 0 and np.isnan(said.accuracy)


def test_a_report_knows_three_words():
    with pytest.raises(ValueError, match="spoof"):
        report(["real", "spoof"], [0, 1])
    with pytest.raises(ValueError, match="one shape"):
        report(["real"], [0, 1])


def test_whether_novelty_helps():
    # Wrong at 2 and 3; right at 1, 2, 4: of six pairs 3 above and one tie.
    assert novelty_auc([1, 2, 4, 2, 3], [False, False, False, True, True]) == pytest.approx(3.5 / 6)
    assert novelty_auc([0, 1, 2, 3], [False, False, True, True]) == 1
    assert novelty_auc([5, 5, 5], [True, False, True]) == 0.5
    for wrong in ([True, True], [False, False]):
        with pytest.raises(ValueError, match="both are needed"):
            novelty_auc([1, 2], wrong)
