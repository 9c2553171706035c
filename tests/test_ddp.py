import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import ddp_training
from ncdetect import training
from ncdetect.loading import TrainBatches, Waves, WindowBatches

TESTS = Path(__file__).resolve().parent


def torchrun(*arguments, **environment):
    """The small training in two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    given = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{TESTS.parent}:{TESTS}"} | environment
    command += [TESTS / "ddp_training.py", *arguments]
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=200)


def test_two_processes_train_what_one_does_even_when_killed_midway(made_corpus, tmp_path):
    alone, fit = ddp_training.train(made_corpus.root, tmp_path / "one")
    done = torchrun(made_corpus.root, tmp_path / "two", tmp_path, KILLED="1")
    assert done.returncode != 0 and not list(tmp_path.glob("weights-*"))
    assert len((tmp_path / "two" / "log.jsonl").read_text().splitlines()) == 1
    done = torchrun(made_corpus.root, tmp_path / "two", tmp_path)
    assert done.returncode == 0, done.stderr

    told = [json.loads((tmp_path / f"told-{rank}").read_text()) for rank in "01"]
    assert [entry.pop("helper") for entry in told] == [False, True]
    assert told[0] == told[1]
    assert told[0]["losses"] == pytest.approx([epoch.train_loss for epoch in fit.history], rel=1e-5)
    assert told[0]["rows"] == fit.draws.rows.tolist()
    np.testing.assert_allclose(told[0]["scores"], fit.draws.scores, atol=1e-4)
    weights = [load_file(tmp_path / f"weights-{rank}") for rank in "01"]
    for name, value in alone.state_dict().items():
        assert torch.equal(weights[0][name], weights[1][name])
        torch.testing.assert_close(weights[0][name], value, rtol=1e-4, atol=1e-5)
    # The first process alone tells and writes.
    assert [line for line in done.stdout.splitlines() if "told" in line] == ["epoch 1 told"]
    assert len((tmp_path / "two" / "log.jsonl").read_text().splitlines()) == 2
    names = {file.name for file in (tmp_path / "two").iterdir()}
    assert names == {"log.jsonl", "best.safetensors", "state.safetensors"}


def test_each_process_reads_its_own_clips(made_corpus):
    """48 clips in batches of 13, 13, 13, 9, among three: the clip that is left over in each is nobody's."""
    batches = TrainBatches(Waves(made_corpus.select(split="train")), batch_size=13)(0)
    several = (SimpleNamespace(world_size=3, global_rank=rank) for rank in range(3))
    shares = [[batch.row.tolist() for batch in training._shared(one, batches)] for one in several]
    for number, batch in enumerate(batches):
        together = torch.tensor([share[number] for share in shares]).T.reshape(-1)
        assert together.tolist() == batch.row.tolist()[: len(batch.row) // 3 * 3]
    assert [len(rows) for rows in shares[0]] == [4, 4, 4, 3]


def test_what_cannot_be_shared(made_corpus):
    waves = Waves(made_corpus.select(split="train"))
    several = SimpleNamespace(world_size=5, global_rank=4)
    assert [len(batch.row) for batch in training._shared(several, TrainBatches(waves, batch_size=39)(0))] == [
        7
    ]
    with pytest.raises(ValueError, match="WindowBatches cannot be shared"):
        training._shared(several, WindowBatches(waves))
    alone = WindowBatches(waves)
    assert training._shared(SimpleNamespace(world_size=1, global_rank=0), alone) is alone
    assert not training.is_helper()
