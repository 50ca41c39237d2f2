"""pytest-celery's ``celery_setup`` on this machine's own processes.

Each stack runs under every test: a broker and a result backend from ``tests.servers``, and one
real ``celery -A app worker``. Upstream's fixtures do the work; the ones below replace its Docker
containers, and nothing is patched. Two habits differ from upstream's for the sake of time: a
server lives as long as the run, a worker and its vhost and databases as long as the stack, or
until a test kills them. So a test counts on its own task ids and never on an empty queue.

With ``BENTOTASK_TEST_DOCKER=1`` RabbitMQ and Redis are upstream's containers instead, which needs
a Docker engine and pulls their images. PostgreSQL, for which upstream has none, and the worker
stay processes: upstream's worker image does not hold this checkout. Without that variable nothing
here asks for Docker.

The third stack is RabbitMQ with PostgreSQL, because it is what people run who have no Redis, and
the only one whose claims go through SQL on a server. The filesystem broker would be quicker, but
it has no process to restart and no remote control worth a promise.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from celery import Celery, current_app
from pytest_celery import CeleryTestBackend, CeleryTestBroker, RabbitMQContainer, RedisContainer

from bentotask.assembly import Service
from tests.celery_contract.containers import (
    Gate,
    LocalServer,
    LocalWorker,
    Tasks,
    declared_anew,
)
from tests.plugin import need
from tests.servers.postgres import PostgreSQL
from tests.servers.process import free_port
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis

DOCKER = os.environ.get("BENTOTASK_TEST_DOCKER", "").lower() in {"1", "true"}


class Stack(NamedTuple):
    """Which broker and which result backend."""

    broker: str
    backend: str


#: In an order: upstream's own parameters are a set, which parallel runs collect differently.
STACKS = [Stack("rabbitmq", "redis"), Stack("redis", "redis"), Stack("rabbitmq", "postgres")]


@pytest.fixture(scope="module", params=STACKS, ids="+".join)
def stack(request: pytest.FixtureRequest) -> Stack:
    """Each stack in turn, with all the tests of a module."""
    chosen: Stack = request.param
    return chosen


# -- the servers, instead of containers ------------------------------------------------------------


@pytest.fixture(scope="session")
def durable_redis(pytestconfig: pytest.Config, no_process_is_left: None) -> Iterator[Redis]:
    """A Redis that keeps what it has across a restart, as one that is a broker must."""
    need(pytestconfig, "redis-server")
    with Redis(appendonly=True) as server:
        yield server


@pytest.fixture(scope="module")
def vhost(stack: Stack, rabbitmq: RabbitMQ) -> Iterator[str]:
    """A vhost of the stack's own."""
    url = rabbitmq.revive().add_vhost()
    yield url
    rabbitmq.revive().delete_vhost(url)


@pytest.fixture(scope="module")
def databases(stack: Stack, durable_redis: Redis) -> Iterator[dict[str, str]]:
    """Two databases of the stack's own, one for each of its roles."""
    durable_redis.revive()
    taken = {role: durable_redis.take_database() for role in ("broker", "backend")}
    yield {role: durable_redis.url(database) for role, database in taken.items()}
    for database in taken.values():
        durable_redis.release_database(database)


@pytest.fixture(scope="module")
def sql_database(stack: Stack, postgres: PostgreSQL) -> Iterator[str]:
    """A PostgreSQL database of the stack's own."""
    url = postgres.revive().create_database()
    yield f"db+{url}"
    postgres.revive().drop_database(url)


@pytest.fixture
def local_rabbitmq_broker(rabbitmq: RabbitMQ, vhost: str) -> LocalServer:
    """RabbitMQ as upstream sees it."""
    return LocalServer(rabbitmq.revive(), vhost)


@pytest.fixture
def local_redis_broker(durable_redis: Redis, databases: dict[str, str]) -> LocalServer:
    """Redis as upstream sees it, where it is the broker."""
    return LocalServer(durable_redis.revive(), databases["broker"])


@pytest.fixture
def local_redis_backend(durable_redis: Redis, databases: dict[str, str]) -> LocalServer:
    """Redis as upstream sees it, where it has the results."""
    return LocalServer(durable_redis.revive(), databases["backend"])


@pytest.fixture
def local_postgres_backend(postgres: PostgreSQL, sql_database: str) -> LocalServer:
    """PostgreSQL as upstream sees it."""
    return LocalServer(postgres.revive(), sql_database)


