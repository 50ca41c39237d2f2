"""The commands that run a service."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import click

from bentotask.cli.teaching import command
from bentotask.loader import load_service
from bentotask.serve import Options, check_servers
from bentotask.serve import serve as run_service
from bentotask.serve.children import web_command
from bentotask.serve.facts import Facts, ServiceRefused
from bentotask.worker.ready import announce

_TARGET: Final = click.argument("target", metavar="MODULE:SERVICE")
_REST: Final = click.argument("options", metavar="[OPTIONS]...", nargs=-1, type=click.UNPROCESSED)
#: What stands after MODULE:SERVICE is somebody else's.
_PASS_ON: Final = {"ignore_unknown_options": True, "allow_interspersed_args": False}


def _say(line: str) -> None:
    click.echo(f"bentotask: {line}", err=True)


@command()
@_TARGET
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the web listens.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=3000, show_default=True, help="0: any."
)
@click.option(
    "--workers",
    "slots",
    type=click.IntRange(min=1),
    help="Worker slots: how many tasks run at once. Default: what the service says.",
)
@click.option(
    "--reload", is_flag=True, help="Start anew when a Python file of the project changes."
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Where the embedded server keeps queued tasks and results. Default: .bentotask",
)
@click.pass_context
def serve(ctx: click.Context, /, **given: Any) -> None:
    """Web and worker together; brings a server along where none is configured.

        bentotask serve images:ImageService
        bentotask serve images:ImageService --port 8000 --workers 4 --reload

    Ctrl-C finishes requests and running tasks first; queued tasks wait for the next start.
    """
    try:
        ctx.exit(run_service(Options(**given), _say))
    except ServiceRefused:  # told by the process that tried
        ctx.exit(1)


@command(context_settings=_PASS_ON)
@_TARGET
@_REST
def web(target: str, options: tuple[str, ...]) -> None:
    """A service's HTTP on gunicorn, with gunicorn's own options.

        bentotask web images:ImageService --bind 0.0.0.0:8000 --workers 2 --threads 16

    The same as `gunicorn images:wsgi` where the module says `wsgi = ImageService.wsgi`.
    """
    check_servers(load_service(target).settings)
    words = web_command(target, *options)
    os.execv(words[0], words)  # noqa: S606 - gunicorn shall be this process, to be signalled


@command(context_settings=_PASS_ON)
@click.option("--supervised", type=int, hidden=True, help="The pipe of a `serve` that watches us.")
@_TARGET
@_REST
@click.pass_context
def worker(
    ctx: click.Context, target: str, options: tuple[str, ...], supervised: int | None
) -> None:
    """A service's tasks on Celery's worker, with Celery's own options.

        bentotask worker images:ImageService --concurrency 4 --loglevel INFO

    The same as `celery -A images worker` where the module says `celery = ImageService.celery`.
    """
    service = load_service(target)
    app: Any = service.celery
    words = ["worker", *options]
    if supervised is None:
        check_servers(service.settings)
    else:
        words.insert(0, "--quiet")  # `serve` says what there is to say
        announce(supervised)
    ctx.exit(app.worker_main(words) or 0)


@command(hidden=True)
@_TARGET
def facts(target: str) -> None:
    """What `serve` needs to know of a service, as JSON."""
    click.echo(Facts.of(target).told())
