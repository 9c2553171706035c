import numpy as np
import pytest

from ncdetect.dynamics import el2n_scores, forgetting_events

# Draws in the order of training of four clips: 0 real, 1 fake, 2 real, 3 (fake) never drawn.
LABELS = [0, 1, 0, 1]
ROWS = [0, 1, 0, 2, 1, 0, 0, 1, 2, 0]
SCORES = [-1, 2, 1, 3, -2, -1, 1, 0, 4, -3]
# Clip 0: right wrong right wrong right; clip 1: right wrong wrong (0 is no fake); clip 2: wrong wrong.


def test_forgetting_by_hand():
    events = forgetting_events(ROWS, SCORES, LABELS, 4)
    assert events.dtype == np.float32
    np.testing.assert_array_equal(events, [2, 1, np.inf, np.nan])


def test_another_clip_does_not_forget_for_it():
    # Sorted by clip, 0 ends right and 1 begins wrong: nobody forgot.
    assert forgetting_events([0, 1, 1], [-1, -1, 1], [0, 1], 2).tolist() == [0, 0]


def test_el2n_by_hand():
    def sigmoid(score):
        return 1 / (1 + np.exp(-score))

    norms = [sigmoid(-1), sigmoid(1), sigmoid(-1), sigmoid(1), sigmoid(-3)]
    scores = el2n_scores(ROWS, SCORES, LABELS, 4)
    assert scores.dtype == np.float32
    expected = [
        np.mean(norms), 1 - np.mean([sigmoid(2), sigmoid(-2), 0.5]), np.mean([sigmoid(3), sigmoid(4)]), np.nan
    ]  # fmt: skip
    np.testing.assert_allclose(scores, np.sqrt(2) * np.array(expected), rtol=1e-6)
    # As the norm of a vector over the two classes: ||(1 - p, p) - (1, 0)||.
    first = el2n_scores(ROWS, SCORES, LABELS, 4, first=1)
    assert first[0] == pytest.approx(np.hypot(sigmoid(-1), sigmoid(-1)))
    assert el2n_scores(ROWS, SCORES, LABELS, 4, first=2)[0] == pytest.approx(np.sqrt(2) * np.mean(norms[:2]))


def test_a_confident_network_does_not_overflow():
    scores = el2n_scores([0, 1, 2, 3], [-1e4, 1e4, 1e4, -1e4], LABELS, 4)
    np.testing.assert_allclose(scores, [0, 0, np.sqrt(2), np.sqrt(2)])


def test_only_the_first_ten_draws_count():
    scores = el2n_scores([0] * 12, [0] * 10 + [9] * 2, [0], 1)
    assert scores[0] == pytest.approx(np.sqrt(2) / 2)


def test_no_draws():
    assert np.isnan(forgetting_events([], [], LABELS, 4)).all()
    assert np.isnan(el2n_scores([], [], LABELS, 4)).all()


@pytest.mark.parametrize("measure", [el2n_scores, forgetting_events])
def test_bad_input_is_named(measure):
    with pytest.raises(ValueError, match="between 0 and 3, got 0 to 4"):
        measure([0, 4], [1, 1], LABELS, 4)
    with pytest.raises(ValueError, match="must be"):
        measure([0], [1, 1], LABELS, 4)
    with pytest.raises(ValueError, match="must be"):
        measure([0], [1], [0, 1], 4)
    with pytest.raises(ValueError, match="first must be"):
        el2n_scores([0], [1], LABELS, 4, first=0)
