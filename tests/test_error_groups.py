import numpy as np
import pytest

from ncdetect import error_groups
from ncdetect.corpora import Clip
from ncdetect.error_groups import REST, Group
from ncdetect.labels import Label


def test_errors_are_those_on_the_wrong_side_of_the_equal_error_rate():
    scores = [-3, -2, -1, 2, -2.5, 1, 3, 4]  # one real of four above, one fake of four below
    labels = [0, 0, 0, 0, 1, 1, 1, 1]
    wrong = error_groups.wrong_at_eer(scores, labels)
    assert np.flatnonzero(wrong).tolist() == [3, 4]


def test_groups_count_clips_and_errors_of_each_class_and_small_ones_together():
    labels = [1] * 20 + [0] * 10
    described = [{"generator": "a"}] * 8 + [{"generator": "b"}] * 9 + [{"generator": "c"}] * 2
    described += [{"generator": "d"}] + [{"source": "x"}] * 10
    wrong = [True] * 2 + [False] * 6 + [True] * 9 + [True, False, False] + [False] * 10
    found = error_groups.grouped(wrong, labels, described)
    assert found == [
        Group("generator", "b", Label.FAKE, 9, 9),
        Group("generator", "a", Label.FAKE, 8, 2),
        Group("generator", REST, Label.FAKE, 3, 1),
        Group("source", "x", Label.REAL, 10, 0),
    ]
    assert sum(group.clips for group in found) == 30


def test_the_table_names_the_worst_and_sums_up_the_rest():
    groups = [
        Group("kind", name, Label.FAKE, 10, wrong)
        for name, wrong in zip("abcdefg", range(9, 2, -1), strict=True)
    ]
    lines = error_groups.table([*groups, Group("length", "long", Label.REAL, 5, 1)], worst=2)
    assert lines[2:] == [
        "| fake, kind | a | 10 | 9 (90 %) |",
        "| fake, kind | b | 10 | 8 (80 %) |",
        "| fake, kind | others | 50 | 25 (50 %) |",
    ]


@pytest.mark.parametrize(
    ("label", "key", "name"), [(Label.FAKE, "generator", "melgan"), (Label.REAL, "source", "melgan")]
)
def test_what_a_clip_is_grouped_by(label, key, name):
    rng = np.random.default_rng(0)
    clip = Clip("a.wav", label, corpus="ant", generator="melgan", kind="vocoder")
    found = error_groups.attributes(clip, rng.normal(size=32_000).astype(np.float32))
    assert found == {"corpus": "ant", key: name, "kind": "vocoder", "length": "under 2.5 s", "band": "wide"}
    spectrum = np.fft.rfft(rng.normal(size=48_000))
    spectrum[10_000:] = 0  # nothing above 3.3 kHz
    narrow = np.fft.irfft(spectrum).astype(np.float32)
    assert error_groups.attributes(clip, narrow)["band"] == "narrow"
    assert error_groups.attributes(clip, narrow)["length"] == "2.5 s or more"
