import os
import subprocess
import sys
import time
from pathlib import Path

from ncdetect.ui import check
from ncdetect.ui.private import PrivateFolder, Uploads

ROOT = Path(__file__).resolve().parent.parent


def an_upload(folder: Path, uploads: Uploads, name: str = "a") -> Path:
    file = folder / name / "clip.wav"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"x")
    uploads.update([str(file)])
    return file


def test_a_clip_goes_when_its_visitor_leaves_or_brings_another(tmp_path):
    uploads = Uploads(tmp_path)
    first, second = an_upload(tmp_path, uploads, "a"), an_upload(tmp_path, uploads, "b")
    uploads.keep_for("anna", str(first))
    assert first.exists()
    uploads.keep_for("anna", str(second))
    assert not first.exists() and second.exists()
    check.leave(uploads, "anna")
    assert not second.exists() and not uploads


def test_one_file_of_two_visitors_stays_until_both_are_done(tmp_path):
    uploads = Uploads(tmp_path)
    file = an_upload(tmp_path, uploads)
    an_upload(tmp_path, uploads)
    uploads.keep_for("anna", str(file))
    uploads.keep_for("ben", str(file))
    uploads.keep_for("anna", None)
    assert file.exists()
    uploads.keep_for("ben", None)
    assert not file.exists()


def test_nothing_outside_the_folder_is_ever_removed(tmp_path):
    (tmp_path / "in").mkdir()
    outside = tmp_path / "outside.wav"
    outside.write_bytes(b"x")
    uploads = Uploads(tmp_path / "in")
    uploads.keep_for("anna", str(outside))
    uploads.keep_for("anna", None)
    uploads.release(str(tmp_path / "in" / ".." / "outside.wav"))
    assert outside.exists()


def test_old_files_are_swept_and_young_ones_stay(tmp_path):
    uploads = Uploads(tmp_path)
    file = an_upload(tmp_path, uploads)
    stray = tmp_path / "broken-off-upload"
    stray.write_bytes(b"x")
    uploads.sweep(largest_age_s=60)
    assert file.exists() and stray.exists()
    time.sleep(0.05)
    uploads.sweep(largest_age_s=0.02)
    assert not file.exists() and not stray.exists() and not uploads
    from ncdetect.ui import private

    assert private.LARGEST_AGE_S + private.SWEEP_EVERY_S <= 600


def test_after_a_crash_the_next_start_removes_what_was_left(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from ncdetect.ui.private import PrivateFolder;"
        "folder = PrivateFolder(Path(sys.argv[1])); (folder.path / 'clip.wav').write_bytes(b'x');"
        "print(folder.path, flush=True); sys.stdin.read(); os._exit(1)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "base")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    left = Path(process.stdout.readline().strip())
    beside = PrivateFolder(tmp_path / "base")
    assert (left / "clip.wav").exists()  # its process lives
    process.communicate()
    assert (left / "clip.wav").exists()  # it crashed
    after = PrivateFolder(tmp_path / "base")
    assert not left.exists()
    assert beside.path.exists()
    if hasattr(os, "getuid"):
        assert (tmp_path / "base").stat().st_mode & 0o077 == 0
    for folder in (beside, after):
        folder.close()
        assert not folder.path.exists()


def test_the_privacy_line_promises_what_is_kept():
    assert "when you leave this page, 10 minutes after its last use at most" in check.privacy()
    assert "after a crash at the next start" in check.privacy()
