"""A deployment to hurt: a real web and a real worker on RabbitMQ and Redis of the test's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import requests

from tests.acceptance.stack import RabbitRedis, Site
from tests.servers.process import Process, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.rabbitmq import RabbitMQ
    from tests.servers.redis import Redis


class Lab(RabbitRedis):
    """Services whose parts a test starts, kills and starts again.

    Args:
        base: where the directories of its sites go.
        rabbitmq: the broker.
        redis: the result backend.
        options: further options of ``celery worker``.
    """

    def __init__(
        self, base: Path, rabbitmq: RabbitMQ, redis: Redis, options: tuple[str, ...] = ()
    ) -> None:
        super().__init__(base, rabbitmq, redis)
        self.options = options
        self.module = ""
        self.environ: Mapping[str, str] = {}
        self._with_worker = True
        self.site: Site
        self.worker: Process
        self.web: Process

    def serve(
        self,
        target: str,
        source: str | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        worker: bool = True,
    ) -> Site:
        """Start a service, without its worker where a test wants to start that itself."""
        self._with_worker = worker
        return super().serve(target, source, environ=environ)

    def _start(self, site: Site, target: str, environ: Mapping[str, str]) -> None:
        self.site, self.module = site, target.partition(":")[0]
        self.environ = {**self._servers(site), **environ}
        self.start_web()
        if self._with_worker:
            self.start_worker()

    def start_worker(self, *options: str, ready: bool = True) -> Process:
        """Start a worker, and return it once it takes tasks."""
        name = f"worker{len(self.site.processes)}"
        command = ("-A", self.module, "worker", "-l", "INFO", "-n", f"{name}@%h")
        self.worker = self.site.start(
            name, "celery", *command, *self.options, *options, environ=self.environ
        )
        if ready:
            wait_until(
                lambda: " ready." in self.worker.log(), 60, "the worker", process=self.worker
            )
        return self.worker

    def start_web(self) -> Process:
        """Start the web process, and return it once it answers."""
        bind = f"127.0.0.1:{self.site.port}"
        name = f"web{len(self.site.processes)}"
        options = ("-b", bind, "--threads", "8")
        self.web = self.site.start(
            name, "gunicorn", f"{self.module}:wsgi", *options, environ=self.environ
        )
        livez = f"{self.site.url}/livez"
        wait_until(
            lambda: requests.get(livez, timeout=5).status_code < 500,
            60,
            "the web",
            process=self.web,
        )
        return self.web

    def submit(self, endpoint: str, **values: Any) -> str:
        """Submit a task and return its id."""
        url = f"{self.site.url}/{endpoint}/submit"
        response = requests.post(url, json=values, timeout=10)
        assert response.status_code == 200, response.text
        task_id: str = response.json()["task_id"]
        return task_id

    def status(self, endpoint: str, task_id: str, **query: Any) -> dict[str, Any]:
        """Ask for all that is known of a task."""
        query["task_id"] = task_id
        url = f"{self.site.url}/{endpoint}/status"
        answer: dict[str, Any] = requests.get(url, params=query, timeout=70).json()
        return answer

    def ended(self, endpoint: str, task_id: str, timeout: float = 60) -> dict[str, Any]:
        """Wait until a task has ended and return what is known of it."""
        found: dict[str, Any] = {}

        def over() -> bool:
            found.update(self.status(endpoint, task_id, wait=5))
            return found["status"] in {"success", "failure", "cancelled"}

        wait_until(over, timeout, f"{endpoint} {task_id} has ended", process=self.worker)
        return found
