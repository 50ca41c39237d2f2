"""The client on the command line, against a real ``bentotask serve``."""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.serving import Served, bare_environ, command, ran, write_service

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "s3cret"  # noqa: S105 - of this test alone


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One service for all of these tests; it asks for a token."""
    directory = tmp_path_factory.mktemp("served")
    write_service(directory)
    with Served(directory, env=bare_environ(BENTOTASK_TOKEN=TOKEN)) as running:
        yield running


def run(served: Served, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a client command with the token in the environment."""
    env = bare_environ(BENTOTASK_TOKEN=TOKEN)
    return ran([verb, served.url, *words], served.directory, env)


def said(served: Served, verb: str, *words: str) -> str:
    """Return the standard output of a command that succeeds."""
    ended = run(served, verb, *words)
    assert ended.returncode == 0, ended
    return ended.stdout


def test_a_task_s_life(served: Served) -> None:
    """Submit prints an id alone; watch waits; get prints JSON."""
    task_id = said(served, "submit", "echo", "text=hello", "times=2").strip()
    assert said(served, "watch", "echo", task_id) == ""
    assert json.loads(said(served, "get", "echo", task_id)) == {"text": "hello", "times": 2}


def test_status_for_people_and_for_programs(served: Served) -> None:
    """The same facts as lines and as JSON; what is not known is left out of the lines."""
    task_id = said(served, "submit", "echo", "text=hello", "--wait").strip()
    told = json.loads(said(served, "status", "echo", task_id, "--json"))
    assert (told["task_id"], told["status"], told["error"]) == (task_id, "success", None)
    lines = said(served, "status", "echo", task_id)
    assert "success" in lines
    assert "error" not in lines


def test_a_file_goes_in_and_comes_out(served: Served) -> None:
    """file=@path is sent, and -o writes exactly the result's bytes."""
    (served.directory / "in.bin").write_bytes(b"\x00\x01\xff")
    said(served, "call", "backwards", "file=@in.bin", "-o", "out.bin")
    assert (served.directory / "out.bin").read_bytes() == b"\xff\x01\x00"


def test_a_pipe_carries_bytes(served: Served) -> None:
    """Standard input goes in with @-, and binary results come out of a pipe."""
    call = shlex.join(command("call", served.url, "raw", "data=@-"))
    ended = subprocess.run(
        ["sh", "-c", f"printf 'a\\377' | {call} | od -An -tx1"],
        env=bare_environ(BENTOTASK_TOKEN=TOKEN),
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.split() == ["61", "ff"]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("steps", "total=2"), 0, "2/2 step 2"),
        (("fail", "reason=no reason"), 1, "failure: ValueError: no reason"),
    ],
)
def test_watching_ends_as_the_task_does(
    served: Served, words: tuple[str, ...], code: int, told: str
) -> None:
    """Exit code 0 for success and 1 for failure, with the progress or the error on stderr."""
    ended = run(served, "submit", *words, "--wait")
    assert ended.returncode == code
    assert told in ended.stderr


def test_a_running_task_is_stopped_by_force(served: Served) -> None:
    """Cancel says why it will not, --force does, watch ends with 2, and retry gives a new id."""
    task_id = said(served, "submit", "hold", "name=forced").strip()
    served.began("forced")
    assert run(served, "cancel", "hold", task_id).returncode == 1
    assert said(served, "cancel", "hold", task_id, "--force") == "cancelled\n"
    assert run(served, "watch", "hold", task_id).returncode == 2
    served.let_go("forced")
    again = said(served, "retry", "hold", task_id).strip()
    assert again != task_id
    assert run(served, "watch", "hold", again).returncode == 0


def test_endpoints_are_listed(served: Served) -> None:
    """Each endpoint with its kind, its arguments and their defaults."""
    listed = said(served, "endpoints")
    assert "task  echo(text: string, times: integer = 1)\n" in listed
    assert "api   version()\n" in listed


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("status", "ecco", "1"), "did you mean 'echo'"),
        (("status", "echo", "1"), "task_id not found"),
        (("submit", "version"), "bentotask call"),
        (("submit", "echo", "text=a", "times=x"), "times: Input should be a valid integer"),
        (("submit", "echo"), "needs the argument 'text'"),
        (("submit", "echo", "txt=a"), "did you mean 'text'"),
        (("submit", "backwards", "file=@none.bin"), "none.bin does not exist"),
        (("get", "echo", "1", "--token", "wrong"), "--token"),
    ],
)
def test_a_mistake_is_one_line(served: Served, words: tuple[str, ...], told: str) -> None:
    """Exit code 1, one line on stderr that names the cause, and nothing on stdout."""
    ended = run(served, *words)
    assert ended.returncode == 1
    assert told in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not ended.stdout
