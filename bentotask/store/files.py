"""Records in a directory: one folder a task, one lock a step.

For one host, or hosts that share a file system with working POSIX locks. Celery's own file
backend is not used: it truncates before it writes, and readers see half a result.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from bentotask.errors import ConfigurationError
from bentotask.store.base import Change, Row, Store

_STATE: Final = "state.json"


class FileStore(Store):
    """Records in a directory; a sweep removes what has expired.

    Args:
        url: ``file:///absolute/path``; the directory is made when it is missing.
        timeout: accepted for the likeness of all stores; a directory answers or fails at once.

    Raises:
        ConfigurationError: the directory cannot be written.
    """

    def __init__(self, url: str, timeout: float = 5.0) -> None:  # noqa: ARG002 - see Args
        super().__init__(url)
        self._root = Path(unquote(urlsplit(url).path))
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self._root).close()
        except OSError as error:
            raise ConfigurationError(
                f"result_backend {self.shown}: {error.strerror}; give a directory that this user "
                "can write"
            ) from None

    def _folder(self, task_id: str) -> Path:
        # Two levels keep directories small: file systems slow down with 10^5 entries in one.
        return self._root / task_id[:2] / task_id

    @contextlib.contextmanager
    def _locked(self, folder: Path) -> Iterator[bool]:
        """Hold the task's lock; false when there is no such task.

        The kernel releases the lock of a process that dies. A sweep may remove the folder between
        our opening the lock file and getting the lock: then there is no state file any more.
        """
        try:
            lock = os.open(folder / "lock", os.O_RDWR)
        except FileNotFoundError:
            yield False
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield (folder / _STATE).exists()
        finally:
            os.close(lock)

    def _insert(self, task_id: str, row: Row) -> None:
        folder = self._folder(task_id)
        if (folder / _STATE).exists():
            return
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "lock", b"")
        _write(folder / "submission.json", row.submission.encode())
        _write(folder / "input", row.input or b"")
        # The state comes last: a folder without it is no task.
        _write_state(folder, row.version, row.state, None)

    def _load(self, task_id: str, *blobs: str) -> Row | None:
        folder = self._folder(task_id)
        try:
            state = json.loads((folder / _STATE).read_text())
            submission = (folder / "submission.json").read_text()
        except FileNotFoundError:
            return None
        return Row(
            version=state["version"],
            submission=submission,
            state=state["state"],
            progress=_read_text(folder / "progress.json"),
            **{name: _read(folder / name) for name in blobs},
        )

    def _swap(self, task_id: str, change: Change) -> tuple[bool, Row | None]:
        folder = self._folder(task_id)
        with self._locked(folder) as exists:
            row = self._load(task_id) if exists else None
            if row is None or row.version != change.expected:
                return False, row
            if change.progress is not None:
                _write(folder / "progress.json", change.progress.encode())
            if change.result is not None:
                _write(folder / "result", change.result)
            _write_state(folder, change.version, change.state, change.expires_at)
            return True, self._load(task_id, "input")

    def _annotate(self, task_id: str, progress: str | None) -> str | None:
        folder = self._folder(task_id)
        with self._locked(folder) as exists:
            row = self._load(task_id) if exists else None
            if row is not None and progress is not None:
                _write(folder / "progress.json", progress.encode(), durable=False)
        return None if row is None else row.state

    def _remove_expired(self, now: float) -> int:
        removed = 0
        for state_file in self._root.glob(f"??/*/{_STATE}"):
            with self._locked(state_file.parent) as exists:
                if exists and _expired(state_file, now):
                    # The state goes first: whoever waits for the lock then sees no task.
                    state_file.unlink()
                    shutil.rmtree(state_file.parent, ignore_errors=True)
                    removed += 1
        return removed

    def _ping(self) -> None:
        os.stat(self._root)  # noqa: PTH116 - the call itself is the question


def _expired(state_file: Path, now: float) -> bool:
    expires_at = json.loads(state_file.read_text())["expires_at"]
    return expires_at is not None and expires_at <= now


def _write_state(folder: Path, version: int, state: str, expires_at: float | None) -> None:
    content = {"version": version, "state": state, "expires_at": expires_at}
    _write(folder / _STATE, json.dumps(content).encode())


def _write(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Put ``content`` at ``path`` at once: a reader sees all of it or what was there before."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    with temporary.open("wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _read_text(path: Path) -> str | None:
    content = _read(path)
    return None if content is None else content.decode()
