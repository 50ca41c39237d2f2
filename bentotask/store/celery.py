"""Records in any other Celery result backend, as far as Celery's public interface carries them.

``Backend.store_result``, ``get_task_meta`` and ``forget`` are all that every backend has, and
none of them compares before it writes. So a swap here reads, compares and writes: two steps
that race may both believe that they won. The store says so through ``atomic``, the worker and
the web process say so at start.
"""

from __future__ import annotations

import base64
import threading
from typing import Any, ClassVar, Final

from celery import Celery
from celery.exceptions import BackendError, ImproperlyConfigured
from kombu.exceptions import OperationalError

from bentotask.errors import ConfigurationError
from bentotask.record import DEFAULT_RETENTION
from bentotask.store.base import Change, Row, Store

#: A state that Celery does not know, so that none of its own rules apply to our rows.
_STATE: Final = "BENTOTASK"
#: These backends expire rows by the age of their last write, whatever they hold. A week beyond
#: the usual retention leaves a waiting task that long.
_EXPIRES: Final = DEFAULT_RETENTION + 7 * 24 * 3600
_FACTS: Final = ("version", "submission", "state")


class CeleryStore(Store):
    """Records as results of a Celery backend.

    Args:
        url: any result backend URL that Celery knows.
        timeout: accepted for the likeness of all stores; each backend has options of its own.

    Raises:
        ConfigurationError: Celery knows no such backend, or lacks the package for it.
    """

    atomic: ClassVar[bool] = False
    expires_by_itself: ClassVar[bool] = True
    _foreign_errors: ClassVar[tuple[type[BaseException], ...]] = (
        BackendError,
        OperationalError,
        OSError,
    )

    def __init__(self, url: str, timeout: float = 5.0) -> None:  # noqa: ARG002 - see Args
        super().__init__(url)
        app = Celery(set_as_current=False, backend=url, result_expires=_EXPIRES)
        # CELERY_RESULT_BACKEND in the environment would win over `backend=`; Settings has
        # already decided between them, so the backend is built from the URL that it chose.
        app.backend_cls = url
        try:
            self._backend = app.backend
        except (ImproperlyConfigured, ImportError, ValueError) as error:
            raise ConfigurationError(
                f"result_backend {self.shown} cannot be used by Celery: {error}. Redis, SQL "
                "(db+postgresql+psycopg://, db+sqlite:///) and file:// are the tested ones."
            ) from None
        self._lock = threading.Lock()

    def _write(self, task_id: str, part: str, value: dict[str, Any]) -> None:
        self._backend.store_result(f"{task_id}-{part}", value, _STATE)

    def _read_part(self, task_id: str, part: str) -> dict[str, Any]:
        meta = self._backend.get_task_meta(f"{task_id}-{part}", cache=False)
        return meta["result"] if meta["status"] == _STATE else {}

    def _insert(self, task_id: str, row: Row) -> None:
        if self._load(task_id) is None:
            self._write(task_id, "input", _encoded(row.input))
            self._write(task_id, "record", {name: getattr(row, name) for name in _FACTS})

    def _load(self, task_id: str, *blobs: str) -> Row | None:
        facts = self._read_part(task_id, "record")
        if not facts:
            return None
        progress = self._read_part(task_id, "progress").get("text")
        parts: dict[str, Any] = {name: _decoded(self._read_part(task_id, name)) for name in blobs}
        return Row(**facts, progress=progress, **parts)

    def _swap(self, task_id: str, change: Change) -> tuple[bool, Row | None]:
        with self._lock:
            row = self._load(task_id, "input")
            if row is None or row.version != change.expected:
                return False, row
            if change.progress is not None:
                self._write(task_id, "progress", {"text": change.progress})
            if change.result is not None:
                self._write(task_id, "result", _encoded(change.result))
            facts = {
                "version": change.version,
                "submission": row.submission,
                "state": change.state,
            }
            self._write(task_id, "record", facts)
        return True, self._load(task_id, "input")

    def _annotate(self, task_id: str, progress: str | None) -> str | None:
        row = self._load(task_id)
        if row is not None and progress is not None:
            self._write(task_id, "progress", {"text": progress})
        return None if row is None else row.state

    def _remove_expired(self, now: float) -> int:  # noqa: ARG002 - the backend's own expiry does it
        return 0

    def _ping(self) -> None:
        self._backend.get_task_meta("ping", cache=False)


def _encoded(content: bytes | None) -> dict[str, str]:
    return {"base64": base64.b64encode(content or b"").decode()}


def _decoded(part: dict[str, Any]) -> bytes | None:
    return base64.b64decode(part["base64"]) if part else None
