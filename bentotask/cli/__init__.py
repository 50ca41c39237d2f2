"""The command line: one file for the servers, one for the client, each imported when it is used."""

from __future__ import annotations

import importlib
import logging
from dataclasses import fields
from typing import Any, Final

import click

import bentotask
from bentotask.cli.teaching import Teaching
from bentotask.codec.problems import did_you_mean
from bentotask.config import Settings
from bentotask.errors import BentotaskError, InvalidInput, Unauthorized

#: Where each command lives; also the order of the help.
_HOMES: Final = {
    "serve": "server",
    "web": "server",
    "worker": "server",
    "submit": "client",
    "call": "client",
    "status": "client",
    "watch": "client",
    "get": "client",
    "cancel": "client",
    "retry": "client",
    "endpoints": "client",
}
#: Spoken among our own processes.
_HIDDEN: Final = {"facts": "server"}


class _Commands(Teaching, click.Group):
    """Imports a command when it is asked for: a client need not wait for the servers' libraries."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_HOMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        home = {**_HOMES, **_HIDDEN}.get(cmd_name)
        if home is None:
            return None
        command: click.Command = getattr(importlib.import_module(f"{__name__}.{home}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Tell a typo with the name that was probably meant."""
        if args[0] in {**_HOMES, **_HIDDEN} or args[0].startswith("-"):
            return super().resolve_command(ctx, args)
        raise _Told(f"no command {args[0]!r}{did_you_mean(args[0], _HOMES)}")

    def invoke(self, ctx: click.Context) -> Any:
        """Tell what is our user's to mend in one line; anything else is a fault of ours."""
        try:
            return super().invoke(ctx)
        except BentotaskError as error:
            raise _Told(_sentence(error)) from error

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        with formatter.section("Environment, for every command"):
            formatter.write_dl([(", ".join(names), text) for names, text in _variables()])


class _Told(click.ClickException):
    def show(self, file: Any = None) -> None:
        click.echo(f"bentotask: {self.message}", err=True, file=file)


def _variables() -> list[tuple[tuple[str, ...], str]]:
    known = (setting.metadata for setting in fields(Settings))
    return [(facts["env"], facts["help"]) for facts in known if "env" in facts]


def _sentence(error: BentotaskError) -> str:
    """Return an error's text with all that helps, as one sentence."""
    text = str(error)
    if isinstance(error, InvalidInput):
        told = [_problem(entry) for entry in error.detail or ()]
        return "; ".join([text, *(problem for problem in told if text not in problem)])
    if isinstance(error, Unauthorized):
        return f"{text}; give it with --token or in BENTOTASK_TOKEN"
    return text


def _problem(entry: Any) -> str:
    where = ".".join(map(str, entry["loc"]))
    return f"{where}: {entry['msg']}" if where else str(entry["msg"])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(bentotask.__version__, prog_name="bentotask")
def cli() -> None:
    """BentoML's task contract on the RabbitMQ, Celery and gunicorn you already run.

    Serve the class ImageService of images.py, with no server installed:

        bentotask serve images:ImageService

    and use it from a second terminal:

        ID=$(bentotask submit http://localhost:3000 thumbnail image=@photo.jpg)
        bentotask watch http://localhost:3000 thumbnail $ID
        bentotask get http://localhost:3000 thumbnail $ID -o thumbnail.jpg

    Each command explains itself with --help.
    """


def main() -> None:
    """Run the command line."""
    # Until a worker sets up its log, what is to be said is said by an error's one line.
    logging.getLogger("bentotask").addHandler(logging.NullHandler())
    cli(prog_name="bentotask")
