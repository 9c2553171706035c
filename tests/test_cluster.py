import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from embedders import PathEmbedder, Told, made_manifest
from ncdetect import cli, cluster, cluster_kmeans, cluster_select, clusters, collapse, database, sampling
from ncdetect.bank import EmbeddingBank
from ncdetect.cluster_manifest import ShardError, read_block, write_manifest
from ncdetect.cluster_shards import Embeddings, ShardedBank, write_shard
from ncdetect.clusters import ClusterParameters
from ncdetect.corpora import Clip, Manifest
from ncdetect.labels import Label
from ncdetect.rules import Budget
from ncdetect.sampling import Threshold

TESTS = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def ray_here():
    """Ray on this machine, two processors."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'ncdetect[cluster]'")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(TESTS))  # where its workers find the embedders
        environment.setenv("RAY_worker_niceness", "0")  # 15 else: beside other work they would hardly run
        cluster.connect(cpus=2)
        yield
    ray.shutdown()


def bank_of(folder: Path, manifest: Manifest, block: int) -> tuple[ShardedBank, Path]:
    """A bank that is begun, and its manifest."""
    folder.mkdir(exist_ok=True)
    write_manifest(manifest, folder / "manifest.parquet", block)
    return ShardedBank.create(folder / "bank", folder / "manifest.parquet", "m", "0" * 64), (
        folder / "manifest.parquet"
    )


def embedded(folder: Path, manifest: Manifest, block: int) -> ShardedBank:
    """A finished bank, made without Ray."""
    bank, file = bank_of(folder, manifest, block)
    for number in range(bank.blocks):
        clips = read_block(file, number)
        write_shard(bank.file(number), clips, PathEmbedder()(clips))
    return bank


def in_memory(manifest: Manifest) -> EmbeddingBank:
    """The same bank on a single machine, rows in an order of their own."""
    clips = [manifest.clips[row] for row in np.random.default_rng(0).permutation(len(manifest))]
    made = PathEmbedder()(clips)
    return EmbeddingBank.build(
        clips, made.embeddings, made.scores, np.zeros((2, 8)), "m", "0" * 64, maps=False
    )


@pytest.fixture(scope="module")
def banks(tmp_path_factory):
    """Two corpora with recordings in common, in shards and in memory."""
    folder = tmp_path_factory.mktemp("banks")
    manifests = [made_manifest(1500, "c"), made_manifest(400, "d", generators=1)]
    shards = [
        embedded(folder / m.clips[0].corpus, m, block) for m, block in zip(manifests, (97, 97), strict=True)
    ]
    return shards, [in_memory(manifest) for manifest in manifests]


def fakes_of(bank: EmbeddingBank):
    """Fakes of interest of the train split, in the order of paths: embeddings, paths, generators."""
    right = sampling.samples_of_interest(bank.clips["score"], bank.labels)
    rows = np.flatnonzero((bank.labels == 1) & right & (bank.clips["split"] == "train"))
    rows = rows[np.argsort(bank.clips["path"].to_numpy()[rows])]
    clips = bank.clips.iloc[rows]
    return bank.embeddings[rows], clips["path"].tolist(), clips["generator"].tolist()


# Without Ray: the files.


def test_a_manifest_comes_back_in_the_order_of_paths(tmp_path):
    clips = [
        Clip("b", Label.FAKE, "c", "train", "g", "tts", "s", "r", "en", "x", "MIT", "mp3", 8000, 1.5),
        Clip("ä", Label.REAL, "c"),
        Clip("a", Label.REAL, "c", "dev"),
    ]
    assert write_manifest(Manifest(tmp_path, tuple(clips)), tmp_path / "m.parquet", 2) == 2
    blocks = [read_block(tmp_path / "m.parquet", number) for number in range(2)]
    assert blocks == [(clips[2], clips[0]), (clips[1],)]
    for wrong in (0, 2**17):
        with pytest.raises(ValueError, match="1 to 65536"):
            write_manifest(Manifest(tmp_path, tuple(clips)), tmp_path / "m.parquet", wrong)


def test_a_manifest_of_others_is_checked(tmp_path):
    table = pq.read_table(_written(tmp_path, made_manifest(6)))

    def read(changed, block=0):
        pq.write_table(changed, tmp_path / "other.parquet", row_group_size=3)
        return read_block(tmp_path / "other.parquet", block)

    assert len(read(table.select(["path", "label"]))) == 3
    with pytest.raises(ShardError, match="other.parquet, block 0: .*paths must ascend"):
        read(table.take([1, 0, 2]))
    with pytest.raises(ShardError, match="paths must ascend, each once"):
        read(table.take([1, 1, 2]))
    with pytest.raises(ShardError, match="block 0, row 0: 'label'"):
        read(table.drop(["label"]))
    bad = table.set_column(3, "label", [["real", "real", "real", "unsure", "real", "real"]])
    with pytest.raises(ShardError, match="block 1, row 0: unknown label 'unsure'"):
        read(bad, 1)
    bank = tmp_path / "bank"
    pq.write_table(table.take([3, 4, 5, 0, 1, 2]), tmp_path / "twisted.parquet", row_group_size=3)
    made = ShardedBank.create(bank, tmp_path / "twisted.parquet", "m", "0")
    for block in range(2):
        clips = read_block(tmp_path / "twisted.parquet", block)
        write_shard(made.file(block), clips, PathEmbedder()(clips))
    with pytest.raises(ShardError, match="paths must ascend through the whole manifest"):
        made.means()


def _written(folder: Path, manifest: Manifest) -> Path:
    write_manifest(manifest, folder / "manifest.parquet", 3)
    return folder / "manifest.parquet"


def test_a_bank_belongs_to_one_manifest_and_one_model(tmp_path):
    bank, file = bank_of(tmp_path, made_manifest(7), 3)
    assert bank.blocks == 3 and bank.unfinished() == [0, 1, 2]
    assert ShardedBank.create(bank.folder, file, "m", "0" * 64).unfinished() == [0, 1, 2]
    with pytest.raises(ShardError, match="another manifest or model"):
        ShardedBank.create(bank.folder, file, "m", "1" * 64)
    with pytest.raises(ShardError, match="3 of 3 blocks of .* are not embedded yet"):
        bank.means()
    write_manifest(made_manifest(8), file, 3)
    with pytest.raises(ShardError, match="another manifest or model"):
        ShardedBank.create(bank.folder, file, "m", "0" * 64)
    with pytest.raises(FileNotFoundError, match="no bank in"):
        ShardedBank.open(tmp_path)
    (tmp_path / "text").write_text("path,label\n")
    with pytest.raises(ShardError, match="no Parquet file"):
        ShardedBank.create(tmp_path / "new", tmp_path / "text", "m", "0")
    pq.write_table(pq.read_table(file), tmp_path / "one.parquet")
    ShardedBank.create(tmp_path / "new", tmp_path / "one.parquet", "m", "0")


def test_a_shard_by_hand(tmp_path):
    """Reals: 1 is right, 2 torn, 4 judged wrong, 8 of dev. Fakes: 16 is right, the others no halves."""
    labels = [Label.REAL] * 4 + [Label.FAKE] * 3
    clips = [Clip(f"{i}", label, "c", "dev" if i == 3 else "train", "g") for i, label in enumerate(labels)]
    embeddings = np.array([[1], [2], [4], [8], [16], [np.nan], [1e6]])
    made = Embeddings(embeddings, np.array([-1, -1, 1, -1, 1, 1, 1]), {1: "torn"})
    facts = write_shard(tmp_path / "part", clips, made)
    assert (facts.clips, facts.first, facts.last) == (4, "0", "6")
    assert facts.interest == (1, 1) and facts.sums == ((1.0,), (16.0,)) and facts.generators == {"g": 1}
    assert [path for path, _ in facts.failed] == ["1", "5", "6"] and facts.failed[0][1] == "torn"
    assert [file.name for file in tmp_path.iterdir()] == ["part"]


def test_a_torn_shard_is_made_again_and_leftovers_go(tmp_path):
    bank = embedded(tmp_path, made_manifest(20), 6)
    whole = bank.file(2).read_bytes()
    bank.file(2).write_bytes(whole[: len(whole) // 2])
    bank.file(0).write_bytes(b"")
    assert bank.unfinished() == [0, 2]
    leftover = bank.folder / ".part-000001.parquet.ab.writing"
    leftover.touch()
    bank.tidy()
    assert not leftover.exists() and bank.file(1).exists()


def test_means_do_not_depend_on_blocks_and_are_those_of_one_machine(banks, tmp_path):
    shards, memory = banks
    right = sampling.samples_of_interest(memory[0].clips["score"], memory[0].labels)
    rows = np.flatnonzero(right & (memory[0].clips["split"] == "train"))
    expected = collapse.class_means(memory[0].embeddings[rows], memory[0].labels[rows])
    np.testing.assert_allclose(shards[0].means(), expected, rtol=0, atol=1e-6)
    other = embedded(tmp_path, made_manifest(1500), 411)
    assert np.array_equal(other.means(), shards[0].means())
    written = json.loads(other.write_means().read_text())
    assert written["means"]["fake"] == shards[0].means()[1].tolist()
    assert written["clips"] == {"real": int(shards[0].interest(Label.REAL).sum()),
                                "fake": int(shards[0].interest(Label.FAKE).sum())}  # fmt: skip


@pytest.mark.parametrize(
    "threshold", [{"rate": 0.4}, {"count": 3}, {"count": 0}, {"count": 9}, {"distance": 2.0}]
)
def test_the_nearest_with_ties(threshold):
    distances = np.array([2.0, 1, 3, 2, 2])
    order = np.argsort(distances, kind="stable")
    threshold = Threshold(**threshold)
    kept = cluster_kmeans.nearest(distances, threshold)
    assert np.flatnonzero(kept).tolist() == sorted(order[: threshold.size(distances[order])].tolist())
    assert cluster_kmeans.nearest(np.zeros(0), threshold).shape == (0,)


def test_without_ray_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match="pip install 'ncdetect\\[cluster\\]'"):
        cluster.connect()


# With Ray on this machine.

PARAMETERS = ClusterParameters(sample=200)


def test_algorithm_2_is_that_of_one_machine(banks, ray_here):
    bank = banks[0][0]
    expected = clusters.find_clusters(*fakes_of(banks[1][0]), 1, PARAMETERS)
    found = cluster_kmeans.partition(bank, 1, PARAMETERS)
    own = cluster_kmeans.own_distances(bank, found)[Label.FAKE]
    together = cluster_kmeans.groups(bank, found, own, PARAMETERS)
    collective = cluster_kmeans.collective_distances(bank, found, together)
    assert expected.k > 2 and len(expected.assignment) > PARAMETERS.sample
    assert {len(group) for group in together} == {1, 2}  # some overlap, some do not
    assert np.array_equal(found.assignment, expected.assignment)
    assert np.array_equal(found.centres, expected.centres)
    assert together == expected.groups
    assert np.array_equal(own, expected.own_distances)
    assert np.array_equal(np.maximum(own, collective), expected.reach)
    thresholds = [{"rate": rate} for rate in np.linspace(0, 1, 21)]
    thresholds += [{"count": count} for count in (0, 1, 2, 50, 51, 400, 10_000)]
    thresholds += [{"distance": distance} for distance in np.quantile(own, (0, 0.3, 0.9, 1))]
    for threshold in (Threshold(**given) for given in thresholds):
        kept = cluster_kmeans.kept(found, together, own, collective, threshold)
        assert np.flatnonzero(kept).tolist() == sorted(expected.select(threshold).rows.tolist()), threshold


@pytest.mark.parametrize("rule", cluster_select.RULES)
def test_the_new_database_is_that_of_one_machine_byte_for_byte(banks, ray_here, tmp_path, rule):
    shards, memory = banks
    budget = Budget(Threshold(rate=0.6), Threshold(count=150))
    parts = [database.sample_bank(bank, budget, rule, 1) for bank in memory]
    database.write(merged := database.merge(parts), Path("."), tmp_path / "one.csv")
    assert sum(map(len, parts)) > len(merged)  # recordings that both corpora have
    written = cluster_select.write(
        [cluster_select.choose(bank, budget, rule, 1) for bank in shards], tmp_path / "many.csv"
    )
    assert (tmp_path / "many.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
    assert written.counts == database.count(entry.clip for entry in merged)
    if rule == "algorithm-2":
        expected = clusters.algorithm_2(*fakes_of(memory[0]), budget.fake, 1)
        assert database.describe(written.found[0]) == database.describe(expected)
    with pytest.raises(ValueError, match="unknown rule 'herding'; allowed at scale: algorithm-1"):
        cluster_select.choose(shards[0], budget, "herding")


DRIVER = """
from functools import partial
from pathlib import Path
from embedders import Told
from ncdetect import cluster
from ncdetect.cluster_shards import ShardedBank
folder = Path({folder!r})
cluster.connect(cpus=2)
bank = ShardedBank.open(folder / "bank")
cluster.embed(bank, folder / "manifest.parquet", partial(Told, folder, seconds=0.5), cluster.Workers(2, 0.4))
"""


def test_neither_a_killed_driver_nor_a_killed_worker_loses_a_finished_shard(banks, ray_here, tmp_path):
    bank, file = bank_of(tmp_path, made_manifest(1500), 97)
    script = DRIVER.format(folder=str(tmp_path))
    driver = subprocess.Popen([sys.executable, "-c", script], cwd=TESTS.parent, stderr=subprocess.DEVNULL)
    try:
        give_up = time.monotonic() + 120
        while len(bank.unfinished()) > 16 - 3:
            assert driver.poll() is None and time.monotonic() < give_up
            time.sleep(0.05)
    finally:
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    left = bank.unfinished()
    finished = {block: bank.file(block).stat() for block in range(16) if block not in left}
    assert 3 <= len(finished) < 16

    deadly = read_block(file, 14)[0].path
    told = []
    workers = cluster.Workers(2, 0.4)
    done = cluster.embed(bank, file, partial(Told, tmp_path, deadly), workers, lambda *now: told.append(now))
    assert (tmp_path / "died").exists() and done.failed == ()
    assert done.made <= 16 - len(finished) and done.made + done.found == 16
    assert told[0] == (done.found, 16) and told[-1] == (16, 16)
    for block, before in finished.items():
        after = bank.file(block).stat()
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert np.array_equal(bank.means(), banks[0][0].means())
    assert not list(bank.folder.glob(".part-*"))
    # Twice come only the blocks that were under way: at most two a worker, when it or its driver died.
    calls = (tmp_path / "calls").read_text().split()
    assert len(set(calls)) == 16 and calls.count(deadly) == 2 and len(calls) <= 16 + 4 + 2
    again = cluster.embed(ShardedBank.open(bank.folder), file, partial(Told, tmp_path), workers)
    assert (again.made, again.found) == (0, 16) and (tmp_path / "calls").read_text().split() == calls


def test_a_bad_block_is_told_as_it_is(ray_here, tmp_path):
    table = pq.read_table(_written(tmp_path, made_manifest(6)))
    pq.write_table(table.take([1, 0, 2, 3, 4, 5]), tmp_path / "bad.parquet", row_group_size=3)
    bank = ShardedBank.create(tmp_path / "bank", tmp_path / "bad.parquet", "m", "0")
    with pytest.raises(ShardError, match="^[^\n]*bad.parquet, block 0: .* paths must ascend, each once$"):
        cluster.embed(bank, tmp_path / "bad.parquet", PathEmbedder)


def test_the_commands_end_where_those_of_one_machine_do(made_corpus, made_checkpoint, ray_here, tmp_path):
    def run(*arguments, status=0):
        result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
        assert result.exit_code == status, result.output
        return result.output

    broken = tmp_path / "corpus"
    broken.mkdir()
    for name in ("ant", "bee"):
        (broken / name).symlink_to(made_corpus.root / name)
    (broken / "torn.flac").write_bytes(b"fLaC")
    clips = (*made_corpus, Clip("torn.flac", Label.FAKE, "ant", "train", "gen0"))
    Manifest(broken, clips).write(broken / "manifest.csv")

    bank, file = tmp_path / "bank", tmp_path / "manifest.parquet"
    said = run("cluster", "manifest", f"--data={broken}", "--corpus=ant", f"--out={file}", "--block=32")
    assert said.startswith("49 clips in 2 blocks")
    embed = ("cluster", "embed", f"--manifest={file}", f"--root={broken}", f"--bank={bank}")
    embed += (f"--checkpoint={made_checkpoint}", "--cpus=0.4")
    said = run(*embed)
    assert "torn.flac: " in said and "2 blocks embedded, 0 were there; 1 clips could not be read" in said
    assert "0 blocks embedded, 2 were there" in run(*embed)
    assert "means of " in run("cluster", "means", f"--bank={bank}")

    one = tmp_path / "one.parquet"
    run(
        "embed",
        f"--data={made_corpus.root}",
        "--corpus=ant",
        f"--out={one}",
        f"--checkpoint={made_checkpoint}",
    )
    memory = EmbeddingBank.load(one)
    right = sampling.samples_of_interest(memory.clips["score"], memory.labels)
    rows = np.flatnonzero(right & (memory.clips["split"] == "train"))
    expected = collapse.class_means(memory.embeddings[rows], memory.labels[rows])
    # Batches of other sizes may round the last bit of a half otherwise; equal halves are equal above.
    np.testing.assert_allclose(ShardedBank.open(bank).means(), expected, rtol=0, atol=1e-4)
    said = []
    for rule in cluster_select.RULES:
        options = (f"--rule={rule}", "--real-rate=0.5", "--fake-count=5")
        for command, source in ((("sample",), one), (("cluster", "select"), bank)):
            lines = run(*command, f"--bank={source}", f"--out={tmp_path / 'new.csv'}", *options).splitlines()
            said.append(
                ([line.removeprefix(f"{source}: ") for line in lines], (tmp_path / "new.csv").read_text())
            )
    assert said[0] == said[1] and said[2] == said[3]
