"""Publishing: what is sent, what is refused, and what happens when it is cut short."""

import csv
import fnmatch
import hashlib
import inspect
import json
import os
import socket
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from huggingface_hub import HfApi, ModelCard, SpaceCard
from typer.testing import CliRunner

from ncdetect import cli, publish
from ncdetect.checkpoint import CheckpointError, DetectorConfig, TrainedDetector

REPO = "ada/voices"
FRONT_MATTER = """---
title: voices
emoji: 🎙️
colorFrom: blue
colorTo: yellow
sdk: gradio
sdk_version: 6.31.0
python_version: "3.12"
app_file: app.py
short_description: Is it real?
models: [openai/whisper-base]
tags: [audio]
license: mit
pinned: false
thumbnail: assets/card.png
---
# voices
"""
CARD = '---\nlicense: mit\ntags: [audio]\n---\n# made\n\nPredictor.from_pretrained("made")\n'


def write(file, text="x"):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")


def save_checkpoint(folder, card=CARD):
    trained = TrainedDetector(DetectorConfig("tiny-resnet"))
    trained.card = card
    trained.save(folder)


def write_table(root, licence="CC0-1.0", sha256=None):
    data = (root / "assets/clips/a.wav").read_bytes()
    row = ("a.wav", licence, sha256 or hashlib.sha256(data).hexdigest())
    write(root / "assets/clips/clips.csv", "path,license,sha256\n" + ",".join(row) + "\n")


@pytest.fixture
def root(tmp_path):
    """A small repository with all that the page needs, and things that it does not."""
    root = tmp_path / "checkout"
    write(root / "README.md", FRONT_MATTER)
    for name in (
        "app.py", "requirements.txt", "LICENSE", "ncdetect/page.py", "assets/card.png", "assets/clips/a.wav",
        "assets/make_clips.py", "tests/test_page.py", "build/run.csv", ".git/config", ".venv/lib.py",
        "ncdetect/__pycache__/page.pyc", "checkpoints/.made.writing/config.json", "pyproject.toml",
    ):  # fmt: skip
        write(root / name)
    write_table(root)
    save_checkpoint(root / "checkpoints/made")
    return root


class Hub:
    """Stands in for the Hub and its client: keeps what is sent, and takes only what the client would."""

    def __init__(self):
        self.repos, self.made, self.sent, self.fails_at = {}, [], {}, {}

    def __call__(self):
        return self

    def create_repo(self, *args, **options):
        bound = inspect.signature(HfApi().create_repo).bind(*args, **options).arguments
        self.made.append(bound)
        key = bound["repo_type"], bound["repo_id"]
        assert bound["exist_ok"] or key not in self.repos
        self.repos.setdefault(key, {})

    def upload_folder(self, **options):
        bound = inspect.signature(HfApi().upload_folder).bind(**options).arguments
        key = bound["repo_type"], bound["repo_id"]
        if key[0] in self.fails_at:
            raise self.fails_at.pop(key[0])
        held, folder = self.repos[key], bound["folder_path"]
        new = {
            file.relative_to(folder).as_posix(): file.read_bytes()
            for file in folder.rglob("*")
            if file.is_file()
        }
        gone = [
            name
            for name in held
            if name not in new and any(fnmatch.fnmatch(name, p) for p in bound["delete_patterns"] or ())
        ]
        self.sent[key[0]] = sorted(name for name in new if held.get(name) != new[name])
        for name in gone:
            del held[name]
        held.update(new)


@pytest.fixture
def hub(monkeypatch):
    hub = Hub()
    monkeypatch.setattr(publish, "HfApi", hub)
    monkeypatch.setattr(publish, "get_token", lambda: "hf_made_up")
    return hub


def plans(root):
    return [
        publish.plan_model(REPO, str(root / "checkpoints/made"), root),
        publish.plan_space(REPO, root),
    ]


# -- what is sent


