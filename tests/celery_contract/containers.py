"""What pytest-celery takes for Docker containers, and what are processes of this machine."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Protocol, Self

import pytest
from pytest_celery import CeleryTestContainer, CeleryWorkerContainer

from bentotask.assembly import Service
from bentotask.config import Settings
from bentotask.dispatch import TaskHandle
from bentotask.errors import TaskNotFound
from bentotask.record import TaskRecord
from tests.celery_contract import service as service_module
from tests.servers.process import Process, wait_until

ROOT: Final = Path(__file__).parents[2]

#: The signals after which there is nothing left to wait for but the end.
_DEADLY: Final = {signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGKILL}


class Part(Protocol):
    """A process, and how it is started again; every ``tests.servers.Server`` is one."""

    process: Process

    def restart(self) -> Any:
        """Kill it if it lives, and start it."""


class Local:
    """The interface of a container over a process.

    Stands before the class of pytest-celery's that it replaces, whose ``__init__`` wants an object
    of Docker's and is never called.

    Args:
        part: the process.
        url: where it is. Workers and tests share one network, so there is no second address.
        name: its name, and what stands for its host's.
    """

    def __init__(self, part: Part, url: str = "", name: str = "local") -> None:
        self._part = part
        self._url = url
        self._name = name

    @property
    def id(self) -> str:
        """Its name: there is no other."""
        return self._name

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @property
    def celeryconfig(self) -> dict[str, str]:
        """Where it is, for the worker and for the tests."""
        return {"url": self._url, "host_url": self._url}

    @property
    def status(self) -> str:
        """Docker's word for whether it runs."""
        return "running" if self._part.process.alive() else "exited"

    def ready(self) -> bool:
        """Whether it runs: nothing is handed out before it answers."""
        return self.status == "running"

    def reload(self) -> None:
        """Do nothing: nothing is remembered of a process."""

    def logs(self) -> str:
        """Return what it has said since its latest start."""
        return self._part.process.log()

    def kill(self, signal: str | int) -> None:
        """Signal it, and wait for its end where the signal means that."""
        signum = _signum(signal)
        if signum == _signum("SIGKILL"):
            self._part.process.kill_group()
            return
        self._part.process.send(signum)
        if signum in _DEADLY:
            self._part.process.wait()

    def restart(self, timeout: float = 0) -> None:  # noqa: ARG002 - for Docker's graceful end
        """Kill it and start it again."""
        self._part.restart()


class LocalServer(Local, CeleryTestContainer):
    """A broker or a result backend."""


class LocalWorker(Local, CeleryWorkerContainer):
    """A ``celery worker`` of this checkout.

    The class methods are what pytest-celery builds a worker from: its command line is upstream's
    own, with the service's module as the application and the service's queue as the queue.
    """

    #: where it works
    directory: Path

    @classmethod
    def app_module(cls) -> ModuleType:
        """Return the module that ``celery -A app`` names."""
        return service_module

    @classmethod
    def worker_queue(cls) -> str:
        """Return the queue of the service."""
        contract: Service = service_module.Contract  # type: ignore[assignment]
        (queue,) = {endpoint.queue for endpoint in contract.spec.tasks}
        return queue

    @classmethod
    def initial_env(
        cls, celery_worker_cluster_config: dict[str, Any], initial: dict[str, str] | None = None
    ) -> dict[str, str]:
        """Return its environment: ``CELERY_BROKER_URL``, ``CELERY_RESULT_BACKEND``, a bare rest.

        The addresses are the host's, also where the servers are containers.
        """
        config = {
            name: {**cluster, "urls": cluster["host_urls"]}
            for name, cluster in celery_worker_cluster_config.items()
        }
        environ: dict[str, str] = super().initial_env(config, initial)
        here = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        return environ | here

    @classmethod
    def started(
        cls,
        directory: Path,
        command: list[str],
        environ: Mapping[str, str],
        content: Mapping[str, bytes],
    ) -> Self:
        """Start one.

        Args:
            directory: where it works and logs.
            command: pytest-celery's.
            environ: its whole environment.
            content: the files that pytest-celery would put in a volume.
        """
        for path, text in content.items():
            file = directory / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text)
        name = uuid.uuid4().hex[:12]
        program, *words = (word.replace("%h", name) for word in command)
        argv = [str(Path(sys.executable).parent / program), *words]
        process = Process(argv, directory / "worker.log", env=environ, cwd=directory)
        worker = cls(_CeleryWorker(process), name=name)
        worker.directory = directory
        worker.restart()
        return worker


class _CeleryWorker:
    """The process of a worker, as a :class:`Part`."""

    def __init__(self, process: Process) -> None:
        self.process = process

    def restart(self) -> None:
        """Start it, for the first time or again, and return once it takes tasks."""
        if self.process.alive():
            self.process.kill_group()
        self.process.start()
        wait_until(lambda: " ready." in self.process.log(), 60, "ready", process=self.process)


class Tasks:
    """The contract's verbs on one service, as code has them: what the web does, without HTTP."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._endpoints = {endpoint.method: endpoint for endpoint in service.spec.tasks}

    def submit(self, method: str, **values: Any) -> TaskHandle:
        """Submit a task."""
        endpoint = self._endpoints[method]
        document = endpoint.input.bind((), values)
        return self.of(method, self._service.dispatcher.submit(endpoint, document).id)

    def of(self, method: str, task_id: str) -> TaskHandle:
        """Return a task by its id, whoever submitted it."""
        return TaskHandle(self._service.dispatcher, self._endpoints[method], task_id)

    def ended(self, task: TaskHandle) -> TaskRecord:
        """Wait until a task has ended and return all that is known of it."""
        return wait_until(lambda: self._ended(task.id), 30, f"{task!r} has ended")

    def _ended(self, task_id: str) -> TaskRecord | None:
        try:
            record = self._service.dispatcher.store.get(task_id)
        except TaskNotFound:  # a foreign producer's task, which no worker has adopted yet
            return None
        return record if record.status.is_terminal else None


class Gate:
    """Where a task waits (see ``Contract.hold``): a pipe, whose reading end is the proof of start.

    Args:
        path: where to make it.
    """

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = str(path)
        self._end: int | None = None

    def await_task(self) -> None:
        """Return once a task stands before the gate; it does not pass."""
        self._end = wait_until(
            lambda: os.open(self.path, os.O_WRONLY | os.O_NONBLOCK), 30, "a task holds the slot"
        )

    def open(self) -> None:
        """Let the task pass, also one that has come since."""
        end = os.open(self.path, os.O_RDWR | os.O_NONBLOCK) if self._end is None else self._end
        self._end = None
        os.close(end)


def declared_anew(environ: Mapping[str, str]) -> Service:
    """Import the service's module again, as a new process does, with the worker's settings.

    A service reads its settings once, and this process meets several stacks.
    """
    spec = importlib.util.spec_from_file_location("app", service_module.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    service: Service = module.Contract
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("BENTOTASK_", "CELERY_"))]:
            patch.delenv(name)
        for name, value in environ.items():
            patch.setenv(name, value)
        assert isinstance(service.settings, Settings)  # read now, and kept
    return service


def _signum(name: str | int) -> int:
    return signal.Signals[name] if isinstance(name, str) else name
