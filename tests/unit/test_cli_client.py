"""The client's commands against a real server that says what each test scripts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from bentotask.cli import cli
from tests.unit.scripted import TASK, Answer, Hangup, Server, endpoint, status

AWAY = Answer(503, {"error": "broker"})


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as server:
        yield server


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words), prog_name="bentotask")


@pytest.mark.parametrize(
    ("word", "facts", "told", "code"),
    [
        ("success", {}, "success", 0),
        ("failure", {"error": "ValueError: no"}, "failure: ValueError: no", 1),
        ("cancelled", {}, "cancelled", 2),
    ],
)
def test_a_watch_survives_a_server_that_is_away_for_a_moment(
    server: Server, word: str, facts: dict[str, object], told: str, code: int
) -> None:
    """A 503 or a lost connection ends neither the progress nor the question how it ended."""
    ended = status(word, **facts)
    server.on("GET", "/echo/status", AWAY, Hangup(), ended, AWAY, Hangup(), ended)
    watched = run("watch", server.url, "echo", TASK)
    assert (watched.exit_code, watched.stderr) == (code, f"{told}\n")


def test_endpoints_are_listed_with_their_arguments(server: Server) -> None:
    """One line each, and one request for all."""
    listed = run("endpoints", server.url)
    assert "task  echo(prompt: string, steps: integer = 20)\n" in listed.stdout
    assert "api   quick_info()\n" in listed.stdout
    assert len(server.seen) == 1


def test_a_called_image_stays_the_bytes_that_came(server: Server) -> None:
    """Whatever type the service tells, a command neither decodes a result nor encodes it anew."""
    image = endpoint("draw", is_task=False) | {"output": {"type": "file", "format": "image"}}
    server.on("GET", "/schema.json", Answer(200, {"routes": [image]}))
    server.on("POST", "/draw", Answer(200, b"no image", {"Content-Type": "image/png"}))
    assert run("call", server.url, "draw").stdout == "no image"
