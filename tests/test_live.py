import contextlib
import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from ncdetect import live, metrics
from ncdetect.corpora import Manifest
from ncdetect.live import Busy, LiveTraining, Task
from ncdetect.pipeline import group_of

ROOT = Path(live.__file__).resolve().parents[1]


@pytest.fixture
def task(made_corpus) -> Task:
    train, dev, test = (made_corpus.select(corpus="ant", split=split) for split in ("train", "dev", "eval"))
    runs = {
        "chosen": Manifest(train.root, train.clips[::2]),
        "random": Manifest(train.root, train.clips[1::2]),
    }
    return Task(runs, dev, test, epochs=2, epoch_clips=12, precision="32-true")


@pytest.fixture
def trainer(tmp_path):
    made = LiveTraining(tmp_path)
    yield made
    if made._current:
        made.cancel(made._current.name)


def wait_for(trainer: LiveTraining, name: str, done=lambda status: status.state != "running", seconds=120):
    until = time.monotonic() + seconds
    while not done(status := trainer.poll(name)):
        assert time.monotonic() < until, status
        time.sleep(0.05)
    return status


def ended(process_id: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(process_id).status() == psutil.STATUS_ZOMBIE
    return True


def test_a_task_is_read_as_it_was_written(task, tmp_path):
    task.write(tmp_path)
    read = Task.read(tmp_path)
    assert list(read.runs) == ["chosen", "random"]
    assert {name: m.clips for name, m in read.runs.items()} == {n: m.clips for n, m in task.runs.items()}
    assert read.dev.clips == task.dev.clips and read.test.file(read.test.clips[0]).is_file()
    assert (read.epochs, read.epoch_clips, read.precision) == (2, 12, "32-true")
    with pytest.raises(ValueError, match="nothing to train"):
        dataclasses.replace(task, runs={})


def test_two_trainings_run_to_a_comparison(task, trainer, tmp_path):
    name = trainer.start(task)
    shares = []
    status = wait_for(trainer, name, lambda s: shares.append(s.share) or s.state != "running")
    assert status.state == "done" and status.message == ""
    assert {run: [e["epoch"] for e in epochs] for run, epochs in status.history.items()} == {
        "chosen": [0, 1], "random": [0, 1],
    }  # fmt: skip
    assert shares == sorted(shares) and shares[0] < 0.5 and status.share == 1
    result = status.result
    assert (result["reals"], result["fakes"]) == (6, 6)
    assert (result["speakers"], result["generators"]) == (6, 2)
    for value, low, high in result["eer"].values():
        assert 0 <= low <= value <= high <= 1
    first, second = (result["eer"][run][0] for run in ("chosen", "random"))
    assert result["difference"][0] == pytest.approx(first - second)
    assert not list(tmp_path.iterdir())


def test_the_intervals_are_those_of_metrics(task):
    from ncdetect.live_process import compare

    rng = np.random.default_rng(0)
    labels = task.test.labels
    scores = {"chosen": labels + rng.normal(size=len(labels)), "random": rng.normal(size=len(labels))}
    found = compare(task, scores)
    groups = [group_of(clip) for clip in task.test]
    for name, values in scores.items():
        assert found["eer"][name] == metrics.eer_interval(values, labels, groups)
    assert compare(task, {"chosen": labels.astype(float)})["difference"] is None


def test_cancelling_ends_the_process_and_lets_the_next_one_start(task, trainer, tmp_path):
    name = trainer.start(dataclasses.replace(task, epochs=500))
    process = trainer._current.process.pid
    wait_for(trainer, name, lambda status: status.history)
    trainer.cancel(name)
    assert ended(process) and not list(tmp_path.iterdir())
    assert trainer.poll(name).state == "cancelled"
    again = trainer.start(dataclasses.replace(task, epochs=500))
    assert again != name and trainer.poll(name) is None
    trainer.cancel(name)  # a name that is known no more touches nothing
    assert trainer.poll(again).state == "running"


def test_a_second_one_is_refused_while_one_runs(task, trainer):
    name = trainer.start(dataclasses.replace(task, epochs=500))
    with pytest.raises(Busy) as refused:
        trainer.start(task)
    assert 0 <= refused.value.started_s < 60
    status = wait_for(trainer, name, lambda status: status.left_s)
    with pytest.raises(Busy) as refused:
        trainer.start(task)
    assert refused.value.left_s == pytest.approx(status.left_s, rel=0.5)


def test_one_that_nobody_asks_for_is_stopped(task, tmp_path):
    trainer = LiveTraining(tmp_path, abandoned_s=1.0)
    name = trainer.start(dataclasses.replace(task, epochs=500))
    process = trainer._current.process.pid
    trainer._current.watcher.join(60)
    assert ended(process) and not list(tmp_path.iterdir())
    assert trainer.poll(name).state == "abandoned"


def test_one_that_takes_too_long_is_stopped(task, tmp_path):
    trainer = LiveTraining(tmp_path, limit_s=1.0)
    name = trainer.start(dataclasses.replace(task, epochs=500))
    assert wait_for(trainer, name).state == "late"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("broken", ["missing", "garbage"])
def test_an_error_is_reported_and_frees_the_place(task, trainer, tmp_path, broken, caplog):
    root = tmp_path / "audio"
    root.mkdir()
    clips = task.runs["chosen"].clips
    if broken == "garbage":
        for clip in clips:
            (root / clip.path).parent.mkdir(exist_ok=True)
            (root / clip.path).write_bytes(b"no audio")
    trainer.folder = tmp_path / "work"
    trainer.folder.mkdir()
    status = wait_for(
        trainer, trainer.start(dataclasses.replace(task, runs={"chosen": Manifest(root, clips)}))
    )
    assert status.state == "failed" and status.result is None
    assert "ant/" in status.message
    assert "a training failed" in caplog.text
    assert not list(trainer.folder.iterdir())
    assert trainer.start(dataclasses.replace(task, epochs=500))


def test_a_process_that_dies_is_a_failure(task, trainer, tmp_path):
    name = trainer.start(dataclasses.replace(task, epochs=500))
    trainer._current.process.kill()
    status = wait_for(trainer, name)
    assert status.state == "failed" and not list(tmp_path.iterdir())


def test_the_training_ends_with_its_server(task, tmp_path):
    """Killed outright: no handler of the server runs."""
    work, described = tmp_path / "work", tmp_path / "task"
    work.mkdir()
    described.mkdir()
    dataclasses.replace(task, epochs=500).write(described)
    code = (
        "import sys, time; from pathlib import Path; from ncdetect.live import LiveTraining, Task\n"
        "trainer = LiveTraining(Path(sys.argv[2])); name = trainer.start(Task.read(Path(sys.argv[1])))\n"
        "while not trainer.poll(name).history: time.sleep(.05)\n"
        "print(trainer._current.process.pid, flush=True); time.sleep(60)"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", code, described, work], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    process = int(server.stdout.readline())
    assert not ended(process)
    server.kill()
    server.wait()
    until = time.monotonic() + 30
    while not ended(process) or list(work.iterdir()):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_importing_it_loads_no_torch():
    code = "import sys, ncdetect.live; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.strip() == "False"
