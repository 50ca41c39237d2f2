"""What every store promises, on every backend."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import pytest

from bentotask.codec import Payload
from bentotask.errors import TaskNotFound
from bentotask.record import Progress, TaskError, TaskRecord, TaskStatus, new_task_id
from bentotask.store import Claim, Store

PNG = Payload(
    body=b"\x89PNG\x00\xff", media_type="image/png", filename="a.png", headers={"X-A": "b"}
)


def submitted(store: Store, **changes: object) -> TaskRecord:
    """Put a fresh task into the store."""
    record = TaskRecord.submitted(new_task_id(), "Svc.echo", retention=3600.0)
    record = dataclasses.replace(record, **changes)  # type: ignore[arg-type]  # a test's shorthand
    store.put(record, b"input\x00")
    return record


def test_a_record_comes_back_as_it_was_put(store: Store) -> None:
    """Nothing of a submission is lost or changed on its way through a backend."""
    record = submitted(store, headers={"x-request-id": "7"}, retry_of=new_task_id())
    assert store.get(record.id) == record
    assert store.get_input(record.id) == (record, b"input\x00")


def test_an_unknown_task_is_not_found(store: Store) -> None:
    """An id that was never put is told apart from one that waits."""
    with pytest.raises(TaskNotFound):
        store.get(new_task_id())
    assert store.begin(new_task_id()).record is None


def test_putting_twice_keeps_the_first(store: Store) -> None:
    """A second put of one id, say by a repeated message, does not reset a task that runs."""
    record = submitted(store)
    store.begin(record.id)
    store.put(record, b"other")
    assert store.get_input(record.id)[0].status is TaskStatus.IN_PROGRESS


def test_a_task_runs_once_and_keeps_its_result(store: Store) -> None:
    """From claim to result, with the bytes exactly as the worker gave them."""
    record = submitted(store)
    claim = store.begin(record.id)
    assert claim.won
    assert claim.input == b"input\x00"
    assert store.succeed(record.id, PNG, known=claim.record).won
    after, payload = store.get_result(record.id)
    assert (after.status, after.attempts, payload) == (TaskStatus.SUCCESS, 1, PNG)
    assert after.created_at <= (after.executed_at or 0) <= (after.completed_at or 0)


def test_a_second_copy_of_a_message_does_not_run_beside_the_first(store: Store) -> None:
    """A publish that was repeated for want of its confirmation starts one attempt, not two."""
    record = submitted(store)
    assert store.begin(record.id).won
    assert not store.begin(record.id).won


def test_a_redelivered_message_runs_again(store: Store) -> None:
    """A task whose worker is gone is begun anew, and the attempts are counted."""
    record = submitted(store)
    store.begin(record.id)
    claim = store.begin(record.id, redelivered=True)
    assert claim.won
    assert claim.record is not None
    assert claim.record.attempts == 2


def test_a_redelivered_message_of_an_ended_task_does_not_run(store: Store) -> None:
    """What has an outcome keeps it, however often the broker delivers."""
    record = submitted(store)
    store.begin(record.id)
    store.succeed(record.id, PNG)
    assert not store.begin(record.id, redelivered=True).won
    assert not store.begin(record.id, retries=1).won


@pytest.mark.parametrize("end", ["succeed", "fail", "stop"])
def test_a_terminal_state_absorbs(store: Store, end: str) -> None:
    """Nothing ever leaves success, failure or cancelled."""
    record = submitted(store)
    store.begin(record.id)
    error = TaskError(type="ValueError", message="boom")
    ends: dict[str, Callable[[], Claim]] = {
        "succeed": lambda: store.succeed(record.id, PNG),
        "fail": lambda: store.fail(record.id, error),
        "stop": lambda: store.stop(record.id),
    }
    assert ends[end]().won
    status = store.get(record.id).status
    assert not any(again().won for again in ends.values())
    assert not store.cancel(record.id).won
    assert store.get(record.id).status is status


def test_a_cancelled_task_never_begins(store: Store) -> None:
    """A cancel that won is final for the worker too."""
    record = submitted(store)
    assert store.cancel(record.id).won
    assert not store.begin(record.id).won
    assert store.get(record.id).attempts == 0


def test_a_begun_task_is_not_cancelled_but_can_be_asked_to_stop(store: Store) -> None:
    """The flag reaches the worker with its next report, and only that worker ends the task."""
    record = submitted(store)
    store.begin(record.id)
    assert not store.cancel(record.id).won
    assert not store.report(record.id, None)
    assert store.request_stop(record.id).won
    assert store.report(record.id, Progress(current=1))


def test_progress_is_seen_and_never_revives_a_lost_record(store: Store) -> None:
    """Progress stands beside the state, and a late report creates nothing."""
    record = submitted(store)
    store.begin(record.id)
    store.report(record.id, Progress(current=1, total=2, message="half"))
    assert store.get(record.id).progress == Progress(current=1, total=2, message="half")
    unknown = new_task_id()
    store.report(unknown, Progress(current=1))
    with pytest.raises(TaskNotFound):
        store.get(unknown)


def test_a_worker_that_knows_an_old_version_still_ends_its_task(store: Store) -> None:
    """A request to stop moves the version; the result that comes first is kept all the same."""
    record = submitted(store)
    known = store.begin(record.id).record
    store.request_stop(record.id)
    assert store.succeed(record.id, PNG, known=known).won


def test_an_expired_result_is_not_served_and_its_sweep_removes_it(store: Store) -> None:
    """Retention counts from completion; the read path never waits for a sweep."""
    record = submitted(store, retention=0.001)
    store.begin(record.id)
    store.succeed(record.id, PNG)
    # The retention is over when the clock says so, a few milliseconds from here.
    while time.time() < (record.created_at + 0.05):
        pass
    with pytest.raises(TaskNotFound):
        store.get_result(record.id)
    store.sweep()
    assert not store.cancel(record.id).won


def test_a_waiting_task_never_expires(store: Store) -> None:
    """However short the retention: it begins with the outcome."""
    record = submitted(store, retention=0.001, created_at=time.time() - 10**6)
    store.sweep()
    assert store.begin(record.id).won


def test_wait_returns_as_soon_as_the_task_ends(store: Store) -> None:
    """A caller that waits gets the end, or what is known when its time is over."""
    record = submitted(store)
    assert store.wait(record.id, 0.01).status is TaskStatus.PENDING
    store.cancel(record.id)
    assert store.wait(record.id, 60).status is TaskStatus.CANCELLED


def test_ping_answers(store: Store) -> None:
    """A server that is there is said to be there."""
    store.ping()
