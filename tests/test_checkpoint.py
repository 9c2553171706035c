import dataclasses
import json
import pickle

import numpy as np
import pytest
import torch

from ncdetect import checkpoint, projection
from ncdetect.bank import EXAMPLES, BankError, EmbeddingBank
from ncdetect.checkpoint import CheckpointError, DetectorConfig, TrainedDetector, weights_sha256
from ncdetect.corpora import Clip
from ncdetect.labels import Label

RNG = np.random.default_rng(0)
CLIPS = [
    Clip(f"{label.word}-{i}.flac", label, "ant", "train" if i else "dev", f"gen{i}")
    for label in Label
    for i in range(8)
]
EMBEDDINGS = np.concatenate([RNG.normal(0, 1, (8, 128)), RNG.normal(3, 1, (8, 128))])


def make_bank(sha="0" * 64, maps=True, clips=CLIPS):
    means = np.stack([EMBEDDINGS[:8].mean(axis=0), EMBEDDINGS[8:].mean(axis=0)])
    scores = np.repeat([-1.0, 1.0], 8)
    bank = EmbeddingBank.build(
        clips, EMBEDDINGS, scores, means, "tiny-resnet", sha, np.arange(16) % 2 == 0, False
    )
    coordinates = {name: RNG.normal(size=(16, 2)).astype(np.float32) for name in ("tsne", "umap")}
    return dataclasses.replace(bank, maps=coordinates if maps else {})


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    detector = TrainedDetector(DetectorConfig("tiny-resnet", 1.5, -0.25, training={"rule": "test"}))
    detector.bank = make_bank(weights_sha256(detector.detector))
    detector.card = "# a card\n"
    return detector.eval()


def test_a_checkpoint_comes_back_whole(trained, tmp_path):
    folder = tmp_path / "some" / "place"
    folder.parent.mkdir()
    for _ in range(2):  # the second time it replaces what is there
        trained.save(folder)
    assert sorted(f.name for f in folder.iterdir()) == [
        "README.md",
        "bank.parquet",
        "config.json",
        "model.safetensors",
    ]
    assert [f.name for f in folder.parent.iterdir()] == ["place"]
    loaded = TrainedDetector.from_pretrained(folder)
    wave = torch.randn(2, 48_000)
    with torch.inference_mode():
        assert torch.equal(loaded(wave).score, trained(wave).score)
    assert loaded.config == trained.config and loaded.card == "# a card\n"
    assert loaded.sha256 == loaded.bank.model_sha256 == weights_sha256(trained.detector)
    assert not loaded.training


def test_a_bank_comes_back_whole(tmp_path):
    bank = make_bank()
    bank.save(tmp_path / "bank.parquet")
    loaded = EmbeddingBank.load(tmp_path / "bank.parquet", "0" * 64)
    assert loaded.clips.equals(bank.clips)
    assert np.array_equal(loaded.embeddings, bank.embeddings) and np.array_equal(loaded.means, bank.means)
    assert all(np.array_equal(loaded.maps[name], bank.maps[name]) for name in bank.maps)
    assert loaded.clip(3) == CLIPS[3] and loaded.labels.tolist() == [0] * 8 + [1] * 8


def test_a_bank_of_another_model_is_refused(trained, tmp_path):
    trained.save(tmp_path / "a")
    make_bank("f" * 64).save(tmp_path / "a" / "bank.parquet")
    with pytest.raises(BankError, match="belongs to another model"):
        TrainedDetector.from_pretrained(tmp_path / "a")
    with pytest.raises(CheckpointError, match="belongs to other weights"):
        other = TrainedDetector(trained.config)
        other.bank = trained.bank
        other.save(tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "bank.parquet", "config.json"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "noise"])
def test_damaged_files_are_refused(trained, tmp_path, name, damage):
    trained.save(tmp_path / "a")
    file = tmp_path / "a" / name
    data = bytearray(file.read_bytes())
    if damage == "flipped":
        data[:64] = bytes(255 - byte for byte in data[:64])
    file.write_bytes(
        {"cut": data[: len(data) // 2], "flipped": data, "empty": b"", "noise": RNG.bytes(999)}[damage]
    )
    with pytest.raises((CheckpointError, BankError), match=name):
        TrainedDetector.from_pretrained(tmp_path / "a")


def test_a_pickle_is_never_loaded(trained, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was loaded",))

    trained.save(tmp_path / "a")
    (tmp_path / "a" / "model.safetensors").unlink()
    (tmp_path / "a" / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match="is a pickle"):
        TrainedDetector.from_pretrained(tmp_path / "a")
    (tmp_path / "a" / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match="damaged"):
        TrainedDetector.from_pretrained(tmp_path / "a")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "vgg"}, "unknown model 'vgg'"),
        ({"colour": 1}, "colour"),
        ({"model": None}, "unknown model"),
    ],
)
def test_a_config_with_unknown_values_is_refused(trained, tmp_path, change, message):
    trained.save(tmp_path / "a")
    file = tmp_path / "a" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(CheckpointError, match=message):
        TrainedDetector.from_pretrained(tmp_path / "a")


