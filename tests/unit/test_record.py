"""Words and steps of a record."""

from __future__ import annotations

import json

import pytest

from bentotask.record import (
    TERMINAL,
    Progress,
    TaskError,
    TaskRecord,
    TaskStatus,
    is_task_id,
    new_task_id,
)

PENDING = TaskRecord.submitted(new_task_id(), "Svc.echo", 60.0)
RUNNING = PENDING.begun()
ERROR = TaskError(type="ValueError", message="boom")


def test_a_status_satisfies_both_spellings_of_the_documentation() -> None:
    """``status.value == 'success'`` and ``status == "SUCCESS"``, with an honest hash."""
    status = TaskStatus.SUCCESS
    assert (status.value, str(status), f"{status}") == ("success", "SUCCESS", "SUCCESS")
    assert status == "SUCCESS"
    assert status in ["SUCCESS", "FAILURE"]
    assert hash(status) == hash("SUCCESS")
    assert TaskStatus("success") is status


@pytest.mark.parametrize("text", [new_task_id(), "3f2b8c1e-9d4a-4b6f-8a70-1c2d3e4f5a6b"])
def test_ids_of_ours_and_of_celery_are_ids(text: str) -> None:
    """Both are uuid4, with and without hyphens."""
    assert is_task_id(text)


@pytest.mark.parametrize("text", ["", "../../x", "a" * 10_000, "\0" * 32, "x" * 32, "a" * 33])
def test_nothing_else_is_an_id(text: str) -> None:
    """No user text can become part of a key, a path or a query."""
    assert not is_task_id(text)


def test_a_pending_task_begins_once() -> None:
    """The second copy of one message is not an attempt."""
    assert RUNNING is not None
    assert RUNNING.attempts == 1
    assert RUNNING.begun() is None


def test_what_may_begin_again() -> None:
    """A redelivery (its worker is gone) and the message of a later automatic retry."""
    assert RUNNING is not None
    again = RUNNING.begun(redelivered=True)
    retried = RUNNING.begun(retries=1)
    assert again is not None
    assert retried is not None
    assert (again.attempts, retried.retries) == (2, 1)
    assert retried.begun(retries=1) is None


@pytest.mark.parametrize("end", [TaskRecord.succeeded, TaskRecord.stopped])
def test_nothing_leaves_a_terminal_state(end: object) -> None:
    """Terminal states absorb every step there is."""
    assert RUNNING is not None
    ended = end(RUNNING)  # type: ignore[operator]  # an unbound method
    assert ended.status in TERMINAL
    steps = [
        ended.begun(redelivered=True),
        ended.succeeded(),
        ended.failed(ERROR),
        ended.cancelled(),
        ended.stopped(),
        ended.stop_requested(),
        ended.attempt_failed(ERROR, attempt=1),
    ]
    assert steps == [None] * len(steps)


def test_a_message_of_an_earlier_attempt_does_not_run() -> None:
    """Its automatic retry is on its way or under way already."""
    assert RUNNING is not None
    retried = RUNNING.begun(retries=1)
    assert retried is not None
    assert retried.begun(retries=0, redelivered=True) is None


def test_a_task_that_waits_for_its_next_attempt_stops_at_once() -> None:
    """No worker runs it that could be asked."""
    assert RUNNING is not None
    waiting = RUNNING.attempt_failed(ERROR, attempt=1)
    asked = RUNNING.stop_requested()
    assert waiting is not None
    assert asked is not None
    stopped = waiting.stop_requested()
    assert stopped is not None
    assert (stopped.status, asked.status) == (TaskStatus.CANCELLED, TaskStatus.IN_PROGRESS)


def test_a_superseded_attempt_has_no_say() -> None:
    """Its failure must not send another message beside the attempt that runs now."""
    assert RUNNING is not None
    again = RUNNING.begun(redelivered=True)
    assert again is not None
    assert again.attempt_failed(ERROR, attempt=1) is None
    assert again.attempt_failed(ERROR, attempt=2) is not None


def test_retention_counts_from_completion() -> None:
    """A task that waits or runs never expires."""
    assert not PENDING.is_expired(PENDING.created_at + 10**9)
    ended = PENDING.cancelled()
    assert ended is not None
    assert ended.completed_at is not None
    assert not ended.is_expired(ended.completed_at + 59.9)
    assert ended.is_expired(ended.completed_at + 60.0)


def test_a_record_crosses_json_unchanged() -> None:
    """What a store keeps as text is what comes back."""
    assert RUNNING is not None
    failed = RUNNING.failed(ERROR)
    assert failed is not None
    submission = json.loads(json.dumps(failed.submission()))
    state = json.loads(json.dumps(failed.state()))
    progress = {"current": 1, "total": 2, "message": "half"}
    restored = TaskRecord.restored(submission, state, progress)
    assert restored.progress == Progress(current=1, total=2, message="half")
    assert TaskRecord.restored(submission, state) == failed


def test_a_newer_versions_fields_are_ignored() -> None:
    """During a deployment an old process reads what a new one wrote."""
    restored = TaskRecord.restored(
        {**PENDING.submission(), "colour": "red"}, {**PENDING.state(), "mood": "good"}
    )
    assert restored == PENDING
