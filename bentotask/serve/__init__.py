"""``bentotask serve``: web and worker together, on an embedded server where nothing is configured.

The web is gunicorn and the worker is Celery, each a child process exactly as in production. The
process of ``serve`` itself only starts them, watches them, and sees to it that none is left.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from bentotask.config import Settings, child_environ
from bentotask.embedded import EmbeddedServer
from bentotask.errors import Unavailable
from bentotask.loader import load_service
from bentotask.process import Bell
from bentotask.queue import check_broker
from bentotask.serve.children import WebProcess, WorkerProcess, listening
from bentotask.serve.facts import Facts
from bentotask.serve.reload import reloading, require_watchfiles
from bentotask.serve.supervisor import Say, Supervisor
from bentotask.store import open_store


def wsgi(target: str) -> Any:
    """Return the WSGI application of ``MODULE:SERVICE``, for gunicorn.

    ``gunicorn "bentotask.serve:wsgi('module:Service')"`` needs no ``wsgi =`` in the module.
    """
    return load_service(target).wsgi


def check_servers(settings: Settings) -> None:
    """Make sure that the broker and the result backend answer.

    Raises:
        ConfigurationError: one of them is not configured, or its URL cannot be used.
        Unavailable: one of them cannot be reached.
    """
    _check(settings, settings.require_broker(), settings.require_result_backend())


@dataclass(frozen=True, kw_only=True)
class Options:
    """What ``bentotask serve`` is told."""

    #: ``MODULE:SERVICE``
    target: str
    host: str
    #: 0 for any that is free
    port: int
    #: how many tasks run at once, ``None`` for what the service says
    slots: int | None = None
    reload: bool = False
    #: where an embedded server keeps its data, ``None`` for the setting's
    data_dir: Path | None = None


def serve(options: Options, say: Say) -> int:
    """Serve until asked to stop or until a process dies; return the exit code.

    Raises:
        ConfigurationError: something that is asked for cannot be; tells what to change.
        ServiceRefused: the service cannot be imported; told already.
        Unavailable: the broker or the result backend cannot be reached.
    """
    if options.reload:
        require_watchfiles()
    with contextlib.ExitStack() as held:
        bell = held.enter_context(Bell())
        listener = held.enter_context(listening(options.host, options.port))
        facts = Facts.told_by(options.target)
        settings, embedded = held.enter_context(_servers(facts, options, bell, say))
        if options.reload:
            held.enter_context(reloading(Path(facts.project), bell))
        return Supervisor(
            partial(_processes, options, facts, listener, _environ(settings, embedded)),
            name=facts.name,
            embedded=embedded,
            listener=listener,
            patient=options.reload,
            bell=bell,
            say=say,
        ).run()


@contextlib.contextmanager
def _servers(
    facts: Facts, options: Options, bell: Bell, say: Say
) -> Iterator[tuple[Settings, EmbeddedServer | None]]:
    """Check the servers that are configured, and lend one in place of those that are not."""
    settings = replace(
        Settings.from_environ(),
        broker_url=facts.broker_url,
        result_backend=facts.result_backend,
        sources=facts.sources,
    )
    _check(settings, settings.broker_url, settings.result_backend)
    if settings.broker_url and settings.result_backend:
        yield settings, None
        return
    with contextlib.closing(EmbeddedServer(options.data_dir or settings.data_dir)) as embedded:
        say(_told(settings, embedded))
        embedded.wait_ready(partial(_pause, bell))
        lent = settings.override(
            "the embedded server",
            broker_url=settings.broker_url or embedded.broker_url,
            result_backend=settings.result_backend or embedded.result_backend,
        )
        yield lent, embedded


def _told(settings: Settings, embedded: EmbeddedServer) -> str:
    where = f"{embedded.binary}, with its data in {embedded.data_dir}"
    if settings.broker_url:
        return f"no result backend is configured: results go to an embedded server, {where}"
    return f"no broker is configured: starting an embedded server, {where}"


def _pause(bell: Bell, seconds: float) -> None:
    if bell.stop_asked(seconds):
        raise KeyboardInterrupt


def _check(settings: Settings, broker_url: str | None, result_backend: str | None) -> None:
    if broker_url is not None:
        try:
            check_broker(broker_url)
        except Unavailable as error:
            raise _sourced(settings, "broker_url", str(error)) from None
    if result_backend is not None:
        store = open_store(result_backend)
        try:
            store.ping()
        except Unavailable as error:
            reason = f"the result backend {store.shown} cannot be reached: {error.__cause__}"
            raise _sourced(settings, "result_backend", reason) from None


def _sourced(settings: Settings, name: str, reason: str) -> Unavailable:
    source = settings.sources.get(name, "code")
    return Unavailable(f"{reason} (from {source}); is the server running, and at this URL?")


def _environ(settings: Settings, embedded: EmbeddedServer | None) -> dict[str, str]:
    values = settings.as_environ()
    if embedded is not None and settings.broker_url == embedded.broker_url:
        # The one name that an existing Celery application of the user's reads too.
        values["CELERY_BROKER_URL"] = embedded.broker_url
    return child_environ(values)


def _processes(
    options: Options, facts: Facts, listener: socket.socket, env: Mapping[str, str]
) -> tuple[WebProcess, WorkerProcess]:
    """Start both; they load the service side by side."""
    worker = WorkerProcess(options.target, options.slots, env)
    return WebProcess(options.target, listener, env, facts.call_timeout), worker