def test_a_model_is_its_checkpoint_and_nothing_beside_it(root):
    folder = root / "checkpoints/made"
    for name in ("optimiser.pt", "notes.txt", ".hidden"):
        write(folder / name)
    plan = publish.plan_model(REPO, str(folder), root)
    assert list(plan.files) == ["config.json", "model.safetensors", "README.md"]
    assert not plan.refused and plan.url == "https://huggingface.co/ada/voices"
    card = ModelCard(plan.card)
    assert 'from_pretrained("ada/voices")' in card.text and card.data.license == "mit"
    assert card.data.eval_results is None


def test_figures_are_those_of_the_very_weights(root):
    sha256 = TrainedDetector.from_pretrained(root / "checkpoints/made").sha256
    columns = ["system", "set", "generator", "reals", "fakes", "eer", "eer_low", "eer_high", "sha256"]
    rows = [
        ["made", "all", "", 319, 375, 0.1573, 0.1273, 0.1951, sha256],
        ["made", "all", "tortoise", 319, 9, 0.5, 0.4, 0.6, sha256],
        ["made", "wild", "", 247, 237, 0.3, 0.2, 0.4, "of other weights"],
    ]
    table = root / "assets/results/compare.csv"
    table.parent.mkdir()
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows([columns, *rows])
    card = ModelCard(publish.plan_model(REPO, str(root / "checkpoints/made"), root).card)
    (figure,) = card.data.eval_results
    assert card.data.model_name == "ncdetect made" and figure.metric_value == 15.7
    assert figure.metric_name == "Equal error rate in % (95 % interval 12.7 to 19.5)"
    assert figure.dataset_name == "all: 319 real and 375 fake eval clips"


def test_the_space_is_what_the_page_needs(root):
    plan = publish.plan_space(REPO, root)
    assert sorted(plan.files) == sorted(
        ["app.py", "requirements.txt", "README.md", "LICENSE", "ncdetect/page.py", "assets/card.png"]
        + ["assets/clips/a.wav", "assets/clips/clips.csv"]
        + [f"checkpoints/made/{name}" for name in ("README.md", "config.json", "model.safetensors")]
    )
    assert not plan.refused
    said = SpaceCard(plan.card).data.to_dict()
    assert said["models"] == [REPO, "openai/whisper-base"] and said["python_version"] == "3.12"
    assert said["thumbnail"] == "https://huggingface.co/spaces/ada/voices/resolve/main/assets/card.png"
    first, *lines = publish.listing(plan)
    assert f"{len(plan.files)} files" in first and len(lines) == len(plan.files)
    assert plan.sizes["README.md"] == len(plan.card.encode()) and plan.sizes["app.py"] == 1


def test_a_part_that_is_missing_is_named(root):
    (root / "requirements.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"there is no requirements\.txt"):
        publish.plan_space(REPO, root)


# -- what is refused


def unlisted_clip(root):
    write(root / "assets/clips/b.flac")


def changed_clip(root):
    write_table(root, sha256="0" * 64)


def unfree_clip(root):
    write_table(root, licence="CC-BY-NC-SA-4.0")


def pickled(root):
    write(root / "checkpoints/made/optimiser.pt")


def link_out(root):
    write(root.parent / "shared/corpora/clip.csv")
    (root / "assets/clip.csv").symlink_to(root.parent / "shared/corpora/clip.csv")


def link_to_build(root):
    (root / "assets/run.csv").symlink_to(root / "build/run.csv")


def adopted(root):
    save_checkpoint(root / "checkpoints/adopted", "---\nlibrary_name: ncdetect\n---\nTaken over.\n")


def no_thumbnail(root):
    (root / "assets/card.png").unlink()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (unlisted_clip, "assets/clips/b.flac is a recording whose table names no licence"),
        (changed_clip, "assets/clips/a.wav is another recording"),
        (unfree_clip, "names CC-BY-NC-SA-4.0"),
        (pickled, "optimiser.pt is a pickle"),
        (link_out, "assets/clip.csv is a file of"),
        (link_to_build, "assets/run.csv is a file of"),
        (adopted, "checkpoints/adopted/model.safetensors has no card that names its licence"),
        (no_thumbnail, "as thumbnail, which is no file of the Space"),
    ],
)
def test_what_the_space_may_not_hold_is_refused_before_anything_is_sent(root, hub, spoil, reason):
    spoil(root)
    uploads = plans(root)
    with pytest.raises(publish.PublishError, match="may not be published") as caught:
        list(publish.publish(uploads))
    assert reason in str(caught.value) and not hub.made
    assert any(reason in line for line in publish.listing(uploads[1]))


