"""Races between a worker and a canceller: 2,000 on each store that says that it is atomic."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bentotask.codec import Payload
from bentotask.record import TaskRecord, TaskStatus, new_task_id
from bentotask.store import Claim, Store, open_store
from tests.integration.conftest import store_url

RACES = 2000
PAYLOAD = Payload(body=b"1", media_type="application/json")


@pytest.fixture(params=["redis", "postgres", "sqlite", "files"])
def racers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """Two stores on one backend: the worker's and the web's."""
    url = store_url(request.param, request, tmp_path)
    one, other = open_store(url), open_store(url)
    yield one, other
    one.close()
    other.close()


def race(first: Callable[[], Claim], second: Callable[[], Claim]) -> tuple[bool, bool]:
    """Run both at the same moment, and return who won."""
    start = threading.Barrier(2)

    def run(step: Callable[[], Claim]) -> bool:
        start.wait()
        return step().won

    with ThreadPoolExecutor(2) as pool:
        outcomes = [pool.submit(run, step) for step in (first, second)]
        return outcomes[0].result(), outcomes[1].result()


def test_cancel_against_start(racers: tuple[Store, Store]) -> None:
    """Exactly one wins: no task is both cancelled and begun, none is neither."""
    worker, web = racers
    wins = {"begin": 0, "cancel": 0}
    for _ in range(RACES):
        record = TaskRecord.submitted(new_task_id(), "Svc.echo", 3600.0)
        web.put(record, b"")
        begun, cancelled = race(
            lambda i=record.id: worker.begin(i),  # type: ignore[misc]  # bound now
            lambda i=record.id: web.cancel(i),  # type: ignore[misc]
        )
        assert begun != cancelled
        expected = TaskStatus.IN_PROGRESS if begun else TaskStatus.CANCELLED
        assert web.get(record.id).status is expected
        wins["begin" if begun else "cancel"] += 1
    # A race that one side always wins would prove nothing.
    assert min(wins.values()) > 0, wins


def test_finish_against_finish(racers: tuple[Store, Store]) -> None:
    """Two copies of one task after a network partition: the record takes one outcome."""
    one, other = racers
    for _ in range(RACES // 4):
        record = TaskRecord.submitted(new_task_id(), "Svc.echo", 3600.0)
        one.put(record, b"")
        known = one.begin(record.id).record
        outcomes = race(
            lambda i=record.id, k=known: one.succeed(i, PAYLOAD, known=k),  # type: ignore[misc]
            lambda i=record.id, k=known: other.stop(i, known=k),  # type: ignore[misc]
        )
        assert sum(outcomes) == 1
