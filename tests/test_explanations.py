import csv

import pytest
from typer.testing import CliRunner

from ncdetect import cli, explanations
from ncdetect.deletion import Faithfulness
from ncdetect.explanations import Held
from ncdetect.metrics import Interval
from ncdetect.models import build_model


def held(share, advantage, checkpoint="tiny", method="occlusion"):
    return Held(checkpoint, method, Faithfulness(20, Interval(*share), Interval(*advantage)))


@pytest.mark.parametrize(
    ("share", "advantage", "word"),
    [
        ((0.8, 0.6, 0.9), (1.0, 0.5, 1.5), "holds. On 80 % of 20 clips"),
        ((0.8, 0.6, 0.9), (1.0, -0.1, 1.5), "is not shown to hold"),
        ((0.5, 0.4, 0.6), (0.1, 0.05, 0.2), "is not shown to hold"),
        ((0.3, 0.2, 0.4), (-0.1, -0.3, 0.2), "misleads"),
    ],
)
def test_an_explanation_holds_only_if_both_intervals_say_so(share, advantage, word):
    assert word in held(share, advantage).sentence()


def test_clips_are_eval_clips_of_both_classes(made_corpus):
    found = explanations.sample(made_corpus, 6)
    assert [clip.split for clip in found] == ["eval"] * 6 and found.labels.sum() == 3
    assert found == explanations.sample(made_corpus, 6)
    assert found.labels.tolist() != explanations.sample(made_corpus, 6, seed=1).labels.tolist() or (
        found.clips != explanations.sample(made_corpus, 6, seed=1).clips
    )
    with pytest.raises(ValueError, match="1000 were asked for"):
        explanations.sample(made_corpus, 2000)


def test_grad_cam_is_left_out_where_nothing_is_convolved_in_two_dimensions():
    assert "grad-cam" in explanations.methods(build_model("tiny-resnet"))
    assert explanations.methods(build_model("gru")) == ["integrated-gradients", "occlusion"]


def test_the_command_writes_a_table(made_corpus, made_checkpoint, tmp_path):
    asked = ["explanations", "--data", str(made_corpus.root), "--checkpoint", str(made_checkpoint)]
    done = CliRunner().invoke(cli.app, [*asked, "--clips", "4", "--results", str(tmp_path)])
    assert done.exit_code == 0, done.output
    with (tmp_path / "explanations.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["method"] for row in rows] == ["grad-cam", "integrated-gradients", "occlusion"]
    assert all(row["clips"] == "4" and 0 <= float(row["share"]) <= 1 for row in rows)
    text = (tmp_path / "explanations.md").read_text("utf-8")
    assert text.startswith("Made by `python -m ncdetect explanations --data DATA --checkpoint")
    assert text.count("| occlusion | 4 |") == 1