@pytest.mark.parametrize("place", ["build/made", "../shared/weights/made"])
def test_models_of_build_and_shared_are_refused(root, place):
    save_checkpoint(root / place)
    (reason, *_) = publish.plan_model(REPO, str(root / place), root).refused
    assert "from checkpoints/ or a folder of your own" in reason


@pytest.mark.parametrize("card", [None, "# a card without front matter\n", "---\ntags: [a]\n---\n"])
def test_a_model_without_a_licence_is_refused(root, tmp_path, card):
    save_checkpoint(tmp_path / "mine", card)
    if card is None:
        (tmp_path / "mine/README.md").unlink()
    (reason,) = publish.plan_model(REPO, str(tmp_path / "mine"), root).refused
    assert reason.endswith("that names its licence")


def test_the_limits_of_the_hub(root, monkeypatch):
    monkeypatch.setattr(publish, "LARGEST_FILE", 100_000)
    monkeypatch.setattr(publish, "LARGEST_SPACE", 200_000)
    monkeypatch.setattr(publish, "MOST_ENTRIES", 2)
    model, space = plans(root)
    assert [reason.split()[0] for reason in model.refused] == ["model.safetensors", "/"]
    assert [reason.split()[0] for reason in space.refused] == [
        "checkpoints/made/model.safetensors", "/", "checkpoints/made/", "the",
    ]  # fmt: skip


@pytest.mark.parametrize("repo", ["voices", "ada/voices/more", "ada/v oices", "-ada/voices", ""])
def test_names_that_are_none(root, repo):
    for plan in (lambda: publish.plan_space(repo, root), lambda: publish.plan_model(repo, "tiny-nc", root)):
        with pytest.raises(publish.PublishError):
            plan()


def test_a_checkpoint_that_is_damaged_or_not_here(root):
    (root / "checkpoints/made/model.safetensors").write_bytes(b"short")
    for name in (str(root / "checkpoints/made"), "nothing-of-this-name", "ada/elsewhere"):
        with pytest.raises(CheckpointError):
            publish.plan_model(REPO, name, root)


# -- sending


def test_model_and_space_are_sent_once(root, hub):
    assert list(publish.publish(plans(root), private=True)) == [
        "https://huggingface.co/ada/voices",
        "https://huggingface.co/spaces/ada/voices",
    ]
    model, space = hub.made
    assert model["private"] and space["private"] and space["space_sdk"] == "gradio"
    assert "space_sdk" not in model
    for plan in plans(root):
        held = hub.repos[plan.kind, REPO]
        assert {name: len(data) for name, data in held.items()} == plan.sizes
        assert held["README.md"].decode() == plan.card
    list(publish.publish(plans(root)))
    assert hub.sent == {"model": [], "space": []}


def test_what_is_gone_here_goes_there_and_what_others_put_there_stays(root, hub):
    write(root / "ncdetect/old.py")
    list(publish.publish(plans(root)))
    hub.repos["space", REPO]["notes.md"] = hub.repos["model", REPO]["notes.md"] = b"by hand"
    (root / "ncdetect/old.py").unlink()
    write(root / "ncdetect/page.py", "new")
    list(publish.publish(plans(root)))
    assert hub.sent == {"model": [], "space": ["ncdetect/page.py"]}
    space = hub.repos["space", REPO]
    assert "ncdetect/old.py" not in space and "notes.md" in space
    assert "notes.md" in hub.repos["model", REPO]


