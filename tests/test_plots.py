import numpy as np
import pytest

from ncdetect import plots
from ncdetect.labels import Label


def some_clips(count=40, seed=0):
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % 2).astype(np.int64)
    embeddings = rng.normal(size=(count, 5)) + 2 * labels[:, None]
    scores = np.where(labels == 1, 1.0, -1.0)
    scores[:4] *= -1
    return embeddings, scores, labels, [f"a/{i:03d}.flac" for i in rng.permutation(count)]


@pytest.mark.parametrize("kind", ["f4", "f8", "i4"])
def test_packing_keeps_values(kind):
    values = np.array([0, 1, -5, 70_000])
    assert plots.unpack(plots.pack(values, kind)).tolist() == values.tolist()


def test_packing_is_what_plotly_reads():
    from plotly.graph_objects import Scattergl

    packed = plots.pack([1.5, 2.5], "f8")
    assert Scattergl(x=packed, y=packed).to_plotly_json()["x"] == packed


def test_coded_texts_are_each_sent_once():
    texts = ["b", "a", "b", "b"]
    coded = plots.coded(texts)
    assert coded["words"] == ["b", "a"]
    assert [coded["words"][code] for code in plots.unpack(coded["codes"])] == texts


def test_every_clip_is_on_the_map_once():
    _, _, labels, _ = some_clips()
    strong = np.arange(40) < 10
    maps = {"exact": np.zeros((40, 2)), "tsne": np.arange(80).reshape(40, 2)}
    means = {"exact": np.eye(2), "tsne": np.ones((2, 2))}
    payload = plots.clip_map(maps, means, labels, strong, [f"clip {i}" for i in range(40)])
    rows = [(trace, plots.unpack(trace["rows"])) for trace in payload["traces"]]
    assert sorted(np.concatenate([some for _, some in rows])) == list(range(40))
    for trace, some in rows:
        assert {Label(label).word for label in labels[some]} == {trace["role"]}
        assert (strong[some] == trace["strong"]).all()
    assert list(payload["views"]) == ["tsne", "exact"]  # in the order of VIEWS, only those there are
    assert plots.unpack(payload["views"]["tsne"]["y"]).tolist() == list(range(1, 80, 2))


def test_the_labs_map_has_every_clip_in_its_class():
    _, _, labels, _ = some_clips()
    maps, means = {"exact": np.zeros((40, 2))}, {"exact": np.zeros((2, 2))}
    payload = plots.sampling_map(maps, means, labels, ["g"] * 40, ["t"] * 40)
    for label in Label:
        assert (
            plots.unpack(payload["classes"][label.word]).tolist() == np.flatnonzero(labels == label).tolist()
        )
    assert payload["count"] == 40


def test_colours_have_contrast_on_their_background():
    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for name in ("real", "fake", "undecided", "clip"):
        for mode, ground in (("light", "#ffffff"), ("dark", "#161e2b")):
            bright, dim = sorted((luminance(plots.COLOURS[name][mode]), luminance(ground)), reverse=True)
            assert (bright + 0.05) / (dim + 0.05) >= 4.5, (name, mode)
