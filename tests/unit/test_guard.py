"""The guard: what it costs, and that it never hurts the wrong task."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

from bentotask.errors import TaskStopped, TaskTimeout
from bentotask.record import Progress, TaskRecord, new_task_id
from bentotask.store.memory import MemoryStore
from bentotask.worker.guard import ASK, LOOK, Guard, Run


class CountingStore(MemoryStore):
    """Counts what the guard writes."""

    def __init__(self) -> None:
        super().__init__()
        self.reports: list[Progress | None] = []

    def report(self, task_id: str, progress: Progress | None, *, attempt: int = 0) -> bool:
        self.reports.append(progress)
        return super().report(task_id, progress, attempt=attempt)


@pytest.fixture
def store() -> CountingStore:
    """A store that counts."""
    return CountingStore()


def running(store: CountingStore, timeout: float | None = None) -> Run:
    """A task that has begun, and its run."""
    record = TaskRecord.submitted(new_task_id(), "Svc.run", 60.0)
    store.put(record, b"")
    store.begin(record.id)
    return Run(task_id=record.id, attempt=1, timeout=timeout, give_up=lambda: None)


def work(seconds: float) -> int:
    """Run Python code for so long, and return how many turns it made."""
    turns, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        turns += 1
    return turns


def stubborn() -> None:
    """Work, and ignore whatever comes."""
    with contextlib.suppress(BaseException):
        work(20)


def test_a_short_task_costs_no_round_trip(store: CountingStore) -> None:
    """Nothing is asked and nothing is written before the first look."""
    with Guard(store).watching(running(store)):
        pass
    assert store.reports == []


def test_progress_is_throttled(store: CountingStore) -> None:
    """However often a task tells, the store is written at most once a look."""
    run, seconds, told = running(store), 3 * LOOK, 0
    with Guard(store).watching(run):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            told += 1
            run.tell(Progress(current=told))
    assert told > 1000
    assert 1 <= len(store.reports) <= seconds / LOOK + 1


@pytest.mark.parametrize("thread", ["main", "another"])
def test_a_limit_interrupts_python_code(store: CountingStore, thread: str) -> None:
    """By a signal in the main thread, by an exception set from outside in any other."""
    caught: list[BaseException] = []

    def attempt() -> None:
        try:
            with Guard(store).watching(running(store, timeout=LOOK / 2)):
                work(20)
        except TaskStopped as stop:
            caught.append(stop)

    if thread == "main":
        attempt()
    else:
        other = threading.Thread(target=attempt)
        other.start()
        other.join(30)
    assert [type(stop) for stop in caught] == [TaskTimeout]
    assert "timeout=0.25 s" in str(caught[0])


def test_a_task_cannot_talk_its_way_out(store: CountingStore) -> None:
    """One that swallows what stops it, and even returns, ends as stopped all the same."""
    with pytest.raises(TaskTimeout), Guard(store).watching(running(store, timeout=LOOK / 2)):
        stubborn()


def test_a_request_to_stop_is_seen(store: CountingStore) -> None:
    """The flag in the record reaches the running code within a question and a look."""
    run = running(store)
    store.request_stop(run.task_id)
    with pytest.raises(TaskStopped), Guard(store).watching(run):
        work(20 * ASK)


def test_the_next_task_of_the_thread_is_left_alone(store: CountingStore) -> None:
    """What was meant for one task never hits its successor."""
    guard = Guard(store)
    for _ in range(3):
        with pytest.raises(TaskTimeout), guard.watching(running(store, timeout=LOOK / 4)):
            work(20)
        with guard.watching(running(store)):
            assert work(LOOK * 1.5) > 0


def test_an_attempt_that_was_superseded_stops(store: CountingStore) -> None:
    """The broker had lost this worker and gave the task to another: one of the two is enough."""
    run = running(store)
    store.begin(run.task_id, redelivered=True)
    with pytest.raises(TaskStopped), Guard(store).watching(run):
        work(20 * ASK)


def test_one_tasks_trouble_leaves_the_others_their_guard(store: CountingStore) -> None:
    """Whatever goes wrong in a look, the next one comes."""
    guard, run = Guard(store), running(store)
    run.unwritten = Progress(current=object())  # type: ignore[arg-type]  # no JSON
    with guard.watching(run):
        work(LOOK * 1.5)
    with pytest.raises(TaskTimeout), guard.watching(running(store, timeout=LOOK / 4)):
        work(20)
