"""Calling a service's method: a document in, a payload out. The same in a worker and in the web."""

from __future__ import annotations

import asyncio
import inspect
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from bentotask.codec import Document, Payload
from bentotask.context import Context
from bentotask.endpoint import Endpoint


def invoke(
    endpoint: Endpoint, instance: Any, document: Document, context: Context, workdir: Path
) -> Payload:
    """Call the endpoint's method with a checked input and return its encoded result.

    Args:
        endpoint: the endpoint.
        instance: the service's instance.
        document: the input; checked here, also when it was checked before: it may come from
            before a deployment.
        context: what the method may see and set.
        workdir: where files of the input are put.

    Raises:
        InvalidInput: the input does not fit.
        TypeError: the result is not what the method promises.
    """
    arguments = endpoint.input.validate(document, workdir=workdir)
    kwargs = dict(arguments.kwargs)
    if endpoint.input.context_parameter is not None:
        kwargs[endpoint.input.context_parameter] = context
    with context:
        value = endpoint.function(instance, *arguments.args, **kwargs)
        if inspect.isawaitable(value):
            value = _runner().run(_awaited(value))
    payload = endpoint.output.encode(value)
    response = context.response
    return replace(payload, status=response.status_code, headers=dict(response.headers))


_loops: Final = threading.local()


def _runner() -> asyncio.Runner:
    """Return this thread's event loop, kept so that a service may keep async clients on self."""
    runner: asyncio.Runner | None = getattr(_loops, "runner", None)
    if runner is None:
        runner = _loops.runner = asyncio.Runner()
    return runner


async def _awaited(value: Any) -> Any:
    return await value