@pytest.fixture
def celery_broker(request: pytest.FixtureRequest, stack: Stack) -> CeleryTestBroker:
    """The broker of the stack."""
    if DOCKER:
        return request.getfixturevalue(f"celery_{stack.broker}_broker")
    return CeleryTestBroker(request.getfixturevalue(f"local_{stack.broker}_broker"))


@pytest.fixture
def celery_backend(request: pytest.FixtureRequest, stack: Stack) -> CeleryTestBackend:
    """The result backend of the stack."""
    if DOCKER and stack.backend != "postgres":
        return request.getfixturevalue(f"celery_{stack.backend}_backend")
    return CeleryTestBackend(request.getfixturevalue(f"local_{stack.backend}_backend"))


# -- where they are containers, what the suite needs of them ---------------------------------------


@pytest.fixture
def default_rabbitmq_broker_ports() -> dict[str, int]:
    """A port that stays the same over a restart; Docker would choose a new one."""
    return dict.fromkeys(RabbitMQContainer.ports(), free_port())


@pytest.fixture
def default_redis_broker_ports() -> dict[str, int]:
    """A port that stays the same over a restart."""
    return dict.fromkeys(RedisContainer.ports(), free_port())


@pytest.fixture
def default_redis_broker_command() -> list[str]:
    """A Redis that keeps its queues across a restart."""
    command: list[str] = RedisContainer.command("--appendonly", "yes")
    return command


# -- the worker, and the tests' side of the service ------------------------------------------------


class Crew:
    """What is kept from one test to the next for as long as the servers stay where they are.

    Args:
        directory: where the workers work.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._services: dict[tuple[str, ...], Service] = {}
        self._workers: dict[tuple[str, ...], LocalWorker] = {}

    def service(self, broker: str, backend: str) -> Service:
        """Return the service as the tests' own process has it."""
        where = (broker, backend)
        if where not in self._services:
            environ = {"CELERY_BROKER_URL": broker, "CELERY_RESULT_BACKEND": backend}
            self._services[where] = declared_anew(environ)
        return self._services[where]

    def worker(
        self, command: list[str], environ: dict[str, str], content: dict[str, bytes]
    ) -> LocalWorker:
        """Return a worker that takes tasks; a new process where there is none on these servers."""
        where = (environ["CELERY_BROKER_URL"], environ["CELERY_RESULT_BACKEND"])
        if where not in self._workers:
            self.close()
            directory = self._directory / str(len(self._workers))
            self._workers[where] = LocalWorker.started(directory, command, environ, content)
        worker = self._workers[where]
        if worker.status != "running":
            worker.restart()
        return worker

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers.values():
            if worker.status == "running":
                worker.kill("SIGKILL")


@pytest.fixture(scope="module")
def crew(
    stack: Stack, no_process_is_left: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Crew]:
    """The worker of the stack, and the service on the tests' side."""
    made = Crew(tmp_path_factory.mktemp("worker"))
    yield made
    made.close()


@pytest.fixture
def default_worker_container_cls() -> type[LocalWorker]:
    """What upstream asks for the worker's command, environment and files."""
    return LocalWorker


@pytest.fixture
def default_worker_container(
    crew: Crew,
    default_worker_command: list[str],
    default_worker_env: dict[str, str],
    default_worker_initial_content: dict[str, bytes],
) -> LocalWorker:
    """A real worker, started as upstream says."""
    return crew.worker(default_worker_command, default_worker_env, default_worker_initial_content)


@pytest.fixture
def service(crew: Crew, celery_setup_config: dict[str, str]) -> Service:
    """The service on the tests' side: what a web process has."""
    return crew.service(celery_setup_config["broker_url"], celery_setup_config["result_backend"])


@pytest.fixture
def celery_setup_app(service: Service) -> Iterator[Celery]:
    """The service's own application, for both sides; upstream would make one."""
    before = current_app._get_current_object()
    yield service.celery
    before.set_current()  # upstream makes it the current one when a node is restarted
    # Celery's remote control does not try again on a pooled connection that a restart has cut.
    service.celery.pool.resize(service.celery.pool.limit, reset=True)


@pytest.fixture
def tasks(service: Service) -> Tasks:
    """The verbs of the contract."""
    return Tasks(service)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A gate that is open in the end, whatever happens: its task would block the next test."""
    made = Gate(tmp_path / "gate")
    yield made
    made.open()
