import csv
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from ncdetect import cli, database
from ncdetect.bank import EmbeddingBank
from ncdetect.corpora import Clip, Manifest
from ncdetect.database import Chosen, sample_bank
from ncdetect.labels import Label
from ncdetect.rules import RULES, Budget, Pool, choose
from ncdetect.sampling import Threshold


def bank(corpus="c", shift=0.0):
    """Reals at 0 to 7 (recordings r0 to r7); fakes of two generators about 100 (5 clips) and 200 (3)."""
    reals = [
        Clip(f"{corpus}/real{i}", Label.REAL, corpus, "train", recording=f"{corpus}-r{i}") for i in range(8)
    ]
    fakes = [Clip(f"{corpus}/fake{i}", Label.FAKE, corpus, "train", "g" if i < 5 else "h") for i in range(8)]
    points = np.r_[np.arange(8.0), 100 + np.arange(5.0), 200 + np.arange(3.0)] + shift
    made = EmbeddingBank.build(
        reals + fakes, points[:, None], [-1] * 8 + [1] * 8, np.zeros((2, 1)), "m", "0" * 64, maps=False
    )
    return replace(made, clips=made.clips.assign(el2n=points[::-1], forgetting=0.0))


def paths(chosen):
    return [entry.clip.path.removeprefix("c/") for entry in chosen]


def test_algorithm_1_is_the_default():
    chosen = sample_bank(bank(), Budget(Threshold(rate=0.5), Threshold(count=1)))
    assert paths(chosen) == ["real3", "real4", "real2", "real5", "fake4"]  # mean of the fakes: 139.125
    assert [entry.distance for entry in chosen] == [0.5, 0.5, 1.5, 1.5, 35.125]
    assert {entry.rule for entry in chosen[:4]} == {"algorithm-1 rate 0.5"}
    assert chosen[4].rule == "algorithm-1 count 1" and chosen[4].cluster is None


def test_algorithm_2_says_which_cluster():
    chosen = sample_bank(bank(), Budget.share(0.4), "algorithm-2", seed=3)
    assert paths(chosen) == ["real3", "real4", "real2", "real5", "fake2", "fake6", "fake1", "fake5"]
    assert [entry.cluster for entry in chosen] == [None] * 4 + [0, 1, 0, 1]
    assert [entry.distance for entry in chosen[4:]] == [0, 0, 1, 1]
    assert {entry.rule for entry in chosen[:4]} == {"algorithm-1 rate 0.4"}
    assert {entry.rule for entry in chosen[4:]} == {"algorithm-2 rate 0.4 seed 3"}


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_makes_a_database(rule, tmp_path):
    chosen = sample_bank(bank(), Budget.counts(real=3, fake=5), rule, seed=2)
    counts = database.count(entry.clip for entry in chosen)
    assert counts == {"real": 3, "fake": 5, "c real": 3, "c fake": 5}
    assert all(entry.rule.startswith(("algorithm-1 count", f"{rule} count")) for entry in chosen)
    assert all(entry.rule.endswith("seed 2") == RULES[rule].seeded for entry in chosen[3:])
    database.write(chosen, tmp_path, tmp_path / "new.csv")
    assert Manifest.read(tmp_path / "new.csv").clips == tuple(entry.clip for entry in chosen)


def test_a_written_database_says_why(tmp_path):
    chosen = sample_bank(bank(), Budget(Threshold(count=1), Threshold(count=2)), "algorithm-2")
    chosen += sample_bank(bank("d"), Budget(Threshold(count=1), Threshold(count=0)), "random", seed=1)
    database.write(chosen, tmp_path, tmp_path / "folder" / "new.csv")
    with (tmp_path / "folder" / "new.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["distance"], row["cluster"], row["rule"]) for row in rows] == [
        ("0.5", "", "algorithm-1 count 1"),
        ("0.0", "0", "algorithm-2 count 2 seed 0"),
        ("0.0", "1", "algorithm-2 count 2 seed 0"),
        ("", "", "random count 1 seed 1"),
    ]


def test_a_recording_stands_there_once():
    def entry(path, distance, label=Label.REAL, recording="r"):
        return Chosen(Clip(path, label, "c", "train", recording=recording), distance, "x")

    def merged(*parts):
        return [(e.clip.path, e.distance) for e in database.merge(parts)]

    assert merged([entry("a", 2.0)], [entry("b", 1.0)]) == [("b", 1.0)]  # the nearest
    assert merged([entry("b", 1.0)], [entry("a", 1.0)]) == [("a", 1.0)]  # the first by path
    assert merged([entry("b", None)], [entry("a", None)]) == [("a", None)]
    assert merged([entry("a", None)], [entry("b", 9.0)]) == [("b", 9.0)]  # a distance before none
    assert len(merged([entry("a", 1.0, recording="")], [entry("b", 1.0, recording="")])) == 2
    assert (
        len(merged([entry("a", 1.0, Label.FAKE)], [entry("b", 1.0, Label.FAKE)])) == 2
    )  # fakes are their own
    assert merged([entry("a", 1.0)], [entry("a", 1.0)]) == [("a", 1.0)]


def test_the_union_of_corpora():
    parts = [sample_bank(bank(name), Budget.share(0.5), "random") for name in ("d", "c")]
    merged = database.merge(parts)
    assert [entry.clip.path for entry in merged] == sorted(
        entry.clip.path for part in parts for entry in part
    )
    assert database.count(entry.clip for entry in merged) == {
        "real": 8, "fake": 8, "c real": 4, "c fake": 4, "d real": 4, "d fake": 4
    }  # fmt: skip


def test_unknown_rule():
    with pytest.raises(ValueError, match="unknown rule 'best'"):
        sample_bank(bank(), Budget.share(0.5), "best")


def test_what_algorithm_2_found_in_words():
    found = choose(Pool.of(bank()), "algorithm-2", Budget.share(0.4))[Label.FAKE].detail
    assert database.describe(found) == (
        "2 clusters, none overlap; kept 2 of 5, 2 of 3\n2 of 2 generators kept: g 2 of 5, h 2 of 3"
    )


def test_the_command(tmp_path):
    for name in ("c", "d"):
        bank(name).save(tmp_path / f"{name}.parquet")

    def run(*options):
        banks = [f"--bank={tmp_path / name}.parquet" for name in ("c", "d")]
        return CliRunner().invoke(cli.app, ["sample", *banks, f"--out={tmp_path / 'new.csv'}", *options])

    said = run("--rule=algorithm-2", "--seed=1", "--real-count=2", "--fake-rate=0.4").output.splitlines()
    assert said[0] == f"{tmp_path / 'c.parquet'}: 2 clusters, none overlap; kept 2 of 5, 2 of 3"
    assert said[1] == "2 of 2 generators kept: g 2 of 5, h 2 of 3"
    assert said[4:8] == ["c fake: 4", "c real: 2", "d fake: 4", "d real: 2"]
    assert said[8].startswith("4 real and 8 fake clips:")
    assert len(Manifest.read(tmp_path / "new.csv")) == 12

    assert run("--rule=random", "--real-rate=1", "--fake-count=0").exit_code == 0
    assert {clip.label for clip in Manifest.read(tmp_path / "new.csv")} == {Label.REAL}
    wrong = run("--rule=best", "--real-rate=1", "--fake-rate=1").exception
    assert "unknown rule 'best'" in str(wrong)
    assert "no distance" in str(run("--rule=herding", "--real-distance=1", "--fake-rate=1").exception)
