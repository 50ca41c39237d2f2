"""Servers for tests: one of each per run, and a clean corner of it for every test.

``rabbitmq``, ``redis`` and ``postgres`` are the servers, for tests that hurt them; they start when
the first test asks. ``rabbitmq_url``, ``redis_url`` and ``postgres_url`` are a vhost and databases
of the test's own, and see to it that the server is in good health again.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.servers import packages
from tests.servers.postgres import PostgreSQL
from tests.servers.process import NeverHappenedError, Process, leftovers, wait_until
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

#: Where the log of each process stood when the test began.
_LOGS: pytest.StashKey[dict[Path, int]] = pytest.StashKey()


@pytest.fixture(scope="session", autouse=True)
def no_process_is_left() -> Iterator[None]:
    """End the run with an error when a process of ours outlives it; and end that process."""
    yield
    try:
        wait_until(lambda: not leftovers(), 5, "every process of the tests has ended")
    except NeverHappenedError:
        left = leftovers()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in Process.started:
            process.wait()
        pytest.fail("left running: " + "; ".join(f"{pid} {what}" for pid, what in left.items()))


@pytest.fixture(scope="session")
def rabbitmq(pytestconfig: pytest.Config, no_process_is_left: None) -> Iterator[RabbitMQ]:
    """The RabbitMQ of this run."""
    need(pytestconfig, "rabbitmq-server", "erlang-base")
    with RabbitMQ() as server:
        yield server


@pytest.fixture(scope="session")
def redis(pytestconfig: pytest.Config, no_process_is_left: None) -> Iterator[Redis]:
    """The Redis of this run."""
    need(pytestconfig, "redis-server")
    with Redis() as server:
        yield server


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config, no_process_is_left: None) -> Iterator[PostgreSQL]:
    """The PostgreSQL of this run."""
    need(pytestconfig, "postgresql")
    with PostgreSQL() as server:
        yield server


@pytest.fixture
def rabbitmq_url(rabbitmq: RabbitMQ) -> Iterator[str]:
    """A vhost of the test's own."""
    url = rabbitmq.revive().add_vhost()
    yield url
    rabbitmq.revive().delete_vhost(url)


@pytest.fixture
def redis_url(redis: Redis) -> Iterator[str]:
    """An empty database of the test's own."""
    database = redis.revive().take_database()
    yield redis.url(database)
    redis.release_database(database)


@pytest.fixture
def postgres_url(postgres: PostgreSQL) -> Iterator[str]:
    """An empty database of the test's own, for SQLAlchemy."""
    url = postgres.revive().create_database()
    yield url
    postgres.revive().drop_database(url)


def need(config: pytest.Config, *names: str) -> None:
    """Install Debian packages; if that cannot be, skip the test, or fail it in CI.

    A developer may lack a server. A CI that skips what it was made to check would stay green.
    """
    capture = config.pluginmanager.getplugin("capturemanager")
    try:
        with capture.global_and_fixture_disabled():  # it says a line before a minute of silence
            packages.provide(*names)
    except packages.MissingPackagesError as error:
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember what the processes had said before this test."""
    item.stash[_LOGS] = {p.log_path: _size(p.log_path) for p in Process.started}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what each process said during the test."""
    report = yield
    if report.failed:
        before = item.stash.get(_LOGS, {})
        for path in {process.log_path: None for process in Process.started}:
            with contextlib.suppress(OSError), path.open("rb") as log:
                log.seek(max(before.get(path, 0), _size(path) - 5000))
                if said := log.read().decode(errors="replace"):
                    report.sections.append((f"{path.parent.name}/{path.name}", said))
    return report


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
