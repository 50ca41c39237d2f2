"""Status words and status bodies, in each client's own dialect."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from bentotask.record import Progress, TaskError, TaskRecord, TaskStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

_OURS: Final = {status: status.value for status in TaskStatus}

#: BentoML's clients from 1.4.14 parse the word with a strict enum of these.
_BENTOML: Final = _OURS | {
    TaskStatus.SUCCESS: "completed",
    TaskStatus.FAILURE: "failed",
    TaskStatus.CANCELLED: "canceled",
}

#: BentoML's clients before 1.4.14 know no word for waiting.
_BENTOML_EARLIER: Final = _OURS | {TaskStatus.PENDING: "in_progress"}

_BENTOML_AGENT: Final = re.compile(r"BentoML HTTP Client/(?:(\d+)\.(\d+)(?:\.(\d+))?)?")

_MEANING: Final = {word: status for words in (_OURS, _BENTOML) for status, word in words.items()}


def status_words(user_agent: str | None) -> Mapping[TaskStatus, str]:
    """Choose the words that the client with this ``User-Agent`` understands.

    A BentoML client whose version cannot be read is taken for a current one.
    """
    agent = _BENTOML_AGENT.match(user_agent or "")
    if agent is None:
        return _OURS
    version = tuple(int(part or 0) for part in agent.groups())
    earlier = agent[1] is not None and version < (1, 4, 14)
    return _BENTOML_EARLIER if earlier else _BENTOML


def parse_status(text: str) -> TaskStatus:
    """Understand a status word of any dialect, in any case.

    Raises:
        ValueError: the word means nothing in any of them.
    """
    try:
        return _MEANING[text.strip().lower()]
    except KeyError:
        known = ", ".join(_MEANING)
        raise ValueError(f"unknown task status {text!r}; known are {known}") from None


def submitted(record: TaskRecord, words: Mapping[TaskStatus, str]) -> dict[str, Any]:
    """Say that a task was accepted, by ``submit`` or by ``retry``."""
    return {"task_id": record.id, "status": words[record.status]}


def cancelled_body(record: TaskRecord, words: Mapping[TaskStatus, str]) -> dict[str, Any]:
    """Say what a ``cancel`` has come to."""
    return {"task_id": record.id, "status": words[record.status]}


def status_body(record: TaskRecord, words: Mapping[TaskStatus, str]) -> dict[str, Any]:
    """Say all that a caller may know of a task; what is not known yet is null."""
    return {
        "task_id": record.id,
        "status": words[record.status],
        # The record's default of 0.0 means unknown, and 1970 would be a lie.
        "created_at": _time_text(record.created_at or None),
        "executed_at": _time_text(record.executed_at),
        "completed_at": _time_text(record.completed_at),
        "attempts": record.attempts,
        "progress": _progress_body(record.progress),
        "error": None if record.error is None else str(record.error),
    }


def record_from(body: Mapping[str, Any]) -> TaskRecord:
    """Read a status body of any dialect back; what it does not say keeps its default.

    Raises:
        ValueError: it does not say what a status must, so no such server wrote it.
    """
    try:
        return TaskRecord(
            id=body["task_id"],
            status=parse_status(body["status"]),
            created_at=_time_from(body.get("created_at")) or 0.0,
            executed_at=_time_from(body.get("executed_at")),
            completed_at=_time_from(body.get("completed_at")),
            attempts=body.get("attempts") or 0,
            progress=_progress_from(body.get("progress")),
            error=_error_from(body.get("error")),
        )
    except (AttributeError, KeyError, TypeError) as exc:
        raise ValueError(f"not the status of a task: {exc!r}") from exc


def _time_text(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


def _time_from(text: str | None) -> float | None:
    if text is None:
        return None
    time = datetime.fromisoformat(text)
    # BentoML's server writes UTC without saying so.
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _progress_body(progress: Progress | None) -> dict[str, Any] | None:
    if progress is None:
        return None
    return {
        "current": progress.current,
        "total": progress.total,
        "message": progress.message,
    }


def _progress_from(body: Mapping[str, Any] | None) -> Progress | None:
    if body is None:
        return None
    return Progress(
        current=body["current"], total=body.get("total"), message=body.get("message") or ""
    )


def _error_from(text: str | None) -> TaskError | None:
    if text is None:
        return None
    kind, _, message = text.partition(": ")
    return TaskError(type=kind, message=message)
