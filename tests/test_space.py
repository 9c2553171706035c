"""The repository as a Hugging Face Space: its front matter, its files, and the GPU that ZeroGPU lends."""

import importlib
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import SpaceCard
from packaging.requirements import Requirement

from ncdetect import gpu, publish
from ncdetect.predictor import Predictor, Verdict

ROOT = publish.ROOT
CLIP = ROOT / "assets/examples/headline-real-june-mailbox.flac"


@pytest.fixture(scope="module")
def space():
    return publish.plan_space("ada/voices")


def card(**changes):
    """The README.md with other values in its front matter; None takes a key out."""
    made = SpaceCard((ROOT / "README.md").read_text("utf-8"))
    for key, value in changes.items():
        made.data[key] = value
    return made


# -- front matter


def test_the_front_matter_is_what_spaces_know(space):
    assert not publish.space_card_faults(card(), space.files)
    said = card().data.to_dict()
    assert said.keys() == set(publish.SPACE_KEYS)
    assert len(said["emoji"].strip("\ufe0f")) == 1 and not said["emoji"].isascii()
    needs = {
        requirement.name: requirement
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if not line.startswith("#")
        for requirement in [Requirement(line)]
    }
    assert said["sdk_version"] in needs["gradio"].specifier
    python = re.search(r'requires-python = "(.+)"', (ROOT / "pyproject.toml").read_text())[1]
    assert said["python_version"] in Requirement(f"python{python}").specifier


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"emoji": None}, "names no emoji"),
        ({"colourFrom": "blue"}, "names colourFrom, which is none of title"),
        ({"colorTo": "orange"}, "names 'orange' as colorTo; allowed: red"),
        ({"sdk": "streamlit"}, "names 'streamlit' as sdk"),
        ({"sdk_version": 6.3}, "names 6.3 as sdk_version"),
        ({"python_version": "three"}, "names 'three' as python_version"),
        ({"app_file": "main.py"}, "names 'main.py' as app_file"),
        ({"thumbnail": "assets/none.png"}, "names 'assets/none.png' as thumbnail"),
        ({"short_description": "x" * 61}, "more than 60 characters"),
    ],
)
def test_a_mistake_in_the_front_matter_is_found(space, changes, fault):
    (found, *others) = publish.space_card_faults(card(**changes), space.files)
    assert found.startswith("README.md ") and fault in found and not others


def test_the_thumbnail_is_a_small_picture_for_sharing():
    data = (ROOT / "assets/card.png").read_bytes()
    assert data.startswith(b"\x89PNG") and len(data) < 300_000
    assert struct.unpack(">II", data[16:24]) == (1200, 630)


# -- files


def test_the_space_of_this_repository(space):
    assert not space.refused
    assert 20e6 < sum(space.sizes.values()) < 100e6
    parts = {name.split("/")[0] for name in space.files}
    assert parts == set(publish.SPACE_PARTS)
    assert not [name for name in space.files if name.endswith(".pyc") or "/." in name]


@pytest.mark.timeout(400)
def test_the_space_is_enough_to_build_the_page_and_to_judge(space, tmp_path):
    """In a folder of its own, with what a Space on ZeroGPU has: it looks for a function before the launch."""
    (tmp_path / "spaces.py").write_text(
        "lent = []\ndef GPU(duration):\n    return lambda function: lent.append(function) or function\n"
    )
    code = (
        "import os, sys; sys.path.insert(0, os.getcwd())\n"
        "import app, spaces, ncdetect\n"
        "assert [function.__name__ for function in spaces.lent] == ['check_many'], spaces.lent\n"
        "from ncdetect.ui import examples, lab_training, model, second\n"
        "clip = next(iter(examples.examples().values()))\n"
        "print(ncdetect.__file__, model.predictor().check(clip.file).verdict, len(second.others()))\n"
        "assert (lab_training.PRACTICE / 'manifest.csv').is_file()\n"
    )
    with publish.laid_out(space) as folder:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(tmp_path), "HF_HUB_OFFLINE": "1", "TMPDIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        where, verdict, others = done.stdout.split()[-3:]
        assert Path(where).is_relative_to(folder.resolve())
    assert verdict in ("real", "fake", "undecided") and int(others) >= 1


# -- ZeroGPU


@pytest.fixture
def lent(monkeypatch):
    """What is lent by a made-up ZeroGPU: the function, and for how long."""
    found = {}

    def borrow(duration):
        return lambda function: found.update(function=function, duration=duration) or "lent"

    monkeypatch.setitem(sys.modules, "spaces", SimpleNamespace(GPU=borrow))
    module = importlib.util.module_from_spec(importlib.util.find_spec("ncdetect.gpu"))
    module.__spec__.loader.exec_module(module)
    assert module.check_many == "lent"
    return found


def test_on_zerogpu_one_function_borrows_the_gpu(lent):
    assert lent["function"].__name__ == "check_many"
    for clips, seconds in ((0, 20), (1, 21), (30, 50), (500, 120)):
        assert lent["duration"]("tiny", ["clip"] * clips) == seconds


def test_elsewhere_it_is_the_function_itself(tmp_path):
    assert gpu.spaces is None, "the package `spaces` is for Spaces only"
    broken = tmp_path / "letter.wav"
    broken.write_text("This is a letter.")
    first, second, third = gpu.check_many("tiny-nc", [str(CLIP), str(broken), str(CLIP)])
    alone = Predictor.from_pretrained("tiny-nc").check(CLIP)
    assert isinstance(first, Verdict) and first == third == alone
    assert isinstance(second, str) and second.endswith(".")
