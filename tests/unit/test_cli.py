"""The command line by itself: what it says and how it says no."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import click
import pytest
from click.testing import CliRunner, Result

import bentotask
from bentotask.cli import cli
from bentotask.config import Settings


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words), prog_name="bentotask")


def test_the_version_is_the_package_s() -> None:
    """``--version`` says which bentotask this is."""
    assert run("--version").output == f"bentotask, version {bentotask.__version__}\n"


def test_the_help_names_every_variable() -> None:
    """The environment is documented from the settings' own words."""
    said = " ".join(run("--help").output.split())
    for setting in fields(Settings):
        for name in setting.metadata.get("env", ()):
            assert name in said


@pytest.mark.parametrize("name", list(cli.list_commands(click.Context(cli))))
def test_every_command_teaches(name: str) -> None:
    """Each has a line for the overview, and an example in its own help."""
    line = f"  {name} "
    assert any(told.startswith(line) for told in run("--help").output.splitlines())
    assert f"\n      bentotask {name} " in run(name, "--help").output


def test_a_command_that_is_none_is_told() -> None:
    """A typo gets the name that was probably meant."""
    ended = run("sumbit")
    assert ended.exit_code == 1
    assert ended.stderr == "bentotask: no command 'sumbit'; did you mean 'submit'?\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("status", "localhost:3000", "echo", "1"), "http://localhost:3000"),
        (("status", "http://127.0.0.1:1", "echo", "1"), "is the server running"),
        (("endpoints", "http://127.0.0.1:1", "--token", "a\nb"), "the token"),
    ],
)
def test_a_server_that_is_not_there_is_told(words: tuple[str, ...], told: str) -> None:
    """What cannot be reached is one line, with the next step, and exit code 1."""
    ended = run(*words)
    assert ended.exit_code == 1
    assert told in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_client_imports_no_server() -> None:
    """``bentotask submit`` waits for neither Celery nor Flask to be imported."""
    code = "import sys, bentotask.cli.client; print({'celery', 'flask', 'kombu'} & {*sys.modules})"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "set()\n"
