"""Whole deployments for tests: the real commands, as a user types them, on private servers.

A test asks for ``stack`` (every stack in turn) and starts services on it::

    site = stack.serve("bentotask.examples.text:TextService")    # of a module to import
    site = stack.serve("greeter:Greeter", source)                # of a module's text
    requests.post(f"{site.url}/greet/submit", json={"name": "Ada"})
    site.run(code)                                               # a program that calls it
    site.shell("bentotask status http://localhost:3000 greet ...")

A site has a broker and results of its own, so two of them never meet. ``stack`` ends what it
started when the test module ends; ``site.close()``, or ``with``, does so before.
"""

from __future__ import annotations

import os
import subprocess
import sys
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Self, TypeVar

import requests

from tests.servers.process import Process, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.servers.rabbitmq import RabbitMQ
    from tests.servers.redis import Redis

T = TypeVar("T")

ROOT: Final = Path(__file__).parents[2]
_PROGRAMS: Final = Path(sys.executable).parent

#: Comes before a program: the server that it thinks of is on a port of its own.
_ELSEWHERE: Final = """
import bentotask

def elsewhere(client):
    return lambda url, **options: client(
        url.replace("http://localhost:3000", {url!r}), **options
    )

bentotask.SyncHTTPClient = elsewhere(bentotask.SyncHTTPClient)
bentotask.AsyncHTTPClient = elsewhere(bentotask.AsyncHTTPClient)
"""

#: How long a service may take to start on a busy machine, seconds.
_PATIENCE: Final = 60.0


class Site:
    """One service that runs: its URL, and the processes behind it."""

    def __init__(self, directory: Path) -> None:
        #: the working directory of its processes, with their logs
        self.directory = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.processes: list[Process] = []
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, name: str, *command: str | Path, environ: Mapping[str, str]) -> Process:
        """Start one of its processes; ``command`` begins with a program of this environment."""
        program, *rest = command
        log = self.directory / f"{name}.log"
        argv = [_PROGRAMS / program, *rest]
        process = Process(argv, log, env=environ, cwd=self.directory)
        self._ends.enter_context(process)
        self.processes.append(process)
        return process

    def run(self, code: str) -> str:
        """Run a program that takes this site for http://localhost:3000; return what it prints.

        It runs in the site's directory, with every warning an error, and must end well and say
        nothing on stderr.
        """
        program = self.directory / "program.py"
        program.write_text(f"{_ELSEWHERE.format(url=self.url)}\n{code}")
        done = self._completed([sys.executable, "-W", "error", program])
        assert done.stderr == ""
        return done.stdout

    def shell(self, command: str) -> str:
        """Run a command that takes this site for http://localhost:3000; return what it prints."""
        words = command.replace("http://localhost:3000", self.url)
        return self._completed(["sh", "-ec", words]).stdout

    def _completed(self, argv: list[str | Path]) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            argv,
            cwd=self.directory,
            env={**_environ(), "PATH": f"{_PROGRAMS}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    def at_end(self, function: Callable[[T], object], argument: T) -> None:
        """Have a function called at the end, after what is started later has ended."""
        self._ends.callback(function, argument)

    def log(self) -> str:
        """All that its processes have said."""
        return "".join(process.log() for process in self.processes)

    def close(self) -> None:
        """Kill its processes and give back its corner of the servers."""
        self._ends.close()


class Stack(ABC):
    """One way to deploy a service.

    Args:
        base: where the directories of its sites go.
    """

    name: ClassVar[str]

    def __init__(self, base: Path) -> None:
        self._base = base
        self._sites: list[Site] = []

    def serve(
        self,
        target: str,
        source: str | None = None,
        *,
        environ: Mapping[str, str] | None = None,
    ) -> Site:
        """Start a service and return when it is ready.

        Args:
            target: ``module:Service``; the module also says ``wsgi`` and ``celery``.
            source: the module's text; ``None`` for a module that can be imported.
            environ: settings of the deployment.
        """
        module = target.partition(":")[0]
        site = Site(self._base / f"{len(self._sites)}-{module}")
        site.directory.mkdir(parents=True)
        self._sites.append(site)
        if source is not None:
            (site.directory / f"{module}.py").write_text(source)
        temporary = site.directory / "tmp"  # what a killed process leaves is pytest's to delete
        temporary.mkdir()
        self._start(site, target, {**_environ(), "TMPDIR": str(temporary), **(environ or {})})
        return site

    def close(self) -> None:
        """End every site."""
        for site in self._sites:
            site.close()

    @abstractmethod
    def _start(self, site: Site, target: str, environ: Mapping[str, str]) -> None:
        """Start what the stack is made of, and return when it is ready."""


class Embedded(Stack):
    """What a newcomer has: ``bentotask serve``, which brings its own server."""

    name = "embedded"

    def _start(self, site: Site, target: str, environ: Mapping[str, str]) -> None:
        process = site.start(
            "serve", "bentotask", "serve", target, "--port", str(site.port), environ=environ
        )
        _await_ready(process, lambda: _answers(f"{site.url}/readyz") and " ready." in process.log())


class RabbitRedis(Stack):
    """Production: ``gunicorn`` and ``celery worker`` on RabbitMQ, with results in Redis."""

    name = "rabbitmq+redis"

    def __init__(self, base: Path, rabbitmq: RabbitMQ, redis: Redis) -> None:
        super().__init__(base)
        self._rabbitmq = rabbitmq
        self._redis = redis

    def _start(self, site: Site, target: str, environ: Mapping[str, str]) -> None:
        module = target.partition(":")[0]
        environ = {**self._servers(site), **environ}
        bind = f"127.0.0.1:{site.port}"
        web = site.start(
            "web", "gunicorn", f"{module}:wsgi", "--bind", bind, "--threads", "8", environ=environ
        )
        worker = site.start(
            "worker", "celery", "-A", module, "worker", "-l", "INFO", environ=environ
        )
        _await_ready(worker, lambda: " ready." in worker.log())
        _await_ready(web, lambda: _answers(f"{site.url}/readyz"))

    def _servers(self, site: Site) -> dict[str, str]:
        """Take a vhost and a database, until the site ends."""
        vhost = self._rabbitmq.add_vhost()
        site.at_end(self._rabbitmq.delete_vhost, vhost)
        database = self._redis.take_database()
        site.at_end(self._redis.release_database, database)
        url = self._redis.url(database)
        return {"BENTOTASK_BROKER_URL": vhost, "BENTOTASK_RESULT_BACKEND": url}


def _await_ready(process: Process, ready: Callable[[], bool]) -> None:
    wait_until(ready, _PATIENCE, f"{process!r} is ready", process=process)


def _environ() -> dict[str, str]:
    """Return the environment without settings of the developer's own, and with this checkout."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BENTOTASK_", "CELERY_"))
        and name not in {"CLOUDAMQP_URL", "RABBITMQ_URL", "REDIS_URL", "PYTHONWARNINGS"}
    }
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def _answers(url: str) -> bool:
    return requests.get(url, timeout=5).status_code == 200
