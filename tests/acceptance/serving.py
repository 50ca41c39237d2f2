"""``bentotask serve`` as a user starts it, on a small service in a directory of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

import psutil

from bentotask import SyncHTTPClient
from tests.servers.process import Process, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SERVICE = '''
import time
from pathlib import Path

import bentotask


@bentotask.service(workers=2, traffic={"timeout": 20})
class Small:
    def __init__(self):
        while Path("locked").exists():
            time.sleep(0.01)

    @bentotask.task
    def echo(self, text: str, times: int = 1) -> dict:
        return {"text": text, "times": times}

    @bentotask.task
    def hold(self, name: str) -> str:
        """Say that it began, and go on once it may."""
        with Path(f"{name}.began").open("a") as journal:
            journal.write("x")
        while not Path(f"{name}.go").exists():
            time.sleep(0.01)
        return name

    @bentotask.task
    def steps(self, total: int) -> int:
        for step in range(total):
            bentotask.progress(step + 1, total, f"step {step + 1}")
            time.sleep(0.3)
        return total

    @bentotask.task
    def fail(self, reason: str) -> None:
        raise ValueError(reason)

    @bentotask.task
    def backwards(self, file: Path) -> Path:
        turned = file.with_name("turned.bin")
        turned.write_bytes(file.read_bytes()[::-1])
        return turned

    @bentotask.task
    def raw(self, data: bytes) -> bytes:
        return data

    @bentotask.api
    def version(self) -> str:
        return "one"
'''

#: What would make a service use the servers of whoever runs the tests.
_CONFIGURED = ("BENTOTASK_", "CELERY_", "CLOUDAMQP_", "RABBITMQ_", "REDIS_")


def bare_environ(**values: str) -> dict[str, str]:
    """Return an environment in which nothing is configured but ``values``."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_CONFIGURED)}
    return {**kept, **values}


def command(*words: str) -> list[str]:
    """Return the command line of ``bentotask`` with this Python."""
    return [sys.executable, "-m", "bentotask", *words]


def ran(
    words: Sequence[str], directory: Path, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    environ = bare_environ() if env is None else env
    return subprocess.run(
        command(*words),
        cwd=directory,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def write_service(directory: Path) -> Path:
    """Write the service's module and return its path."""
    module = directory / "small.py"
    module.write_text(SERVICE)
    return module


class Served:
    """One ``bentotask serve``; killed at the end of its ``with`` block if it still runs."""

    def __init__(
        self,
        directory: Path,
        *options: str,
        env: Mapping[str, str] | None = None,
        target: str = "small:Small",
    ) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = SyncHTTPClient(self.url)
        self.process = Process(
            command("serve", target, "--port", str(self.port), *options),
            directory / "serve.log",
            env=bare_environ() if env is None else env,
            cwd=directory,
        )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.client.close()
        family = self.family()
        self.process.kill_group()
        wait_gone(family)

    def start(self) -> Self:
        """Start it and return when it says that it is ready."""
        self.process.start()
        self.says("is ready at")
        return self

    def says(self, text: str, times: int = 1) -> None:
        """Wait until it has said ``text`` so often since its start."""
        wait_until(lambda: self.process.log().count(text) >= times, 60, text, process=self.process)

    def family(self) -> dict[str, psutil.Process]:
        """Return its children by what they are, and theirs under their number."""
        found: dict[str, psutil.Process] = {}
        for child in psutil.Process(self.process.pid).children() if self.process.alive() else ():
            words = " ".join(child.cmdline())
            kind = next((k for k in ("gunicorn", "worker") if k in words), "server")
            found[kind] = child
            found |= {str(grand.pid): grand for grand in child.children(recursive=True)}
        return found

    def began(self, name: str, times: int = 1) -> None:
        """Wait until the task ``hold`` of this name has begun so often."""
        journal = self.directory / f"{name}.began"
        wait_until(
            lambda: journal.exists() and len(journal.read_text()) >= times,
            30,
            f"{name} begins",
            process=self.process,
        )

    def let_go(self, name: str) -> None:
        """Let the task ``hold`` of this name go on."""
        (self.directory / f"{name}.go").touch()


def wait_gone(family: Mapping[str, psutil.Process]) -> None:
    """Wait until none of these processes is left."""
    wait_until(lambda: not any(map(_lives, family.values())), 10, f"{family} are gone")


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
