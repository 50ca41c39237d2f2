"""The commands that use a service, over the blocking client."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from bentotask.cli.arguments import call_arguments
from bentotask.cli.endpoint import Endpoint, on_endpoint, on_server, schemas
from bentotask.cli.results import Result, deliver
from bentotask.cli.teaching import command
from bentotask.cli.watching import show_progress
from bentotask.client import SyncHTTPClient
from bentotask.dialect import status_body, status_words
from bentotask.record import TaskStatus

#: How a command that waits for a task's end says what it was.
EXIT_CODES: Final = {TaskStatus.SUCCESS: 0, TaskStatus.FAILURE: 1, TaskStatus.CANCELLED: 2}
#: What a shell says of a command that Ctrl-C has ended.
INTERRUPTED: Final = 130

_ID: Final = click.argument("task_id", metavar="ID")
_WORDS: Final = click.argument("words", metavar="[KEY=VALUE]...", nargs=-1)
_OUTPUT: Final = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Where to write the result: a file, a directory for a file that has a name, - for stdout.",
)


@command()
@on_endpoint()
@_WORDS
@click.option("--wait", is_flag=True, help="Then watch it until it ends.")
def submit(endpoint: Endpoint, words: tuple[str, ...], *, wait: bool) -> None:
    """Queue a task; its id is all that goes to stdout.

        bentotask submit http://localhost:3000 generate prompt="a sunset" steps=20
        bentotask submit http://localhost:3000 thumbnail image=@photo.jpg
        bentotask submit http://localhost:3000 analyse texts=one texts=two --wait

    A value is JSON where the endpoint wants what it says, and plain text elsewhere. @FILE is the
    file, @- what comes through the pipe, @@ a text that begins with @. A key that is repeated
    makes a list. KEY:=JSON is JSON whatever the endpoint wants.
    """
    args, kwargs = call_arguments(words, endpoint.input)
    task = endpoint.remote.submit(*args, **kwargs)
    click.echo(task.id)
    if wait:
        _watch(endpoint, task.id)


@command()
@on_endpoint(timeout=75.0, task=False)
@_WORDS
@_OUTPUT
def call(endpoint: Endpoint, words: tuple[str, ...], output: Path | None) -> None:
    """Run an endpoint, wait, and show its result.

        bentotask call http://localhost:3000 generate prompt="a sunset"
        bentotask call http://localhost:3000 thumbnail image=@photo.jpg -o small.jpg

    The values are those of `bentotask submit`.
    """
    args, kwargs = call_arguments(words, endpoint.input)
    deliver(Result.of(endpoint.remote(*args, **kwargs)), output)


@command()
@on_endpoint()
@_ID
@click.option("--json", "as_json", is_flag=True, help="As the server says it, in one line.")
def status(endpoint: Endpoint, task_id: str, *, as_json: bool) -> None:
    """What is known of a task: its status, times, attempts, progress, error.

    bentotask status http://localhost:3000 generate 0b6c7f...
    bentotask status http://localhost:3000 generate 0b6c7f... --json | jq .status
    """
    body = status_body(endpoint.remote.status(task_id), status_words(None))
    if as_json:
        click.echo(json.dumps(body))
        return
    for name, value in body.items():
        if value is not None:
            click.echo(f"{name:<13} {_progress(value) if name == 'progress' else value}")


def _progress(body: Mapping[str, Any]) -> str:
    total = "" if body["total"] is None else f"/{body['total']:g}"
    return f"{body['current']:g}{total} {body['message']}".rstrip()


@command()
@on_endpoint()
@_ID
def watch(endpoint: Endpoint, task_id: str) -> None:
    """A task's progress until it ends: exit code 0 for success, 1 failure, 2 cancelled.

    bentotask watch http://localhost:3000 generate 0b6c7f...
    """
    _watch(endpoint, task_id)


def _watch(endpoint: Endpoint, task_id: str) -> None:
    context = click.get_current_context()
    try:
        show_progress(endpoint.remote.progress(task_id))
        # Asked patiently, since scripts act on the exit code; only a failure has more to tell.
        ended = endpoint.remote.wait(task_id)
        failed = ended is TaskStatus.FAILURE
        error = endpoint.remote.status(task_id).error if failed else None
    except KeyboardInterrupt:
        click.echo(f"bentotask: no longer watched; task {task_id} goes on", err=True)
        context.exit(INTERRUPTED)
    click.echo(ended.value if error is None else f"{ended.value}: {error}", err=True)
    context.exit(EXIT_CODES[ended])


@command()
@on_endpoint()
@_ID
@_OUTPUT
def get(endpoint: Endpoint, task_id: str, output: Path | None) -> None:
    """A task's result: text and JSON as they are, a file or an image with -o or in a pipe.

    bentotask get http://localhost:3000 generate 0b6c7f...
    bentotask get http://localhost:3000 thumbnail 0b6c7f... -o small.jpg
    """
    deliver(Result.of(endpoint.remote.get(task_id)), output)


@command()
@on_endpoint()
@_ID
@click.option("--force", is_flag=True, help="Stop it even if it has begun.")
def cancel(endpoint: Endpoint, task_id: str, *, force: bool) -> None:
    """Cancel a task that has not begun, or stop one that has.

    bentotask cancel http://localhost:3000 generate 0b6c7f... --force
    """
    click.echo(endpoint.remote.cancel(task_id, force=force).value)


@command()
@on_endpoint()
@_ID
def retry(endpoint: Endpoint, task_id: str) -> None:
    """Queue a finished task's input once more; the new id is all that goes to stdout.

    bentotask retry http://localhost:3000 generate 0b6c7f...
    """
    click.echo(endpoint.remote.retry(task_id).id)


@command()
@on_server()
def endpoints(client: SyncHTTPClient) -> None:
    """What a service has to offer: each endpoint with its arguments.

    bentotask endpoints http://localhost:3000
    """
    for name, schema in schemas(client).items():
        kind = "task" if schema.is_task else "api "
        click.echo(f"{kind}  {name}({_signature(schema.input)})")


def _signature(schema: Mapping[str, Any]) -> str:
    if schema.get("root_input"):
        return str(schema.get("type", "any"))
    required = schema.get("required", ())
    return ", ".join(
        _parameter(name, inner, optional=name not in required)
        for name, inner in schema.get("properties", {}).items()
    )


def _parameter(name: str, schema: Mapping[str, Any], *, optional: bool) -> str:
    kind = schema.get("format") if schema.get("type") == "file" else schema.get("type")
    text = f"{name}: {kind}" if isinstance(kind, str) else name
    return f"{text} = {json.dumps(schema.get('default'))}" if optional else text
