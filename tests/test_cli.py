import csv
import json
import subprocess
import sys

import pytest
import torch
from typer.testing import CliRunner

from ncdetect import cli
from ncdetect.bank import EmbeddingBank
from ncdetect.checkpoint import TrainedDetector
from ncdetect.corpora import Manifest


def run(*arguments):
    """The command line in this process: exit status and what it printed."""
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def python(*arguments, **options):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


@pytest.fixture
def clip(made_corpus):
    return made_corpus.file(made_corpus.clips[0])


def test_check_prints_words_and_json(made_checkpoint, clip):
    status, text = run("check", clip, "--checkpoint", made_checkpoint)
    assert (
        status == 0 and "if real and fake were equally likely" in text and "Distance to the average" in text
    )
    status, text = run("check", clip, "--json", "--checkpoint", made_checkpoint)
    assert status == 0 and json.loads(text)["verdict"] in ("real", "fake", "undecided")


def test_check_as_a_user_runs_it(made_checkpoint, clip, tmp_path):
    done = python("-m", "ncdetect", "check", clip, "--json", "--checkpoint", made_checkpoint)
    assert done.returncode == 0 and json.loads(done.stdout)["model"]["name"] == "made" and not done.stderr
    (tmp_path / "text.wav").write_text("hello")
    for arguments in (("check", tmp_path / "text.wav"), ("check", clip, "--checkpoint", "nothing")):
        done = python("-m", "ncdetect", *arguments)
        assert done.returncode == 2 and done.stderr.startswith("Error: ") and "Traceback" not in done.stderr


def test_score_writes_the_contract_columns(made_checkpoint, made_corpus, tmp_path):
    small = Manifest(made_corpus.root, made_corpus.clips[:3])
    small.write(tmp_path / "m.csv")
    status, text = run(
        "score", "--manifest", tmp_path / "m.csv", "--root", made_corpus.root, "--out", tmp_path / "s.csv",
        "--checkpoint", made_checkpoint,
    )  # fmt: skip
    assert status == 0 and text.startswith("3 clips scored, 0 with an error")
    with (tmp_path / "s.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {"path", "label", "score", "probability", "verdict", "distance_real", "distance_fake"} <= set(
        rows[0]
    )


def test_train_evaluate_embed_and_sample(made_corpus, tmp_path):
    status, text = run(
        "train", "--data", made_corpus.root, "--out", tmp_path / "run", "--corpus", "ant", "--epochs", 2,
        "--epoch-clips", 24, "--batch-size", 12, "--precision", "32-true", "--no-maps", "--augment",
    )  # fmt: skip
    assert status == 0 and "epoch 2: train loss" in text and "best epoch" in text
    checkpoint = tmp_path / "run" / "checkpoint"
    facts = TrainedDetector.from_pretrained(checkpoint).config.training
    assert facts["corpora"] == ["ant"] and facts["recipe"]["augment"] is True
    assert not (tmp_path / "run" / "run" / "state.safetensors").exists()

    more = ("--epochs", 1, "--epoch-clips", 12, "--batch-size", 12, "--precision", "32-true", "--no-maps")
    status, text = run(
        "train", "--data", made_corpus.root, "--out", tmp_path / "on", *more, "--init", checkpoint,
        "--learning-rate", 1e-9, "--adversarial", 0.5, "--optimiser", "adamw", "--schedule", "cosine",
    )  # fmt: skip
    assert status == 0
    went_on = TrainedDetector.from_pretrained(tmp_path / "on" / "checkpoint")
    first, second = (
        one.detector.state_dict() for one in (TrainedDetector.from_pretrained(checkpoint), went_on)
    )
    torch.testing.assert_close(second["head.weight"], first["head.weight"], atol=1e-6, rtol=0)
    assert went_on.config.training["recipe"]["adversarial"] == 0.5

    status, text = run("train", "--data", made_corpus.root, "--out", tmp_path / "folds", *more, "--folds", 2)
    assert status == 0 and "2 folds: EER" in text and not (tmp_path / "folds" / "checkpoint").exists()

    status, text = run("evaluate", "--data", made_corpus.root, "--checkpoint", checkpoint)
    assert status == 0 and [line.split()[0] for line in text.splitlines()] == ["all", "ant", "bee"]
    status, text = run("evaluate", "--data", made_corpus.root, "--checkpoint", checkpoint, "--json")
    row = json.loads(text.splitlines()[0])
    assert row["reals"] == 12 and 0 <= row["eer_low"] <= row["eer"] <= row["eer_high"] <= 1

    bank = tmp_path / "ant.parquet"
    status, text = run(
        "embed", "--data", made_corpus.root, "--corpus", "ant", "--checkpoint", checkpoint, "--out", bank
    )
    assert status == 0 and len(EmbeddingBank.load(bank)) == 48
    status, text = run(
        "sample", "--bank", bank, "--real-count", 4, "--fake-rate", 0.5,
        "--out", tmp_path / "new.csv",
    )  # fmt: skip
    sampled = Manifest.read(tmp_path / "new.csv", root=made_corpus.root)
    assert status == 0 and len(sampled.select(label="real")) == 4
    assert all(clip.split == "train" and clip.corpus == "ant" for clip in sampled)
    header = (tmp_path / "new.csv").read_text().splitlines()[0]
    assert header.endswith("distance,cluster,rule")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "--data", "{data}", "--out", "x", "--model", "vgg"), "unknown model 'vgg'"),
        (("train", "--data", "{data}", "--out", "x", "--corpus", "cat"), "no clip has corpus 'cat'"),
        (("train", "--data", "{data}", "--out", "x", "--balance", "odd"), "unknown balance 'odd'"),
        (("train", "--data", "{data}", "--out", "x", "--schedule", "odd"), "unknown schedule 'odd'"),
        (("train", "--data", "{data}", "--out", "x", "--init", "tiny"), "is no tiny-resnet"),
        (("train", "--data", "/nowhere", "--out", "x"), "no folder /nowhere"),
        (("sample", "--bank", "/nowhere.parquet", "--out", "x", "--real-rate", "1"), "give one of distance"),
    ],
)
def test_mistakes_are_one_line(made_corpus, arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ncdetect", *(a.format(data=made_corpus.root) for a in arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("Error: ") and message in error and error.count("\n") == 1


def test_help_names_every_command():
    status, text = run("--help")
    assert status == 0
    for command in ("check", "score", "train", "evaluate", "robustness", "embed", "sample", "build"):
        assert f" {command} " in text
        assert run(command, "--help")[0] == 0


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("ncdetect", ("torch", "gradio", "umap", "openTSNE", "sklearn", "ray")),
        ("ncdetect.predictor", ("gradio", "umap", "openTSNE", "lightning_fabric", "numba")),
    ],
)
def test_imports_are_light(module, unwanted):
    done = python("-c", f"import sys, {module}; print([n for n in {unwanted!r} if n in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr
