"""A kill -9 at every moment of writing: what was finished before stays, and the same command goes on."""

import subprocess
import sys
import textwrap

import pytest

from ncdetect.checkpoint import TrainedDetector
from ncdetect.corpora import Manifest

KILLED_AT_EVERY_STEP = """
import os, signal, sys
from pathlib import Path

steps = left = 0

def killing(event, arguments):
    global left
    if event in ("open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.truncate"):
        read_only = event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if not read_only and str(sys.argv[1]) in str(arguments[0]):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

def killed_at(step, work):
    "Does the work in a process of its own, killed before its n-th step; whether it was."
    global left
    if (child := os.fork()) == 0:
        left = step
        sys.addaudithook(killing)
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    return status == signal.SIGKILL

def every_step(work, look):
    step = 1
    while killed_at(step, work):
        look()
        step += 1
    assert step > 2, "nothing was written"
    look()
    print("killed", step - 1, "times")
"""


def killed(folder, script, *arguments):
    """Runs a script that may use `every_step`; kills are at what it does below the folder."""
    text = KILLED_AT_EVERY_STEP + textwrap.dedent(script)
    command = [sys.executable, "-c", text, str(folder), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-2])


def leftovers(folder):
    return [file.name for file in folder.iterdir() if file.name.startswith(".")]


def test_a_killed_save_leaves_a_whole_checkpoint(made_checkpoint, tmp_path):
    """Or, between two renames, the old one under another name, which the next save takes back."""
    times = killed(
        tmp_path,
        """
        import dataclasses
        from ncdetect.checkpoint import TrainedDetector

        place = Path(sys.argv[1]) / "made"
        old = TrainedDetector.from_pretrained(sys.argv[2])
        old.save(place)
        new = TrainedDetector.from_pretrained(place)
        new.config = dataclasses.replace(new.config, training={"rule": "new"})

        def look():
            whole = place if place.exists() else place.with_name(".made.old")
            found = TrainedDetector.from_pretrained(whole)
            assert found.config in (old.config, new.config) and found.bank is not None
            assert found.sha256 == old.sha256

        every_step(lambda: new.save(place), look)
        """,
        made_checkpoint,
    )
    assert times >= 8
    assert TrainedDetector.from_pretrained(tmp_path / "made").config.training == {"rule": "new"}
    assert leftovers(tmp_path) == []


def test_a_killed_export_leaves_the_old_file_or_the_new(made_checkpoint, tmp_path):
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    killed(
        tmp_path,
        """
        from ncdetect import onnx

        made, file = sys.argv[2], Path(sys.argv[1]) / "model.onnx"
        graph = onnx.graph_of(onnx.TrainedDetector.from_pretrained(made).detector)
        onnx.graph_of = lambda _: graph
        clips = sorted(onnx.EXAMPLES.glob("*.flac"))[:1]
        work = lambda: onnx.export(made, out=file.parent, clips=clips)
        work()
        whole = file.read_bytes()

        def look():
            assert file.read_bytes() == whole

        every_step(work, look)
        """,
        made_checkpoint,
    )
    assert leftovers(tmp_path) == [] and (tmp_path / "model.onnx").is_file()


def test_a_killed_manifest_is_the_old_one_or_the_new(made_corpus, tmp_path):
    killed(
        tmp_path,
        """
        from ncdetect.corpora import Manifest

        manifest, file = Manifest.read(sys.argv[2]), Path(sys.argv[1]) / "kept.csv"
        half = Manifest(manifest.root, tuple(manifest)[::2])
        manifest.write(file)

        def look():
            assert len(Manifest.read(file)) in (len(manifest), len(half))

        every_step(lambda: half.write(file), look)
        """,
        made_corpus.root / "manifest.csv",
    )
    assert len(Manifest.read(tmp_path / "kept.csv")) == -(-len(made_corpus) // 2)
    assert leftovers(tmp_path) == []


def test_the_kill_is_one(tmp_path):
    """That the tests above would fail: a file written in place is half there, or empty."""
    with pytest.raises(AssertionError, match="half"):
        killed(
            tmp_path,
            """
            file = Path(sys.argv[1]) / "text"
            file.write_text("whole")

            def work():
                file.write_text("")
                file.write_text("whole")

            def look():
                assert file.read_text() == "whole", "half"

            every_step(work, look)
            """,
        )
