"""Records in this process's memory: the real state machine for tests, without a server."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import ClassVar

from bentotask.store.base import Change, Row, Store


class MemoryStore(Store):
    """Records that live as long as the object; threads may share it."""

    expires_by_itself: ClassVar[bool] = False

    def __init__(self, url: str = "memory://", timeout: float = 0.0) -> None:  # noqa: ARG002 - nothing to wait for
        super().__init__(url)
        self._rows: dict[str, Row] = {}
        self._expiry: dict[str, float] = {}
        self._lock = threading.Lock()

    def _insert(self, task_id: str, row: Row) -> None:
        with self._lock:
            self._rows.setdefault(task_id, row)

    def _load(self, task_id: str, *blobs: str) -> Row | None:
        with self._lock:
            row = self._rows.get(task_id)
        if row is None:
            return None
        return replace(
            row,
            input=row.input if "input" in blobs else None,
            result=row.result if "result" in blobs else None,
        )

    def _swap(self, task_id: str, change: Change) -> tuple[bool, Row | None]:
        with self._lock:
            row = self._rows.get(task_id)
            if row is None or row.version != change.expected:
                return False, row
            row = replace(
                row,
                version=change.version,
                state=change.state,
                progress=change.progress or row.progress,
                result=change.result or row.result,
            )
            self._rows[task_id] = row
            if change.expires_at is not None:
                self._expiry[task_id] = change.expires_at
            return True, row

    def _annotate(self, task_id: str, progress: str | None) -> str | None:
        with self._lock:
            row = self._rows.get(task_id)
            if row is not None and progress is not None:
                self._rows[task_id] = replace(row, progress=progress)
        return None if row is None else row.state

    def _remove_expired(self, now: float) -> int:
        with self._lock:
            expired = [task_id for task_id, at in self._expiry.items() if at <= now]
            for task_id in expired:
                del self._rows[task_id], self._expiry[task_id]
        return len(expired)

    def _ping(self) -> None:
        """Memory is always there."""
