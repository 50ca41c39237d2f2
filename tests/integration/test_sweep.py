"""A worker sweeps by itself: no beat process, no harm from trouble."""

from __future__ import annotations

from pathlib import Path

from bentotask.record import TaskRecord, new_task_id
from bentotask.store import Store, open_store
from bentotask.worker.sweep import Sweeper
from tests.servers.process import wait_until


def expired(store: Store) -> str:
    """Put a task that has ended, and whose retention is over."""
    record = TaskRecord.submitted(new_task_id(), "Svc.echo", retention=0.001)
    store.put(record, b"input")
    store.cancel(record.id)
    return record.id


def folders(root: Path) -> int:
    """How many tasks a directory holds."""
    return len(list(root.glob("??/*")))


def test_a_sweeper_removes_what_has_expired(tmp_path: Path) -> None:
    """With its input, and without anybody asking; what waits stays."""
    store = open_store(f"file://{tmp_path}")
    expired(store)
    waiting = TaskRecord.submitted(new_task_id(), "Svc.echo", retention=0.001)
    store.put(waiting, b"")
    sweeper = Sweeper(store, interval=0.01)
    sweeper.start()
    wait_until(lambda: folders(tmp_path) == 1, 10, "the expired task is gone")
    sweeper.stop()
    assert store.begin(waiting.id).won


def test_two_sweepers_do_no_harm(tmp_path: Path) -> None:
    """Whoever comes second finds nothing."""
    store = open_store(f"file://{tmp_path}")
    for _ in range(50):
        expired(store)
    sweepers = [Sweeper(open_store(f"file://{tmp_path}"), interval=0.001) for _ in range(2)]
    for sweeper in sweepers:
        sweeper.start()
    wait_until(lambda: folders(tmp_path) == 0, 10, "everything is gone")
    for sweeper in sweepers:
        sweeper.stop()


def test_one_damaged_record_does_not_end_the_sweeps(tmp_path: Path) -> None:
    """The trouble is logged, and the sweeper lives."""
    store = open_store(f"file://{tmp_path}")
    damaged = expired(store)
    (tmp_path / damaged[:2] / damaged / "state.json").write_text("{")
    sweeper = Sweeper(store, interval=60)
    sweeper.sweep()
    (tmp_path / damaged[:2] / damaged / "state.json").unlink()
    other = expired(store)

    def swept() -> bool:
        sweeper.sweep()
        return not (tmp_path / other[:2] / other).exists()

    wait_until(swept, 10, "the next sweep removes the other")
