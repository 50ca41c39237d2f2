"""How every client command finds its endpoint."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from bentotask.client import SyncHTTPClient
from bentotask.config import Settings
from bentotask.errors import BentotaskError, NotFound

Command = Callable[..., None]


@dataclass(frozen=True)
class Endpoint:
    """An endpoint as the command line uses it."""

    #: the client's, untyped: results stay the bytes that the server sent
    remote: Any
    name: str
    input: Mapping[str, Any]


def on_server(timeout: float = 30.0) -> Callable[[Command], Command]:
    """Give a command the client of the URL that comes first, as its argument ``client``."""

    def decorate(command: Command) -> Command:
        @click.argument("url", metavar="URL")
        @click.option(
            "--token",
            default=lambda: Settings.from_environ().token,
            show_default="BENTOTASK_TOKEN",
            help="What a service that asks for one wants.",
        )
        @click.option(
            "--timeout",
            type=click.FloatRange(min=0, min_open=True),
            default=timeout,
            show_default=True,
            help="Seconds to wait for an answer.",
        )
        @functools.wraps(command)
        def with_client(url: str, token: str | None, timeout: float, **rest: Any) -> None:
            with SyncHTTPClient(url, token, timeout) as client:
                command(client=client, **rest)

        return with_client

    return decorate


def on_endpoint(timeout: float = 30.0, *, task: bool = True) -> Callable[[Command], Command]:
    """Give a command the endpoint that is named after the URL, as its argument ``endpoint``.

    Args:
        timeout: the default of ``--timeout``.
        task: whether only the endpoint of a task will do.
    """

    def decorate(command: Command) -> Command:
        @on_server(timeout)
        @click.argument("endpoint", metavar="ENDPOINT")
        @functools.wraps(command)
        def with_endpoint(client: SyncHTTPClient, endpoint: str, **rest: Any) -> None:
            command(endpoint=found(client, endpoint, task=task), **rest)

        return with_endpoint

    return decorate


def schemas(client: SyncHTTPClient) -> dict[str, Any]:
    """Return what the server tells of its endpoints, by name."""
    return {name: client[name].schema for name in client.endpoints}


def found(client: SyncHTTPClient, name: str, *, task: bool) -> Endpoint:
    """Return the endpoint ``name``.

    Raises:
        NotFound: there is none of this name.
        BentotaskError: it is no task, and must be one.
    """
    try:
        remote = client[name]
    except KeyError as error:
        raise NotFound(error.args[0]) from None
    schema = remote.schema
    if task and not schema.is_task:
        raise BentotaskError(
            f"{name} is an @api endpoint, which answers at once; use: bentotask call URL {name}"
        )
    return Endpoint(remote.untyped(), name, schema.input)