def test_weights_of_another_architecture_are_refused(trained, tmp_path):
    trained.save(tmp_path / "a")
    file = tmp_path / "a" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model": "convnext"}))
    with pytest.raises(CheckpointError, match="not of a convnext"):
        TrainedDetector.from_pretrained(tmp_path / "a")


def test_a_checkpoint_that_is_nowhere(monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoint, "CHECKPOINTS", tmp_path)
    with pytest.raises(CheckpointError, match="there is no checkpoint 'nothing' here"):
        TrainedDetector.from_pretrained("nothing")
    # Offline, a repository of the Hub is not there, either, and no traceback of the network is shown.
    with pytest.raises(CheckpointError, match="the Hub has none either"):
        TrainedDetector.from_pretrained("someone/nothing", local_files_only=True, cache_dir=tmp_path)


def test_push_to_hub_sends_the_four_files(trained, monkeypatch):
    from huggingface_hub import HfApi

    sent = {}
    monkeypatch.setattr(HfApi, "create_repo", lambda self, repo_id, **_: type("R", (), {"repo_id": repo_id}))
    monkeypatch.setattr(
        HfApi,
        "upload_folder",
        lambda self, folder_path, **_: sent.update({f.name: f.stat().st_size for f in folder_path.iterdir()}),
    )
    trained.push_to_hub("someone/tiny")
    assert set(sent) == {"README.md", "bank.parquet", "config.json", "model.safetensors"}


def test_nearest_clips_by_hand():
    bank = make_bank()
    rows, distances = bank.nearest(bank.embeddings[5], 3)
    expected = np.linalg.norm(bank.embeddings - bank.embeddings[5], axis=1)
    assert rows.tolist() == np.argsort(expected)[:3].tolist() and distances[0] == 0
    among = np.arange(16) >= 8
    assert bank.nearest(bank.embeddings[5], 3, among)[0].min() >= 8
    assert len(bank.nearest(bank.embeddings[5], 99)[0]) == 16


def test_examples_are_not_among_the_known_clips():
    clips = [
        dataclasses.replace(clip, corpus=EXAMPLES, split="") if i == 2 else clip
        for i, clip in enumerate(CLIPS)
    ]
    assert np.flatnonzero(~make_bank(clips=clips).known()).tolist() == [2]


def test_placing_a_point_by_hand():
    known, places = np.array([[0.0, 0], [2, 0], [100, 0]]), np.array([[0.0, 0], [1, 1], [50, 50]])
    # Squared distances 1, 1 and 99^2: the far clip hardly counts.
    placed = projection.place([1.0, 0], known, places)
    assert placed == pytest.approx(np.array([0.5, 0.5]) * 2 / (2 + 1 / 99**2) + 50 / 99**2 / (2 + 1 / 99**2))
    assert projection.place([2.0, 0], known, places) == pytest.approx([1, 1], abs=1e-6)
    assert projection.place([1.0, 0], known, places, neighbours=2) == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("fit", [projection.fit_tsne, projection.fit_umap])
def test_maps_keep_blobs_apart_and_are_seeded(fit):
    rng = np.random.default_rng(1)
    blobs = np.concatenate([rng.normal(centre, 1, (60, 16)) for centre in (0, 6, 12)])
    labels = np.repeat([0, 1, 2], 60)
    places = fit(blobs)
    assert places.shape == (180, 2) and np.isfinite(places).all()
    assert np.array_equal(places, fit(blobs))
    distances = np.linalg.norm(places[:, None] - places[None], axis=2) + 1e9 * np.eye(180)
    assert (labels[np.argsort(distances, axis=1)[:, :5]] == labels[:, None]).mean() > 0.98
    # A clip that was left out falls among its own blob.
    placed = projection.place(blobs[70], np.delete(blobs, 70, axis=0), np.delete(places, 70, axis=0))
    centres = np.stack([places[labels == k].mean(axis=0) for k in range(3)])
    assert np.linalg.norm(centres - placed, axis=1).argmin() == 1
