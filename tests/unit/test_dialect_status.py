"""Status words and status bodies."""

from __future__ import annotations

import json

import pytest

from bentotask.dialect import (
    cancelled_body,
    parse_status,
    record_from,
    status_body,
    status_words,
    submitted,
)
from bentotask.record import Progress, TaskError, TaskRecord, TaskStatus

TASK = "4594760f580045beb8963510f50f0d8d"

OURS = ["pending", "in_progress", "success", "failure", "cancelled"]
BENTOML = ["pending", "in_progress", "completed", "failed", "canceled"]
EARLIER = ["in_progress", "in_progress", "success", "failure", "cancelled"]


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (None, OURS),
        ("curl/8.5.0", OURS),
        ("bentotask/0.1.0", OURS),
        ("python-httpx/0.28 BentoML HTTP Client/1.4.39", OURS),
        ("BentoML HTTP Client/1.4.39", BENTOML),
        ("BentoML HTTP Client/1.4.14", BENTOML),
        ("BentoML HTTP Client/1.4.14a2.dev3", BENTOML),
        ("BentoML HTTP Client/1.5", BENTOML),
        ("BentoML HTTP Client/2.0.0", BENTOML),
        ("BentoML HTTP Client/unknown", BENTOML),
        ("BentoML HTTP Client/1.4.13", EARLIER),
        ("BentoML HTTP Client/1.4.13.post1", EARLIER),
        ("BentoML HTTP Client/1.3.22", EARLIER),
    ],
)
def test_each_client_is_answered_in_its_own_words(agent: str | None, words: list[str]) -> None:
    """BentoML's clients get the words of their version, everyone else the contract's."""
    chosen = status_words(agent)
    assert [chosen[status] for status in TaskStatus] == words


@pytest.mark.parametrize("words", [OURS, BENTOML])
@pytest.mark.parametrize("form", [str.lower, str.upper, str.title, " {} ".format])
def test_every_dialect_is_understood(words: list[str], form: type[str]) -> None:
    """A status word means the same in any dialect and any case."""
    assert [parse_status(form(word)) for word in words] == list(TaskStatus)


def test_an_unknown_word_is_told() -> None:
    """A word of no dialect is refused by name, with those that are known."""
    with pytest.raises(ValueError, match=r"'queued'.*pending"):
        parse_status("queued")


def test_status_body_has_the_fields_of_the_contract() -> None:
    """Everything known is said, times in UTC with their offset."""
    record = TaskRecord(
        id=TASK,
        created_at=1767323045.0,
        executed_at=1767323046.25,
        completed_at=1767323047.5,
        status=TaskStatus.FAILURE,
        attempts=2,
        error=TaskError(type="ValueError", message="boom"),
        progress=Progress(current=3, total=10, message="three"),
    )
    assert json.loads(json.dumps(status_body(record, status_words(None)))) == {
        "task_id": TASK,
        "status": "failure",
        "created_at": "2026-01-02T03:04:05.000000+00:00",
        "executed_at": "2026-01-02T03:04:06.250000+00:00",
        "completed_at": "2026-01-02T03:04:07.500000+00:00",
        "attempts": 2,
        "progress": {"current": 3, "total": 10, "message": "three"},
        "error": "ValueError: boom",
    }


def test_what_is_not_known_yet_is_null() -> None:
    """No field is ever missing, and no time is ever 1970."""
    assert status_body(TaskRecord(id=TASK), status_words(None)) == {
        "task_id": TASK,
        "status": "pending",
        "created_at": None,
        "executed_at": None,
        "completed_at": None,
        "attempts": 0,
        "progress": None,
        "error": None,
    }


@pytest.mark.parametrize("agent", [None, "BentoML HTTP Client/1.4.39"])
def test_a_record_survives_the_wire(agent: str | None) -> None:
    """What a server says of a task, a client reads back, whatever the words."""
    record = TaskRecord(
        id=TASK,
        created_at=1767323045.123456,
        executed_at=1767323046.0,
        completed_at=1767323047.0,
        status=TaskStatus.SUCCESS,
        attempts=1,
        error=TaskError(type="OSError", message="a: b"),
        progress=Progress(current=1),
    )
    assert record_from(status_body(record, status_words(agent))) == record


def test_a_bentoml_server_is_understood() -> None:
    """Its times are UTC though they do not say so, and what it never says keeps its default."""
    record = record_from(
        {"task_id": TASK, "status": "completed", "created_at": "2026-01-02T03:04:05"}
    )
    assert record == TaskRecord(id=TASK, status=TaskStatus.SUCCESS, created_at=1767323045.0)


@pytest.mark.parametrize(
    "body",
    [{}, {"task_id": TASK}, [], "pending", None, {"task_id": TASK, "status": 3}],
)
def test_what_is_no_status_is_refused(body: object) -> None:
    """Whatever another server may have written, the error is one kind."""
    with pytest.raises(ValueError, match="not the status of a task"):
        record_from(body)  # type: ignore[arg-type] # that is the point


def test_short_bodies() -> None:
    """Submit, retry and cancel answer with the id and the word alone."""
    record = TaskRecord(id=TASK)
    cancelled = record.cancelled()
    assert cancelled is not None
    assert submitted(record, status_words(None)) == {"task_id": TASK, "status": "pending"}
    words = status_words("BentoML HTTP Client/1.4.39")
    assert cancelled_body(cancelled, words) == {"task_id": TASK, "status": "canceled"}
