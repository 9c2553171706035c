"""Where visitors' clips lie while they are judged, and how they go.

A clip is removed when its visitor leaves or brings the next one, 10 minutes after its last use at most, and
after a crash at the next start. A clip sent to the API goes with its request. Imports nothing heavy: the
folder must be known before gradio is imported.
"""

import atexit
import contextlib
import os
import shutil
import stat
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import IO

SWEEP_EVERY_S, LARGEST_AGE_S = 30, 540  # 9.5 minutes at most
_LOCK_NAME = "in-use.lock"


class PrivateFolder:
    """A folder of this process below one that only this user can read; it goes with the process.

    Folders of processes that are gone, such as after a crash, are removed at the start of the next one.
    """

    def __init__(self, base: Path | None = None):
        """Make the folder, and remove those that nobody uses any more."""
        self.base = _owned(base or Path(tempfile.gettempdir()) / f"ncdetect-{getattr(os, 'getuid', int)()}")
        for folder in self.base.iterdir():
            if folder.is_dir() and not folder.is_symlink():
                _remove_unused(folder)
        self.path = Path(tempfile.mkdtemp(prefix="page-", dir=self.base))
        self._lock = _locked(self.path)
        self._process = os.getpid()
        atexit.register(self.close)

    def close(self) -> None:
        """Remove the folder with everything in it; a forked child leaves it alone."""
        if os.getpid() == self._process:
            shutil.rmtree(self.path, ignore_errors=True)
            if self._lock:
                self._lock.close()
                self._lock = None


def _owned(base: Path) -> Path:
    """The base folder, readable by this user only; another name where somebody else has taken it."""
    with contextlib.suppress(OSError):
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = base.lstat()
        if stat.S_ISDIR(found.st_mode) and (not hasattr(os, "getuid") or found.st_uid == os.getuid()):
            base.chmod(0o700)
            return base
    return Path(tempfile.mkdtemp(prefix="ncdetect-"))


def _locked(folder: Path) -> IO[bytes] | None:
    """A lock on a folder that ends with this process, however it ends; None if another holds it."""
    file = (folder / _LOCK_NAME).open("ab")
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows refuses to delete open files, which serves as well
        pass
    except OSError:
        file.close()
        return None
    return file


def _remove_unused(folder: Path) -> None:
    with contextlib.suppress(OSError):
        lock = _locked(folder)
        if lock:
            lock.close()
            shutil.rmtree(folder, ignore_errors=True)


class Uploads(set[str]):
    """Gradio's set of uploaded files, which counts how often each was uploaded and removes what is released.

    Gradio names an upload by its content: two visitors with one clip share a file, and the first to be done
    must not take it from the other.
    """

    def __init__(self, folder: Path):
        """Watch over the uploads in a folder."""
        super().__init__()
        self.folder = folder.resolve()
        self._uses: Counter[str] = Counter()
        self._of_session: dict[str, dict[str, tuple[str, ...]]] = {}
        self._guard = threading.Lock()

    def update(self, *files: list[str]) -> None:
        """Take new uploads: Gradio calls this for each request."""
        super().update(*files)
        with self._guard:
            self._uses.update(str(file) for group in files for file in group)

    def keep_for(self, session: str, *paths: str | None, place: str = "clip") -> None:
        """Say which clips a visitor has now in a place of the page, and release those before them.

        Args:
            session: Whose.
            paths: The clips; None is none.
            place: Where on the page.
        """
        with self._guard:
            places = self._of_session.setdefault(session, {})
            before = places.pop(place, ())
            kept = tuple(path for path in paths if path is not None and self._inside(path))
            if kept:
                places[place] = kept
            if not places:
                del self._of_session[session]
        for path in before:
            self.release(path)

    def leave(self, session: str) -> None:
        """Release all that a visitor has."""
        with self._guard:
            places = self._of_session.pop(session, {})
        for path in (path for paths in places.values() for path in paths):
            self.release(path)

    def release(self, path: str) -> None:
        """Remove an upload, unless somebody else has uploaded the same and still uses it."""
        if not self._inside(path):
            return
        with self._guard:
            self._uses[path] -= 1
            if self._uses[path] > 0:
                return
            del self._uses[path]
            self.discard(path)
            Path(path).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                Path(path).parent.rmdir()

    def sweep(self, largest_age_s: float = LARGEST_AGE_S) -> None:
        """Remove every file that has lain here for too long, whoever put it there."""
        for file in self.folder.rglob("*"):
            with contextlib.suppress(OSError):
                found = file.lstat()
                if file.name == _LOCK_NAME or time.time() - found.st_ctime <= largest_age_s:
                    continue
                if stat.S_ISDIR(found.st_mode):
                    file.rmdir()
                else:
                    file.unlink()
                    with self._guard:
                        self._uses.pop(str(file), None)
                    self.discard(str(file))

    def sweep_for_ever(self, every_s: float = SWEEP_EVERY_S) -> threading.Thread:
        """Sweep in the background for as long as the process lives."""

        def sweeping() -> None:
            while True:
                time.sleep(every_s)
                self.sweep()

        thread = threading.Thread(target=sweeping, name="sweep-uploads", daemon=True)
        thread.start()
        return thread

    def _inside(self, path: str) -> bool:
        return Path(path).resolve().is_relative_to(self.folder)
