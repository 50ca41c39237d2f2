"""``bentotask serve`` in foul weather: kills, deaths of its parts, and a user's mistakes."""

from __future__ import annotations

import re
import signal
import socket
from pathlib import Path

import pytest

from tests.acceptance.serving import Served, bare_environ, ran, wait_gone, write_service
from tests.servers.process import free_port


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with the service's module in it."""
    write_service(tmp_path)
    return tmp_path


def test_a_killed_serve_loses_no_task(directory: Path) -> None:
    """SIGKILL for all of it amid queued tasks, a new start, and every task has its result soon.

    What the workers had fetched comes back at once, not after the visibility timeout of hours.
    """
    with Served(directory) as served:
        held = [served.client.hold.submit(name=name) for name in "ab"]
        served.began("a")
        served.began("b")
        queued = [served.client.echo.submit(text=str(n)) for n in range(50)]
        family = served.family()
        served.process.kill_group()
        wait_gone(family)
        served.start()
        served.began("a", times=2)
        served.began("b", times=2)
        served.let_go("a")
        served.let_go("b")
        assert [task.wait(30).value for task in held] == ["success"] * 2
        assert [t.wait(30) and t.get()["text"] for t in queued] == [str(n) for n in range(50)]


def test_nobody_outlives_a_killed_serve(directory: Path) -> None:
    """When serve alone is killed, its children and a busy process of theirs die with it."""
    with Served(directory) as served:
        served.client.hold.submit(name="a")
        served.began("a")
        family = served.family()
        assert len(family) > 4
        served.process.kill()
        wait_gone(family)


@pytest.mark.parametrize("part", ["gunicorn", "worker", "server"])
def test_a_killed_part_takes_the_rest_down(directory: Path, part: str) -> None:
    """Serve ends with the code of the part that died, names it in a line, and leaves nothing."""
    name = {"gunicorn": "web", "server": "embedded server"}.get(part, part)
    with Served(directory) as served:
        family = served.family()
        family[part].kill()
        assert served.process.wait(30) == 128 + signal.SIGKILL
        pid = family[part].pid
        assert f"the {name} (process {pid}) was killed by signal 9" in served.process.log()
        wait_gone(family)


def test_an_unasked_end_is_no_success(directory: Path) -> None:
    """A part that ends with code 0, unasked, makes serve fail all the same."""
    with Served(directory) as served:
        served.family()["worker"].terminate()
        assert served.process.wait(30) == 1
        assert "ended with exit code 0" in served.process.log()


def test_a_model_that_cannot_load_ends_serve(directory: Path) -> None:
    """A failing ``__init__`` ends all of it with a non-zero code, and its reason is to be read."""
    (directory / "small.py").write_text(
        "import bentotask\n\n\n@bentotask.service(workers=1)\nclass Small:\n"
        "    def __init__(self):\n        raise RuntimeError('no such weights')\n"
        "    @bentotask.task\n    def echo(self, text: str) -> str:\n        return text\n"
    )
    served = Served(directory)
    served.process.start()
    assert served.process.wait(30) != 0
    assert "no such weights" in served.process.log()
    assert "the worker (process" in served.process.log()


# -- mistakes, each one line and exit code 1 -----------------------------------------------------


def refusal(directory: Path, *words: str, **values: str) -> str:
    """Return the one line that a command says as it ends with exit code 1."""
    ended = ran(words, directory, bare_environ(**values))
    assert ended.returncode == 1, ended
    assert not ended.stdout
    (line,) = ended.stderr.strip().splitlines()
    return line


@pytest.mark.parametrize("command", ["serve", "web", "worker"])
@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("smal:Small", "no module named 'smal'.*did you mean 'small'"),
        ("small:Smal", "has no 'Smal'; did you mean 'Small'"),
        ("small:time", "'time' of 'small' is no service but of type module.*Small"),
        ("small", "write MODULE:SERVICE"),
        ("small.py:Small", "write it as in an import: small"),
    ],
)
def test_a_typo_is_told(directory: Path, command: str, target: str, told: str) -> None:
    """A module or service that does not exist is a line that says what was probably meant."""
    assert re.search(told, refusal(directory, command, target))


@pytest.mark.parametrize("command", ["serve", "web", "worker"])
@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("amqp://user:secret@127.0.0.1:1//", "cannot be reached.*BENTOTASK_BROKER_URL"),
        ("redis://127.0.0.1:1/0", "cannot be reached"),
        ("amqq://localhost//", "cannot be used.*amqp"),
        ("localhost", "is not a URL"),
        ("amqp://localhost:port//", "port"),
    ],
)
def test_a_broker_that_is_not_there(directory: Path, command: str, url: str, told: str) -> None:
    """A broker that cannot be reached, or a URL that is none, is told before anything starts."""
    results = f"db+sqlite:///{directory}/tasks.db"
    env = {"BENTOTASK_BROKER_URL": url, "BENTOTASK_RESULT_BACKEND": results}
    line = refusal(directory, command, "small:Small", **env)
    assert re.search(told, line)
    assert "secret" not in line


def test_web_needs_a_broker(directory: Path) -> None:
    """Without a broker, the production commands point to ``serve``."""
    assert "bentotask serve" in refusal(directory, "web", "small:Small")


def test_the_port_is_taken(directory: Path) -> None:
    """A port in use is told before anything starts."""
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = str(taken.getsockname()[1])
        line = refusal(directory, "serve", "small:Small", "--port", port)
    assert "Address already in use" in line
    assert "--port" in line
    assert not (directory / ".bentotask").exists()


def test_a_host_that_is_none(directory: Path) -> None:
    """A host name without an address is told."""
    line = refusal(directory, "serve", "small:Small", "--host", "no.such.host.invalid")
    assert "no.such.host.invalid" in line


def test_the_data_directory_is_taken(directory: Path) -> None:
    """Two serves do not share a data directory; the second says which process has it."""
    with Served(directory) as served:
        line = refusal(directory, "serve", "small:Small", "--port", str(free_port()))
        assert f"in use by another bentotask serve (process {served.process.pid})" in line


@pytest.mark.parametrize("place", ["small.py", "small.py/data", "/proc/data", "/dev/null"])
def test_the_data_directory_cannot_be(directory: Path, place: str) -> None:
    """A data directory that cannot be made or written is told, with what to change."""
    line = refusal(directory, "serve", "small:Small", "--data-dir", place)
    assert "the data directory" in line
    assert "--data-dir" in line


def test_damaged_data_is_told_in_the_server_s_words(directory: Path) -> None:
    """When the embedded server refuses its data, the end of its log is shown."""
    with Served(directory) as served:
        served.client.echo(text="hello")
        served.process.stop()
    (data,) = (directory / ".bentotask" / "appendonlydir").glob("*.incr.aof")
    data.write_bytes(b"*1\r\n$3\r\nxyz\r\nrubbish" + data.read_bytes())
    ended = ran(["serve", "small:Small", "--port", str(free_port())], directory)
    assert ended.returncode == 1
    assert "server.log, which ends with" in ended.stderr
    assert "append only file" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_backend_that_is_not_there(directory: Path, redis_url: str) -> None:
    """A result backend that cannot be reached is told with the variable it came from."""
    env = {"BENTOTASK_BROKER_URL": redis_url, "BENTOTASK_RESULT_BACKEND": "redis://127.0.0.1:1/0"}
    line = refusal(directory, "serve", "small:Small", **env)
    assert "BENTOTASK_RESULT_BACKEND" in line