def test_a_kill_between_model_and_space_loses_nothing(root, hub):
    hub.fails_at["space"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        list(publish.publish(plans(root)))
    assert hub.repos["model", REPO] and not hub.repos["space", REPO]
    assert len(list(publish.publish(plans(root)))) == 2
    model, space = plans(root)
    assert hub.sent == {"model": [], "space": sorted(space.files)}


@pytest.fixture
def strict_hub():
    """The address of a Hub on this machine that lets nobody write."""

    class Refuse(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.dumps({"error": "You may not create anything under ada.\nAsk her."}).encode()
            self.send_response(403)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_refusal_is_one_sentence(root, hub, monkeypatch, strict_hub):
    monkeypatch.setattr(publish, "HfApi", partial(HfApi, endpoint=strict_hub))
    with pytest.raises(publish.PublishError) as caught:
        list(publish.publish(plans(root)))
    assert str(caught.value).startswith("the model ada/voices was not published: ")
    assert "You may not create anything under ada" in str(caught.value) and "\n" not in str(caught.value)


def test_no_network_is_one_sentence(root, hub, monkeypatch):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        endpoint = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        monkeypatch.setattr(publish, "HfApi", partial(HfApi, endpoint=endpoint))
        with pytest.raises(publish.PublishError, match="Is there a network") as caught:
            list(publish.publish(plans(root)))
    assert "refused" in str(caught.value) and str(caught.value).endswith("on where this one stopped.")


def test_what_was_done_before_an_error_is_told(root, hub):
    hub.fails_at["space"] = TimeoutError()
    sending = publish.publish(plans(root))
    assert next(sending) == "https://huggingface.co/ada/voices"
    with pytest.raises(publish.PublishError, match="the space ada/voices was not published: TimeoutError"):
        next(sending)


def test_without_a_token(root, hub, monkeypatch):
    monkeypatch.setattr(publish, "get_token", lambda: None)
    with pytest.raises(publish.PublishError, match="hf auth login"):
        list(publish.publish(plans(root)))
    assert not hub.made


def test_nothing_is_left_behind(root, hub, tmp_path, monkeypatch):
    monkeypatch.setattr(publish.tempfile, "tempdir", str(tmp_path / "temporary"))
    os.mkdir(tmp_path / "temporary")
    hub.fails_at["space"] = TimeoutError()
    with pytest.raises(publish.PublishError):
        list(publish.publish(plans(root)))
    assert not os.listdir(tmp_path / "temporary")


# -- the command


def run(*arguments):
    return CliRunner().invoke(cli.app, ["publish", "--repo", REPO, *arguments])


def test_a_dry_run_lists_and_sends_nothing(hub, monkeypatch, root):
    monkeypatch.setattr(publish, "get_token", lambda: None)
    result = run("--dry-run", "--no-space", "--checkpoint", str(root / "checkpoints/made"))
    assert result.exit_code == 0 and not hub.made
    assert "model https://huggingface.co/ada/voices: 3 files" in result.output
    assert "  model.safetensors\n" in result.output and result.output.endswith("Nothing was sent.\n")
    write(root / "checkpoints/made/README.md", "# without a licence\n")
    result = run("--dry-run", "--no-space", "--checkpoint", str(root / "checkpoints/made"))
    assert result.exit_code == 2 and "may not be published" in result.output


def test_the_command_sends_what_is_asked_for(hub, root):
    result = run("--no-space", "--private", "--checkpoint", str(root / "checkpoints/made"))
    assert result.exit_code == 0 and result.output == "https://huggingface.co/ada/voices\n"
    assert [made["repo_type"] for made in hub.made] == ["model"] and hub.made[0]["private"]
    assert isinstance(run("--no-space", "--no-model").exception, ValueError)
